//! The control plane's REST API as tests use it.

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::Value;

/// A client with a base address and a bearer token.
#[derive(Clone, Debug)]
pub struct Rest {
    base: String,
    token: String,
    client: reqwest::Client,
}

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, if it is JSON; else null.
    pub body: Value,
}

// === impl Rest ===

impl Rest {
    /// A client for `base` (`http://host:port`).
    pub fn new(base: String, token: &str) -> Self {
        Self { base, token: token.to_owned(), client: reqwest::Client::new() }
    }

    /// The same with another token.
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: token.to_owned(), ..self.clone() }
    }

    /// GET of a path below the base, such as `/api/v1/clusters`.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.send(Method::GET, path, &[], None).await
    }

    /// POST of a document.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        self.send(Method::POST, path, &[], Some(body)).await
    }

    /// PUT of a document, with `If-Match` when an ETag is given.
    pub async fn put(&self, path: &str, etag: Option<&str>, body: &Value) -> Result<Answer> {
        let headers: Vec<_> = etag.map(|etag| ("if-match", etag)).into_iter().collect();
        self.send(Method::PUT, path, &headers, Some(body)).await
    }

    /// DELETE with `If-Match`.
    pub async fn delete(&self, path: &str, etag: Option<&str>) -> Result<Answer> {
        let headers: Vec<_> = etag.map(|etag| ("if-match", etag)).into_iter().collect();
        self.send(Method::DELETE, path, &headers, None).await
    }

    /// Creates a cluster, or replaces it whatever its present state is.
    pub async fn put_cluster(&self, document: &Value) -> Result<Answer> {
        let name = document["name"].as_str().context("the cluster has no name")?;
        let path = format!("/api/v1/clusters/{}", name.replace('*', "%2A"));
        let present = self.get(&path).await?;
        let etag = if present.status == 200 { present.header("etag") } else { None };
        self.put(&path, etag.as_deref(), document).await?.success()
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Answer> {
        let url = format!("{}{path}", self.base);
        let mut request = self.client.request(method, &url).bearer_auth(&self.token);
        for &(name, value) in headers {
            request = request.header(name, value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.with_context(|| format!("no answer from {url}"))?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await?;
        Ok(Answer { status, headers, body: serde_json::from_slice(&bytes).unwrap_or_default() })
    }
}

// === impl Answer ===

impl Answer {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<String> {
        Some(self.headers.get(name)?.to_str().ok()?.to_owned())
    }

    /// Itself, if the status says that it went well.
    pub fn success(self) -> Result<Self> {
        ensure!((200..300).contains(&self.status), "status {}: {}", self.status, self.body);
        Ok(self)
    }
}
