//! No request waits for ever: a database that accepts connections and answers nothing must not
//! collect requests.

use std::time::Duration;

use axum::{
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use tokio::time::timeout;

use crate::{Kind, Problem};

/// Enough for a large document over a slow line.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Ends requests that take too long. The body of an answer may take as long as it likes.
pub async fn limit(request: Request, next: Next) -> Response {
    timeout(ANSWER_WITHIN, next.run(request)).await.unwrap_or_else(|_| {
        let seconds = ANSWER_WITHIN.as_secs();
        let detail = format!("no answer within {seconds} s; a change may have been made: read it");
        Problem::new(Kind::Unavailable, detail).into_response()
    })
}

#[cfg(test)]
mod tests {
    use axum::{Router, body::Body, http::Request, middleware, routing::get};
    use tower::ServiceExt as _;

    #[tokio::test(start_paused = true)]
    async fn a_request_that_hangs_is_answered() {
        let router = Router::new()
            .route("/", get(std::future::pending::<()>))
            .layer(middleware::from_fn(super::limit));
        let answer = router.oneshot(Request::new(Body::empty())).await.unwrap();
        assert_eq!(answer.status(), 503);
    }
}
