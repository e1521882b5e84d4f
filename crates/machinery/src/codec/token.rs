//! Reads JSON piece by piece over bytes, with the error texts of the original's scanner.
use super::DEPTH_MAX;
use serde_json::{Map, Number, Value};
use std::borrow::Cow;

pub(super) struct Tokens<'a> {
    data: &'a [u8],
    at: usize,
    depth: usize,
}

/// What a value begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    Object,
    Array,
    String,
    Number,
    Bool,
    Null,
}

impl Start {
    /// As type errors call it.
    pub fn name(self) -> &'static str {
        match self {
            Start::Object => "object",
            Start::Array => "array",
            Start::String => "string",
            Start::Number => "number",
            Start::Bool => "bool",
            Start::Null => "null",
        }
    }
}

type Result<T> = std::result::Result<T, String>;

impl<'a> Tokens<'a> {
    pub fn new(data: &'a [u8]) -> Tokens<'a> {
        Tokens { data, at: 0, depth: 0 }
    }

    /// The same bytes from the beginning.
    pub fn restarted(&self) -> Tokens<'a> {
        Tokens::new(self.data)
    }

    pub fn position(&self) -> usize {
        self.at
    }

    /// The bytes since `from`.
    pub fn since(&self, from: usize) -> &'a [u8] {
        &self.data[from..self.at]
    }

    /// The next byte that is no space; it stays unread.
    fn look(&mut self) -> Option<u8> {
        while let Some(byte) = self.data.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    fn invalid<T>(&self, context: &str) -> Result<T> {
        match self.data.get(self.at) {
            None => Err("unexpected end of JSON input".into()),
            Some(byte) => Err(format!("invalid character {} {context}", shown(*byte))),
        }
    }

    pub fn start(&mut self) -> Result<Start> {
        match self.look() {
            Some(b'{') => Ok(Start::Object),
            Some(b'[') => Ok(Start::Array),
            Some(b'"') => Ok(Start::String),
            Some(b'-' | b'0'..=b'9') => Ok(Start::Number),
            Some(b't' | b'f') => Ok(Start::Bool),
            Some(b'n') => Ok(Start::Null),
            _ => self.invalid("looking for beginning of value"),
        }
    }

    /// Past the `{` or `[` that `start` saw.
    pub fn enter(&mut self) -> Result<()> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return self.invalid("exceeded max depth");
        }
        self.at += 1;
        Ok(())
    }

    /// The next key of an object, past its colon; `None` past the closing brace.
    pub fn key(&mut self, first: bool) -> Result<Option<Cow<'a, str>>> {
        match self.look() {
            Some(b'}') => {
                // A comma before the brace would be an error, and `,` has been read by the branch below.
                (self.at, self.depth) = (self.at + 1, self.depth - 1);
                return Ok(None);
            }
            Some(b',') if !first => {
                self.at += 1;
                if self.look() != Some(b'"') {
                    return self.invalid("looking for beginning of object key string");
                }
            }
            Some(b'"') if first => {}
            _ if first => return self.invalid("looking for beginning of object key string"),
            _ => return self.invalid("after object key:value pair"),
        }
        let key = self.string()?;
        if self.look() != Some(b':') {
            return self.invalid("after object key");
        }
        self.at += 1;
        Ok(Some(key))
    }

    /// Is there one more element? `false` past the closing bracket.
    pub fn element(&mut self, first: bool) -> Result<bool> {
        match self.look() {
            Some(b']') => {
                (self.at, self.depth) = (self.at + 1, self.depth - 1);
                Ok(false)
            }
            Some(b',') if !first => {
                self.at += 1;
                if self.look() == Some(b']') { self.invalid("looking for beginning of value") } else { Ok(true) }
            }
            Some(_) if first => Ok(true),
            _ => self.invalid("after array element"),
        }
    }

    pub fn string(&mut self) -> Result<Cow<'a, str>> {
        self.at += 1;
        let from = self.at;
        while let Some(byte) = self.data.get(self.at) {
            match byte {
                b'"' => {
                    let bytes = &self.data[from..self.at];
                    self.at += 1;
                    // The check is quick for what is valid; only the rest is repaired.
                    return Ok(std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed));
                }
                b'\\' => return self.escaped(from).map(Cow::Owned),
                0..0x20 => return self.invalid("in string literal"),
                _ => self.at += 1,
            }
        }
        self.invalid("")
    }

    /// A string with escapes, from its first character; `at` stands on the first backslash.
    fn escaped(&mut self, from: usize) -> Result<String> {
        let mut bytes = self.data[from..self.at].to_vec();
        while let Some(byte) = self.data.get(self.at).copied() {
            match byte {
                b'"' => {
                    self.at += 1;
                    return Ok(match String::from_utf8(bytes) {
                        Ok(text) => text,
                        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
                    });
                }
                b'\\' => {
                    self.at += 1;
                    let mut buffer = [0; 4];
                    bytes.extend_from_slice(self.escape()?.encode_utf8(&mut buffer).as_bytes());
                }
                0..0x20 => return self.invalid("in string literal"),
                byte => {
                    bytes.push(byte);
                    self.at += 1;
                }
            }
        }
        self.invalid("")
    }

    fn escape(&mut self) -> Result<char> {
        let plain = match self.data.get(self.at) {
            Some(b'n') => '\n',
            Some(b't') => '\t',
            Some(b'r') => '\r',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(quoted @ (b'"' | b'\\' | b'/')) => *quoted as char,
            Some(b'u') => {
                self.at += 1;
                return self.unicode();
            }
            _ => return self.invalid("in string escape code"),
        };
        self.at += 1;
        Ok(plain)
    }

    fn unicode(&mut self) -> Result<char> {
        let high = self.hex()?;
        if (0xd800..0xdc00).contains(&high) && self.data[self.at..].starts_with(b"\\u") {
            let before = self.at;
            self.at += 2;
            let low = self.hex()?;
            if (0xdc00..0xe000).contains(&low) {
                return Ok(char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.at = before;
        }
        Ok(char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn hex(&mut self) -> Result<u32> {
        let mut code = 0;
        for _ in 0..4 {
            let Some(digit) = self.data.get(self.at).and_then(|byte| (*byte as char).to_digit(16)) else {
                return self.invalid("in \\u hexadecimal character escape");
            };
            code = code * 16 + digit;
            self.at += 1;
        }
        Ok(code)
    }

    /// The text of a number.
    pub fn number(&mut self) -> Result<&'a str> {
        let from = self.at;
        if self.data.get(self.at) == Some(&b'-') {
            self.at += 1;
        }
        match self.data.get(self.at) {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return self.invalid("in numeric literal"),
        }
        if self.data.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.some_digits("after decimal point in numeric literal")?;
        }
        if let Some(b'e' | b'E') = self.data.get(self.at) {
            self.at += 1;
            if let Some(b'+' | b'-') = self.data.get(self.at) {
                self.at += 1;
            }
            self.some_digits("in exponent of numeric literal")?;
        }
        Ok(std::str::from_utf8(&self.data[from..self.at]).unwrap_or_default())
    }

    fn digits(&mut self) {
        while let Some(b'0'..=b'9') = self.data.get(self.at) {
            self.at += 1;
        }
    }

    fn some_digits(&mut self, context: &str) -> Result<()> {
        if !matches!(self.data.get(self.at), Some(b'0'..=b'9')) {
            return self.invalid(context);
        }
        self.digits();
        Ok(())
    }

    pub fn boolean(&mut self) -> Result<bool> {
        let value = self.data[self.at] == b't';
        self.word(if value { "true" } else { "false" })?;
        Ok(value)
    }

    pub fn null(&mut self) -> Result<()> {
        self.word("null")
    }

    fn word(&mut self, word: &str) -> Result<()> {
        for expected in word.chars() {
            if self.data.get(self.at) != Some(&(expected as u8)) {
                return self.invalid(&format!("in literal {word} (expecting '{expected}')"));
            }
            self.at += 1;
        }
        Ok(())
    }

    pub fn end(&mut self) -> Result<()> {
        if self.look().is_some() { self.invalid("after top-level value") } else { Ok(()) }
    }

    /// Past a value nobody wants.
    pub fn skip(&mut self) -> Result<()> {
        match self.start()? {
            Start::Object => {
                self.enter()?;
                let mut first = true;
                while self.key(first)?.is_some() {
                    first = false;
                    self.skip()?;
                }
            }
            Start::Array => {
                self.enter()?;
                let mut first = true;
                while self.element(first)? {
                    first = false;
                    self.skip()?;
                }
            }
            Start::String => drop(self.string()?),
            Start::Number => drop(self.number()?),
            Start::Bool => drop(self.boolean()?),
            Start::Null => self.null()?,
        }
        Ok(())
    }

    /// Any value. `duplicate` hears of every key that stands twice in an object, with the steps to it.
    pub fn any(&mut self, steps: &mut Vec<Step<'a>>, duplicate: &mut impl FnMut(&[Step], &str)) -> Result<Value> {
        Ok(match self.start()? {
            Start::Object => {
                self.enter()?;
                let mut map = Map::new();
                let mut first = true;
                while let Some(key) = self.key(first)? {
                    first = false;
                    if map.contains_key(key.as_ref()) {
                        duplicate(steps, &key);
                    }
                    steps.push(Step::Key(key.clone()));
                    let value = self.any(steps, duplicate);
                    steps.pop();
                    map.insert(key.into_owned(), value?);
                }
                Value::Object(map)
            }
            Start::Array => {
                self.enter()?;
                let mut list = Vec::new();
                while self.element(list.is_empty())? {
                    steps.push(Step::Index(list.len()));
                    let value = self.any(steps, duplicate);
                    steps.pop();
                    list.push(value?);
                }
                Value::Array(list)
            }
            Start::String => Value::String(self.string()?.into_owned()),
            Start::Number => Value::Number(any_number(self.number()?)?),
            Start::Bool => Value::Bool(self.boolean()?),
            Start::Null => {
                self.null()?;
                Value::Null
            }
        })
    }
}

/// A step on the way to a value.
#[derive(Clone, Debug)]
pub(super) enum Step<'a> {
    /// A struct's field, with the embedded structs it lies in.
    Field(&'static str, &'static [&'static str]),
    Key(Cow<'a, str>),
    Index(usize),
}

/// A whole number stays one if it fits; everything else is a float.
fn any_number(text: &str) -> Result<Number> {
    if !text.contains('.')
        && let Ok(whole) = text.parse::<i64>()
    {
        return Ok(whole.into());
    }
    let float = text.parse::<f64>().ok().and_then(Number::from_f64);
    float.ok_or_else(|| format!("json: cannot unmarshal number {text} into Go value of type float64"))
}

/// `spec.containers[0].image`.
pub(super) fn path(steps: &[Step], last: &str) -> String {
    let mut out = String::new();
    let name = |text: &str, out: &mut String| {
        if !out.is_empty() {
            out.push('.');
        }
        out.push_str(text);
    };
    for step in steps {
        match step {
            Step::Field(text, _) => name(text, &mut out),
            Step::Key(text) => name(text, &mut out),
            Step::Index(index) => out.push_str(&format!("[{index}]")),
        }
    }
    name(last, &mut out);
    out
}

/// A byte as the original quotes it.
fn shown(byte: u8) -> String {
    match byte {
        b'\'' => r"'\''".into(),
        b'"' => "'\"'".into(),
        b'\n' => r"'\n'".into(),
        b'\r' => r"'\r'".into(),
        b'\t' => r"'\t'".into(),
        0x20..=0x7e | 0xa0.. => format!("'{}'", byte as char),
        0x80..=0x9f => format!("'\\u{byte:04x}'"),
        _ => format!("'\\x{byte:02x}'"),
    }
}
