use super::*;
use crate::body::Body;
use crate::identity::Identity;
use crate::service::Service;
use expect_test::expect;
use futures::future::BoxFuture;
use http::{Request, Response};
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;
use std::collections::VecDeque;

fn map(name: &str, version: u64) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name, "namespace": "x", "resourceVersion": version.to_string()}})).unwrap()
}

fn tell(delta: &Delta<ConfigMap>) -> String {
    let name = |object: &Arc<ConfigMap>| format!("{}@{}", object.metadata.name.clone().unwrap(), version_of(&**object));
    match delta {
        Delta::Added(object) => format!("+{}", name(object)),
        Delta::Updated { old, new } => format!("{}→{}", name(old), name(new)),
        Delta::Deleted(object) => format!("-{}", name(object)),
    }
}

#[test]
fn an_older_state_changes_nothing() {
    let cache = Cache::new();
    assert!(cache.apply(Arc::new(map("a", 5))).is_some());
    assert!(cache.apply(Arc::new(map("a", 5))).is_none());
    assert!(cache.apply(Arc::new(map("a", 4))).is_none());
    assert_eq!(cache.version(), 5);
}

#[test]
fn a_new_list_tells_the_difference_even_of_a_restored_server() {
    let cache = Cache::new();
    for object in [map("a", 5), map("b", 6), map("c", 7)] {
        cache.apply(Arc::new(object));
    }
    let deltas = cache.replace(vec![Arc::new(map("b", 6)), Arc::new(map("c", 3)), Arc::new(map("d", 4))]);
    expect!["-a@5 c@7→c@3 +d@4"].assert_eq(&deltas.iter().map(tell).collect::<Vec<_>>().join(" "));
}

#[test]
fn indexes_follow_the_objects() {
    let cache: Cache<ConfigMap> = Cache::new();
    cache.apply(Arc::new(map("a", 1)));
    cache.add_index("version", |object| vec![object.metadata.resource_version.clone().unwrap()]);
    assert_eq!(cache.by_index("version", "1").len(), 1);
    cache.apply(Arc::new(map("a", 2)));
    assert_eq!((cache.by_index("version", "1").len(), cache.by_index("version", "2").len()), (0, 1));
    cache.remove(Arc::new(map("a", 3)));
    assert_eq!(cache.by_index("version", "2").len(), 0);
}

/// Answers requests with what was prepared, in order, and notes what was asked; afterwards it hangs.
struct Script {
    answers: Mutex<VecDeque<(u16, serde_json::Value)>>,
    asked: Mutex<Vec<String>>,
}

impl Service for Script {
    fn call(&self, request: Request<Body>) -> BoxFuture<'static, Response<Body>> {
        self.asked.lock().push(request.uri().query().unwrap_or_default().to_string());
        match self.answers.lock().pop_front() {
            None => Box::pin(futures::future::pending()),
            Some((code, value)) => {
                let text = match &value {
                    serde_json::Value::Array(lines) => lines.iter().map(|line| format!("{line}\n")).collect(),
                    other => other.to_string(),
                };
                let response = Response::builder().status(code).body(Body::from(text.into_bytes())).unwrap();
                Box::pin(async move { response })
            }
        }
    }
}

fn list(version: u64, items: &[ConfigMap]) -> (u16, serde_json::Value) {
    (200, json!({"metadata": {"resourceVersion": version.to_string()}, "items": items}))
}

fn event(kind: &str, object: &ConfigMap) -> serde_json::Value {
    json!({"type": kind, "object": object})
}

#[tokio::test(start_paused = true)]
async fn takes_a_broken_watch_up_again_and_lists_after_an_expired_one() {
    let gone = json!({"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}});
    let bookmark = json!({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "9"}}});
    let answers = VecDeque::from([
        list(3, &[map("a", 2)]),
        (200, json!([event("ADDED", &map("b", 4)), bookmark])),
        (200, json!([gone])),
        list(12, &[map("b", 11)]),
    ]);
    let script = Arc::new(Script { answers: Mutex::new(answers), asked: Mutex::default() });
    let client = Client::in_process(script.clone(), Identity::default(), "test");
    let informer = Informer::<ConfigMap>::start(client, ListOptions::default());
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let sink = told.clone();
    informer.subscribe(move |delta| sink.lock().push(tell(delta)));
    informer.cache.reached(12).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    expect!["+a@2 +b@4 -a@2 b@4→b@11"].assert_eq(&told.lock().join(" "));
    let asked: Vec<String> = script.asked.lock().iter().map(|query| query.rsplit('=').next().unwrap_or_default().to_string()).collect();
    expect![[r#"" 3 9  12""#]].assert_eq(&format!("{:?}", asked.join(" ")));
}

#[tokio::test(start_paused = true)]
async fn ends_with_its_last_holder() {
    let script = Arc::new(Script { answers: Mutex::default(), asked: Mutex::default() });
    let client = Client::in_process(script.clone(), Identity::default(), "test");
    let informer = Informer::<ConfigMap>::start(client, ListOptions::default());
    let cache = Arc::downgrade(&informer.cache);
    tokio::task::yield_now().await;
    drop(informer);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(cache.upgrade().is_none());
}
