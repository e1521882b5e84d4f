//! Stable hashes for names: FNV-1a over an object's JSON form, written in the letters of generated names.
use serde::Serialize;

/// The letters that the original's safe encoding uses: no vowels, no look-alikes.
const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

pub fn fnv1a(bytes: impl IntoIterator<Item = u8>) -> u32 {
    bytes.into_iter().fold(0x811c_9dc5, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// A short name for what `object` is; `collisions` gives another one where the first is taken.
pub fn name_of(object: &impl Serialize, collisions: Option<i32>) -> String {
    let mut bytes = serde_json::to_vec(object).expect("an API object has a JSON form");
    if let Some(count) = collisions {
        bytes.extend_from_slice(&u64::from(count.unsigned_abs()).to_le_bytes());
    }
    safe(&fnv1a(bytes).to_string())
}

/// Digits, spelled with safe letters.
pub fn safe(text: &str) -> String {
    text.bytes().map(|byte| LETTERS[byte as usize % LETTERS.len()] as char).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_fnv_1a() {
        assert_eq!(fnv1a(*b"foobar"), 0xbf9c_f968);
        assert_ne!(name_of(&"a", None), name_of(&"a", Some(1)));
    }
}
