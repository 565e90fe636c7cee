//! Manual bans: ordered, changed, lifted; what is wrong with an order.

use axum::http::StatusCode;
use expect_test::{Expect, expect};
use pgherd_store::Role;
use serde_json::{Value, json};

use crate::call::Api;

/// An API whose topology has two instances on one host and one on another.
async fn start() -> Api {
    let api = Api::start().await;
    let cluster = json!({
        "name": "app",
        "users": [{"name": "app", "password": "geheim"}],
        "shards": [{"instances": [
            {"host": "db-1", "role": "primary"},
            {"host": "db-2", "port": 5433, "role": "replica"},
            {"host": "db-2", "port": 5434, "role": "replica"},
        ]}],
    });
    let put = api.call("PUT /api/v1/clusters/app", &[], &cluster.to_string()).await;
    assert_eq!(put.status, StatusCode::CREATED, "{}", put.text);
    api
}

async fn post(api: &Api, order: &Value) -> crate::call::Answer {
    api.call("POST /api/v1/bans", &[], &order.to_string()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ban_is_ordered_changed_and_lifted() {
    let api = start().await;
    assert_eq!(api.get("/api/v1/bans").await.json()["bans"], json!([]));
    let order = json!({"host": "db-2", "port": 5433, "reason": "disk", "duration": "1h"});
    let made = post(&api, &order).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let ban = made.json();
    let id = ban["id"].as_str().unwrap().to_owned();
    assert_eq!(made.header("location"), format!("/api/v1/bans/{id}"));
    assert_eq!(ban["source"], "manual");
    assert_eq!(ban["class"], "manual");
    assert_eq!((&ban["author"], &ban["reason"]), (&json!("root"), &json!("disk")));
    assert_eq!(ban["places"], json!([{"cluster": "app", "shard": 0}]));
    let left = ban["remaining_seconds"].as_u64().unwrap();
    assert!((3590..=3600).contains(&left), "{left}");

    // Sent again it is the same ban; with another time it changes.
    assert_eq!(post(&api, &order).await.status, StatusCode::OK);
    let endless = json!({"host": "db-2", "port": 5433, "reason": "smoke"});
    let changed = post(&api, &endless).await;
    assert_eq!(changed.status, StatusCode::OK);
    assert_eq!(changed.json()["id"], json!(id));
    let bans = api.get("/api/v1/bans").await.json()["bans"].clone();
    assert_eq!(bans.as_array().unwrap().len(), 1);
    assert_eq!(
        (&bans[0]["remaining_seconds"], &bans[0]["reason"]),
        (&Value::Null, &json!("smoke"))
    );

    let lift = format!("DELETE /api/v1/bans/{id}");
    assert_eq!(api.call(&lift, &[], "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(api.get("/api/v1/bans").await.json()["bans"], json!([]));
    assert_eq!(api.call(&lift, &[], "").await.status, StatusCode::NOT_FOUND);
    let audit = api.get("/api/v1/audit?limit=4").await.json();
    let audit: Vec<_> = audit["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (entry["action"].as_str().unwrap(), entry["target"].as_str().unwrap()))
        .collect();
    let target = "db-2:5433";
    let expected = ["ban.lift", "ban.change", "ban.change", "ban.create"];
    assert_eq!(audit, expected.map(|action| (action, target)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_port_may_be_left_out_where_it_is_clear() {
    let api = start().await;
    let made = post(&api, &json!({"host": "db-1", "cluster": "app", "reason": "x"})).await;
    assert_eq!((made.status, &made.json()["port"]), (StatusCode::CREATED, &json!(5432)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_an_order_is_told() {
    let api = start().await;
    let check = async |order: Value, expected: Expect| {
        expected.assert_eq(&post(&api, &order).await.summary());
    };
    check(
        json!({"host": "db-9", "cluster": "app", "reason": " ", "duration": "soon"}),
        expect![[r#"
            422 validation: the ban: 3 errors
              /reason [bad_length] a reason has 1 to 1000 bytes
              /duration [bad_duration] a whole number must stand before each unit
              /host [unknown_instance] the cluster "app" has no instance db-9"#]],
    )
    .await;
    check(
        json!({"host": "db-2", "reason": "x"}),
        expect![[r#"
        422 validation: the ban: 1 error
          /port [ambiguous] db-2 has instances on the ports 5433, 5434"#]],
    )
    .await;
    check(
        json!({"host": "db-1", "cluster": "shop", "reason": "x", "duration": "0s"}),
        expect![[r#"
            422 validation: the ban: 2 errors
              /duration [bad_duration] a ban for no time is none; leave it out for one without end
              /cluster [unknown_cluster] there is no cluster "shop""#]],
    )
    .await;
    check(json!({"host": "db-1", "reason": "x", "until": "noon"}), expect!["422 validation: Failed to deserialize the JSON body into the target type: until: unknown field `until`, expected one of `host`, `port`, `cluster`, `reason`, `duration` at line 1 column 35"])
        .await;
    check(json!({"host": "db-1"}), expect!["422 validation: Failed to deserialize the JSON body into the target type: missing field `reason` at line 1 column 15"]).await;
    let unknown = api.call("DELETE /api/v1/bans/nonsense", &[], "").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    assert_eq!(api.get("/api/v1/bans").await.json()["bans"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_sees_bans_and_orders_none() {
    let api = start().await;
    let viewer = api.store.create_token("v", Role::Viewer, "test").await.unwrap();
    api.fleet.refresh().await;
    let bearer = format!("Bearer {}", viewer.text);
    let headers = [("authorization", bearer.as_str())];
    assert_eq!(api.call("GET /api/v1/bans", &headers, "").await.status, StatusCode::OK);
    assert_eq!(api.call("GET /api/v1/instances", &headers, "").await.status, StatusCode::OK);
    let order = json!({"host": "db-1", "reason": "x"}).to_string();
    let refused = api.call("POST /api/v1/bans", &headers, &order).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let line = format!("DELETE /api/v1/bans/{}", uuid::Uuid::nil());
    assert_eq!(api.call(&line, &headers, "").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_bans() {
    let api = start().await;
    post(&api, &json!({"host": "db-1", "reason": "x"})).await;
    let text = api.get("/metrics").await.text;
    for line in [
        "pgherd_control_bans{source=\"manual\"} 1",
        "pgherd_control_bans{source=\"fleet\"} 0",
        "pgherd_control_bans_held_back 0",
        "pgherd_control_fleet_bans_made_total 0",
    ] {
        assert!(text.contains(line), "no {line} in {text}");
    }
}
