//! The embedded engine: the suite, and what it promises about crashes and damage.
use super::*;
use crate::Expect;
use crate::suite::{delete, put};
use std::fs;
use std::path::PathBuf;

fn open(dir: &Path) -> Result<Arc<Embedded>, OpenError> {
    Embedded::open(dir, Clock::system(), Options { snapshot_after_bytes: 16 << 10, ..Options::default() })
}

async fn state(store: &Embedded) -> Vec<(String, u64)> {
    let page = store.list("/registry/", None, 0, At::Latest).await.unwrap();
    page.objects.iter().map(|object| (object.key.to_string(), object.revision)).collect()
}

async fn write(store: &Embedded, op: Op) {
    store.txn(vec![op], Durability::Synced).await.unwrap();
}

fn newest_log(dir: &Path) -> PathBuf {
    let mut logs: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    logs.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("log-")));
    logs.sort();
    logs.pop().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn passes_the_suite() {
    let dirs = tempfile::tempdir().unwrap();
    let count = std::sync::atomic::AtomicUsize::new(0);
    crate::suite::all(|clock| {
        let dir = dirs.path().join(count.fetch_add(1, std::sync::atomic::Ordering::Relaxed).to_string());
        async move { Embedded::open(&dir, clock, Options::default()).unwrap() as Arc<dyn Store> }
    })
    .await;
}

#[tokio::test]
async fn a_second_start_finds_everything_across_snapshots() {
    let dir = tempfile::tempdir().unwrap();
    let mut expected = Vec::new();
    for round in 0..4 {
        let store = open(dir.path()).unwrap();
        assert_eq!(state(&store).await, expected, "round {round}");
        for n in 0..200 {
            write(&store, put(&format!("/registry/x/n/{:03}", n % 50), &round.to_string().repeat(100), Expect::Any)).await;
        }
        write(&store, delete("/registry/x/n/007", Expect::Any)).await;
        expected = state(&store).await;
        store.close().await;
    }
    assert!(fs::read_dir(dir.path()).unwrap().any(|entry| entry.unwrap().file_name().to_string_lossy().starts_with("snapshot-")));
}

#[tokio::test]
async fn a_second_process_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let _first = open(dir.path()).unwrap();
    let refusal = open(dir.path()).err().unwrap().to_string();
    assert!(refusal.contains(&std::process::id().to_string()), "{refusal}");
}

#[tokio::test]
async fn another_format_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("FORMAT"), "99\n").unwrap();
    assert!(matches!(open(dir.path()), Err(OpenError::Format { .. })));
}

/// Whatever prefix of the log reached the disk, a start finds exactly the transactions whose records are whole.
#[tokio::test]
async fn a_log_cut_anywhere_gives_a_prefix_of_the_writes() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let mut ends = vec![log::HEAD_BYTES as u64];
    for n in 0..12 {
        write(&store, put(&format!("/registry/x/n/{n:02}"), "v", Expect::Absent)).await;
        let bytes = fs::read(newest_log(dir.path())).unwrap();
        ends.push(bytes.iter().rposition(|byte| *byte != 0).unwrap() as u64 + 1);
    }
    drop(store);
    let log = newest_log(dir.path());
    let whole = fs::read(&log).unwrap();
    for cut in log::HEAD_BYTES as u64..=*ends.last().unwrap() {
        let copy = tempfile::tempdir().unwrap();
        fs::write(copy.path().join(log.file_name().unwrap()), &whole[..cut as usize]).unwrap();
        fs::write(copy.path().join("FORMAT"), "1\n").unwrap();
        let count = state(&open(copy.path()).unwrap()).await.len();
        let whole_records = ends.iter().filter(|end| **end <= cut).count() - 1;
        assert_eq!(count, whole_records, "cut at {cut}");
    }
}

/// A flipped bit in a record that others follow is named; it is never served and never skipped.
#[tokio::test]
async fn a_flipped_bit_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    for n in 0..6 {
        write(&store, put(&format!("/registry/x/n/{n}"), "some value", Expect::Absent)).await;
    }
    store.close().await; // the closing mark stands behind the last record
    drop(store);
    let log = newest_log(dir.path());
    let whole = fs::read(&log).unwrap();
    let end = whole.iter().rposition(|byte| *byte != 0).unwrap();
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..300 {
        let at = random.usize(log::HEAD_BYTES..end - 44);
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << random.u8(0..8);
        let copy = tempfile::tempdir().unwrap();
        fs::write(copy.path().join(log.file_name().unwrap()), &flipped).unwrap();
        fs::write(copy.path().join("FORMAT"), "1\n").unwrap();
        assert!(matches!(open(copy.path()), Err(OpenError::Corrupt { .. })), "a flip at byte {at} went unseen");
    }
}

/// Blocks of one unsynced write reach the disk in any order: a hole in the last batch is a torn write, not damage.
#[tokio::test]
async fn a_hole_in_the_last_batch_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    write(&store, put("/registry/x/n/a", "kept", Expect::Absent)).await;
    let log = newest_log(dir.path());
    let kept = fs::read(&log).unwrap().iter().rposition(|byte| *byte != 0).unwrap();
    write(&store, put("/registry/x/n/b", &"lost".repeat(3000), Expect::Absent)).await;
    let mut bytes = fs::read(&log).unwrap();
    bytes[kept + 1..kept + 4096].fill(0);
    let copy = tempfile::tempdir().unwrap();
    fs::write(copy.path().join(log.file_name().unwrap()), &bytes).unwrap();
    fs::write(copy.path().join("FORMAT"), "1\n").unwrap();
    assert_eq!(state(&open(copy.path()).unwrap()).await.len(), 1);
    drop(store);
}

/// A snapshot made after a restart still knows when what was there before deletes itself.
#[tokio::test]
async fn deadlines_outlive_restarts_and_snapshots() {
    let dir = tempfile::tempdir().unwrap();
    let Op::Put { key, template, revision_at, expect, .. } = put("/registry/events/n/e", "1", Expect::Absent) else { unreachable!() };
    let store = open(dir.path()).unwrap();
    write(&store, Op::Put { key, template, revision_at, expect, ttl: Some(std::time::Duration::from_secs(3600)) }).await;
    store.close().await;
    drop(store);
    let store = open(dir.path()).unwrap();
    for n in 0..200 {
        write(&store, put("/registry/x/n/a", &n.to_string().repeat(100), Expect::Any)).await;
    }
    store.close().await;
    drop(store);
    let recovered = recover::recover(&directory::Directory::open(dir.path()).unwrap()).unwrap();
    assert!(fs::read_dir(dir.path()).unwrap().any(|entry| entry.unwrap().file_name().to_string_lossy().starts_with("snapshot-")));
    assert!(recovered.expiry.deadlines().contains_key("/registry/events/n/e"));
}
