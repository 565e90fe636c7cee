//! The dashboard's files, embedded in the binary.

use axum::{
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};

/// Everything from here, nothing inline, and no page around it.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; font-src 'self'; connect-src 'self'; manifest-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

#[cfg(feature = "dashboard")]
#[derive(rust_embed::RustEmbed)]
#[folder = "$OUT_DIR/page"]
struct Files;

/// One file of the page.
struct File {
    data: std::borrow::Cow<'static, [u8]>,
    kind: String,
    tag: String,
}

/// Serves the page; its own paths (anything without a dot) all lead to `index.html`.
pub async fn serve(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    if method != Method::GET && method != Method::HEAD {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let path = uri.path().trim_start_matches('/');
    let is_asset = path.starts_with("assets/");
    let file = match find(path) {
        Some(file) => file,
        None if path.contains('.') || is_asset => return StatusCode::NOT_FOUND.into_response(),
        None => match find("index.html") {
            Some(file) => file,
            None => return without_page(),
        },
    };
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|tag| tag == file.tag.as_str());
    let mut response =
        if known { StatusCode::NOT_MODIFIED.into_response() } else { file.data.into_response() };
    let set = response.headers_mut();
    let text = |value: &str| HeaderValue::from_str(value).ok();
    // Names of assets contain the hash of their content.
    let cache = if is_asset { "public, max-age=31536000, immutable" } else { "no-cache" };
    for (name, value) in [
        (header::CONTENT_TYPE, text(&file.kind)),
        (header::ETAG, text(&file.tag)),
        (header::CACHE_CONTROL, text(cache)),
        (header::CONTENT_SECURITY_POLICY, text(CONTENT_SECURITY_POLICY)),
        (header::X_CONTENT_TYPE_OPTIONS, text("nosniff")),
        (header::REFERRER_POLICY, text("no-referrer")),
    ] {
        if let Some(value) = value {
            set.insert(name, value);
        }
    }
    response
}

#[cfg(feature = "dashboard")]
fn find(path: &str) -> Option<File> {
    use std::fmt::Write as _;

    let file = Files::get(if path.is_empty() { "index.html" } else { path })?;
    let mut tag = String::from("\"");
    for byte in &file.metadata.sha256_hash()[..16] {
        write!(tag, "{byte:02x}").expect("writing to a string never fails");
    }
    tag.push('"');
    let mut kind = file.metadata.mimetype().to_owned();
    if kind.starts_with("text/") {
        kind.push_str("; charset=utf-8");
    }
    Some(File { data: file.data, kind, tag })
}

#[cfg(not(feature = "dashboard"))]
fn find(_: &str) -> Option<File> {
    None
}

fn without_page() -> Response {
    "This build of the pgherd control plane has no dashboard. The API: /api/docs\n".into_response()
}

#[cfg(all(test, feature = "dashboard"))]
mod tests {
    use axum::http::{HeaderMap, Method, StatusCode, header};

    #[tokio::test]
    async fn paths_of_the_page_lead_to_it_and_missing_files_do_not() {
        let get = async |path: &str| {
            super::serve(Method::GET, path.parse().unwrap(), HeaderMap::new()).await
        };
        let root = get("/").await;
        assert_eq!(root.status(), StatusCode::OK);
        assert_eq!(root.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
        assert_eq!(get("/proxies/a").await.status(), StatusCode::OK);
        assert_eq!(get("/favicon.txt").await.status(), StatusCode::NOT_FOUND);
        assert_eq!(get("/assets/gone").await.status(), StatusCode::NOT_FOUND);
    }

    #[tokio::test]
    async fn a_page_that_the_reader_has_is_not_sent_again() {
        let first = super::serve(Method::GET, "/".parse().unwrap(), HeaderMap::new()).await;
        let mut headers = HeaderMap::new();
        headers.insert(header::IF_NONE_MATCH, first.headers()[header::ETAG].clone());
        let again = super::serve(Method::GET, "/".parse().unwrap(), headers).await;
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    }
}
