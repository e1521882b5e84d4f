//! The one thread that writes. It takes all waiting transactions, checks and stages them in order, appends them as one batch,
//! syncs once, publishes to the mirror, and answers. While it syncs, the next batch gathers in the queue.
use super::directory::{Directory, OpenError};
use super::log::{BATCH_BYTES, Log};
use super::{Options, record, snapshot};
use crate::expiry::Expiry;
use crate::mirror::Mirror;
use crate::stage::{Overlay, Staged, outcomes, stage};
use crate::{Durability, Error, Expect, Op, Outcome};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;
use stdx::clock::Clock;
use tokio::sync::oneshot;

/// Transactions that may wait; more are refused.
const QUEUE: usize = 16_384;
/// A batch holds at most so many transactions.
const BATCH: usize = 1_024;
/// So many expired objects are deleted in one transaction.
const EXPIRY_BATCH: usize = 256;
/// A lazily acknowledged write is on disk after this time at the latest.
const LAZY_SYNC: Duration = Duration::from_millis(100);

struct Request {
    ops: Vec<Op>,
    durability: Durability,
    answer: oneshot::Sender<Result<Vec<Outcome>, Error>>,
}

enum Message {
    Txn(Request),
    Close(oneshot::Sender<()>),
}

pub struct Handle {
    queue: SyncSender<Message>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

pub struct Start {
    pub directory: Directory,
    pub log: Log,
    pub expiry: Expiry,
    pub mirror: Arc<Mirror>,
    pub clock: Clock,
    pub options: Options,
}

impl Handle {
    pub fn start(start: Start) -> Result<Handle, OpenError> {
        let (queue, receiver) = sync_channel(QUEUE);
        let mut writer = Writer::new(start);
        let spawned = std::thread::Builder::new().name("store-writer".into()).spawn(move || writer.run(&receiver));
        let thread = spawned.map_err(|source| OpenError::Io { path: "store-writer".into(), source })?;
        Ok(Handle { queue, thread: Mutex::new(Some(thread)) })
    }

    pub async fn txn(&self, ops: Vec<Op>, durability: Durability) -> Result<Vec<Outcome>, Error> {
        let (answer, answered) = oneshot::channel();
        self.queue.try_send(Message::Txn(Request { ops, durability, answer })).map_err(|error| match error {
            TrySendError::Full(_) => Error::Unavailable(format!("{QUEUE} writes are waiting already")),
            TrySendError::Disconnected(_) => Error::Unavailable("it is closed".into()),
        })?;
        answered.await.map_err(|_| Error::Unavailable("it was closed before the write".into()))?
    }

    pub async fn close(&self) {
        let (done, is_done) = oneshot::channel();
        if self.queue.try_send(Message::Close(done)).is_ok() {
            let _ = is_done.await;
        }
        if let Some(thread) = self.thread.lock().take() {
            let _ = thread.join();
        }
    }
}

struct Writer {
    directory: Arc<Directory>,
    log: Log,
    mirror: Arc<Mirror>,
    clock: Clock,
    options: Options,
    expiry: Expiry,
    buffer: Vec<u8>,
    /// Acknowledged but not synced.
    dirty: bool,
    /// Set once a sync failed: what the disk holds is then unknown, and no write is taken any more.
    failed: Option<String>,
    log_began: u64,
    snapshot: Option<JoinHandle<()>>,
}

impl Writer {
    fn new(start: Start) -> Writer {
        Writer {
            directory: Arc::new(start.directory),
            log: start.log,
            mirror: start.mirror,
            clock: start.clock,
            options: start.options,
            expiry: start.expiry,
            buffer: Vec::new(),
            dirty: false,
            failed: None,
            log_began: 0,
            snapshot: None,
        }
    }

    fn run(&mut self, queue: &Receiver<Message>) {
        loop {
            let mut requests = Vec::new();
            let mut close = None;
            match queue.recv_timeout(self.patience()) {
                Ok(message) => take(message, &mut requests, &mut close),
                Err(RecvTimeoutError::Timeout) => self.settle(),
                Err(RecvTimeoutError::Disconnected) => return self.end(),
            }
            while requests.len() < BATCH && close.is_none() {
                let Ok(message) = queue.try_recv() else { break };
                take(message, &mut requests, &mut close);
            }
            self.expire();
            self.batch(requests);
            self.rotate();
            if let Some(done) = close {
                self.end();
                let _ = done.send(());
                return;
            }
        }
    }

    /// How long nothing needs to be done: until something expires or lazy writes have to be synced.
    fn patience(&self) -> Duration {
        let expiry = self.expiry.next_deadline().map(|at| Duration::try_from(at.duration_since(self.clock.now())).unwrap_or_default());
        let lazy = self.dirty.then_some(LAZY_SYNC);
        expiry.into_iter().chain(lazy).min().unwrap_or(Duration::from_secs(3600))
    }

    fn batch(&mut self, requests: Vec<Request>) {
        if requests.is_empty() {
            return;
        }
        if let Some(why) = &self.failed {
            requests.into_iter().for_each(|request| answer(request.answer, Err(Error::Unavailable(why.clone()))));
            return;
        }
        let (end, chain) = (self.log.end, self.log.chain);
        let mut overlay = Overlay::default();
        let mut revision = self.mirror.revision();
        let mut accepted: Vec<(Request, Vec<Staged>)> = Vec::new();
        self.buffer.clear();
        self.buffer.resize(BATCH_BYTES, 0);
        let now = self.clock.now().as_millisecond();
        for request in requests {
            match stage(&request.ops, revision + 1, |key| overlay.lookup(key, |key| self.mirror.get(key))) {
                Err(error) => answer(request.answer, Err(error)),
                Ok(staged) => {
                    revision += u64::from(!staged.is_empty());
                    if !staged.is_empty() {
                        self.log.chain = record::put_transaction(&mut self.buffer, self.log.chain, revision, &staged, now);
                    }
                    overlay.add(&staged);
                    accepted.push((request, staged));
                }
            }
        }
        let synced = accepted.iter().any(|(request, _)| request.durability == Durability::Synced);
        match self.persist(synced) {
            Ok(()) => self.publish(accepted, now),
            Err(error) => self.refuse(accepted, end, chain, &error),
        }
    }

    fn persist(&mut self, synced: bool) -> std::io::Result<()> {
        if self.buffer.len() == BATCH_BYTES {
            return Ok(()); // nothing but room for its beginning
        }
        self.buffer[..BATCH_BYTES].copy_from_slice(&self.log.batch_beginning());
        self.log.append(&self.buffer)?;
        self.dirty = true;
        if synced { self.sync() } else { Ok(()) }
    }

    fn sync(&mut self) -> std::io::Result<()> {
        if self.options.sync {
            // After a failed fsync the kernel may have dropped the pages: nothing can be promised any more.
            self.log.sync().inspect_err(|error| self.failed = Some(format!("a sync of the log failed: {error}")))?;
        }
        self.dirty = false;
        Ok(())
    }

    fn publish(&mut self, accepted: Vec<(Request, Vec<Staged>)>, now_ms: i64) {
        let mut changes = Vec::new();
        let mut answers = Vec::new();
        for (request, staged) in accepted {
            answers.push((request.answer, outcomes(&request.ops, &staged)));
            for Staged { change, ttl } in staged {
                self.remember_deadline(&change.object.key, ttl.map(|ttl| now_ms + ttl.as_millis() as i64), change.revision);
                changes.push(change);
            }
        }
        self.mirror.publish(changes);
        answers.into_iter().for_each(|(sender, outcomes)| answer(sender, Ok(outcomes)));
    }

    fn remember_deadline(&mut self, key: &Arc<str>, deadline_ms: Option<i64>, revision: u64) {
        match deadline_ms {
            Some(deadline) => {
                self.expiry.add(deadline, key.clone(), revision);
            }
            None => {
                self.expiry.forget(key);
            }
        }
    }

    fn refuse(&mut self, accepted: Vec<(Request, Vec<Staged>)>, end: u64, chain: u32, error: &std::io::Error) {
        if let Err(error) = self.log.take_back(end, chain) {
            self.failed = Some(format!("a failed write could not be taken back: {error}"));
        }
        tracing::error!(path = %self.log.path.display(), %error, "writing the log failed");
        for (request, _) in accepted {
            let refused = match error.kind() {
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Error::Full(error.to_string()),
                _ => Error::Unavailable(error.to_string()),
            };
            answer(request.answer, Err(refused));
        }
    }

    /// Brings lazily acknowledged writes to disk.
    fn settle(&mut self) {
        if self.dirty && self.failed.is_none() {
            let _ = self.sync();
        }
    }

    fn expire(&mut self) {
        let due = self.expiry.due(self.clock.now(), EXPIRY_BATCH);
        let still = |(key, revision): &(Arc<str>, u64)| self.mirror.get(key).is_some_and(|object| object.revision == *revision);
        let ops: Vec<Op> =
            due.into_iter().filter(still).map(|(key, revision)| Op::Delete { key, expect: Expect::Revision(revision) }).collect();
        if !ops.is_empty() {
            let (answer, _) = oneshot::channel();
            self.batch(vec![Request { ops, durability: Durability::Lazy, answer }]);
        }
    }

    /// Begins a new log and, beside the running store, a snapshot that makes the logs before it unnecessary.
    fn rotate(&mut self) {
        if self.snapshot.as_ref().is_some_and(|thread| !thread.is_finished()) || self.failed.is_some() {
            return;
        }
        if self.log.end - self.log_began < self.options.snapshot_after_bytes {
            return;
        }
        let (objects, revision) = self.mirror.all();
        let size: u64 = objects.iter().map(|object| object.json.len() as u64).sum();
        if self.log.end < size {
            self.log_began = self.log.end - self.options.snapshot_after_bytes / 2; // ask again half way on, not at every batch
            return;
        }
        self.settle();
        match Log::create(&self.directory.log(revision), revision).and_then(|log| self.directory.sync().map(|()| log)) {
            Ok(log) => self.log = log,
            Err(error) => return tracing::error!(%error, "a new log could not be begun; the old one goes on"),
        }
        self.log_began = 0;
        let (directory, deadlines) = (self.directory.clone(), self.expiry.deadlines().clone());
        let make = move || match snapshot::write(&directory, &objects, &deadlines, revision) {
            Ok(()) => remove_older(&directory, revision),
            Err(error) => tracing::error!(%error, "the snapshot failed; the logs are kept"),
        };
        self.snapshot = std::thread::Builder::new().name("store-snapshot".into()).spawn(make).ok();
    }

    fn end(&mut self) {
        self.settle();
        if let Some(thread) = self.snapshot.take() {
            let _ = thread.join();
        }
        if self.failed.is_none() {
            let mut mark = self.log.batch_beginning().to_vec();
            self.log.chain = record::put_mark(&mut mark, self.log.chain, self.mirror.revision());
            let _ = self.log.append(&mark).and_then(|()| self.log.sync());
        }
    }
}

fn take(message: Message, requests: &mut Vec<Request>, close: &mut Option<oneshot::Sender<()>>) {
    match message {
        Message::Txn(request) => requests.push(request),
        Message::Close(done) => *close = Some(done),
    }
}

fn answer(sender: oneshot::Sender<Result<Vec<Outcome>, Error>>, result: Result<Vec<Outcome>, Error>) {
    let _ = sender.send(result); // who asked may have gone
}

fn remove_older(directory: &Directory, revision: u64) {
    let parts = directory.snapshots().into_iter().chain(directory.logs()).flatten();
    for part in parts.filter(|part| part.revision < revision) {
        if let Err(error) = std::fs::remove_file(&part.path) {
            tracing::warn!(path = %part.path.display(), %error, "an old file of the store could not be removed");
        }
    }
}
