//! What a session must know of its prepared statements besides their names.

use std::sync::Arc;

use ahash::AHashSet;
use bytes::Bytes;
use pgherd_pool::SqlUse;

/// Portals that are remembered because they do something to prepared statements.
const MAX_PORTALS: usize = 16;

/// What a session must know of its prepared statements besides their names.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    /// The ParameterDescription that came last, whose other half is still to come.
    pub(crate) parameters: Bytes,
    /// The statement whose description decides whether the client may use it.
    pub(crate) checking: Option<Checking>,
    /// A message that names a statement waits until everything before it has been answered.
    pub(crate) barrier: bool,
    /// A Flush was slipped in so that what is waited for is answered.
    pub(crate) flushed: bool,
    /// Statements that SQL has prepared on the server connection that is held.
    sql: Option<Box<SqlStatements>>,
    /// How many uses in the text that is being executed have been answered.
    pub(crate) seen: usize,
    /// What portals say of prepared statements by name; empty nearly always.
    portals: Vec<(Bytes, Arc<[SqlUse]>)>,
}

/// A statement that was parsed on a server connection for a client that defined it elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checking {
    /// The server has not described it yet.
    Asked(u64),
    /// It is not any more what it was when the client defined it.
    Stale(u64),
}

/// Statements that SQL has prepared.
#[derive(Debug, Default)]
struct SqlStatements {
    names: AHashSet<Bytes>,
    /// Those whose names were not seen.
    unknown: usize,
}

impl Prepared {
    /// Whether the client has statements of SQL, which live on one server connection.
    pub(crate) fn has_sql_statements(&self) -> bool {
        self.sql.as_ref().is_some_and(|sql| !sql.names.is_empty() || sql.unknown > 0)
    }

    /// Whether SQL has prepared a statement of this name.
    pub(crate) fn is_sql_name(&self, name: &[u8]) -> bool {
        self.sql.as_ref().is_some_and(|sql| sql.names.contains(name))
    }

    /// `PREPARE` has succeeded.
    pub(crate) fn add_sql(&mut self, name: Option<Bytes>) {
        let sql = self.sql.get_or_insert_default();
        match name {
            Some(name) => drop(sql.names.insert(name)),
            None => sql.unknown += 1,
        }
    }

    /// Whether there was a statement of SQL with this name; it is gone.
    pub(crate) fn remove_sql(&mut self, name: &[u8]) -> bool {
        self.sql.as_mut().is_some_and(|sql| sql.names.remove(name))
    }

    /// All are gone.
    pub(crate) fn clear_sql(&mut self) {
        self.sql = None;
    }

    /// Notes what a portal that was bound does to prepared statements.
    pub(crate) fn bind(&mut self, portal: &[u8], sql: Option<Arc<[SqlUse]>>) {
        if self.portals.is_empty() && sql.is_none() {
            return;
        }
        self.portals.retain(|(name, _)| name != portal);
        if let Some(sql) = sql {
            if self.portals.len() == MAX_PORTALS {
                self.portals.remove(0);
            }
            self.portals.push((Bytes::copy_from_slice(portal), sql));
        }
    }

    /// The server connection is gone, and everything that was on it.
    pub(crate) fn lose_server(&mut self) {
        *self = Self::default();
    }

    /// Nothing is open any more.
    pub(crate) fn forget_portals(&mut self) {
        self.portals.clear();
    }

    /// What the portal that is executed does to prepared statements.
    pub(crate) fn of_portal(&self, portal: &[u8]) -> Option<Arc<[SqlUse]>> {
        let found = self.portals.iter().find(|(name, _)| name == portal);
        found.map(|(_, sql)| Arc::clone(sql))
    }

    /// Whether any portal does.
    pub(crate) fn has_portals(&self) -> bool {
        !self.portals.is_empty()
    }
}
