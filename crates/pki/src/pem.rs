//! PEM: blocks of base64 with a label. Reading takes every block of a file, whatever else stands between them.
use base64::{Engine, engine::general_purpose::STANDARD};

pub fn encode(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        out.push_str(std::str::from_utf8(line).expect("base64 is ASCII"));
        out.push('\n');
    }
    out + &format!("-----END {label}-----\n")
}

/// All blocks with one of these labels, in order; blocks that are not base64 are left out.
pub fn decode(text: &str, labels: &[&str]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("-----BEGIN ") {
        rest = &rest[start + 11..];
        let Some((label, body)) = rest.split_once("-----") else { break };
        let Some((body, tail)) = body.split_once(&format!("-----END {label}-----")) else { break };
        let body: String = body.split_whitespace().collect();
        if let (true, Ok(der)) = (labels.contains(&label), STANDARD.decode(body)) {
            found.push(der);
        }
        rest = tail;
    }
    found
}

/// All certificates of a file.
pub fn certificates(text: &str) -> Vec<Vec<u8>> {
    decode(text, &["CERTIFICATE"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_among_other_text() {
        let text = format!("# a comment\n{}junk\n{}", encode("CERTIFICATE", &[1; 100]), encode("PRIVATE KEY", &[2; 3]));
        assert_eq!(certificates(&text), [vec![1; 100]]);
        assert_eq!(decode(&text, &["PRIVATE KEY"]), [vec![2; 3]]);
        assert!(certificates("-----BEGIN CERTIFICATE-----\n!!").is_empty());
    }
}
