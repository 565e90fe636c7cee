//! What is noted with each request to a server: what to undo when it is discarded, and what its
//! text says of prepared statements by name.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::{Statement, Unnamed};

/// What a request changed in the books of the client and of the server connection, so that it
/// can be undone when the server discards the request; and what its reply tells.
#[derive(Debug, Default)]
pub enum Effect {
    /// Nothing to undo.
    #[default]
    Nothing,
    /// The unnamed statement was replaced or dropped.
    Unnamed {
        /// The client's statement before.
        client: Option<Unnamed>,
        /// The server connection's generation before.
        server: u64,
        /// And the one that replaced it.
        now: u64,
    },
    /// A name was defined.
    Defined {
        /// The client's name.
        name: Bytes,
        /// The statement, which was parsed on the server connection for it.
        id: u64,
    },
    /// A statement was parsed on the server connection without the client's asking.
    Parsed(u64),
    /// The reply says what this statement takes and returns.
    Described {
        /// The statement.
        statement: Arc<Statement>,
        /// The client's name for it.
        name: Bytes,
    },
    /// The request uses the client's statement of this name.
    Uses(Bytes),
    /// The proxy refuses the request: the server's error gives way to this one.
    Refused {
        /// Whole messages that Postgres sends before it refuses.
        preface: Bytes,
        /// The body of the error.
        error: Bytes,
    },
    /// A name was defined on this server connection alone.
    DefinedSql(Bytes),
    /// The client closed a name that it had prepared with SQL.
    ClosedSql(Bytes),
    /// The client closed a name.
    Closed {
        /// The client's name.
        name: Bytes,
        /// What it stood for.
        before: Arc<Statement>,
    },
    /// A name on the server connection was closed to make room or to clean up.
    ServerClosed(Bytes),
}

/// What is noted with each request that a server owes a reply to.
#[derive(Debug, Default)]
pub struct Note {
    /// What to undo when the server discards the request.
    pub undo: Effect,
    /// The request is one plain `SET` of a parameter that Postgres reports.
    pub plain_set: bool,
    /// What its text says of prepared statements by name.
    pub sql: Option<Arc<[SqlUse]>>,
}

/// What SQL does with a prepared statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SqlVerb {
    /// `PREPARE`.
    Prepare,
    /// `EXECUTE`, also behind `EXPLAIN` and `CREATE TABLE … AS`.
    Execute,
    /// `DEALLOCATE`.
    Deallocate,
    /// `DEALLOCATE ALL`, `DISCARD ALL`.
    ForgetAll,
}

/// A place in an SQL text that names a prepared statement.
#[derive(Clone, Debug)]
pub struct SqlUse {
    /// What is done.
    pub verb: SqlVerb,
    /// The name, as Postgres reads it.
    pub name: Bytes,
    /// Where it is written.
    pub at: Range<usize>,
    /// What was put there instead, where the statement is one of the protocol.
    pub exchanged: Option<Exchanged>,
}

/// A name that stands in a text instead of the client's.
#[derive(Clone, Debug)]
pub struct Exchanged {
    /// Where it stands, in characters from 1.
    pub at: usize,
    /// How many characters the client wrote.
    pub written: usize,
    /// How many characters stand there instead.
    pub put: usize,
    /// The name.
    pub server_name: Bytes,
}

impl SqlUse {
    /// A use of all statements.
    pub fn all() -> Self {
        Self { verb: SqlVerb::ForgetAll, name: Bytes::new(), at: 0..0, exchanged: None }
    }
}

impl From<Effect> for Note {
    fn from(undo: Effect) -> Self {
        Self { undo, plain_set: false, sql: None }
    }
}
