//! One statement, reduced to what others decide by.

use crate::FunctionName;

/// What is known of one statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    pub kind: Kind,
    /// By its syntax and the built-in functions it calls: a hot standby would refuse it, answer it
    /// otherwise than the primary, or keep state that later statements need on the primary.
    pub needs_primary: bool,
    /// Functions called anywhere in it that are not built in, each once. With `needs_primary`
    /// there may be more than these.
    pub functions: Box<[FunctionName]>,
    /// Built-in functions called without their schema, which another schema may have as well, each
    /// once. They only read: one that may write has set `needs_primary`.
    pub builtins: Box<[&'static str]>,
}

/// What a statement is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// SELECT, VALUES and TABLE.
    Select,
    Insert,
    Update,
    Delete,
    Merge,
    /// `from`: into the database.
    Copy {
        from: bool,
    },
    /// `read_only`: `None` when the statement does not say.
    Begin {
        read_only: Option<bool>,
    },
    Commit {
        chain: bool,
    },
    Rollback {
        chain: bool,
    },
    Savepoint,
    ReleaseSavepoint,
    RollbackToSavepoint,
    PrepareTransaction,
    CommitPrepared,
    RollbackPrepared,
    /// `SET TRANSACTION`; `session`: `SET SESSION CHARACTERISTICS AS TRANSACTION`.
    SetTransaction {
        read_only: Option<bool>,
        session: bool,
    },
    /// `value`: when it is one constant; `None` for DEFAULT, FROM CURRENT and lists.
    Set {
        name: Box<str>,
        value: Option<Box<str>>,
        local: bool,
    },
    /// `None`: RESET ALL.
    Reset {
        name: Option<Box<str>>,
    },
    Show {
        name: Box<str>,
    },
    Prepare {
        name: Box<str>,
        inner: Box<Statement>,
    },
    Execute {
        name: Box<str>,
    },
    /// `None`: DEALLOCATE ALL.
    Deallocate {
        name: Option<Box<str>>,
    },
    Declare {
        name: Box<str>,
        hold: bool,
    },
    /// FETCH and MOVE.
    Fetch {
        name: Box<str>,
    },
    /// `None`: CLOSE ALL.
    Close {
        name: Option<Box<str>>,
    },
    Listen,
    Unlisten,
    Notify,
    Lock,
    /// `inner` is what is explained; executed only with `analyze`.
    Explain {
        analyze: bool,
        inner: Box<Statement>,
    },
    Discard,
    Do,
    Call,
    /// `CREATE TABLE … AS` and `CREATE MATERIALIZED VIEW`.
    CreateTableAs,
    /// CREATE, ALTER, DROP, GRANT, COMMENT and their kin.
    Ddl,
    Other,
}
