//! The sizes of the client's terminal, JSON objects one after the other: `{"Width":80,"Height":24}`.
use crate::flow::Input;
use serde::Deserialize;

/// The longest run of bytes that is not yet an object.
const OBJECT_LIMIT_BYTES: usize = 4 * 1024;

/// In columns and rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct TerminalSize {
    #[serde(rename = "Width", alias = "width", default)]
    pub width: u16,
    #[serde(rename = "Height", alias = "height", default)]
    pub height: u16,
}

pub struct Sizes {
    input: Option<Input>,
    text: Vec<u8>,
}

impl Sizes {
    pub(crate) fn new(input: Option<Input>) -> Sizes {
        Sizes { input, text: Vec::new() }
    }

    /// The next size; `None` when no more will come.
    pub async fn next(&mut self) -> Option<TerminalSize> {
        loop {
            match take_size(&mut self.text) {
                Ok(Some(size)) => return Some(size),
                Ok(None) if self.text.len() <= OBJECT_LIMIT_BYTES => {}
                // Not what it should be: no more is read, as in the original.
                _ => self.input = None,
            }
            let more = self.input.as_mut()?.next().await?;
            self.text.extend_from_slice(&more);
        }
    }
}

/// Takes the first object off the text; `None` while it is not whole.
fn take_size(text: &mut Vec<u8>) -> Result<Option<TerminalSize>, serde_json::Error> {
    let mut objects = serde_json::Deserializer::from_slice(text).into_iter();
    let size = match objects.next() {
        None => return Ok(None),
        Some(Err(error)) if error.is_eof() => return Ok(None),
        Some(size) => size?,
    };
    let end = objects.byte_offset();
    text.drain(..end);
    Ok(Some(size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sizes_come_however_they_are_cut() {
        let (inbox, input) = Input::new();
        for piece in ["{\"Width\":80,\"Hei", "ght\":24}\n{\"Width\":1,\"Height\":2}", "{\"Width\":", "7,\"Height\":8} [", "\"no\"]"] {
            inbox.send(piece.into()).await.unwrap();
        }
        drop(inbox);
        let mut sizes = Sizes::new(Some(input));
        let mut all = Vec::new();
        while let Some(size) = sizes.next().await {
            all.push((size.width, size.height));
        }
        assert_eq!(all, [(80, 24), (1, 2), (7, 8)]);
    }
}
