//! From the parser's events to a JSON value.
use super::NODES_MAX;
use super::scalar;
use crate::codec::{DEPTH_MAX, PROBLEMS_MAX};
use granit_parser::{Event, Parser, ScalarStyle, StrInput, Tag};
use serde_json::{Map, Value};
use std::collections::HashMap;

type Result<T> = std::result::Result<T, String>;

/// The first document and its duplicate keys.
pub fn read(text: &str) -> Result<(Value, Vec<String>)> {
    let mut reader =
        Reader { parser: Parser::new_from_str(text), line: 0, anchors: HashMap::new(), nodes: 0, depth: 0, duplicates: Vec::new() };
    loop {
        match reader.next()? {
            Event::StreamEnd => return Ok((Value::Null, Vec::new())),
            Event::DocumentStart(..) => break,
            _ => {}
        }
    }
    let event = reader.next()?;
    let value = reader.node(event)?;
    // The rest of the document has to be readable, too; what follows it is not looked at.
    reader.next()?;
    Ok((value, reader.duplicates))
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    line: usize,
    anchors: HashMap<usize, (Value, usize)>,
    nodes: usize,
    depth: usize,
    duplicates: Vec<String>,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<Event<'a>> {
        match self.parser.next_event() {
            None => Ok(Event::StreamEnd),
            Some(Ok((event, span))) => {
                self.line = span.start.line();
                Ok(event)
            }
            Some(Err(error)) => {
                let text = error.info().to_lowercase();
                // What was being read at the time is left out, as in the original's texts.
                let text = text.find("did not find").map_or(text.as_str(), |at| &text[at..]);
                Err(format!("yaml: line {}: {text}", error.marker().line()))
            }
        }
    }

    fn count(&mut self, nodes: usize) -> Result<()> {
        self.nodes += nodes;
        if self.nodes > NODES_MAX { Err("yaml: document contains excessive aliasing".into()) } else { Ok(()) }
    }

    fn node(&mut self, event: Event<'a>) -> Result<Value> {
        self.count(1)?;
        let before = self.nodes;
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                (scalar::resolve(&text, style == ScalarStyle::Plain, tag.as_deref().map(Tag::suffix))?, anchor)
            }
            Event::SequenceStart(_, anchor, _) => (self.deeper(Reader::sequence)?, anchor),
            Event::MappingStart(_, anchor, _) => (self.deeper(Reader::mapping)?, anchor),
            Event::Alias(anchor) => {
                let (value, nodes) = self.anchors.get(&anchor).cloned().ok_or("yaml: anchor value contains itself")?;
                self.count(nodes)?;
                (value, 0)
            }
            _ => (Value::Null, 0),
        };
        if anchor > 0 {
            self.anchors.insert(anchor, (value.clone(), self.nodes - before + 1));
        }
        Ok(value)
    }

    fn deeper(&mut self, read: fn(&mut Self) -> Result<Value>) -> Result<Value> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(format!("yaml: line {}: exceeded max depth of {DEPTH_MAX}", self.line));
        }
        let value = read(self);
        self.depth -= 1;
        value
    }

    fn sequence(&mut self) -> Result<Value> {
        let mut list = Vec::new();
        loop {
            match self.next()? {
                Event::SequenceEnd => return Ok(Value::Array(list)),
                event => list.push(self.node(event)?),
            }
        }
    }

    fn mapping(&mut self) -> Result<Value> {
        let mut map = Map::new();
        let mut merged = Vec::new();
        loop {
            let event = self.next()?;
            let line = self.line;
            let merges = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, ..) if text == "<<");
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let key = match self.node(event)? {
                Value::String(text) => text,
                Value::Number(number) => number.to_string(),
                Value::Bool(flag) => flag.to_string(),
                other => return Err(format!("unsupported map key: {other}")),
            };
            let event = self.next()?;
            let value = self.node(event)?;
            if merges {
                merged.push(value);
                continue;
            }
            if map.contains_key(&key) && self.duplicates.len() < PROBLEMS_MAX {
                self.duplicates.push(format!("line {line}: key {key:?} already set in map"));
            }
            map.insert(key, value);
        }
        for value in merged {
            merge(&mut map, value)?;
        }
        Ok(Value::Object(map))
    }
}

/// `<<`: what is not there yet comes from a map or a list of maps.
fn merge(map: &mut Map<String, Value>, value: Value) -> Result<()> {
    match value {
        Value::Object(other) => {
            for (key, value) in other {
                map.entry(key).or_insert(value);
            }
            Ok(())
        }
        Value::Array(list) => list.into_iter().try_for_each(|value| merge(map, value)),
        _ => Err("yaml: map merge requires map or sequence of maps as the value".into()),
    }
}
