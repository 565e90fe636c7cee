//! The stream of events.

use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt as _;
use serde_json::Value;
use tokio::time::timeout;

use crate::call::{Api, cluster};

/// Reads events from a body.
struct Events {
    body: Body,
    text: String,
}

impl Events {
    /// The next event; none when the stream ended.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name| event.lines().find_map(|line| line.strip_prefix(name));
                let parsed = field("event: ").zip(field("data: "));
                let parsed = parsed
                    .map(|(name, data)| (name.to_owned(), serde_json::from_str(data).unwrap()));
                self.text = rest.to_owned();
                if parsed.is_some() {
                    return parsed;
                }
                continue;
            }
            let frame = timeout(Duration::from_secs(20), self.body.frame()).await.unwrap()?;
            let data = frame.unwrap().into_data().unwrap();
            self.text += std::str::from_utf8(&data).unwrap();
        }
    }

    /// The next event of that name.
    async fn named(&mut self, name: &str) -> Value {
        loop {
            let (event, data) = self.next().await.expect("the stream ended");
            if event == name {
                return data;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_comes_at_once_and_changes_as_they_happen() {
    let api = Api::start().await;
    let mut events = Events { body: api.stream("/api/v1/events").await, text: String::new() };
    let mut first = Vec::new();
    // The instances come with the proxies and with the statistics.
    for _ in 0..7 {
        first.push(events.next().await.unwrap().0);
    }
    first.sort();
    first.dedup();
    let kinds = ["bans", "database", "instances", "proxies", "statistics", "topology"];
    assert_eq!(first, kinds);
    api.call("PUT /api/v1/clusters/app", &[], &cluster("app", "geheim").to_string()).await;
    let topology = events.named("topology").await;
    assert_eq!((&topology["generation"], &topology["revision"]), (&1.into(), &1.into()));
    let document = &topology["clusters"][0]["document"];
    assert_eq!(document["users"][0]["password"], "***");
    assert_eq!(events.named("proxies").await["current"]["generation"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_hears_nothing_more() {
    let mut api = Api::start().await;
    let root = std::mem::take(&mut api.token);
    let viewer = api.store.create_token("v", pgherd_store::Role::Viewer, "test").await.unwrap();
    api.fleet.refresh().await;
    api.token = viewer.text;
    let mut events = Events { body: api.stream("/api/v1/events").await, text: String::new() };
    events.named("topology").await;
    api.token = root;
    let line = format!("DELETE /api/v1/tokens/{}", viewer.row.id);
    api.call(&line, &[], "").await;
    while events.next().await.is_some() {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ban_is_told_within_a_second() {
    let api = Api::start().await;
    api.call("PUT /api/v1/clusters/app", &[], &cluster("app", "geheim").to_string()).await;
    let mut events = Events { body: api.stream("/api/v1/events").await, text: String::new() };
    assert_eq!(events.named("bans").await["bans"], serde_json::json!([]));
    let started = std::time::Instant::now();
    let order = r#"{"host": "127.0.0.1", "reason": "disk"}"#;
    api.call("POST /api/v1/bans", &[], order).await;
    while events.named("bans").await["bans"][0]["reason"] != "disk" {}
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
}
