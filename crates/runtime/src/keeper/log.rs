//! A container's log file in the CRI form: `<time> <stream> <F|P> <text>`, a line each. Long lines are split into parts (P), the
//! last of which is F; text that never gets its end of line stays P. A full disk loses lines, not the container.
use super::Stream;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The longest text of one entry.
const TEXT_LIMIT_BYTES: usize = 16 * 1024;

pub struct Log {
    path: PathBuf,
    file: Option<File>,
    /// What came since the last end of line, by stream.
    rest: [Vec<u8>; 2],
}

impl Log {
    pub fn open(path: &Path) -> std::io::Result<Log> {
        let file = Some(append(path)?);
        Ok(Log { path: path.to_owned(), file, rest: Default::default() })
    }

    /// After a rotation: the file at the path is a new one.
    pub fn reopen(&mut self) -> std::io::Result<()> {
        self.file = Some(append(&self.path)?);
        Ok(())
    }

    pub fn write(&mut self, stream: Stream, data: &[u8]) {
        let rest = &mut self.rest[index(stream)];
        rest.extend(data);
        let entries = take_entries(rest, stream, &now());
        self.put(&entries);
    }

    /// The stream has ended: what is left of a line is written as a part.
    pub fn end(&mut self, stream: Stream) {
        let rest = std::mem::take(&mut self.rest[index(stream)]);
        if !rest.is_empty() {
            let mut entries = Vec::new();
            entry(&mut entries, &now(), stream, 'P', &rest);
            self.put(&entries);
        }
    }

    fn put(&mut self, entries: &[u8]) {
        if let Some(file) = &mut self.file
            && !entries.is_empty()
        {
            file.write_all(entries).ok();
        }
    }
}

fn append(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    File::options().create(true).append(true).mode(0o640).open(path)
}

fn index(stream: Stream) -> usize {
    match stream {
        Stream::Stdout => 0,
        Stream::Stderr => 1,
    }
}

fn now() -> String {
    jiff::Timestamp::now().to_string()
}

fn take_entries(rest: &mut Vec<u8>, stream: Stream, now: &str) -> Vec<u8> {
    let mut entries = Vec::new();
    let mut used = 0;
    loop {
        let open = &rest[used..];
        match open.iter().take(TEXT_LIMIT_BYTES + 1).position(|byte| *byte == b'\n') {
            Some(end) => {
                entry(&mut entries, now, stream, 'F', &open[..end]);
                used += end + 1;
            }
            None if open.len() > TEXT_LIMIT_BYTES => {
                entry(&mut entries, now, stream, 'P', &open[..TEXT_LIMIT_BYTES]);
                used += TEXT_LIMIT_BYTES;
            }
            None => break,
        }
    }
    rest.drain(..used);
    if rest.is_empty() {
        rest.shrink_to(1024);
    }
    entries
}

fn entry(entries: &mut Vec<u8>, now: &str, stream: Stream, tag: char, text: &[u8]) {
    let stream = if stream == Stream::Stdout { "stdout" } else { "stderr" };
    write!(entries, "{now} {stream} {tag} ").expect("memory takes every write");
    entries.extend(text);
    entries.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(rest: &mut Vec<u8>, more: &[u8]) -> String {
        rest.extend(more);
        String::from_utf8(take_entries(rest, Stream::Stdout, "T")).unwrap()
    }

    #[test]
    fn lines_are_whole_however_they_come() {
        let mut rest = Vec::new();
        assert_eq!(take(&mut rest, b"one\ntw"), "T stdout F one\n");
        assert_eq!(take(&mut rest, b"o\n\nthree"), "T stdout F two\nT stdout F \n");
        assert_eq!(rest, b"three");
    }

    #[test]
    fn long_lines_come_in_parts() {
        let mut rest = Vec::new();
        let long = "x".repeat(TEXT_LIMIT_BYTES);
        assert_eq!(take(&mut rest, long.as_bytes()), "");
        assert_eq!(take(&mut rest, b"yz\n"), format!("T stdout P {long}\nT stdout F yz\n"));
    }

    #[test]
    fn an_unfinished_line_is_kept_as_a_part_and_rotation_loses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (path, old) = (folder.path().join("0.log"), folder.path().join("0.log.1"));
        let mut log = Log::open(&path).unwrap();
        log.write(Stream::Stderr, b"a\nb");
        std::fs::rename(&path, &old).unwrap();
        log.reopen().unwrap();
        log.write(Stream::Stderr, b"c");
        log.end(Stream::Stderr);
        let texts = |path: &Path| {
            std::fs::read_to_string(path).unwrap().lines().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(texts(&old), ["stderr F a"]);
        assert_eq!(texts(&path), ["stderr P bc"]);
    }
}
