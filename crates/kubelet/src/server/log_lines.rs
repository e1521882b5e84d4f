//! Lines of a container's log as the runtime writes them (`time stream P|F text`), and which of them a reader gets. Pure.
use jiff::Timestamp;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    pub follow: bool,
    pub previous: bool,
    pub timestamps: bool,
    pub since: Option<Timestamp>,
    pub tail: Option<u64>,
    pub limit_bytes: Option<u64>,
    /// `stdout` or `stderr`; `None`: both.
    pub stream: Option<&'static str>,
}

impl Options {
    pub fn read(pairs: &[(String, String)], now: Timestamp) -> Result<Options, String> {
        let mut options = Options::default();
        for (key, value) in pairs {
            let number = || value.parse::<u64>().map_err(|_| format!("invalid {key}: {value}"));
            let truth = !matches!(value.as_str(), "false" | "0");
            match key.as_str() {
                "follow" => options.follow = truth,
                "previous" => options.previous = truth,
                "timestamps" => options.timestamps = truth,
                "tailLines" => options.tail = Some(number()?),
                "limitBytes" => options.limit_bytes = Some(number()?),
                "sinceSeconds" => options.since = Some(now - jiff::SignedDuration::from_secs(number()? as i64)),
                "sinceTime" => options.since = Some(value.parse().map_err(|_| format!("invalid sinceTime: {value}"))?),
                "stream" => {
                    options.stream = match value.as_str() {
                        "Stdout" => Some("stdout"),
                        "Stderr" => Some("stderr"),
                        _ => None,
                    };
                }
                _ => {}
            }
        }
        Ok(options)
    }
}

/// Turns raw bytes into what the reader gets; keeps what is unfinished.
#[derive(Default)]
pub struct Lines {
    rest: Vec<u8>,
    written: u64,
    /// The last line written was a part: what follows goes on with it.
    inside: bool,
    /// The reader has got all it may have.
    pub full: bool,
}

impl Lines {
    pub fn push(&mut self, chunk: &[u8], options: &Options, out: &mut Vec<u8>) {
        let mut from = 0;
        while let Some(length) = chunk[from..].iter().position(|byte| *byte == b'\n') {
            let end = from + length + 1;
            if self.rest.is_empty() {
                self.line(&chunk[from..end], options, out);
            } else {
                self.rest.extend_from_slice(&chunk[from..end]);
                let line = std::mem::take(&mut self.rest);
                self.line(&line, options, out);
            }
            from = end;
            if self.full {
                return;
            }
        }
        self.rest.extend_from_slice(&chunk[from..]);
    }

    fn line(&mut self, line: &[u8], options: &Options, out: &mut Vec<u8>) {
        let mut parts = line.splitn(4, |byte| *byte == b' ');
        let (Some(time), Some(stream), Some(tag), Some(text)) = (parts.next(), parts.next(), parts.next(), parts.next()) else { return };
        if options.stream.is_some_and(|wanted| wanted.as_bytes() != stream) {
            return;
        }
        let time = String::from_utf8_lossy(time);
        if let Some(since) = options.since
            && time.parse::<Timestamp>().is_ok_and(|at| at < since)
        {
            return;
        }
        if options.timestamps && !self.inside {
            self.write(time.as_bytes(), options, out);
            self.write(b" ", options, out);
        }
        let part = tag.first() == Some(&b'P');
        let text = if part { text.strip_suffix(b"\n").unwrap_or(text) } else { text };
        self.write(text, options, out);
        self.inside = part;
    }

    fn write(&mut self, bytes: &[u8], options: &Options, out: &mut Vec<u8>) {
        let left = options.limit_bytes.map_or(u64::MAX, |limit| limit - self.written.min(limit));
        let take = (bytes.len() as u64).min(left) as usize;
        out.extend_from_slice(&bytes[..take]);
        self.written += take as u64;
        self.full |= take as u64 == left;
    }
}

/// Where the last `lines` lines of a file begin, read backwards in blocks; and how many lines are missing if it has fewer.
pub fn tail_start(file: &mut (impl std::io::Read + std::io::Seek), lines: u64) -> std::io::Result<(u64, u64)> {
    const BLOCK: u64 = 64 * 1024;
    let end = file.seek(std::io::SeekFrom::End(0))?;
    if lines == 0 {
        return Ok((end, 0));
    }
    let (mut at, mut found, mut block) = (end, 0u64, vec![0; BLOCK as usize]);
    while at > 0 {
        let size = BLOCK.min(at);
        at -= size;
        file.seek(std::io::SeekFrom::Start(at))?;
        let block = &mut block[..size as usize];
        file.read_exact(block)?;
        for (index, byte) in block.iter().enumerate().rev() {
            let place = at + index as u64;
            // The newline at the very end ends the last line and begins none.
            if *byte == b'\n' && place + 1 != end {
                found += 1;
                if found == lines {
                    return Ok((place + 1, 0));
                }
            }
        }
    }
    let whole = found + u64::from(end > 0);
    Ok((0, lines - whole.min(lines)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    const LOG: &str = "2026-01-01T00:00:01Z stdout F one\n2026-01-01T00:00:02Z stderr P tw\n2026-01-01T00:00:02Z stderr F o\n2026-01-01T00:00:03Z stdout F three\n";

    fn check(query: &str) -> String {
        let now = "2026-01-01T00:00:04Z".parse().unwrap();
        let options = Options::read(&super::super::query(Some(query)), now).unwrap();
        let start = options.tail.map_or(0, |lines| tail_start(&mut Cursor::new(LOG), lines).unwrap().0);
        let (mut lines, mut out) = (Lines::default(), Vec::new());
        // In small pieces, as a file grows.
        LOG.as_bytes()[start as usize..].chunks(7).for_each(|chunk| {
            if !lines.full {
                lines.push(chunk, &options, &mut out)
            }
        });
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn gives_what_was_asked_for() {
        assert_eq!(check(""), "one\ntwo\nthree\n");
        assert_eq!(check("tailLines=1"), "three\n");
        assert_eq!(check("tailLines=0"), "");
        assert_eq!(check("tailLines=99&limitBytes=5"), "one\nt");
        assert_eq!(check("sinceSeconds=1"), "three\n");
        assert_eq!(check("stream=Stderr&timestamps=true"), "2026-01-01T00:00:02Z two\n");
        assert_eq!(tail_start(&mut Cursor::new(LOG), 6).unwrap(), (0, 2));
    }
}
