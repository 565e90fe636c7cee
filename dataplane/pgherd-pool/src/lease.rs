//! The right to use a server connection, which comes back to its pool whatever happens.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use crate::pool::Pool;
use crate::server::{ServerConn, ServerError};

/// The right to use a server connection until it is given back.
///
/// Dropped unused, it goes to the next client. Dropped in use, the connection is closed: whatever
/// it was doing, nobody else will see it.
#[derive(Debug)]
pub struct Lease {
    conn: Option<Box<ServerConn>>,
    pool: Arc<Pool>,
    used: bool,
}

impl Lease {
    /// For a connection that has been taken out of the pool.
    pub(crate) fn new(conn: Box<ServerConn>, pool: Arc<Pool>) -> Self {
        pool.instance().busier();
        Self { conn: Some(conn), pool, used: false }
    }

    /// The connection back, from a lease that reached nobody.
    pub(crate) fn into_conn(mut self) -> Option<Box<ServerConn>> {
        self.conn.take()
    }

    /// The pool to which the connection belongs.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Registers the connection with the worker that will use it and looks whether it is alive.
    pub(crate) fn settle(mut self, worker: usize) -> Option<Self> {
        let conn = self.conn.as_mut()?;
        if conn.home != worker {
            let boxed = self.conn.take()?;
            // Moving a socket between runtimes consumes it, so the connection is rebuilt around it.
            match boxed.rehome(worker) {
                Some(mut conn) => {
                    self.used = !conn.is_alive_after_move();
                    self.conn = Some(conn);
                    return (!self.used).then_some(self);
                }
                None => {
                    self.pool.forget_one(worker);
                    return None;
                }
            }
        }
        if self.conn.as_mut()?.is_alive() {
            Some(self)
        } else {
            // Somebody may have ended this backend, or all of them.
            self.pool.instance().look_now();
            self.used = true;
            None
        }
    }

    /// Gives the connection back. One that is not clean is closed.
    pub fn release(mut self) {
        if let Some(conn) = self.conn.take() {
            if conn.is_clean() {
                self.pool.give(conn);
            } else {
                self.conn = Some(conn);
            }
        }
    }

    /// Takes all state of its former client off the connection, after which it can be released.
    ///
    /// Not cancel safe: a lease that is dropped half way closes its connection.
    pub async fn reset(&mut self) -> Result<(), ServerError> {
        self.execute("DISCARD ALL").await?;
        self.statements.clear();
        self.unnamed = 0;
        self.tainted = false;
        let pool = Arc::clone(&self.pool);
        self.run_connect_query(pool.settings().connect_query.as_deref()).await?;
        // Those that are reported have been; the others are what they were at its login.
        let (reported, base) = (pool.welcome().unwrap_or_default(), pool.base());
        self.params = Arc::new(self.params.with_unreported(&reported, base.iter()));
        Ok(())
    }
}

impl ServerConn {
    fn rehome(self: Box<Self>, worker: usize) -> Option<Box<Self>> {
        let mut conn = *self;
        match conn.socket.rehome() {
            Ok(socket) => {
                conn.socket = socket;
                conn.home = worker;
                Some(Box::new(conn))
            }
            Err(error) => {
                tracing::warn!("cannot move a server connection to another worker: {error}");
                None
            }
        }
    }
}

impl Deref for Lease {
    type Target = ServerConn;

    fn deref(&self) -> &ServerConn {
        self.conn.as_ref().expect("a lease holds its connection until it is consumed")
    }
}

impl DerefMut for Lease {
    /// Whoever changes the connection has used it.
    fn deref_mut(&mut self) -> &mut ServerConn {
        self.used = true;
        self.conn.as_mut().expect("a lease holds its connection until it is consumed")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.pool.instance().less_busy();
        if let Some(conn) = self.conn.take() {
            if !self.used {
                self.pool.give(conn);
                return;
            }
            let home = conn.home;
            self.pool.part_with(conn, home);
        }
    }
}
