//! Why a query failed, and whether trying again makes sense.

use crate::vault::UnsealError;

/// A failure of the control plane's database or of what is stored in it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Postgres could not be reached, or refused, or broke off.
    #[error("the control plane's database failed")]
    Database(#[source] sqlx::Error),
    /// A stored secret cannot be opened.
    #[error("a stored secret of user {user:?} of cluster {cluster:?} cannot be opened")]
    Unseal {
        /// The cluster that the secret belongs to.
        cluster: String,
        /// The user that the secret belongs to.
        user: String,
        /// Why it cannot be opened.
        #[source]
        source: UnsealError,
    },
    /// A stored document refers to a secret that does not exist.
    #[error("the {field} of user {user:?} of cluster {cluster:?} is missing from the database")]
    SecretMissing {
        /// The cluster that the secret belongs to.
        cluster: String,
        /// The user that the secret belongs to.
        user: String,
        /// Which secret of the user.
        field: &'static str,
    },
    /// A stored document is not what this version writes.
    #[error("the stored document of {what} cannot be read")]
    Document {
        /// Where the document was found.
        what: &'static str,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
}

/// The kinds that callers tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// Postgres is away; the same call may work later.
    Unavailable,
    /// Two live rows would have the same name.
    Duplicate,
    /// Anything else: a bug or damaged data.
    Internal,
}

impl StoreError {
    /// What a caller should do about it.
    pub fn kind(&self) -> StoreErrorKind {
        let Self::Database(error) = self else { return StoreErrorKind::Internal };
        match error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::Protocol(_)
            | sqlx::Error::WorkerCrashed => StoreErrorKind::Unavailable,
            sqlx::Error::Database(database) => match database.code().as_deref() {
                Some("23505") => StoreErrorKind::Duplicate,
                // Connection exceptions, shutdown and start-up, too many connections, a standby
                // that was reached instead of the primary.
                Some(code)
                    if code.starts_with("08")
                        || code.starts_with("57P")
                        || code == "53300"
                        || code == "25006"
                        || code == "55000" =>
                {
                    StoreErrorKind::Unavailable
                }
                _ => StoreErrorKind::Internal,
            },
            _ => StoreErrorKind::Internal,
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}
