//! The documentation of messages and fields, packed by the build script.
use std::collections::HashMap;
use std::io::Read;

pub(super) const PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptions.zlib"));

pub(super) struct Descriptions(HashMap<String, Described>);

#[derive(Default)]
pub(super) struct Described {
    pub text: String,
    pub fields: HashMap<String, String>,
}

impl Descriptions {
    pub fn load() -> Descriptions {
        let mut text = String::new();
        // Packed by our own build: if it cannot be read, there are no descriptions, and everything else stands.
        let _ = flate2::read::ZlibDecoder::new(PACKED).read_to_string(&mut text);
        let mut all: HashMap<String, Described> = HashMap::new();
        let mut current = String::new();
        for line in text.lines() {
            let mut columns = line.splitn(3, '\t');
            let (kind, name, text) = (columns.next(), columns.next().unwrap_or_default(), columns.next().unwrap_or_default());
            let text = text.replace('\u{1}', "\n");
            match kind {
                Some("M") => {
                    current = name.into();
                    all.insert(current.clone(), Described { text, fields: HashMap::new() });
                }
                _ => drop(all.entry(current.clone()).or_default().fields.insert(name.into(), text)),
            }
        }
        Descriptions(all)
    }

    pub fn of(&self, message: &str) -> Option<&Described> {
        self.0.get(message)
    }
}
