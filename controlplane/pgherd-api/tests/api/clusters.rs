//! Clusters: conditions, validation, secrets.

use axum::http::StatusCode;
use expect_test::{Expect, expect};
use serde_json::json;

use crate::call::{Api, cluster};

async fn check(
    api: &Api,
    line: &str,
    headers: &[(&str, &str)],
    body: impl ToString,
    expected: Expect,
) {
    expected.assert_eq(&api.call(line, headers, &body.to_string()).await.summary());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_made_read_changed_and_deleted() {
    let api = Api::start().await;
    let made = api.call("POST /api/v1/clusters", &[], &cluster("app", "s").to_string()).await;
    assert_eq!(made.status, StatusCode::CREATED);
    assert_eq!((made.header("etag"), made.header("x-revision")), ("\"1\"", "1"));
    assert_eq!(
        made.json(),
        json!({"revision": 1, "generation": 1, "changed": true, "warnings": []})
    );
    let read = api.get("/api/v1/clusters/app").await;
    assert_eq!((read.status, read.header("etag")), (StatusCode::OK, "\"1\""));
    assert_eq!(read.json()["users"], json!([{"name": "app", "password": "***"}]));
    let known = api.call("GET /api/v1/clusters/app", &[("if-none-match", "\"1\"")], "").await;
    assert_eq!((known.status, known.text.as_str()), (StatusCode::NOT_MODIFIED, ""));

    // What was read can be sent back: the secret stays.
    let mut document = read.json();
    document["pool_size"] = 7.into();
    let line = "PUT /api/v1/clusters/app";
    let changed = api.call(line, &[("if-match", "\"1\"")], &document.to_string()).await;
    assert_eq!((changed.status, changed.header("etag")), (StatusCode::OK, "\"2\""));
    let stored = api.store.current().await.unwrap().clusters.remove(0).cluster;
    assert_eq!((stored.pool_size, stored.users[0].password.expose()), (7, "s"));
    let again = api.call(line, &[("if-match", "*")], &document.to_string()).await;
    assert_eq!((again.json()["changed"].clone(), again.header("etag")), (false.into(), "\"2\""));

    let line = "DELETE /api/v1/clusters/app";
    let deleted = api.call(line, &[("if-match", "\"2\"")], "").await;
    assert_eq!((deleted.status, deleted.header("x-revision")), (StatusCode::OK, "3"));
    let all = api.get("/api/v1/clusters").await;
    assert_eq!(all.json(), json!({"revision": 3, "generation": 3, "clusters": []}));
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_say_what_they_change() {
    let api = Api::start().await;
    let put = "PUT /api/v1/clusters/app";
    let (one, two) = (cluster("app", "1").to_string(), cluster("app", "2").to_string());
    check(
        &api,
        put,
        &[("if-match", "\"1\"")],
        &one,
        expect![[
            r#"412 precondition-failed: there is no cluster "app": leave If-Match away to make it"#
        ]],
    )
    .await;
    check(&api, put, &[("if-none-match", "*")], &one, expect!["201"]).await;
    check(
        &api,
        put,
        &[("if-none-match", "*")],
        &two,
        expect![[
            r#"412 precondition-failed: the cluster "app" was last changed by revision 1: read it again and send its ETag in If-Match"#
        ]],
    )
    .await;
    check(
        &api,
        put,
        &[],
        &two,
        expect![[
            r#"428 precondition-required: the cluster "app" exists: send its ETag in If-Match"#
        ]],
    )
    .await;
    check(
        &api,
        "DELETE /api/v1/clusters/app",
        &[],
        "",
        expect![[
            r#"428 precondition-required: the cluster "app" exists: send its ETag in If-Match"#
        ]],
    )
    .await;
    check(
        &api,
        "POST /api/v1/clusters",
        &[],
        &two,
        expect![[
            r#"409 conflict: the cluster "app" exists already; PUT with If-Match replaces it"#
        ]],
    )
    .await;
    check(
        &api,
        "DELETE /api/v1/clusters/gone",
        &[("if-match", "*")],
        "",
        expect![[r#"404 not-found: there is no "gone""#]],
    )
    .await;
    assert_eq!(api.fleet.snapshot().state.revision, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_valid_changes_nothing_and_is_explained() {
    let api = Api::start().await;
    let first = api.call("PUT /api/v1/clusters/aaa", &[], &cluster("aaa", "1").to_string()).await;
    assert_eq!(first.status, StatusCode::CREATED);
    let put = "PUT /api/v1/clusters/app";
    check(
        &api,
        put,
        &[],
        json!({"pol_size": 3, "users": []}),
        expect![[r#"
            422 validation: the cluster: 1 error
              /pol_size [unknown_key] unknown key `pol_size`; did you mean `pool_size`?"#]],
    )
    .await;
    // The pointers are into what was sent, although it would be the second cluster of two.
    check(
        &api,
        put,
        &[],
        json!({"users": [], "shards": [{"instances": []}]}),
        expect![[r#"
            422 validation: app: 2 errors
              /users [no_users] the cluster has no users, so that nobody could log in
              /shards/0/instances [no_instances] the shard has no instances"#]],
    )
    .await;
    check(
        &api,
        put,
        &[],
        cluster("other", "1"),
        expect![[r#"
            422 validation: cluster app: 1 error
              /name [name_mismatch] the path says "app"; a cluster cannot be renamed"#]],
    )
    .await;
    check(
        &api,
        put,
        &[],
        cluster("app", "***"),
        expect![[r#"
            422 validation: app: 1 error
              /users/0/password [no_stored_secret] "***" keeps a stored secret, and there is none for this user"#]],
    )
    .await;
    check(
        &api,
        put,
        &[],
        "{",
        expect![
            "400 malformed: the body is not JSON: EOF while parsing an object at line 1 column 1"
        ],
    )
    .await;
    check(
        &api,
        put,
        &[("content-type", "text/plain")],
        "{}",
        expect!["415 unsupported-media-type: send the document as JSON with Content-Type: application/json"],
    )
    .await;
    let large = format!("{{\"name\": \"{}\"}}", "x".repeat(16 << 20));
    check(&api, put, &[], large, expect!["413 payload-too-large: at most 16 MiB are read"]).await;
    assert_eq!(api.fleet.snapshot().state.revision, 1);
    assert_eq!(api.store.fleet_state().await.unwrap().revision, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_is_away_reads_work_and_writes_say_why_not() {
    let mut api = Api::start().await;
    let document = cluster("app", "1").to_string();
    api.call("PUT /api/v1/clusters/app", &[], &document).await;
    api.postgres.stop().unwrap();
    assert_eq!(api.get("/api/v1/clusters/app").await.status, StatusCode::OK);
    let refused = api.call("PUT /api/v1/clusters/new", &[], &cluster("new", "1").to_string()).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.header("retry-after"), "1");
    let mut database = api.fleet.database();
    database.wait_for(|state| !state.available).await.unwrap();
    assert_eq!(api.get("/readyz").await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(api.get("/healthz").await.status, StatusCode::OK);
    api.postgres.restart().unwrap();
    database.wait_for(|state| state.available).await.unwrap();
    assert_eq!(api.get("/readyz").await.status, StatusCode::OK);
}
