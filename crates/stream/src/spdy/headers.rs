//! A stream's headers: names and values with their lengths, compressed by one zlib stream per direction that begins with the
//! dictionary and is flushed at the end of each block.
use super::dictionary;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

/// The longest block of headers, uncompressed.
pub const HEADERS_LIMIT_BYTES: usize = 64 * 1024;
/// How many headers a stream may have.
pub const HEADERS_LIMIT: usize = 100;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(pub Vec<(String, String)>);

impl Headers {
    /// The first value of a header; names are compared without regard to case.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.split('\0').next().unwrap_or_default())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadHeaders {
    #[error("the headers cannot be decompressed")]
    Compression,
    #[error("the headers are too long or too many")]
    TooLong,
    #[error("the headers end too early")]
    Truncated,
    #[error("a header is not text")]
    NotText,
}

/// Writes the headers of one direction.
pub struct Packer(Compress);

impl Default for Packer {
    fn default() -> Packer {
        let mut zlib = Compress::new(Compression::best(), true);
        // Only fails once compression has begun.
        zlib.set_dictionary(dictionary::bytes()).ok();
        Packer(zlib)
    }
}

impl Packer {
    pub fn pack(&mut self, headers: &Headers) -> Vec<u8> {
        let mut plain = (headers.0.len() as u32).to_be_bytes().to_vec();
        for text in headers.0.iter().flat_map(|(name, value)| [name.to_ascii_lowercase(), value.clone()]) {
            plain.extend((text.len() as u32).to_be_bytes());
            plain.extend(text.into_bytes());
        }
        let (mut packed, before) = (Vec::with_capacity(plain.len() + 64), self.0.total_in());
        loop {
            let read = (self.0.total_in() - before) as usize;
            let done = self.0.compress_vec(&plain[read..], &mut packed, FlushCompress::Sync);
            if done.is_err() || packed.len() < packed.capacity() {
                return packed;
            }
            packed.reserve(256);
        }
    }
}

/// Reads the headers of one direction.
pub struct Unpacker(Decompress);

impl Default for Unpacker {
    fn default() -> Unpacker {
        Unpacker(Decompress::new(true))
    }
}

impl Unpacker {
    pub fn unpack(&mut self, packed: &[u8]) -> Result<Headers, BadHeaders> {
        let (mut plain, before) = (Vec::with_capacity(1024), self.0.total_in());
        loop {
            let read = (self.0.total_in() - before) as usize;
            match self.0.decompress_vec(&packed[read..], &mut plain, FlushDecompress::Sync) {
                // Room left in the output: everything there was has been read.
                Ok(_) if plain.len() < plain.capacity() => break,
                Ok(_) if plain.len() >= HEADERS_LIMIT_BYTES => return Err(BadHeaders::TooLong),
                Ok(_) => plain.reserve(plain.len()),
                Err(error) if error.needs_dictionary().is_some() => {
                    self.0.set_dictionary(dictionary::bytes()).map_err(|_| BadHeaders::Compression)?;
                }
                Err(_) => return Err(BadHeaders::Compression),
            }
        }
        if (self.0.total_in() - before) as usize != packed.len() {
            return Err(BadHeaders::Compression);
        }
        parse(&plain)
    }
}

fn parse(plain: &[u8]) -> Result<Headers, BadHeaders> {
    let (count, mut rest) = take_number(plain)?;
    if count > HEADERS_LIMIT || plain.len() > HEADERS_LIMIT_BYTES {
        return Err(BadHeaders::TooLong);
    }
    let mut headers = Headers::default();
    for _ in 0..count {
        let name = take_text(&mut rest)?;
        headers.0.push((name, take_text(&mut rest)?));
    }
    Ok(headers)
}

fn take_number(bytes: &[u8]) -> Result<(usize, &[u8]), BadHeaders> {
    let (number, rest) = bytes.split_first_chunk().ok_or(BadHeaders::Truncated)?;
    Ok((u32::from_be_bytes(*number) as usize, rest))
}

fn take_text(bytes: &mut &[u8]) -> Result<String, BadHeaders> {
    let (length, rest) = take_number(bytes)?;
    let (text, rest) = rest.split_at_checked(length).ok_or(BadHeaders::Truncated)?;
    *bytes = rest;
    String::from_utf8(text.to_vec()).map_err(|_| BadHeaders::NotText)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> Headers {
        Headers(pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect())
    }

    #[test]
    fn blocks_of_one_direction_come_back() {
        let (mut packer, mut unpacker) = (Packer::default(), Unpacker::default());
        let long = "x".repeat(20_000);
        for pairs in
            [&[("streamtype", "stdin")][..], &[], &[("streamtype", "error"), ("port", "8080"), ("requestid", "0")], &[("long", &long)]]
        {
            let packed = packer.pack(&headers(pairs));
            assert_eq!(unpacker.unpack(&packed), Ok(headers(pairs)));
        }
        assert_eq!(headers(&[("streamtype", "a\0b")]).get("streamType"), Some("a"));
    }

    /// Blocks of one direction as `spdystream`, which is what kubectl has inside, writes them.
    const OF_THE_ORIGINAL: [&str; 3] = [
        "78f9e3c6a7c26260606004a7b392a2d4c45c6851c29a0a0a6800000000ffff",
        "c22ac5565c92925f5a02000000ffff",
        "02a5550c395009940829cc8bc0f9c6c2c0c280818181b30812f999a04cc16800000000ffff",
    ];

    #[test]
    fn what_the_original_client_packs_is_read() {
        let mut unpacker = Unpacker::default();
        let read = OF_THE_ORIGINAL.map(|packed| {
            let bytes: Vec<u8> = (0..packed.len()).step_by(2).map(|at| u8::from_str_radix(&packed[at..at + 2], 16).unwrap()).collect();
            let mut headers = unpacker.unpack(&bytes).unwrap().0;
            headers.sort();
            headers
        });
        let expected = [
            headers(&[("streamtype", "error")]),
            headers(&[("streamtype", "stdout")]),
            headers(&[("port", "8080"), ("requestid", "0"), ("streamtype", "data")]),
        ];
        assert_eq!(read, expected.map(|headers| headers.0));
    }

    #[test]
    fn bad_blocks_are_refused() {
        assert_eq!(Unpacker::default().unpack(b"not zlib"), Err(BadHeaders::Compression));
        let bomb = Packer::default().pack(&headers(&[("long", &"x".repeat(1_000_000))]));
        assert!(bomb.len() < 2_000);
        assert_eq!(Unpacker::default().unpack(&bomb), Err(BadHeaders::TooLong));
        let many: Vec<_> = (0..=HEADERS_LIMIT).map(|_| ("a", "b")).collect();
        assert_eq!(Unpacker::default().unpack(&Packer::default().pack(&headers(&many))), Err(BadHeaders::TooLong));
        assert_eq!(parse(&[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff]), Err(BadHeaders::Truncated));
        assert_eq!(parse(&[0, 0]), Err(BadHeaders::Truncated));
        assert_eq!(parse(&[0, 0, 0, 1, 0, 0, 0, 1, 0xff, 0, 0, 0, 0]), Err(BadHeaders::NotText));
    }
}
