//! An API with its database, and requests to it.

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request, StatusCode},
};
use http_body_util::BodyExt as _;
use pgherd_api::ApiState;
use pgherd_fleet::Fleet;
use pgherd_harness::postgres::Postgres;
use pgherd_store::{Role, SecretKey, Store};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

pub struct Api {
    pub postgres: Postgres,
    pub store: Store,
    pub fleet: Fleet,
    router: Router,
    /// The token that [`Api::call`] sends.
    pub token: String,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Api {
    pub async fn start() -> Self {
        let postgres = Postgres::start().unwrap();
        postgres.create_database("control").unwrap();
        let store = Store::new(&postgres.url("control"), SecretKey::random()).unwrap();
        store.prepare().await.unwrap();
        let token = store.create_token("root", Role::Admin, "test").await.unwrap().text;
        let fleet = Fleet::load(store.clone(), CancellationToken::new()).await.unwrap();
        tokio::spawn(fleet.clone().run());
        let router = pgherd_api::router(ApiState::new(store.clone(), fleet.clone()));
        Self { postgres, store, fleet, router, token }
    }

    /// Sends a request with further headers and, unless it is empty, a JSON body.
    pub async fn call(&self, line: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let (method, path) = line.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(path);
        if !headers.iter().any(|(name, _)| *name == "authorization") {
            request = request.header("authorization", format!("Bearer {}", self.token));
        }
        if !body.is_empty() && !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let text = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(text.to_vec()).unwrap(),
        }
    }

    /// The body of an answer that goes on.
    pub async fn stream(&self, path: &str) -> Body {
        let request = Request::builder()
            .uri(path)
            .header("authorization", format!("Bearer {}", self.token))
            .body(Body::empty())
            .unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        response.into_body()
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call(&format!("GET {path}"), &[], "").await
    }
}

impl Answer {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Status and what matters of the body, for rows of expectations.
    pub fn summary(&self) -> String {
        let status = self.status.as_u16();
        if self.header("content-type") != "application/problem+json" {
            return status.to_string();
        }
        let problem = self.json();
        assert_eq!(problem["status"], status);
        let kind = problem["type"].as_str().unwrap().rsplit(':').next().unwrap().to_owned();
        let mut text = format!("{status} {kind}: {}", problem["detail"].as_str().unwrap());
        for error in problem["errors"].as_array().into_iter().flatten() {
            let part = |name: &str| error[name].as_str().unwrap().to_owned();
            text += &format!("\n  {} [{}] {}", part("pointer"), part("code"), part("message"));
        }
        text
    }
}

/// A cluster document.
pub fn cluster(name: &str, password: &str) -> Value {
    json!({
        "name": name,
        "users": [{"name": "app", "password": password}],
        "shards": [{"instances": [{"host": "127.0.0.1", "role": "primary"}]}],
    })
}
