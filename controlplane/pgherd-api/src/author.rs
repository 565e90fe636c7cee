//! Who changes something and why: the token's name, and a reason from a header or the query.

use axum::http::HeaderMap;
use pgherd_fleet::Identity;
use pgherd_store::change::Author;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{Kind, Problem};

/// Longest reason, in bytes.
const MAX_REASON: usize = 1_000;

/// Why something is changed.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Reason {
    /// Why this is changed; kept with the revision. The header `X-Reason` does the same.
    pub reason: Option<String>,
}

impl Reason {
    /// The author of a change.
    pub fn author(self, identity: Identity, headers: &HeaderMap) -> Result<Author, Problem> {
        let from_header = match headers.get("x-reason") {
            None => None,
            Some(value) => Some(
                String::from_utf8(value.as_bytes().to_vec())
                    .map_err(|_| Problem::new(Kind::Malformed, "X-Reason is not UTF-8"))?,
            ),
        };
        let reason = from_header.or(self.reason).map(|reason| reason.trim().to_owned());
        let reason = reason.filter(|reason| !reason.is_empty());
        if let Some(reason) = &reason {
            if reason.len() > MAX_REASON {
                let detail = format!("the reason is longer than {MAX_REASON} bytes");
                return Err(Problem::new(Kind::Malformed, detail));
            }
            if reason.contains('\0') {
                return Err(Problem::new(Kind::Malformed, "the reason contains a NUL"));
            }
        }
        Ok(Author { name: identity.name, reason })
    }
}
