//! Errors as RFC 9457 problem documents.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use pgherd_config::Invalid;
use pgherd_store::{StoreError, StoreErrorKind};
use serde::Serialize;
use utoipa::ToSchema;

/// What went wrong, as `application/problem+json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Problem {
    /// Names the kind of problem: `urn:pgherd:problem:<kind>`.
    #[serde(rename = "type")]
    #[schema(example = "urn:pgherd:problem:validation")]
    kind: String,
    /// The kind in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What happened here and what to do about it.
    detail: String,
    /// Each error in the document that was sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Fault>,
}

/// One error in a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Fault {
    /// JSON pointer (RFC 6901) into the document that was sent.
    pub pointer: String,
    /// A fixed word for programs.
    pub code: String,
    /// A sentence for people.
    pub message: String,
}

impl From<Invalid> for Fault {
    fn from(invalid: Invalid) -> Self {
        Self { pointer: invalid.pointer, code: invalid.code.to_owned(), message: invalid.message }
    }
}

/// The kinds of problems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The request cannot be read.
    Malformed,
    /// No token, or a wrong one.
    Unauthenticated,
    /// The token's role does not suffice.
    Forbidden,
    /// There is no such thing.
    NotFound,
    /// The resource does not know the method.
    MethodNotAllowed,
    /// It stands against what is there.
    Conflict,
    /// The writer's version is not the current one.
    PreconditionFailed,
    /// The body is too large.
    PayloadTooLarge,
    /// The body is not JSON.
    UnsupportedMediaType,
    /// The document breaks rules.
    Validation,
    /// The writer must say which version it knows.
    PreconditionRequired,
    /// The database is away.
    Unavailable,
    /// A bug.
    Internal,
}

impl Kind {
    /// Slug, status and title.
    fn parts(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::Malformed => ("malformed", StatusCode::BAD_REQUEST, "The request cannot be read"),
            Self::Unauthenticated => {
                ("unauthenticated", StatusCode::UNAUTHORIZED, "A token is needed")
            }
            Self::Forbidden => {
                ("forbidden", StatusCode::FORBIDDEN, "The token's role does not allow this")
            }
            Self::NotFound => ("not-found", StatusCode::NOT_FOUND, "There is no such resource"),
            Self::MethodNotAllowed => (
                "method-not-allowed",
                StatusCode::METHOD_NOT_ALLOWED,
                "The resource does not know this method",
            ),
            Self::Conflict => {
                ("conflict", StatusCode::CONFLICT, "This conflicts with what is there")
            }
            Self::PreconditionFailed => (
                "precondition-failed",
                StatusCode::PRECONDITION_FAILED,
                "The resource was changed meanwhile",
            ),
            Self::PayloadTooLarge => {
                ("payload-too-large", StatusCode::PAYLOAD_TOO_LARGE, "The body is too large")
            }
            Self::UnsupportedMediaType => (
                "unsupported-media-type",
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "The body is not JSON",
            ),
            Self::Validation => (
                "validation",
                StatusCode::UNPROCESSABLE_ENTITY,
                "The document is not valid; nothing was changed",
            ),
            Self::PreconditionRequired => (
                "precondition-required",
                StatusCode::PRECONDITION_REQUIRED,
                "The request must say which version it changes",
            ),
            Self::Unavailable => (
                "unavailable",
                StatusCode::SERVICE_UNAVAILABLE,
                "The control plane's database is away",
            ),
            Self::Internal => {
                ("internal", StatusCode::INTERNAL_SERVER_ERROR, "An error in the control plane")
            }
        }
    }
}

impl Problem {
    /// A problem of a kind, with what happened here.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let (slug, status, title) = kind.parts();
        Self {
            kind: format!("urn:pgherd:problem:{slug}"),
            title,
            status: status.as_u16(),
            detail: detail.into(),
            errors: Vec::new(),
        }
    }

    /// A document that breaks rules.
    pub fn invalid(what: &str, errors: Vec<Fault>) -> Self {
        let count = errors.len();
        let plural = if count == 1 { "error" } else { "errors" };
        Self { errors, ..Self::new(Kind::Validation, format!("{what}: {count} {plural}")) }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).expect("made from a StatusCode");
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        match status {
            StatusCode::UNAUTHORIZED => {
                let challenge = HeaderValue::from_static("Bearer realm=\"pgherd\"");
                headers.insert(header::WWW_AUTHENTICATE, challenge);
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error.kind() {
            StoreErrorKind::Unavailable => {
                tracing::warn!(?error, "a request failed because the database is away");
                Self::new(
                    Kind::Unavailable,
                    "nothing was changed, or it is not known; proxies go on with what they have; \
                     try again",
                )
            }
            StoreErrorKind::Duplicate => {
                Self::new(Kind::Conflict, "there is already one of that name")
            }
            StoreErrorKind::Internal => {
                tracing::error!(?error, "a request failed");
                Self::new(Kind::Internal, "the control plane's log says more")
            }
        }
    }
}

/// Answers for paths below `/api` that do not exist.
pub async fn no_such_resource() -> Problem {
    Problem::new(Kind::NotFound, "/api/docs lists the resources")
}

/// Answers for methods that a resource does not know.
pub async fn method_not_allowed() -> Problem {
    Problem::new(Kind::MethodNotAllowed, "/api/docs lists the methods of each resource")
}
