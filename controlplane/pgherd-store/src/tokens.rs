//! Bearer tokens: only their hashes are stored.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};
use sqlx::{PgConnection, Row as _, postgres::PgRow};
use uuid::Uuid;

use crate::{NewAuditEntry, Store, StoreError, audit, vault::random_bytes};

/// What the holder of a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Open the stream of a proxy, nothing else.
    Proxy,
    /// Read everything but tokens and the audit log.
    Viewer,
    /// Change the topology.
    Operator,
    /// Everything.
    Admin,
}

/// A role that does not exist.
#[derive(Debug, thiserror::Error)]
#[error("unknown role {0:?}")]
pub struct RoleUnknown(String);

impl Role {
    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Proxy => "proxy",
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// Whether this role includes `needed`.
    pub fn includes(self, needed: Self) -> bool {
        match (self, needed) {
            (Self::Admin, _) => true,
            (Self::Proxy, needed) => needed == Self::Proxy,
            (Self::Viewer, needed) => needed == Self::Viewer,
            (Self::Operator, needed) => matches!(needed, Self::Viewer | Self::Operator),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = RoleUnknown;

    fn from_str(text: &str) -> Result<Self, RoleUnknown> {
        [Self::Proxy, Self::Viewer, Self::Operator, Self::Admin]
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| RoleUnknown(text.to_owned()))
    }
}

/// A stored token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    /// Names the row.
    pub id: Uuid,
    /// Chosen by whoever made it; the author of what it changes.
    pub name: String,
    /// What its holder may do.
    pub role: Role,
    /// SHA-256 of the token.
    pub hash: [u8; 32],
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// The name of the token that made it.
    pub created_by: String,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// A new token; its text exists only here.
#[derive(Clone)]
pub struct CreatedToken {
    /// The stored part.
    pub row: TokenRow,
    /// What the holder sends.
    pub text: String,
}

/// The first tokens of a new database.
#[derive(Clone, serde::Serialize)]
pub struct BootstrapTokens {
    /// For people.
    pub admin: String,
    /// For proxies.
    pub proxy: String,
}

/// What is stored of a token.
pub fn hash_token(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

impl Store {
    /// All tokens, revoked ones included, oldest first.
    pub async fn tokens(&self) -> Result<Vec<TokenRow>, StoreError> {
        let rows = sqlx::query(
            "select id, name, role, hash, created_at, created_by, revoked_at from tokens
             order by created_at, id",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(token).collect()
    }

    /// Makes a token. A live token of the same name is an error of kind `Duplicate`.
    pub async fn create_token(
        &self,
        name: &str,
        role: Role,
        by: &str,
    ) -> Result<CreatedToken, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let created = insert(&mut transaction, name, role, by).await?;
        transaction.commit().await?;
        Ok(created)
    }

    /// Revokes a token; false when there is no live one with this id.
    pub async fn revoke_token(&self, id: Uuid, by: &str) -> Result<bool, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let name: Option<String> = sqlx::query_scalar(
            "update tokens set revoked_at = now() where id = $1 and revoked_at is null
             returning name",
        )
        .bind(id)
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(name) = name else { return Ok(false) };
        let entry = NewAuditEntry {
            actor: by,
            action: "token.revoke",
            target: Some(&name),
            revision: None,
            detail: None,
        };
        audit::insert(&mut transaction, entry).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Makes the first tokens when there has never been one. `keep` stores their text before they
    /// are committed, so that tokens that nobody knows never count.
    pub async fn bootstrap_tokens<E>(
        &self,
        keep: impl FnOnce(&BootstrapTokens) -> Result<(), E>,
    ) -> Result<Result<bool, E>, StoreError> {
        let mut transaction = self.pool.begin().await?;
        // Two control planes that start at once: the second one waits here and finds tokens.
        sqlx::query("lock table tokens in share row exclusive mode")
            .execute(&mut *transaction)
            .await?;
        let any: bool = sqlx::query_scalar("select exists (select from tokens)")
            .fetch_one(&mut *transaction)
            .await?;
        if any {
            return Ok(Ok(false));
        }
        let admin = insert(&mut transaction, "admin", Role::Admin, "bootstrap").await?;
        let proxy = insert(&mut transaction, "proxy", Role::Proxy, "bootstrap").await?;
        if let Err(error) = keep(&BootstrapTokens { admin: admin.text, proxy: proxy.text }) {
            return Ok(Err(error));
        }
        transaction.commit().await?;
        Ok(Ok(true))
    }
}

async fn insert(
    connection: &mut PgConnection,
    name: &str,
    role: Role,
    by: &str,
) -> Result<CreatedToken, StoreError> {
    let text = format!("pgherd_{}", URL_SAFE_NO_PAD.encode(random_bytes::<32>()));
    let row = sqlx::query(
        "insert into tokens (id, name, role, hash, created_by) values ($1, $2, $3, $4, $5)
         returning id, name, role, hash, created_at, created_by, revoked_at",
    )
    .bind(Uuid::new_v4())
    .bind(name)
    .bind(role.as_str())
    .bind(hash_token(&text).as_slice())
    .bind(by)
    .fetch_one(&mut *connection)
    .await?;
    let entry = NewAuditEntry {
        actor: by,
        action: "token.create",
        target: Some(name),
        revision: None,
        detail: Some(role.as_str()),
    };
    audit::insert(connection, entry).await?;
    Ok(CreatedToken { row: token(&row)?, text })
}

fn token(row: &PgRow) -> Result<TokenRow, StoreError> {
    let undecodable =
        |index: &str, source| sqlx::Error::ColumnDecode { index: index.to_owned(), source };
    let role: String = row.try_get("role")?;
    let hash: Vec<u8> = row.try_get("hash")?;
    Ok(TokenRow {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        role: role.parse().map_err(|e: RoleUnknown| undecodable("role", Box::new(e)))?,
        hash: hash
            .try_into()
            .map_err(|_| undecodable("hash", "the hash is not 32 bytes long".into()))?,
        created_at: row.try_get("created_at")?,
        created_by: row.try_get("created_by")?,
        revoked_at: row.try_get("revoked_at")?,
    })
}

#[cfg(test)]
mod tests {
    use super::Role;

    #[test]
    fn roles_include_what_they_should() {
        let all = [Role::Proxy, Role::Viewer, Role::Operator, Role::Admin];
        let table: Vec<Vec<bool>> = all
            .iter()
            .map(|has| all.iter().map(|needed| has.includes(*needed)).collect())
            .collect();
        assert_eq!(
            table,
            [
                [true, false, false, false],
                [false, true, false, false],
                [false, true, true, false],
                [true, true, true, true],
            ]
        );
    }
}
