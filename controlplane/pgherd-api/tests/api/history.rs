//! Revisions, going back, and the audit log.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::call::{Api, cluster};

#[tokio::test(flavor = "multi_thread")]
async fn every_change_is_a_revision_and_can_be_undone() {
    let api = Api::start().await;
    let put = async |pool_size: u32, headers: &[(&str, &str)], query: &str| {
        let mut document = cluster("app", "geheim");
        document["pool_size"] = pool_size.into();
        let line = format!("PUT /api/v1/clusters/app{query}");
        api.call(&line, headers, &document.to_string()).await
    };
    put(5, &[("x-reason", "first")], "").await;
    put(6, &[("if-match", "\"1\"")], "?reason=more%20connections").await;
    let back = api.call("POST /api/v1/revisions/1/rollback?reason=too%20many", &[], "").await;
    assert_eq!((back.status, back.header("x-revision")), (StatusCode::OK, "3"));
    assert_eq!(api.get("/api/v1/clusters/app").await.json()["pool_size"], 5);

    let list = api.get("/api/v1/revisions").await.json();
    assert_eq!(list["current"], 3);
    let rows: Vec<Value> = list["revisions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| json!([r["number"], r["action"], r["author"], r["reason"], r["rolled_back_to"]]))
        .collect();
    assert_eq!(
        Value::from(rows),
        json!([
            [3, "rollback", "root", "too many", 1],
            [2, "put", "root", "more connections", null],
            [1, "put", "root", "first", null],
        ])
    );
    let page = api.get("/api/v1/revisions?before=3&limit=1").await.json();
    assert_eq!(page["revisions"][0]["number"], 2);
    let second = api.get("/api/v1/revisions/2").await;
    assert_eq!(second.json()["document"]["clusters"][0]["pool_size"], 6);
    assert!(!second.text.contains("geheim"));
    assert_eq!(api.get("/api/v1/revisions/9").await.status, StatusCode::NOT_FOUND);
    let missing = api.call("POST /api/v1/revisions/9/rollback", &[], "").await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);

    let audit = api.get("/api/v1/audit?limit=3").await.json();
    let actions: Vec<_> =
        audit["entries"].as_array().unwrap().iter().map(|e| &e["action"]).collect();
    assert_eq!(actions, ["revision.rollback", "cluster.put", "cluster.put"]);
}
