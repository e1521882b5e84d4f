//! ImageLocality prefers nodes that have the pod's images, the more the larger they are.
use crate::cluster::Row;
use crate::framework::{Before, MAX_SCORE, Normal, Plugin};

/// Images smaller than this do not count, larger ones than that not more (per container).
const MIN_BYTES: i64 = 23 << 20;
const MAX_BYTES: i64 = 1000 << 20;

pub static IMAGE_LOCALITY: Plugin<Vec<String>> = Plugin {
    name: "ImageLocality",
    weight: 1,
    wakes_on: &[],
    prefilter: |pod, cluster| {
        let wanted: Vec<String> =
            pod.spec().into_iter().flat_map(|spec| &spec.containers).filter_map(|c| c.image.as_deref().map(full_name)).collect();
        // Where no node has any of them, or only one node is there, it makes no difference.
        let matters = cluster.rows.len() > 1 && cluster.nodes().any(|row| wanted.iter().any(|name| row.images.contains_key(name)));
        if matters { Before::Go(wanted) } else { Before::Skip }
    },
    filter: None,
    score: Some(score),
    normal: Normal::AsIs,
};

#[allow(clippy::ptr_arg)] // a plugin's functions take its state as it is
fn score(wanted: &Vec<String>, row: &Row) -> i64 {
    let there: i64 = wanted.iter().filter_map(|name| row.images.get(name)).sum();
    let most = MAX_BYTES * wanted.len() as i64;
    MAX_SCORE * (there.clamp(MIN_BYTES, most) - MIN_BYTES) / (most - MIN_BYTES)
}

/// An image without a tag means `latest`.
fn full_name(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    if last.contains(':') || last.contains('@') { image.into() } else { format!("{image}:latest") }
}
