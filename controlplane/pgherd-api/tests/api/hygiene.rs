//! What every path has in common.

use axum::http::StatusCode;

use crate::call::Api;

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_problem_documents_everywhere_below_api() {
    let api = Api::start().await;
    for (line, summary) in [
        ("GET /api/v1/nothing", "404 not-found: /api/docs lists the resources"),
        ("GET /api/nothing", "404 not-found: /api/docs lists the resources"),
        (
            "PATCH /api/v1/clusters",
            "405 method-not-allowed: /api/docs lists the methods of each resource",
        ),
        (
            "GET /api/v1/revisions?limit=x",
            "400 malformed: Failed to deserialize query string: limit: invalid digit found in string",
        ),
        ("GET /api/v1/revisions/x", "404 not-found: Invalid URL: Cannot parse `x` to a `i64`"),
        ("GET /api/v1/proxies/x", "404 not-found: no proxy \"x\" has ever connected"),
    ] {
        assert_eq!(api.call(line, &[], "").await.summary(), summary, "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_metrics_and_documentation_need_no_token() {
    let api = Api::start().await;
    for path in ["/healthz", "/readyz", "/metrics", "/api/openapi.json", "/api/docs/"] {
        let answer = api.call(&format!("GET {path}"), &[("authorization", "")], "").await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
    }
    let metrics = api.get("/metrics").await.text;
    assert!(metrics.contains("\npgherd_control_database_available 1\n"), "{metrics}");
    assert!(metrics.ends_with("# EOF\n"));
}
