//! `/tokens`: who may do what. A token is shown once, when it is made.

use axum::{Json, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use pgherd_store::{Role, StoreErrorKind, TokenRow};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{
    ApiState, Fault, Kind, Problem,
    identity::Admin,
    parameters::{self, Path},
};

const MAX_NAME: usize = 100;

pub fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(revoke))
}

/// A token without its text.
#[derive(Serialize, ToSchema)]
struct TokenEntry {
    /// Names it.
    id: String,
    /// The author of what it changes.
    name: String,
    /// `viewer`, `operator`, `admin` or `proxy`.
    role: &'static str,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// The name of the token that made it.
    created_by: String,
    /// When it was revoked.
    revoked_at: Option<DateTime<Utc>>,
}

/// All tokens.
#[derive(Serialize, ToSchema)]
struct Tokens {
    /// Oldest first; revoked ones included.
    tokens: Vec<TokenEntry>,
}

/// A token to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewToken {
    /// Unlike that of any token in use.
    name: String,
    /// `viewer`, `operator`, `admin` or `proxy`.
    role: String,
}

/// A token that was just made.
#[derive(Serialize, ToSchema)]
struct CreatedToken {
    #[serde(flatten)]
    entry: TokenEntry,
    /// What its holder sends. Shown this once.
    token: String,
}

/// Lists the tokens
#[utoipa::path(
    get, path = "/tokens", tag = "tokens",
    responses(
        (status = 200, body = Tokens), (status = 401, body = Problem), (status = 403, body = Problem),
    ),
)]
async fn list(_: Admin, State(state): State<ApiState>) -> Result<Json<Tokens>, Problem> {
    let tokens = state.store.tokens().await?;
    Ok(Json(Tokens { tokens: tokens.into_iter().map(TokenEntry::from).collect() }))
}

/// Makes a token
#[utoipa::path(
    post, path = "/tokens", tag = "tokens",
    request_body = NewToken,
    responses(
        (status = 201, body = CreatedToken),
        (status = 401, body = Problem),
        (status = 403, body = Problem),
        (status = 409, description = "A token in use has that name", body = Problem),
        (status = 422, body = Problem),
    ),
)]
async fn create(
    Admin(identity): Admin,
    State(state): State<ApiState>,
    parameters::Json(new): parameters::Json<NewToken>,
) -> Result<(StatusCode, Json<CreatedToken>), Problem> {
    let role = check(&new).map_err(|faults| Problem::invalid("the token", faults))?;
    let created = match state.store.create_token(&new.name, role, &identity.name).await {
        Err(error) if error.kind() == StoreErrorKind::Duplicate => {
            let detail = format!("a token in use is named {:?}", new.name);
            return Err(Problem::new(Kind::Conflict, detail));
        }
        created => created?,
    };
    state.fleet.refresh().await;
    let body = CreatedToken { entry: created.row.into(), token: created.text };
    Ok((StatusCode::CREATED, Json(body)))
}

/// Revokes a token
///
/// Takes effect at once here and within a second everywhere.
#[utoipa::path(
    delete, path = "/tokens/{id}", tag = "tokens",
    params(("id" = String, Path, description = "The token's id")),
    responses(
        (status = 204, description = "Revoked"),
        (status = 401, body = Problem),
        (status = 403, body = Problem),
        (status = 404, body = Problem),
        (status = 409, description = "A token does not revoke itself", body = Problem),
    ),
)]
async fn revoke(
    Admin(identity): Admin,
    State(state): State<ApiState>,
    Path(id): Path<Uuid>,
) -> Result<StatusCode, Problem> {
    if id == identity.id {
        // So that the last administrator cannot be locked out by a slip.
        let detail = "a token does not revoke itself: use another one";
        return Err(Problem::new(Kind::Conflict, detail));
    }
    if !state.store.revoke_token(id, &identity.name).await? {
        let detail = format!("there is no token {id} in use");
        return Err(Problem::new(Kind::NotFound, detail));
    }
    state.fleet.refresh().await;
    Ok(StatusCode::NO_CONTENT)
}

fn check(new: &NewToken) -> Result<Role, Vec<Fault>> {
    let mut faults = Vec::new();
    let mut fault = |pointer: &str, code: &str, message: String| {
        faults.push(Fault { pointer: pointer.to_owned(), code: code.to_owned(), message });
    };
    if new.name.is_empty() || new.name.len() > MAX_NAME {
        fault("/name", "bad_length", format!("a name has 1 to {MAX_NAME} bytes"));
    }
    if new.name.contains(char::is_control) {
        fault("/name", "control_character", "a name has no control characters".to_owned());
    }
    let role = new.role.parse::<Role>();
    if role.is_err() {
        let message = "expected one of `viewer`, `operator`, `admin`, `proxy`".to_owned();
        fault("/role", "not_one_of", message);
    }
    match role {
        Ok(role) if faults.is_empty() => Ok(role),
        _ => Err(faults),
    }
}

impl From<TokenRow> for TokenEntry {
    fn from(row: TokenRow) -> Self {
        Self {
            id: row.id.to_string(),
            name: row.name,
            role: row.role.as_str(),
            created_at: row.created_at,
            created_by: row.created_by,
            revoked_at: row.revoked_at,
        }
    }
}
