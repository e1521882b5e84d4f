//! Container logs: which file, from where, and on as it grows. Rotated files come before the one that is written.
use super::log_lines::{Lines, Options, tail_start};
use super::{Answer, Server, query, text};
use crate::driver::worker::View;
use crate::housekeeping::rotated_logs;
use crate::pod::observed::State;
use crate::pod::view::PodView;
use bytes::Bytes;
use client::Body;
use client::body::BoxError;
use futures::StreamExt;
use futures::stream;
use http::{Response, StatusCode, header};
use k8s_openapi::api::core::v1::ContainerStatus;
use parking_lot::RwLock;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use stdx::clock::Clock;

const CHUNK_BYTES: usize = 64 * 1024;
/// How often a followed file is looked at.
const LOOK: Duration = Duration::from_millis(100);

impl Server {
    pub(super) async fn container_logs(&self, namespace: &str, name: &str, container: &str, asked: Option<&str>) -> Answer {
        let options = match Options::read(&query(asked), self.shared.clock.now()) {
            Ok(options) => options,
            Err(error) => return text(StatusCode::BAD_REQUEST, error),
        };
        let handle = match self.pod(namespace, name) {
            Ok(handle) => handle,
            Err(refused) => return refused.answer(),
        };
        let view = handle.view.clone();
        if view.read().pod.container(container).is_none() {
            return text(StatusCode::NOT_FOUND, format!("container \"{container}\" not found in pod \"{name}\"\n"));
        }
        let id = match chosen(&view.read(), name, container, options.previous) {
            Ok(id) => id,
            Err(error) => return text(StatusCode::BAD_REQUEST, error),
        };
        let path = view.read().observed.by_id(&id).map(|seen| PathBuf::from(&seen.log_path));
        let Some(path) = path else {
            return text(StatusCode::INTERNAL_SERVER_ERROR, format!("unable to retrieve container logs for {id}"));
        };
        let reader = Reader::open(path, options, view, id, self.shared.clock.clone());
        let mut answer = Response::new(Body::Stream(reader.stream().boxed()));
        answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain"));
        answer
    }
}

/// The container whose log is meant, or why there is none.
fn chosen(view: &View, pod: &str, container: &str, previous: bool) -> Result<String, String> {
    let all = [&view.status.container_statuses, &view.status.init_container_statuses, &view.status.ephemeral_container_statuses];
    let found: Option<&ContainerStatus> = all.into_iter().flatten().flatten().find(|status| status.name == container);
    let status = found.ok_or_else(|| format!("container \"{container}\" in pod \"{pod}\" is not available"))?;
    let bare = |id: &Option<String>| id.as_deref().and_then(|id| id.split("://").nth(1)).map(String::from).filter(|id| !id.is_empty());
    let last = status.last_state.as_ref().and_then(|last| last.terminated.as_ref()).and_then(|ended| bare(&ended.container_id));
    if previous {
        return last.ok_or_else(|| format!("previous terminated container \"{container}\" in pod \"{pod}\" not found"));
    }
    let state = status.state.clone().unwrap_or_default();
    if state.running.is_some() || state.terminated.is_some() {
        let own = state.terminated.and_then(|ended| bare(&ended.container_id)).or(bare(&status.container_id));
        return own.or(last).ok_or_else(|| format!("container \"{container}\" in pod \"{pod}\" is terminated"));
    }
    if let Some(last) = last {
        return Ok(last);
    }
    let waits = format!("container \"{container}\" in pod \"{pod}\" is waiting to start");
    Err(match state.waiting.and_then(|waiting| waiting.reason).as_deref() {
        Some("ErrImagePull") => format!("{waits}: image can't be pulled"),
        Some("ImagePullBackOff") => format!("{waits}: trying and failing to pull image"),
        Some(reason) => format!("{waits}: {reason}"),
        None => format!("{waits} - no logs yet"),
    })
}

struct Reader {
    path: PathBuf,
    options: Options,
    files: VecDeque<File>,
    lines: Lines,
    view: Arc<RwLock<View>>,
    id: String,
    clock: Clock,
    /// The container had ended when the end of the file was reached last.
    last_look: bool,
}

impl Reader {
    fn open(path: PathBuf, options: Options, view: Arc<RwLock<View>>, id: String, clock: Clock) -> Reader {
        let files = files(&path, options.tail);
        Reader { path, options, files, lines: Lines::default(), view, id, clock, last_look: false }
    }

    fn stream(self) -> impl futures::Stream<Item = Result<Bytes, BoxError>> + Send + 'static {
        stream::unfold(self, |mut reader| async move {
            let chunk = reader.next().await?;
            Some((chunk.map_err(BoxError::from), reader))
        })
    }

    /// The next piece for the reader; `None` at the end.
    async fn next(&mut self) -> Option<std::io::Result<Bytes>> {
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            if self.lines.full {
                return None;
            }
            let read = match self.files.front_mut() {
                Some(file) => file.read(&mut buffer),
                None => Ok(0),
            };
            match read {
                Err(error) => return Some(Err(error)),
                Ok(0) if self.files.len() > 1 => drop(self.files.pop_front()),
                Ok(0) => {
                    if !self.wait().await {
                        return None;
                    }
                }
                Ok(length) => {
                    let mut out = Vec::new();
                    self.lines.push(&buffer[..length], &self.options, &mut out);
                    if !out.is_empty() {
                        return Some(Ok(out.into()));
                    }
                }
            }
        }
    }

    /// At the end of the newest file: is there more to come?
    async fn wait(&mut self) -> bool {
        if !self.options.follow || self.last_look {
            return false;
        }
        // One more look after the end, for what was written in between.
        self.last_look = !self.view.read().observed.by_id(&self.id).is_some_and(|seen| seen.state != State::Exited);
        if !self.last_look {
            self.clock.sleep(LOOK).await;
        }
        self.follow_rotation();
        true
    }

    fn follow_rotation(&mut self) {
        let Ok(newest) = File::open(&self.path) else { return };
        let inode = |file: &File| file.metadata().map(|found| (found.dev(), found.ino())).ok();
        if self.files.back().is_none_or(|current| inode(current) != inode(&newest)) {
            self.files.push_back(newest);
        }
    }
}

/// The files to read in order, each from where reading begins.
fn files(path: &Path, tail: Option<u64>) -> VecDeque<File> {
    let mut paths = rotated_logs(path);
    paths.retain(|path| path.extension().is_none_or(|extension| extension != "gz"));
    paths.push(path.to_path_buf());
    let mut open = VecDeque::new();
    let mut missing = tail;
    for path in paths.iter().rev() {
        let Ok(mut file) = File::open(path) else { continue };
        let start = match missing {
            None => 0,
            Some(lines) => match tail_start(&mut file, lines) {
                Ok((start, more)) => {
                    missing = Some(more);
                    start
                }
                Err(_) => 0,
            },
        };
        if file.seek(SeekFrom::Start(start)).is_ok() {
            open.push_front(file);
        }
        if missing == Some(0) {
            break;
        }
    }
    open
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::observed::{Observed, Seen};
    use std::fs;
    use std::io::Write;

    fn line(text: &str) -> String {
        format!("2026-01-01T00:00:00Z stdout F {text}\n")
    }

    fn reader(path: &Path, options: Options, state: State) -> (Reader, Arc<RwLock<View>>) {
        let observed = Observed { containers: vec![Seen { id: "c".into(), state, ..Seen::default() }], ..Observed::default() };
        let view = Arc::new(RwLock::new(View { observed, ..View::default() }));
        (Reader::open(path.into(), options, view.clone(), "c".into(), Clock::system()), view)
    }

    async fn all(mut reader: Reader) -> String {
        let mut text = Vec::new();
        while let Some(chunk) = reader.next().await {
            text.extend_from_slice(&chunk.unwrap());
        }
        String::from_utf8(text).unwrap()
    }

    #[tokio::test]
    async fn rotated_files_come_first_and_count_for_the_tail() {
        let dir = crate::testing::scratch("logs");
        let path = dir.path.join("0.log");
        fs::write(dir.path.join("0.log.20260101-000000"), line("one") + &line("two")).unwrap();
        fs::write(&path, line("three")).unwrap();
        let check = |tail| all(reader(&path, Options { tail, ..Options::default() }, State::Running).0);
        assert_eq!(check(None).await, "one\ntwo\nthree\n");
        assert_eq!(check(Some(2)).await, "two\nthree\n");
        assert_eq!(check(Some(1)).await, "three\n");
    }

    #[tokio::test]
    async fn following_sees_rotation_and_ends_with_the_container() {
        let dir = crate::testing::scratch("follow");
        let path = dir.path.join("0.log");
        fs::write(&path, line("one")).unwrap();
        let (mut reader, view) = reader(&path, Options { follow: true, ..Options::default() }, State::Running);
        assert_eq!(reader.next().await.unwrap().unwrap(), "one\n");
        fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(line("two").as_bytes()).unwrap();
        fs::rename(&path, dir.path.join("0.log.20260101-000000")).unwrap();
        fs::write(&path, line("three")).unwrap();
        view.write().observed.containers[0].state = State::Exited;
        assert_eq!(all(reader).await, "two\nthree\n");
    }
}
