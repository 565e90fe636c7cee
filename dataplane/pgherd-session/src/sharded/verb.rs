//! What of a text is the session's own business, and what is planned.

use pgherd_parser::constants::{
    CURSOR_OPT_HOLD, DISCARD_ALL, TRANS_STMT_BEGIN, TRANS_STMT_COMMIT, TRANS_STMT_RELEASE,
    TRANS_STMT_ROLLBACK, TRANS_STMT_ROLLBACK_TO, TRANS_STMT_SAVEPOINT, TRANS_STMT_START, VAR_RESET,
    VAR_RESET_ALL, VAR_SET_MULTI,
};
use pgherd_parser::{DiscardStmt, Node, RawStmt, TransactionStmt, VariableSetStmt};

/// What is to be done about a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verb {
    /// It reads or writes rows, or changes the schema: the planner's business.
    Plan(Nature),
    Transaction(Control),
    /// SET and RESET.
    Set(Setting),
    /// SELECT of set_config() calls.
    SetConfig,
    /// SHOW: any shard knows.
    Show,
    /// `SET pgherd.…` and its kin, which the proxy answers itself.
    Command,
    DiscardAll,
    /// Of what no connection keeps anything: answered with this tag.
    Nothing(&'static str),
    /// `None`: all of them.
    Deallocate(Option<String>),
    /// `None`: all of them.
    CloseCursor(Option<String>),
    Declare {
        name: String,
        holds: bool,
    },
    /// FETCH, and MOVE.
    Fetch {
        name: String,
        moves: bool,
    },
    Explain,
    Prepare {
        name: String,
    },
    Execute {
        name: String,
    },
    /// The construct.
    Refused(&'static str),
}

/// What a planned statement does, as far as its replies and the transaction are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nature {
    /// It returns rows and writes none, but for what its functions do.
    Reads,
    Writes,
    /// It changes the schema.
    Defines,
}

/// BEGIN, COMMIT and their kin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Control {
    /// START TRANSACTION has a tag of its own.
    Begin {
        starts: bool,
    },
    Commit {
        chain: bool,
    },
    Rollback {
        chain: bool,
    },
    Savepoint(String),
    Release(String),
    RollbackTo(String),
}

/// A SET or RESET.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) is_local: bool,
    /// SET TRANSACTION, which ends with it whatever it says.
    pub(crate) is_transaction: bool,
    /// The parameter that is RESET, or `all`.
    pub(crate) reset: Option<String>,
    pub(crate) name: Option<String>,
}

// === impl Verb ===

impl Verb {
    pub(crate) fn of(statement: RawStmt<'_>) -> Self {
        let Some(node) = statement.stmt() else { return Self::Plan(Nature::Reads) };
        match node {
            Node::TransactionStmt(transaction) => control(transaction),
            Node::VariableSetStmt(set) => setting(set),
            Node::VariableShowStmt(_) => Self::Show,
            Node::DiscardStmt(discard) => discarded(discard),
            Node::DeallocateStmt(it) => Self::Deallocate(it.name().map(text)),
            Node::ClosePortalStmt(it) => Self::CloseCursor(it.portalname().map(text)),
            Node::PrepareStmt(it) => Self::Prepare { name: optional(it.name()) },
            Node::DeclareCursorStmt(it) => Self::Declare {
                name: optional(it.portalname()),
                holds: u32::try_from(it.options()).is_ok_and(|it| it & CURSOR_OPT_HOLD != 0),
            },
            Node::FetchStmt(it) => {
                Self::Fetch { name: optional(it.portalname()), moves: it.ismove() }
            }
            Node::ExplainStmt(it) if !matches!(it.query(), Some(Node::ExecuteStmt(_))) => {
                Self::Explain
            }
            Node::ExecuteStmt(it) => Self::Execute { name: optional(it.name()) },
            Node::UnlistenStmt(_) => Self::Nothing("UNLISTEN"),
            Node::ListenStmt(_) => Self::Refused("LISTEN"),
            Node::NotifyStmt(_) => Self::Refused("NOTIFY"),
            Node::LoadStmt(_) => Self::Refused("LOAD"),
            Node::SelectStmt(_) | Node::ExplainStmt(_) => Self::Plan(Nature::Reads),
            Node::InsertStmt(_)
            | Node::UpdateStmt(_)
            | Node::DeleteStmt(_)
            | Node::MergeStmt(_)
            | Node::CopyStmt(_)
            | Node::TruncateStmt(_)
            | Node::LockStmt(_)
            | Node::CallStmt(_) => Self::Plan(Nature::Writes),
            _ => Self::Plan(Nature::Defines),
        }
    }

    /// Whether it may be run in a transaction that has failed.
    pub(crate) fn ends_failure(&self) -> bool {
        matches!(
            self,
            Self::Transaction(
                Control::Commit { .. } | Control::Rollback { .. } | Control::RollbackTo(_)
            )
        )
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn optional(bytes: Option<&[u8]>) -> String {
    bytes.map(text).unwrap_or_default()
}

fn control(it: TransactionStmt<'_>) -> Verb {
    let chain = it.chain();
    let name = || optional(it.savepoint_name());
    Verb::Transaction(match it.kind() {
        TRANS_STMT_BEGIN => Control::Begin { starts: false },
        TRANS_STMT_START => Control::Begin { starts: true },
        TRANS_STMT_COMMIT => Control::Commit { chain },
        TRANS_STMT_ROLLBACK => Control::Rollback { chain },
        TRANS_STMT_SAVEPOINT => Control::Savepoint(name()),
        TRANS_STMT_RELEASE => Control::Release(name()),
        TRANS_STMT_ROLLBACK_TO => Control::RollbackTo(name()),
        _ => return Verb::Refused("PREPARE TRANSACTION and what ends it"),
    })
}

fn setting(it: VariableSetStmt<'_>) -> Verb {
    let name = optional(it.name());
    if name.eq_ignore_ascii_case("session_authorization") {
        return Verb::Refused("SET SESSION AUTHORIZATION");
    }
    if it.kind() == VAR_SET_MULTI && name == "TRANSACTION SNAPSHOT" {
        return Verb::Refused("SET TRANSACTION SNAPSHOT");
    }
    Verb::Set(Setting {
        is_local: it.is_local(),
        is_transaction: it.kind() == VAR_SET_MULTI && name == "TRANSACTION",
        reset: match it.kind() {
            VAR_RESET_ALL => Some("all".to_owned()),
            VAR_RESET => Some(name.clone()),
            _ => None,
        },
        name: it.name().map(text),
    })
}

fn discarded(it: DiscardStmt<'_>) -> Verb {
    use pgherd_parser::constants::{DISCARD_PLANS, DISCARD_SEQUENCES, DISCARD_TEMP};
    match it.target() {
        DISCARD_ALL => Verb::DiscardAll,
        DISCARD_PLANS => Verb::Nothing("DISCARD PLANS"),
        DISCARD_SEQUENCES => Verb::Nothing("DISCARD SEQUENCES"),
        DISCARD_TEMP => Verb::Nothing("DISCARD TEMP"),
        _ => Verb::Refused("DISCARD"),
    }
}

#[cfg(test)]
mod tests {
    use pgherd_parser::{StringSyntax, Tree};

    use super::*;

    #[track_caller]
    fn check(sql: &str, expected: Verb) {
        let tree = Tree::parse(sql, StringSyntax::Standard).unwrap();
        assert_eq!(Verb::of(tree.statements().next().unwrap()), expected, "{sql}");
    }

    #[test]
    fn what_is_the_sessions_own() {
        check("BEGIN", Verb::Transaction(Control::Begin { starts: false }));
        check("COMMIT AND CHAIN", Verb::Transaction(Control::Commit { chain: true }));
        check("ROLLBACK TO a", Verb::Transaction(Control::RollbackTo("a".into())));
        check("PREPARE TRANSACTION 'x'", Verb::Refused("PREPARE TRANSACTION and what ends it"));
        let name = Some("work_mem".to_owned());
        let set = Setting { is_local: false, is_transaction: false, reset: None, name };
        check("SET work_mem = 1", Verb::Set(set.clone()));
        check("SET LOCAL work_mem = 1", Verb::Set(Setting { is_local: true, ..set.clone() }));
        let reset = Some("all".to_owned());
        check("RESET ALL", Verb::Set(Setting { reset, name: None, ..set }));
        check("DISCARD ALL", Verb::DiscardAll);
        check("DEALLOCATE ALL", Verb::Deallocate(None));
        check("UNLISTEN *", Verb::Nothing("UNLISTEN"));
        check("LISTEN x", Verb::Refused("LISTEN"));
        check("SELECT 1", Verb::Plan(Nature::Reads));
        check("CREATE TABLE t (n int)", Verb::Plan(Nature::Defines));
    }
}
