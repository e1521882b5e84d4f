//! JSON along the schema, in one pass over the bytes: unknown fields are dropped (and told), names are case-sensitive, nulls and the
//! zero values that the original does not keep are left out.
use super::token::{Start, Step, Tokens, path};
use super::{DecodeError, PROBLEMS_MAX, time};
use crate::quantity::{self, Quantity};
use crate::schema::{self, Message, Type};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

/// The pruned object and, if `strict`, the texts about unknown and duplicate fields.
pub fn decode(body: &[u8], message: &Message, strict: bool) -> Result<(Value, Vec<String>), DecodeError> {
    let mut reader = Reader { tokens: Tokens::new(body), strict, problems: Vec::new(), wrong: None, steps: Vec::new(), owner: "" };
    let value = reader.top(message).map_err(|fail| match fail {
        Fail::Syntax(text) => DecodeError::Unreadable(format!("couldn't get version/kind; json parse error: {text}")),
        Fail::Value(text) => DecodeError::WrongType(text),
    })?;
    match reader.wrong {
        Some(text) => Err(DecodeError::WrongType(text)),
        None => Ok((value, reader.problems)),
    }
}

/// Any JSON value; duplicates are told, the last one counts.
pub fn decode_any(body: &[u8], strict: bool) -> Result<(Value, Vec<String>), DecodeError> {
    let mut tokens = Tokens::new(body);
    let mut problems = Vec::new();
    let mut duplicate = |steps: &[Step], key: &str| {
        if strict {
            note(&mut problems, "duplicate", steps, key);
        }
    };
    let value = tokens.any(&mut Vec::new(), &mut duplicate).and_then(|value| tokens.end().map(|()| value));
    match value {
        Ok(value) => Ok((value, problems)),
        Err(text) => Err(DecodeError::Unreadable(format!("couldn't get version/kind; json parse error: {text}"))),
    }
}

fn note(problems: &mut Vec<String>, what: &str, steps: &[Step], name: &str) {
    if problems.len() < PROBLEMS_MAX {
        let text = format!("{what} field {:?}", path(steps, name));
        if !problems.contains(&text) {
            problems.push(text);
        }
    }
}

enum Fail {
    Syntax(String),
    /// A value's own reader refused it: nothing after it counts.
    Value(String),
}

impl From<String> for Fail {
    fn from(text: String) -> Fail {
        Fail::Syntax(text)
    }
}

struct Reader<'a> {
    tokens: Tokens<'a>,
    strict: bool,
    problems: Vec<String>,
    /// The first value of a wrong type.
    wrong: Option<String>,
    steps: Vec<Step<'a>>,
    /// Short name of the struct whose field is being read.
    owner: &'static str,
}

impl Reader<'_> {
    fn top(&mut self, message: &Message) -> Result<Value, Fail> {
        let start = self.tokens.start()?;
        if start != Start::Object && start != Start::Null {
            self.tokens.skip()?;
            self.tokens.end()?;
            let fields = r#"struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;
            return Err(Fail::Syntax(format!("json: cannot unmarshal {} into Go value of type {fields}", start.name())));
        }
        let value = if start == Start::Null {
            self.tokens.null()?;
            Value::Object(Map::new())
        } else {
            // A syntax error further on comes before the complaint about a value.
            match self.object(message) {
                Err(Fail::Value(text)) => {
                    self.finish_badly()?;
                    return Err(Fail::Value(text));
                }
                other => other?,
            }
        };
        self.tokens.end()?;
        Ok(value)
    }

    /// Is the rest of the body readable? The original looks at that first.
    fn finish_badly(&mut self) -> Result<(), Fail> {
        let mut again = self.tokens.restarted();
        again.skip()?;
        again.end()?;
        Ok(())
    }

    fn object(&mut self, message: &Message) -> Result<Value, Fail> {
        self.tokens.enter()?;
        let mut map = Map::new();
        let mut seen = 0u128;
        let mut first = true;
        while let Some(key) = self.tokens.key(first)? {
            first = false;
            let Some(found) = message.find(&key) else {
                if self.strict {
                    note(&mut self.problems, "unknown", &self.steps, &key);
                }
                self.tokens.skip()?;
                continue;
            };
            if seen & (1 << found.position) != 0 && self.strict {
                note(&mut self.problems, "duplicate", &self.steps, &key);
            }
            seen |= 1 << found.position;
            self.steps.push(Step::Field(found.field.name, found.embedded));
            let owner = std::mem::replace(&mut self.owner, message.short_name());
            let value = self.value(&found.field.ty, found.field.go_type)?;
            self.owner = owner;
            self.steps.pop();
            match value.filter(|value| !found.field.omits(value)) {
                Some(value) => drop(map.insert(found.field.name.into(), value)),
                None => drop(map.remove(found.field.name)),
            }
        }
        Ok(Value::Object(map))
    }

    /// `None` for null, and for what has the wrong type.
    fn value(&mut self, ty: &Type, go_type: &str) -> Result<Option<Value>, Fail> {
        let start = self.tokens.start()?;
        if start == Start::Null {
            self.tokens.null()?;
            return Ok(None);
        }
        match (ty, start) {
            (Type::String, Start::String) => Ok(Some(Value::String(self.tokens.string()?.into_owned()))),
            (Type::Message(message), Start::Object) => self.object(message.get()).map(Some),
            (Type::List(element), Start::Array) => self.list(element, go_type).map(Some),
            (Type::Map(element), Start::Object) => self.map(element, go_type).map(Some),
            (Type::Bool, Start::Bool) => Ok(Some(Value::Bool(self.tokens.boolean()?))),
            (Type::Int32 | Type::Int64 | Type::Float64, Start::Number) => self.number(ty, go_type),
            (Type::Bytes, Start::String) => self.bytes(),
            (Type::Bytes, Start::Array) => self.byte_list(),
            (Type::Quantity, _) => self.quantity(start).map(Some),
            (Type::Time | Type::MicroTime | Type::Duration, _) => self.time(ty, start),
            (Type::IntOrString, _) => self.int_or_string(start),
            (Type::Raw | Type::FieldsV1 | Type::Json, _) => self.raw().map(Some),
            (Type::PropsOrArray | Type::PropsOrBool | Type::PropsOrStrings, _) => self.props_or(ty, start),
            _ => {
                self.mismatch(start.name(), &go_name(ty, go_type));
                self.tokens.skip()?;
                Ok(None)
            }
        }
    }

    fn mismatch(&mut self, value: &str, wanted: &str) {
        if self.wrong.is_none() {
            self.wrong = Some(self.mismatch_text(value, wanted));
        }
    }

    fn mismatch_text(&self, value: &str, wanted: &str) -> String {
        let mut names: Vec<&str> = Vec::new();
        for step in &self.steps {
            if let Step::Field(name, embedded) = step {
                names.extend_from_slice(embedded);
                names.push(name);
            }
        }
        let field = names.join(".");
        format!("json: cannot unmarshal {value} into Go struct field {}.{field} of type {wanted}", self.owner)
    }

    fn list(&mut self, element: &Type, go_type: &str) -> Result<Value, Fail> {
        self.tokens.enter()?;
        let mut list = Vec::new();
        while self.tokens.element(list.is_empty())? {
            self.steps.push(Step::Index(list.len()));
            let value = self.value(element, go_element(go_type))?;
            self.steps.pop();
            list.push(value.unwrap_or_else(|| zero(element)));
        }
        Ok(Value::Array(list))
    }

    fn map(&mut self, element: &Type, go_type: &str) -> Result<Value, Fail> {
        self.tokens.enter()?;
        let mut map = Map::new();
        let mut first = true;
        while let Some(key) = self.tokens.key(first)? {
            first = false;
            if self.strict && map.contains_key(key.as_ref()) {
                note(&mut self.problems, "duplicate", &self.steps, &key);
            }
            self.steps.push(Step::Key(key.clone()));
            let value = self.value(element, go_element(go_type))?;
            self.steps.pop();
            map.insert(key.into_owned(), value.unwrap_or_else(|| zero(element)));
        }
        Ok(Value::Object(map))
    }

    fn number(&mut self, ty: &Type, go_type: &str) -> Result<Option<Value>, Fail> {
        let text = self.tokens.number()?;
        let value = match ty {
            Type::Int32 => text.parse::<i32>().ok().map(Value::from),
            Type::Int64 => text.parse::<i64>().ok().map(Value::from),
            _ => text.parse::<f64>().ok().filter(|float| float.is_finite()).map(Value::from),
        };
        if value.is_none() {
            self.mismatch(&format!("number {text}"), &go_name(ty, go_type));
        }
        Ok(value)
    }

    fn bytes(&mut self) -> Result<Option<Value>, Fail> {
        let text = self.tokens.string()?;
        // Line breaks inside are ignored by the original's reader.
        let text = if text.contains(['\n', '\r']) { text.replace(['\n', '\r'], "") } else { text.into_owned() };
        match STANDARD.decode(&text) {
            Ok(_) => Ok(Some(Value::String(text))),
            Err(error) => {
                let at = match error {
                    base64::DecodeError::InvalidByte(at, _) => at,
                    base64::DecodeError::InvalidLastSymbol { offset, .. } => offset,
                    _ => text.len() / 4 * 4,
                };
                self.wrong.get_or_insert_with(|| format!("illegal base64 data at input byte {at}"));
                Ok(None)
            }
        }
    }

    /// Bytes written as a list of numbers.
    fn byte_list(&mut self) -> Result<Option<Value>, Fail> {
        self.tokens.enter()?;
        let mut bytes: Vec<u8> = Vec::new();
        while self.tokens.element(bytes.is_empty())? {
            let start = self.tokens.start()?;
            let from = self.tokens.position();
            self.tokens.skip()?;
            let text = String::from_utf8_lossy(self.tokens.since(from));
            match (start, text.parse()) {
                (Start::Number, Ok(byte)) => bytes.push(byte),
                (Start::Null, _) => bytes.push(0),
                (Start::Number, _) => {
                    self.mismatch(&format!("number {text}"), "uint8");
                    bytes.push(0);
                }
                (start, _) => {
                    self.mismatch(start.name(), "uint8");
                    bytes.push(0);
                }
            }
        }
        Ok(Some(STANDARD.encode(bytes).into()))
    }

    fn quantity(&mut self, start: Start) -> Result<Value, Fail> {
        let from = self.tokens.position();
        let text = match start {
            Start::String => self.tokens.string()?,
            _ => {
                self.tokens.skip()?;
                String::from_utf8_lossy(self.tokens.since(from))
            }
        };
        if quantity::is_canonical(&text) {
            return Ok(Value::String(text.into_owned()));
        }
        match Quantity::parse(text.trim()) {
            Ok(quantity) => Ok(Value::String(quantity.to_string())),
            Err(error) => Err(Fail::Value(error.to_string())),
        }
    }

    fn time(&mut self, ty: &Type, start: Start) -> Result<Option<Value>, Fail> {
        if start != Start::String {
            return Err(Fail::Value(self.mismatch_text(start.name(), "string")));
        }
        let text = self.tokens.string()?;
        let read = match ty {
            Type::Time if time::is_plain(&text) => Ok(Some(text.into_owned())),
            Type::Time => time::time(&text),
            Type::MicroTime => time::micro_time(&text),
            _ => match time::parse_duration(&text) {
                Some(nanos) => Ok(Some(time::format_duration(nanos))),
                None => Err(format!("time: invalid duration {text:?}")),
            },
        };
        read.map(|text| text.map(Value::String)).map_err(Fail::Value)
    }

    fn int_or_string(&mut self, start: Start) -> Result<Option<Value>, Fail> {
        match start {
            Start::String => Ok(Some(Value::String(self.tokens.string()?.into_owned()))),
            Start::Number => {
                let text = self.tokens.number()?;
                let whole = text.parse::<i32>();
                whole.map(|whole| Some(whole.into())).map_err(|_| Fail::Value(self.mismatch_text(&format!("number {text}"), "int32")))
            }
            start => Err(Fail::Value(self.mismatch_text(start.name(), "int32"))),
        }
    }

    fn raw(&mut self) -> Result<Value, Fail> {
        Ok(self.tokens.any(&mut Vec::new(), &mut |_, _| {})?)
    }

    /// The original reads these without strictness.
    fn props_or(&mut self, ty: &Type, start: Start) -> Result<Option<Value>, Fail> {
        let strict = std::mem::replace(&mut self.strict, false);
        let value = match (ty, start) {
            (_, Start::Object) => self.object(schema::props()).map(Some),
            (Type::PropsOrArray, Start::Array) => self.list(schema::props_type(), "").map(Some),
            (Type::PropsOrStrings, Start::Array) => self.list(&Type::String, "").map(Some),
            (Type::PropsOrBool, Start::Bool) => Ok(Some(Value::Bool(self.tokens.boolean()?))),
            (Type::PropsOrBool, _) => Err(Fail::Value("boolean or JSON schema expected".into())),
            _ => self.tokens.skip().map(|()| None).map_err(Fail::Syntax),
        };
        self.strict = strict;
        value
    }
}

/// What null is as an element of a list or map.
fn zero(ty: &Type) -> Value {
    match ty {
        Type::Bool => false.into(),
        Type::Int32 | Type::Int64 | Type::Float64 | Type::IntOrString => 0.into(),
        Type::String | Type::Bytes => "".into(),
        Type::Quantity => "0".into(),
        Type::Message(_) => Value::Object(Map::new()),
        _ => Value::Null,
    }
}

/// The type of a list's or map's elements as Go writes it; nothing if that does not show.
fn go_element(go_type: &str) -> &str {
    let rest = go_type.strip_prefix("map").map(|rest| rest.split_once(']').map_or("", |(_, element)| element));
    rest.or_else(|| go_type.strip_prefix("[]")).unwrap_or_default()
}

/// The type as the original's errors call it.
fn go_name(ty: &Type, go_type: &str) -> String {
    match ty {
        _ if !go_type.is_empty() => go_type.into(),
        Type::List(element) => format!("[]{}", go_name(element, "")),
        Type::Map(element) => format!("map[string]{}", go_name(element, "")),
        Type::Message(message) => message.get().go_name.into(),
        Type::Bytes => "[]uint8".into(),
        Type::Bool => "bool".into(),
        Type::Int32 => "int32".into(),
        Type::Int64 => "int64".into(),
        Type::Float64 => "float64".into(),
        Type::Quantity => "resource.Quantity".into(),
        Type::Time => "v1.Time".into(),
        Type::MicroTime => "v1.MicroTime".into(),
        Type::Duration => "v1.Duration".into(),
        Type::IntOrString => "intstr.IntOrString".into(),
        Type::Raw => "runtime.RawExtension".into(),
        Type::FieldsV1 => "v1.FieldsV1".into(),
        Type::Json => "v1.JSON".into(),
        _ => "string".into(),
    }
}
