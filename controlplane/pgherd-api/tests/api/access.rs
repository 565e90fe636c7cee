//! Who may do what.

use axum::http::StatusCode;
use pgherd_store::Role;
use serde_json::json;

use crate::call::{Api, cluster};

#[tokio::test(flavor = "multi_thread")]
async fn each_role_may_do_its_own() {
    let api = Api::start().await;
    let mut tokens = Vec::new();
    for role in [Role::Proxy, Role::Viewer, Role::Operator, Role::Admin] {
        let token = api.store.create_token(role.as_str(), role, "test").await.unwrap();
        tokens.push(format!("Bearer {}", token.text));
    }
    api.fleet.refresh().await;
    let body = cluster("app", "1").to_string();
    let put = ("if-match", "*");
    let table = [
        // Who may: proxy, viewer, operator, admin.
        ("GET /api/v1/session", "", [false, true, true, true]),
        ("GET /api/v1/clusters", "", [false, true, true, true]),
        ("GET /api/v1/revisions", "", [false, true, true, true]),
        ("GET /api/v1/proxies", "", [false, true, true, true]),
        ("POST /api/v1/clusters", body.as_str(), [false, false, true, true]),
        ("PUT /api/v1/clusters/app", body.as_str(), [false, false, true, true]),
        ("DELETE /api/v1/clusters/app", "", [false, false, true, true]),
        ("POST /api/v1/revisions/1/rollback", "", [false, false, true, true]),
        ("DELETE /api/v1/proxies/x", "", [false, false, true, true]),
        ("GET /api/v1/tokens", "", [false, false, false, true]),
        ("POST /api/v1/tokens", "{}", [false, false, false, true]),
        ("GET /api/v1/audit", "", [false, false, false, true]),
    ];
    for (line, body, allowed) in table {
        for (token, allowed) in tokens.iter().zip(allowed) {
            let answer = api.call(line, &[("authorization", token), put], body).await;
            let was_allowed = answer.status != StatusCode::FORBIDDEN;
            assert_eq!(was_allowed, allowed, "{line} with {token}: {}", answer.text);
        }
        for wrong in ["Bearer nonsense", "Basic cm9vdDp4", "", "Bearer"] {
            let answer = api.call(line, &[("authorization", wrong), put], body).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{line} with {wrong:?}");
            assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"pgherd\"");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_shown_once_works_and_stops_when_revoked() {
    let api = Api::start().await;
    let body = json!({"name": "ci", "role": "viewer"}).to_string();
    let made = api.call("POST /api/v1/tokens", &[], &body).await;
    assert_eq!(made.status, StatusCode::CREATED);
    let text = made.json()["token"].as_str().unwrap().to_owned();
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let listed = api.get("/api/v1/tokens").await;
    assert!(!listed.text.contains(&text) && listed.text.contains(&id));
    let twice = api.call("POST /api/v1/tokens", &[], &body).await;
    assert_eq!(twice.summary(), "409 conflict: a token in use is named \"ci\"");
    let bearer = format!("Bearer {text}");
    let session =
        async || api.call("GET /api/v1/session", &[("authorization", bearer.as_str())], "").await;
    assert_eq!(session().await.json()["name"], "ci");
    let revoked = api.call(&format!("DELETE /api/v1/tokens/{id}"), &[], "").await;
    assert_eq!(revoked.status, StatusCode::NO_CONTENT);
    assert_eq!(session().await.status, StatusCode::UNAUTHORIZED);
    let again = api.call(&format!("DELETE /api/v1/tokens/{id}"), &[], "").await;
    assert_eq!(again.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_does_not_revoke_itself() {
    let api = Api::start().await;
    let id = api.get("/api/v1/tokens").await.json()["tokens"][0]["id"].clone();
    let line = format!("DELETE /api/v1/tokens/{}", id.as_str().unwrap());
    let refused = api.call(&line, &[], "").await;
    assert_eq!(refused.summary(), "409 conflict: a token does not revoke itself: use another one");
}
