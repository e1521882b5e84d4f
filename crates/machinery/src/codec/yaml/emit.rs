//! A JSON value as block-style YAML, keys in order, as the original answers `Accept: application/yaml`.
use super::scalar;
use serde_json::Value;

pub fn encode(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => block(value, 0, &mut out),
        Value::Array(list) if !list.is_empty() => block(value, 0, &mut out),
        other => {
            leaf(other, &mut out);
            out.push('\n');
        }
    }
    out
}

fn block(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            for (key, value) in entries {
                out.extend(std::iter::repeat_n(' ', indent));
                text(key, out);
                out.push(':');
                after_key(value, indent, out);
            }
        }
        Value::Array(list) => list.iter().for_each(|item| {
            out.extend(std::iter::repeat_n(' ', indent));
            out.push('-');
            after_dash(item, indent, out);
        }),
        _ => {}
    }
}

fn is_block(value: &Value) -> bool {
    match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(list) => !list.is_empty(),
        _ => false,
    }
}

fn after_key(value: &Value, indent: usize, out: &mut String) {
    if is_block(value) {
        out.push('\n');
        // Lists stand at the indentation of their key.
        block(value, if value.is_array() { indent } else { indent + 2 }, out);
    } else {
        scalar_line(value, indent + 2, out);
    }
}

fn after_dash(item: &Value, indent: usize, out: &mut String) {
    if is_block(item) {
        // The first line of the item stands on the dash's line.
        let mut inner = String::new();
        block(item, indent + 2, &mut inner);
        out.push(' ');
        out.push_str(&inner[indent + 2..]);
    } else {
        scalar_line(item, indent + 2, out);
    }
}

fn scalar_line(value: &Value, indent: usize, out: &mut String) {
    out.push(' ');
    match value {
        Value::String(lines) if literal_fits(lines) => literal(lines, indent, out),
        other => {
            leaf(other, out);
            out.push('\n');
        }
    }
}

fn leaf(value: &Value, out: &mut String) {
    match value {
        Value::String(string) => text(string, out),
        other => out.push_str(&other.to_string()),
    }
}

fn literal_fits(text: &str) -> bool {
    let plain = |c: char| c == '\n' || (c >= ' ' && c != '\u{7f}' && !('\u{80}'..'\u{a0}').contains(&c) && c != '\u{feff}');
    text.contains('\n') && !text.starts_with([' ', '\n']) && text.chars().all(plain) && text.lines().all(|line| line.trim_end() == line)
}

fn literal(text: &str, indent: usize, out: &mut String) {
    let trailing = text.len() - text.trim_end_matches('\n').len();
    out.push_str(match trailing {
        0 => "|-\n",
        1 => "|\n",
        _ => "|+\n",
    });
    let body = text.strip_suffix('\n').unwrap_or(text);
    for line in body.split('\n') {
        if !line.is_empty() {
            out.extend(std::iter::repeat_n(' ', indent));
        }
        out.push_str(line);
        out.push('\n');
    }
}

fn text(text: &str, out: &mut String) {
    if text.is_empty() || needs_quotes(text) {
        // A JSON string is a double-quoted YAML scalar.
        out.push_str(&serde_json::to_string(text).unwrap_or_default());
    } else {
        out.push_str(text);
    }
}

fn needs_quotes(text: &str) -> bool {
    let first =
        text.starts_with(['-', '?', ':', ',', '[', ']', '{', '}', '#', '&', '*', '!', '|', '>', '\'', '"', '%', '@', '`', ' ', '=', '<']);
    let dashed = text.starts_with('-') && text.len() > 1 && !text.starts_with("- ") && !text.starts_with("--");
    (first && !dashed)
        || text.ends_with([' ', ':'])
        || text.contains(": ")
        || text.contains(" #")
        || text
            .chars()
            .any(|c| c < ' ' || c == '\u{7f}' || ('\u{80}'..'\u{a0}').contains(&c) || c == '\u{feff}' || c == '\u{2028}' || c == '\u{2029}')
        || scalar::is_ambiguous(text)
        || looks_like_a_date(text)
}

fn looks_like_a_date(text: &str) -> bool {
    text.len() >= 8 && text.as_bytes()[..4].iter().all(u8::is_ascii_digit) && text.as_bytes()[4] == b'-'
}
