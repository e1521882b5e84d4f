//! Writes DER, as far as certificates and signing requests need it. It reads nothing.
//! Own code because the libraries at hand fold several `O=` of one subject into one, and groups live there.
use jiff::{Timestamp, tz::TimeZone};

pub type Der = Vec<u8>;

pub const COMMON_NAME: &[u64] = &[2, 5, 4, 3];
pub const ORGANIZATION: &[u64] = &[2, 5, 4, 10];
pub const ECDSA_SHA256: &[u64] = &[1, 2, 840, 10045, 4, 3, 2];
pub const EC_PUBLIC_KEY: &[u64] = &[1, 2, 840, 10045, 2, 1];
pub const P256: &[u64] = &[1, 2, 840, 10045, 3, 1, 7];
pub const EXTENSION_REQUEST: &[u64] = &[1, 2, 840, 113549, 1, 9, 14];
pub const SUBJECT_KEY_ID: &[u64] = &[2, 5, 29, 14];
pub const KEY_USAGE: &[u64] = &[2, 5, 29, 15];
pub const SUBJECT_ALT_NAME: &[u64] = &[2, 5, 29, 17];
pub const BASIC_CONSTRAINTS: &[u64] = &[2, 5, 29, 19];
pub const AUTHORITY_KEY_ID: &[u64] = &[2, 5, 29, 35];
pub const EXTENDED_KEY_USAGE: &[u64] = &[2, 5, 29, 37];

/// One value with its tag and length.
pub fn tagged(tag: u8, content: &[u8]) -> Der {
    let mut out = vec![tag];
    match content.len() {
        length @ 0..=127 => out.push(length as u8),
        length => {
            let bytes = length.to_be_bytes();
            let skip = bytes.iter().take_while(|byte| **byte == 0).count();
            out.push(0x80 | (bytes.len() - skip) as u8);
            out.extend_from_slice(&bytes[skip..]);
        }
    }
    out.extend_from_slice(content);
    out
}

pub fn sequence(parts: &[Der]) -> Der {
    tagged(0x30, &parts.concat())
}

/// A SET OF with its members in the order that DER asks for.
pub fn set(mut parts: Vec<Der>) -> Der {
    parts.sort();
    tagged(0x31, &parts.concat())
}

/// `[number]` around constructed content.
pub fn context(number: u8, content: &[u8]) -> Der {
    tagged(0xa0 | number, content)
}

/// `[number]` in place of a primitive's own tag.
pub fn implicit(number: u8, content: &[u8]) -> Der {
    tagged(0x80 | number, content)
}

/// An unsigned number from its big-endian bytes.
pub fn integer(bytes: &[u8]) -> Der {
    let skip = bytes.iter().take_while(|byte| **byte == 0).count().min(bytes.len() - 1);
    let digits = &bytes[skip..];
    let sign: &[u8] = if digits[0] & 0x80 != 0 { &[0] } else { &[] };
    tagged(0x02, &[sign, digits].concat())
}

pub fn boolean(value: bool) -> Der {
    tagged(0x01, &[if value { 0xff } else { 0 }])
}

pub fn oid(arcs: &[u64]) -> Der {
    let mut content = vec![(arcs[0] * 40 + arcs[1]) as u8];
    for arc in &arcs[2..] {
        let groups = (0..10).rev().map(|group| (arc >> (7 * group)) & 0x7f);
        let digits: Vec<u8> = groups.skip_while(|digit| *digit == 0).map(|digit| digit as u8).collect();
        let digits = if digits.is_empty() { vec![0] } else { digits };
        let (last, head) = digits.split_last().expect("at least one digit");
        content.extend(head.iter().map(|digit| digit | 0x80));
        content.push(*last);
    }
    tagged(0x06, &content)
}

pub fn octets(content: &[u8]) -> Der {
    tagged(0x04, content)
}

/// A bit string of whole bytes.
pub fn bits(content: &[u8]) -> Der {
    tagged(0x03, &[&[0], content].concat())
}

/// Named bits (key usage): bit 0 is the highest of the first byte. Only the first eight are needed.
pub fn named_bits(set: &[u8]) -> Der {
    let byte = set.iter().fold(0u8, |byte, bit| byte | (0x80 >> bit));
    tagged(0x03, &[byte.trailing_zeros().min(7) as u8, byte])
}

pub fn utf8(text: &str) -> Der {
    tagged(0x0c, text.as_bytes())
}

/// `UTCTime` until 2049, `GeneralizedTime` after, as RFC 5280 asks.
pub fn time(at: Timestamp) -> Der {
    let at = at.to_zoned(TimeZone::UTC);
    if (1950..2050).contains(&at.year()) {
        tagged(0x17, at.strftime("%y%m%d%H%M%SZ").to_string().as_bytes())
    } else {
        tagged(0x18, at.strftime("%Y%m%d%H%M%SZ").to_string().as_bytes())
    }
}

/// A distinguished name: each organization its own part, then the common name.
pub fn name(organizations: &[String], common_name: &str) -> Der {
    let part = |kind: &[u64], text: &str| set(vec![sequence(&[oid(kind), utf8(text)])]);
    let mut parts: Vec<Der> = organizations.iter().map(|organization| part(ORGANIZATION, organization)).collect();
    if !common_name.is_empty() {
        parts.push(part(COMMON_NAME, common_name));
    }
    sequence(&parts)
}

pub fn extension(kind: &[u64], critical: bool, content: &[u8]) -> Der {
    let critical = if critical { boolean(true) } else { Der::new() };
    sequence(&[oid(kind), critical, octets(content)])
}

/// `AlgorithmIdentifier` of the one signature algorithm used here.
pub fn ecdsa_sha256() -> Der {
    sequence(&[oid(ECDSA_SHA256)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_what_the_standard_shows() {
        assert_eq!(oid(ECDSA_SHA256), [6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]);
        assert_eq!(integer(&[0, 0x80]), [2, 2, 0, 0x80]);
        assert_eq!(integer(&[0, 0]), [2, 1, 0]);
        assert_eq!(tagged(4, &[0; 200])[..3], [4, 0x81, 200]);
        assert_eq!(tagged(4, &[0; 300])[..4], [4, 0x82, 1, 44]);
        assert_eq!(named_bits(&[0, 2]), [3, 2, 5, 0xa0]);
    }
}
