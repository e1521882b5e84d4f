//! Field selectors: `spec.nodeName=a,status.phase!=Running`. What a field's value is, the caller knows.
use super::{SelectorError, refuse};
use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FieldTerm {
    pub field: String,
    pub value: String,
    /// `=` or `==`; otherwise `!=`.
    pub equal: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct FieldSelector {
    pub terms: Vec<FieldTerm>,
}

impl FieldSelector {
    pub fn parse(text: &str) -> Result<FieldSelector, SelectorError> {
        let mut parts = split(text);
        parts.sort();
        let mut terms = Vec::new();
        for part in parts.into_iter().filter(|part| !part.is_empty()) {
            let Some((start, length)) = operator_at(part) else {
                return refuse(format!("invalid selector: '{text}'; can't understand '{part}'"));
            };
            let value = unescape(&part[start + length..])?;
            terms.push(FieldTerm { field: part[..start].into(), value, equal: !part[start..].starts_with('!') });
        }
        Ok(FieldSelector { terms })
    }

    pub fn is_everything(&self) -> bool {
        self.terms.is_empty()
    }

    /// `value` gives a field's value; a field that the object does not have is empty.
    pub fn matches(&self, value: impl Fn(&str) -> Option<String>) -> bool {
        self.terms.iter().all(|term| (value(&term.field).unwrap_or_default() == term.value) == term.equal)
    }

    /// The one value that this field must have, if the selector says so.
    pub fn exact(&self, field: &str) -> Option<&str> {
        self.terms.iter().find(|term| term.equal && term.field == field).map(|term| term.value.as_str())
    }
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let term = |term: &FieldTerm| {
            let value = term.value.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=");
            format!("{}{}{value}", term.field, if term.equal { "=" } else { "!=" })
        };
        f.write_str(&self.terms.iter().map(term).collect::<Vec<_>>().join(","))
    }
}

/// Cuts at commas that are not escaped.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut escaped) = (Vec::new(), 0, false);
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// Where the first operator stands and how long it is.
fn operator_at(part: &str) -> Option<(usize, usize)> {
    part.char_indices().find_map(|(at, _)| {
        let rest = &part[at..];
        ["!=", "==", "="].iter().find(|operator| rest.starts_with(**operator)).map(|operator| (at, operator.len()))
    })
}

fn unescape(value: &str) -> Result<String, SelectorError> {
    let mut plain = String::with_capacity(value.len());
    let mut letters = value.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some(escaped @ ('\\' | ',' | '=')) => plain.push(escaped),
                other => {
                    let other = other.map(String::from).unwrap_or_default();
                    return refuse(format!("invalid field selector: invalid escape sequence: \\{other}"));
                }
            },
            ',' | '=' => return refuse(format!("invalid field selector: unescaped character in value: {}", letter as u32)),
            letter => plain.push(letter),
        }
    }
    Ok(plain)
}
