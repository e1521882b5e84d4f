//! SHA-256 content addresses, `sha256:<64 hex digits>`, and readers that compute them on the way.
use crate::problem::{Outcome, Problem};
use ring::digest::{Context, SHA256};
use std::io::{Read, Result, Write};

pub fn of(bytes: &[u8]) -> String {
    text(ring::digest::digest(&SHA256, bytes).as_ref())
}

/// The hex digits of a digest, checked to be nothing else: they become file names.
pub fn hex(digest: &str) -> Outcome<&str> {
    digest
        .strip_prefix("sha256:")
        .filter(|hex| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)))
        .ok_or_else(|| Problem::invalid(format_args!("digest {digest:?} is not sha256 in hex")))
}

fn text(bytes: &[u8]) -> String {
    bytes.iter().fold(String::from("sha256:"), |text, byte| format!("{text}{byte:02x}"))
}

/// Passes bytes on and counts them.
pub struct Digesting<T> {
    inner: T,
    context: Context,
    pub bytes: u64,
}

impl<T> Digesting<T> {
    pub fn new(inner: T) -> Digesting<T> {
        Digesting { inner, context: Context::new(&SHA256), bytes: 0 }
    }

    pub fn finish(self) -> (T, String) {
        (self.inner, text(self.context.finish().as_ref()))
    }

    fn note(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
        self.bytes += bytes.len() as u64;
    }
}

impl<T: Read> Read for Digesting<T> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let count = self.inner.read(buffer)?;
        self.note(&buffer[..count]);
        Ok(count)
    }
}

impl<T: Write> Write for Digesting<T> {
    fn write(&mut self, buffer: &[u8]) -> Result<usize> {
        let count = self.inner.write(buffer)?;
        self.note(&buffer[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> Result<()> {
        self.inner.flush()
    }
}
