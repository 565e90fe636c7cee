//! Hears at once when another control plane changes something.

use sqlx::postgres::PgListener;

use crate::{Store, StoreError};

/// A connection that hears the database's notifications.
pub struct Listener {
    listener: PgListener,
}

/// What was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// There is a new generation, or tokens or bans changed.
    Change,
    /// The connection broke: notifications may have been missed.
    Lost,
}

impl Store {
    /// Starts to listen; what happened before is not heard.
    pub async fn listen(&self) -> Result<Listener, StoreError> {
        let mut listener = PgListener::connect_with(&self.pool).await?;
        listener.listen_all(["pgherd_topology", "pgherd_tokens", "pgherd_bans"]).await?;
        Ok(Listener { listener })
    }
}

impl Listener {
    /// Waits for a notification. After `Lost` the next call connects anew.
    ///
    /// Cancel safe.
    pub async fn heard(&mut self) -> Result<Heard, StoreError> {
        // `recv` would hide that the connection broke and that notifications may be missing.
        match self.listener.try_recv().await? {
            Some(_) => Ok(Heard::Change),
            None => Ok(Heard::Lost),
        }
    }
}
