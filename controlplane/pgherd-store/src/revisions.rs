//! The history of the topology: immutable and numbered without gaps.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use pgherd_config::Topology;
use sqlx::{PgConnection, Row as _, postgres::PgRow};

use crate::{FleetState, Store, StoreError, sealed};

/// What kind of change made a revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A cluster was made or replaced.
    Put,
    /// A cluster was deleted.
    Delete,
    /// The content of an older revision was brought back.
    Rollback,
}

impl Action {
    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Delete => "delete",
            Self::Rollback => "rollback",
        }
    }
}

/// A stored action that this version does not know.
#[derive(Debug, thiserror::Error)]
#[error("unknown action {0:?}")]
pub struct ActionUnknown(String);

impl FromStr for Action {
    type Err = ActionUnknown;

    fn from_str(text: &str) -> Result<Self, ActionUnknown> {
        [Self::Put, Self::Delete, Self::Rollback]
            .into_iter()
            .find(|action| action.as_str() == text)
            .ok_or_else(|| ActionUnknown(text.to_owned()))
    }
}

/// One revision without its document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// Counts from 1 without gaps.
    pub number: i64,
    /// When it was committed.
    pub created_at: DateTime<Utc>,
    /// The name of the token that made it.
    pub author: String,
    /// Why, in the author's words.
    pub reason: Option<String>,
    /// What kind of change it was.
    pub action: Action,
    /// The cluster that changed; none for a rollback.
    pub cluster: Option<String>,
    /// The revision whose content came back.
    pub rolled_back_to: Option<i64>,
}

/// One revision with its document, secrets included.
#[derive(Clone, Debug, PartialEq)]
pub struct RevisionDocument {
    /// Who, when and why.
    pub revision: Revision,
    /// The topology as it was.
    pub topology: Topology,
}

/// What a new revision says.
pub(crate) struct NewRevision<'a> {
    pub state: FleetState,
    pub author: &'a str,
    pub reason: Option<&'a str>,
    pub action: Action,
    pub cluster: Option<&'a str>,
    pub rolled_back_to: Option<i64>,
    pub fingerprint: &'a str,
    /// With references in place of secrets.
    pub document: &'a Topology,
}

const COLUMNS: &str = "number, created_at, author, reason, action, cluster, rolled_back_to";

impl Store {
    /// Revisions older than `before`, newest first.
    pub async fn revisions(
        &self,
        before: Option<i64>,
        limit: i64,
    ) -> Result<Vec<Revision>, StoreError> {
        let query = format!(
            "select {COLUMNS} from revisions where number < $1 order by number desc limit $2"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(before.unwrap_or(i64::MAX))
            .bind(limit)
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(revision).collect()
    }

    /// One revision with its document.
    pub async fn revision(&self, number: i64) -> Result<Option<RevisionDocument>, StoreError> {
        let mut connection = self.pool.acquire().await?;
        let Some((revision, stored)) = stored(&mut connection, number).await? else {
            return Ok(None);
        };
        let clusters = sealed::open(&mut connection, &self.key, stored.clusters).await?;
        Ok(Some(RevisionDocument { revision, topology: Topology { clusters } }))
    }
}

/// One revision as stored: references in place of secrets.
pub(crate) async fn stored(
    connection: &mut PgConnection,
    number: i64,
) -> Result<Option<(Revision, Topology)>, StoreError> {
    let query = format!("select {COLUMNS}, document from revisions where number = $1");
    let row =
        sqlx::query(sqlx::AssertSqlSafe(query)).bind(number).fetch_optional(connection).await?;
    let Some(row) = row else { return Ok(None) };
    let topology = serde_json::from_value(row.try_get("document")?)
        .map_err(|source| StoreError::Document { what: "a revision", source })?;
    Ok(Some((revision(&row)?, topology)))
}

/// Adds a revision.
pub(crate) async fn insert(
    connection: &mut PgConnection,
    new: NewRevision<'_>,
) -> Result<(), StoreError> {
    let document = serde_json::to_value(new.document)
        .map_err(|source| StoreError::Document { what: "a revision", source })?;
    sqlx::query(
        "insert into revisions (number, generation, author, reason, action, cluster,
             rolled_back_to, fingerprint, document)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(new.state.revision)
    .bind(new.state.generation)
    .bind(new.author)
    .bind(new.reason)
    .bind(new.action.as_str())
    .bind(new.cluster)
    .bind(new.rolled_back_to)
    .bind(new.fingerprint)
    .bind(document)
    .execute(connection)
    .await?;
    Ok(())
}

fn revision(row: &PgRow) -> Result<Revision, StoreError> {
    let action: String = row.try_get("action")?;
    Ok(Revision {
        number: row.try_get("number")?,
        created_at: row.try_get("created_at")?,
        author: row.try_get("author")?,
        reason: row.try_get("reason")?,
        action: action.parse().map_err(|error: ActionUnknown| sqlx::Error::ColumnDecode {
            index: "action".to_owned(),
            source: Box::new(error),
        })?,
        cluster: row.try_get("cluster")?,
        rolled_back_to: row.try_get("rolled_back_to")?,
    })
}
