//! The connection to the control plane's database, and its opening at start.

use std::{io, str::FromStr as _, sync::Arc, time::Duration};

use sqlx::{
    ConnectOptions as _, Connection as _, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::{StoreError, UnsealError, fleet_state, vault::SecretKey};

/// What the key check in `fleet_state` holds once opened.
const KEY_CHECK: &[u8] = b"pgherd";

/// How long connecting may take. The pool keeps trying a server that refuses for as long.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);

/// The control plane's database. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    pub(crate) pool: PgPool,
    pub(crate) key: Arc<SecretKey>,
}

/// Why the database cannot be used at start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL is for something else; sqlx takes any.
    #[error("the database URL does not begin with postgres://")]
    Scheme,
    /// The URL is not one of Postgres.
    #[error("the database URL cannot be read")]
    Url(#[source] sqlx::Error),
    /// Postgres failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A migration failed, or the database belongs to a newer version.
    #[error("the database's schema cannot be brought up to date")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    /// The secret key is not the one that the database was made with.
    #[error("the secret key file does not fit this database: {0}")]
    Key(#[source] UnsealError),
}

impl OpenError {
    /// Whether the same call may work when Postgres is back.
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Store(error) => error.kind() == crate::StoreErrorKind::Unavailable,
            Self::Migrate(sqlx::migrate::MigrateError::Execute(error)) => {
                matches!(
                    error,
                    sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::Tls(_)
                )
            }
            Self::Scheme | Self::Url(_) | Self::Migrate(_) | Self::Key(_) => false,
        }
    }
}

impl Store {
    /// A store that connects when it is first used.
    pub fn new(database_url: &str, key: SecretKey) -> Result<Self, OpenError> {
        if !["postgres://", "postgresql://"].iter().any(|start| database_url.starts_with(start)) {
            return Err(OpenError::Scheme);
        }
        let options = PgConnectOptions::from_str(database_url)
            .map_err(OpenError::Url)?
            .application_name("pgherd-control")
            // A control plane that froze in a change must not hold the others up.
            .options([("idle_in_transaction_session_timeout", "30s")]);
        let pool = PgPoolOptions::new()
            .max_connections(8)
            .acquire_timeout(CONNECT_WITHIN)
            .idle_timeout(Duration::from_secs(300))
            .connect_lazy_with(options);
        Ok(Self { pool, key: Arc::new(key) })
    }

    /// Brings the schema up to date, makes the state row, and checks the secret key.
    ///
    /// Several control planes may do this at once: an advisory lock lets one go first.
    pub async fn prepare(&self) -> Result<(), OpenError> {
        self.reach().await?;
        sqlx::migrate!("../../migrations").run(&self.pool).await.map_err(OpenError::Migrate)?;
        let mut transaction = self.pool.begin().await.map_err(StoreError::from)?;
        fleet_state::ensure(&mut transaction).await?;
        let check = fleet_state::key_check(&mut transaction).await?;
        match check {
            Some(sealed) => {
                self.key.open(&sealed, b"key check").map_err(OpenError::Key)?;
            }
            None => {
                let sealed = self.key.seal(KEY_CHECK, b"key check");
                fleet_state::set_key_check(&mut transaction, &sealed).await?;
            }
        }
        transaction.commit().await.map_err(StoreError::from)?;
        Ok(())
    }

    /// Connects once, past the pool, which would only say that it waited too long.
    pub async fn reach(&self) -> Result<(), StoreError> {
        let options = self.pool.connect_options();
        let connecting = tokio::time::timeout(CONNECT_WITHIN, options.connect());
        let silent = |_| {
            let what = format!("no answer within {} s", CONNECT_WITHIN.as_secs());
            sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, what))
        };
        let connection = connecting.await.map_err(silent)??;
        connection.close().await?;
        Ok(())
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}
