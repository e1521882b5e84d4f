//! The published golden files (one object of each kind as JSON, YAML and protobuf) in one compressed file.
use crate::schema::Error;
use flate2::{Compression, read::ZlibDecoder, write::ZlibEncoder};
use std::io::{Read, Write};
use std::path::Path;

/// Names and contents, sorted by name.
pub fn read(reference: &Path) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(reference.join("golden"))? {
        let entry = entry?;
        files.push((entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path())?));
    }
    files.sort();
    Ok(files)
}

/// Per file: the name, a zero byte, the size as four bytes (little endian), the content.
pub fn pack(files: &[(String, Vec<u8>)]) -> Result<Vec<u8>, Error> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&unpacked(files))?;
    Ok(encoder.finish()?)
}

fn unpacked(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, content) in files {
        out.extend_from_slice(name.as_bytes());
        out.push(0);
        out.extend_from_slice(&(content.len() as u32).to_le_bytes());
        out.extend_from_slice(content);
    }
    out
}

/// Does `packed` hold exactly these files?
pub fn holds(packed: &[u8], files: &[(String, Vec<u8>)]) -> Result<bool, Error> {
    let mut out = Vec::new();
    ZlibDecoder::new(packed).read_to_end(&mut out)?;
    Ok(out == unpacked(files))
}
