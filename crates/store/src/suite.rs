//! What every engine must pass. An engine's tests call `all(make)`; each check gets a store of its own.
use crate::{At, Change, Durability, Error, Expect, Op, Outcome, Store};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use stdx::clock::Clock;

/// Runs every check. `make` gives an empty store that reads the time from the clock.
pub async fn all<F: Future<Output = Arc<dyn Store>>>(make: impl Fn(Clock) -> F) {
    let clock = Clock::system;
    writes_are_read_back(&*make(clock()).await).await;
    expectations_hold(&*make(clock()).await).await;
    a_transaction_happens_whole_or_not_at_all(&*make(clock()).await).await;
    pages_of_a_list_show_one_moment(&*make(clock()).await).await;
    a_watch_misses_nothing(make(clock()).await).await;
    a_watch_ends_when_its_place_is_gone(&*make(clock()).await).await;
    an_object_lives_as_long_as_its_time(&*make(clock()).await).await;
    concurrent_writers_get_one_order(make(clock()).await).await;
}

/// A put of a small object at `key` whose data is `value`.
pub fn put(key: &str, value: &str, expect: Expect) -> Op {
    let head = r#"{"metadata":{"resourceVersion":""#;
    let template = format!(r#"{head}"}},"data":"{value}"}}"#);
    Op::Put { key: key.into(), template: template.into(), revision_at: head.len() as u32, expect, ttl: None }
}

pub fn delete(key: &str, expect: Expect) -> Op {
    Op::Delete { key: key.into(), expect }
}

async fn write(store: &dyn Store, op: Op) -> Result<Outcome, Error> {
    Ok(store.txn(vec![op], Durability::Synced).await?.remove(0))
}

/// `/registry/x/n/a=1@3` for each.
fn told(objects: &[Arc<machinery::object::Stored>]) -> String {
    objects.iter().map(|object| tell(object)).collect::<Vec<_>>().join(" ")
}

fn tell(object: &machinery::object::Stored) -> String {
    let value: serde_json::Value = serde_json::from_slice(&object.json).expect("stored objects are JSON");
    assert_eq!(value["metadata"]["resourceVersion"], object.revision.to_string(), "the bytes carry the revision");
    format!("{}={}@{}", object.key, value["data"].as_str().unwrap_or_default(), object.revision)
}

fn tell_changes(changes: &[Change]) -> String {
    let sign = |change: &Change| if change.deleted { "-" } else { "+" };
    changes.iter().map(|change| format!("{}{}", sign(change), tell(&change.object))).collect::<Vec<_>>().join(" ")
}

async fn writes_are_read_back(store: &dyn Store) {
    assert!(store.get("/registry/x/n/a").await.unwrap().is_none());
    write(store, put("/registry/x/n/a", "1", Expect::Absent)).await.unwrap();
    let outcome = write(store, put("/registry/x/n/a", "2", Expect::Present)).await.unwrap();
    let (object, previous) = (outcome.object.unwrap(), outcome.previous.unwrap());
    assert_eq!((object.created, object.revision, previous.revision), (previous.revision, previous.revision + 1, object.created));
    assert_eq!(store.get("/registry/x/n/a").await.unwrap().unwrap().revision, object.revision);
    let gone = write(store, delete("/registry/x/n/a", Expect::Any)).await.unwrap().object.unwrap();
    assert_eq!(gone.revision, object.revision + 1, "a deletion is a revision of its own");
    assert!(store.get("/registry/x/n/a").await.unwrap().is_none());
    assert!(write(store, delete("/registry/x/n/a", Expect::Any)).await.unwrap().object.is_none());
}

async fn expectations_hold(store: &dyn Store) {
    let first = write(store, put("/registry/x/n/a", "1", Expect::Absent)).await.unwrap().object.unwrap();
    let refused = |result: Result<Outcome, Error>| match result {
        Err(Error::Conflict { index: 0, current }) => current.map(|current| current.revision),
        other => panic!("a conflict is expected, not {other:?}"),
    };
    assert_eq!(refused(write(store, put("/registry/x/n/a", "2", Expect::Absent)).await), Some(first.revision));
    assert_eq!(refused(write(store, put("/registry/x/n/a", "2", Expect::Revision(first.revision + 7))).await), Some(first.revision));
    assert_eq!(refused(write(store, put("/registry/x/n/b", "2", Expect::Present)).await), None);
    assert_eq!(refused(write(store, delete("/registry/x/n/a", Expect::Revision(first.revision + 7))).await), Some(first.revision));
    write(store, put("/registry/x/n/a", "2", Expect::Revision(first.revision))).await.unwrap();
}

async fn a_transaction_happens_whole_or_not_at_all(store: &dyn Store) {
    let before = store.revision();
    let ops = vec![put("/registry/x/n/a", "1", Expect::Absent), put("/registry/x/n/b", "1", Expect::Present)];
    assert!(matches!(store.txn(ops, Durability::Synced).await, Err(Error::Conflict { index: 1, .. })));
    assert_eq!((store.count("/registry/x/"), store.revision()), (0, before));
    let ops = vec![put("/registry/x/n/a", "1", Expect::Absent), put("/registry/x/n/b", "1", Expect::Absent)];
    let outcomes = store.txn(ops, Durability::Synced).await.unwrap();
    let revisions: Vec<u64> = outcomes.iter().map(|outcome| outcome.object.as_ref().unwrap().revision).collect();
    assert_eq!(revisions, [before + 1, before + 1], "one transaction, one revision");
}

async fn pages_of_a_list_show_one_moment(store: &dyn Store) {
    for (key, value) in [("a", "1"), ("b", "1"), ("c", "1"), ("d", "1")] {
        write(store, put(&format!("/registry/x/n/{key}"), value, Expect::Any)).await.unwrap();
    }
    write(store, put("/registry/xx/n/a", "other", Expect::Any)).await.unwrap();
    let first = store.list("/registry/x/", None, 2, At::Latest).await.unwrap();
    assert_eq!((first.more, first.remaining), (true, Some(2)));
    write(store, delete("/registry/x/n/c", Expect::Any)).await.unwrap();
    write(store, put("/registry/x/n/bb", "new", Expect::Any)).await.unwrap();
    write(store, put("/registry/x/n/d", "2", Expect::Any)).await.unwrap();
    write(store, put("/registry/x/n/e", "new", Expect::Any)).await.unwrap();
    let then = At::Exactly(first.revision);
    let rest = store.list("/registry/x/", Some("/registry/x/n/b"), 10, then).await.unwrap();
    let moment = format!("{} {}", told(&first.objects), told(&rest.objects));
    let keys: Vec<&str> = moment.split(' ').map(|part| part.split('@').next().unwrap_or_default()).collect();
    assert_eq!(keys, ["/registry/x/n/a=1", "/registry/x/n/b=1", "/registry/x/n/c=1", "/registry/x/n/d=1"]);
    assert!(!rest.more);
    let newest = store.list("/registry/x/", None, 0, At::Latest).await.unwrap();
    assert_eq!(newest.objects.len(), 5);
    let future = store.list("/registry/x/", None, 0, At::NotOlderThan(newest.revision + 1)).await;
    assert!(matches!(future, Err(Error::Future { .. })));
    store.compact(newest.revision).await.unwrap();
    assert!(matches!(store.list("/registry/x/", None, 0, then).await, Err(Error::Compacted { .. })));
}

async fn a_watch_misses_nothing(store: Arc<dyn Store>) {
    write(&*store, put("/registry/x/n/a", "1", Expect::Any)).await.unwrap();
    let from = store.revision();
    let mut all = store.watch("/registry/x/", from).unwrap();
    let mut one = store.watch("/registry/x/n/b", from).unwrap();
    let writer = store.clone();
    let task = tokio::spawn(async move {
        for op in
            [put("/registry/x/n/b", "1", Expect::Any), put("/registry/y/n/z", "1", Expect::Any), delete("/registry/x/n/a", Expect::Any)]
        {
            write(&*writer, op).await.unwrap();
        }
    });
    let mut seen = Vec::new();
    while seen.len() < 2 {
        seen.extend(all.next(10).await.unwrap());
    }
    task.await.unwrap();
    let expected = format!("+/registry/x/n/b=1@{} -/registry/x/n/a=1@{}", from + 1, from + 3);
    assert_eq!(tell_changes(&seen), expected);
    assert_eq!(seen[1].previous.as_ref().unwrap().revision, from);
    assert_eq!(tell_changes(&one.next(10).await.unwrap()), format!("+/registry/x/n/b=1@{}", from + 1));
    let mut replay = store.watch("/registry/x/", from).unwrap();
    assert_eq!(tell_changes(&replay.next(1).await.unwrap()), format!("+/registry/x/n/b=1@{}", from + 1), "a limit is kept");
    assert_eq!(replay.progress(), from + 1);
}

async fn a_watch_ends_when_its_place_is_gone(store: &dyn Store) {
    write(store, put("/registry/x/n/a", "1", Expect::Any)).await.unwrap();
    let from = store.revision();
    let mut slow = store.watch("/registry/x/", from).unwrap();
    write(store, put("/registry/x/n/a", "2", Expect::Any)).await.unwrap();
    write(store, put("/registry/x/n/a", "3", Expect::Any)).await.unwrap();
    store.compact(store.revision()).await.unwrap();
    assert!(matches!(slow.next(10).await, Err(Error::Compacted { .. })));
    assert!(matches!(store.watch("/registry/x/", from), Err(Error::Compacted { .. })));
    assert!(matches!(store.watch("/registry/x/", store.revision() + 1), Err(Error::Future { .. })));
}

async fn an_object_lives_as_long_as_its_time(store: &dyn Store) {
    let Op::Put { key, template, revision_at, expect, .. } = put("/registry/events/n/e", "1", Expect::Any) else { unreachable!() };
    let short = Op::Put { key, template, revision_at, expect, ttl: Some(Duration::from_millis(30)) };
    write(store, short).await.unwrap();
    let from = store.revision();
    assert!(store.get("/registry/events/n/e").await.unwrap().is_some());
    tokio::time::sleep(Duration::from_millis(60)).await;
    let gone = async {
        while store.get("/registry/events/n/e").await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone).await.expect("it expires");
    let mut watch = store.watch("/registry/events/", from).unwrap();
    assert!(watch.next(10).await.unwrap()[0].deleted, "expiry is told as a deletion");
}

async fn concurrent_writers_get_one_order(store: Arc<dyn Store>) {
    const WRITERS: usize = 8;
    const EACH: usize = 25;
    let from = store.revision();
    let tasks: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                for n in 0..EACH {
                    write(&*store, put(&format!("/registry/x/w{writer}/o{n}"), "1", Expect::Absent)).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let mut watch = store.watch("/registry/x/", from).unwrap();
    let mut seen = Vec::new();
    while seen.len() < WRITERS * EACH {
        seen.extend(watch.next(64).await.unwrap().iter().map(|change| change.revision));
    }
    assert_eq!(seen, (from + 1..=from + (WRITERS * EACH) as u64).collect::<Vec<_>>(), "no gap, no repeat");
}
