//! Finds the place in an object's JSON where the store writes the resourceVersion.

/// The index of the closing quote of `metadata.resourceVersion`, which must be the empty text there. A key of that name
/// elsewhere (a label, a pod template's metadata) is not mistaken for it.
pub fn revision_at(json: &[u8]) -> Option<u32> {
    let metadata = member(json, skip_space(json, 0)?, b"\"metadata\"")?;
    let at = member(json, metadata, b"\"resourceVersion\"")?;
    (json.get(at..at + 2)? == b"\"\"").then_some(at as u32 + 1)
}

/// The start of the value of `key` (with its quotes) in the object that starts at `at`.
fn member(json: &[u8], at: usize, key: &[u8]) -> Option<usize> {
    let mut at = at + usize::from(*json.get(at)? == b'{');
    loop {
        at = skip_space(json, at)?;
        if json[at] != b'"' {
            return None;
        }
        let end = skip_text(json, at)?;
        let value = skip_space(json, skip_space(json, end)? + 1)?;
        if &json[at..end] == key {
            return Some(value);
        }
        at = skip_space(json, skip_value(json, value)?)?;
        if json[at] != b',' {
            return None;
        }
        at += 1;
    }
}

fn skip_space(json: &[u8], mut at: usize) -> Option<usize> {
    while json.get(at)?.is_ascii_whitespace() {
        at += 1;
    }
    Some(at)
}

fn skip_text(json: &[u8], mut at: usize) -> Option<usize> {
    at += 1;
    loop {
        match *json.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

fn skip_value(json: &[u8], mut at: usize) -> Option<usize> {
    let mut depth = 0usize;
    loop {
        match *json.get(at)? {
            b'"' => at = skip_text(json, at)?,
            b'{' | b'[' => {
                depth += 1;
                at += 1;
            }
            b'}' | b']' if depth > 0 => {
                depth -= 1;
                at += 1;
            }
            b',' | b'}' | b']' if depth == 0 => return Some(at),
            _ => at += 1,
        }
        if depth == 0 && matches!(json.get(at)?, b',' | b'}' | b']') {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_objects_own_version_counts() {
        let json = br#"{"apiVersion":"v1","data":{"a":"\"resourceVersion\":\"\""},"metadata":{"annotations":{"x":"{\"resourceVersion\":\"\"}"},"labels":{"resourceVersion":""},"n":[1,{"resourceVersion":""}],"resourceVersion":"","uid":"u"},"spec":{"template":{"metadata":{"resourceVersion":""}}}}"#;
        let at = revision_at(json).unwrap() as usize;
        assert!(json[..at].ends_with(br#"}],"resourceVersion":""#), "{}", String::from_utf8_lossy(&json[..at]));
        assert_eq!(revision_at(br#"{"metadata":{"name":"a"}}"#), None);
        assert_eq!(revision_at(br#"{"metadata":{"resourceVersion":"7"}}"#), None);
        assert_eq!(revision_at(b"{"), None);
    }
}
