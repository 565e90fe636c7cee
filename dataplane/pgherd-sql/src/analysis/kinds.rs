//! From a statement's node to its kind and needs.

use pgherd_parser::constants::{
    CURSOR_OPT_HOLD, TRANS_STMT_BEGIN, TRANS_STMT_COMMIT, TRANS_STMT_COMMIT_PREPARED,
    TRANS_STMT_PREPARE, TRANS_STMT_RELEASE, TRANS_STMT_ROLLBACK, TRANS_STMT_ROLLBACK_PREPARED,
    TRANS_STMT_ROLLBACK_TO, TRANS_STMT_SAVEPOINT, TRANS_STMT_START, VAR_RESET, VAR_RESET_ALL,
    VAR_SET_CURRENT, VAR_SET_DEFAULT, VAR_SET_MULTI, VAR_SET_VALUE,
};
use pgherd_parser::{
    CopyStmt, DeclareCursorStmt, DefElem, ExplainStmt, List, Node, TransactionStmt, VariableSetStmt,
};

use super::calls::{Calls, is_of_the_instance};
use crate::{Kind, Statement, Unknown};

/// Parameters whose SHOW a replica answers as the primary does, if both are configured alike:
/// the session's own, and what drivers ask at the start.
const SHOWN_ANYWHERE: &[&str] = &[
    "application_name",
    "bytea_output",
    "client_encoding",
    "client_min_messages",
    "datestyle",
    "default_transaction_isolation",
    "extra_float_digits",
    "integer_datetimes",
    "intervalstyle",
    "is_superuser",
    "lc_collate",
    "lc_ctype",
    "lock_timeout",
    "max_identifier_length",
    "role",
    "search_path",
    "server_encoding",
    "server_version",
    "server_version_num",
    "session_authorization",
    "standard_conforming_strings",
    "statement_timeout",
    "timezone",
];

/// What a statement is.
pub fn statement(node: Node<'_>, budget: &mut usize) -> Result<Statement, Unknown> {
    let (kind, needs_primary) = match node {
        Node::SelectStmt(_) => return reading(Kind::Select, Some(node), budget),
        Node::CopyStmt(copy) => return copied(copy, budget),
        Node::DeclareCursorStmt(declare) => return declared(declare, budget),
        Node::ExplainStmt(explain) => return explained(explain, budget),
        Node::TransactionStmt(transaction) => transacted(transaction)?,
        Node::VariableSetStmt(set) => assigned(set)?,
        Node::VariableShowStmt(show) => {
            let name = required(show.name())?;
            let anywhere = name.contains('.')
                || SHOWN_ANYWHERE.iter().any(|it| it.eq_ignore_ascii_case(&name));
            (Kind::Show { name }, !anywhere)
        }
        Node::PrepareStmt(prepare) => {
            let inner = statement(prepare.query().ok_or(Unknown::Node)?, budget)?;
            // The statement stays on its connection, and with it the client.
            (Kind::Prepare { name: required(prepare.name())?, inner: Box::new(inner) }, true)
        }
        Node::ExecuteStmt(execute) => (Kind::Execute { name: required(execute.name())? }, true),
        Node::DeallocateStmt(deallocate) => {
            (Kind::Deallocate { name: optional(deallocate.name())? }, true)
        }
        Node::FetchStmt(fetch) => (Kind::Fetch { name: required(fetch.portalname())? }, true),
        Node::ClosePortalStmt(close) => (Kind::Close { name: optional(close.portalname())? }, true),
        _ => (written(node)?, true),
    };
    Ok(plain(kind, needs_primary))
}

fn plain(kind: Kind, needs_primary: bool) -> Statement {
    Statement { kind, needs_primary, functions: Box::default(), builtins: Box::default() }
}

/// Statements of which nothing but their kind matters.
fn written(node: Node<'_>) -> Result<Kind, Unknown> {
    Ok(match node {
        Node::InsertStmt(_) => Kind::Insert,
        Node::UpdateStmt(_) => Kind::Update,
        Node::DeleteStmt(_) => Kind::Delete,
        Node::MergeStmt(_) => Kind::Merge,
        Node::ListenStmt(_) => Kind::Listen,
        Node::UnlistenStmt(_) => Kind::Unlisten,
        Node::NotifyStmt(_) => Kind::Notify,
        Node::LockStmt(_) => Kind::Lock,
        Node::DiscardStmt(_) => Kind::Discard,
        Node::DoStmt(_) => Kind::Do,
        Node::CallStmt(_) => Kind::Call,
        Node::CreateTableAsStmt(_) => Kind::CreateTableAs,
        Node::VacuumStmt(_)
        | Node::ClusterStmt(_)
        | Node::CheckPointStmt(_)
        | Node::LoadStmt(_)
        | Node::ConstraintsSetStmt(_) => Kind::Other,
        Node::Unknown(_) => return Err(Unknown::Node),
        _ => Kind::Ddl,
    })
}

/// A statement that reads, if all it contains does.
fn reading(kind: Kind, query: Option<Node<'_>>, budget: &mut usize) -> Result<Statement, Unknown> {
    let mut calls = Calls::default();
    if let Some(query) = query {
        calls.walk(query, budget)?;
    }
    Ok(Statement {
        kind,
        needs_primary: calls.needs_primary,
        functions: calls.functions.into(),
        builtins: calls.builtins.into(),
    })
}

fn copied(copy: CopyStmt<'_>, budget: &mut usize) -> Result<Statement, Unknown> {
    let kind = Kind::Copy { from: copy.is_from() };
    // Files and programs are those of one host: of the primary's, as without a proxy.
    if copy.is_from() || copy.is_program() || copy.filename().is_some() {
        return Ok(plain(kind, true));
    }
    reading(kind, copy.query(), budget)
}

fn declared(declare: DeclareCursorStmt<'_>, budget: &mut usize) -> Result<Statement, Unknown> {
    let hold = u32::try_from(declare.options()).is_ok_and(|it| it & CURSOR_OPT_HOLD != 0);
    let kind = Kind::Declare { name: required(declare.portalname())?, hold };
    // The cursor stays on its connection, and with it the client.
    if hold { Ok(plain(kind, true)) } else { reading(kind, declare.query(), budget) }
}

fn explained(explain: ExplainStmt<'_>, budget: &mut usize) -> Result<Statement, Unknown> {
    let inner = match explain.query().ok_or(Unknown::Node)? {
        // Not executed without ANALYZE; but planning it on a replica is nothing anybody misses.
        query @ Node::CreateTableAsStmt(_) => plain(written(query)?, true),
        query => statement(query, budget)?,
    };
    let mut analyze = false;
    for option in definitions(explain.options()) {
        if option.defname() == Some(b"analyze") {
            analyze = truth(option);
        }
    }
    let needs_primary = inner.needs_primary;
    Ok(plain(Kind::Explain { analyze, inner: Box::new(inner) }, needs_primary))
}

fn transacted(transaction: TransactionStmt<'_>) -> Result<(Kind, bool), Unknown> {
    let chain = transaction.chain();
    Ok(match transaction.kind() {
        TRANS_STMT_BEGIN | TRANS_STMT_START => {
            let modes = Modes::of(transaction.options());
            let for_primary = modes.read_only != Some(true) || modes.serializable;
            (Kind::Begin { read_only: modes.read_only }, for_primary)
        }
        // Outside of a transaction these only warn, wherever they go.
        TRANS_STMT_COMMIT => (Kind::Commit { chain }, false),
        TRANS_STMT_ROLLBACK => (Kind::Rollback { chain }, false),
        TRANS_STMT_SAVEPOINT => (Kind::Savepoint, false),
        TRANS_STMT_RELEASE => (Kind::ReleaseSavepoint, false),
        TRANS_STMT_ROLLBACK_TO => (Kind::RollbackToSavepoint, false),
        TRANS_STMT_PREPARE => (Kind::PrepareTransaction, true),
        TRANS_STMT_COMMIT_PREPARED => (Kind::CommitPrepared, true),
        TRANS_STMT_ROLLBACK_PREPARED => (Kind::RollbackPrepared, true),
        _ => return Err(Unknown::Node),
    })
}

fn assigned(set: VariableSetStmt<'_>) -> Result<(Kind, bool), Unknown> {
    let local = set.is_local();
    match set.kind() {
        VAR_SET_MULTI => {
            let modes = Modes::of(set.args());
            let (session, snapshot) = match set.name() {
                Some(b"TRANSACTION") => (false, false),
                Some(b"SESSION CHARACTERISTICS") => (true, false),
                Some(b"TRANSACTION SNAPSHOT") => (false, true),
                _ => return Err(Unknown::Node),
            };
            let kind = Kind::SetTransaction { read_only: modes.read_only, session };
            Ok((kind, snapshot || modes.serializable || modes.read_only == Some(false)))
        }
        VAR_SET_VALUE | VAR_SET_DEFAULT | VAR_SET_CURRENT => {
            let name = required(set.name())?;
            let mut values = set.args().iter();
            let value = match (values.next(), values.next()) {
                (Some(value), None) => constant(value)?,
                _ => None,
            };
            let for_primary = is_of_the_instance(name.as_bytes())
                || name.eq_ignore_ascii_case("session_authorization");
            Ok((Kind::Set { name, value, local }, for_primary))
        }
        VAR_RESET => Ok((Kind::Reset { name: Some(required(set.name())?) }, false)),
        VAR_RESET_ALL => Ok((Kind::Reset { name: None }, false)),
        _ => Err(Unknown::Node),
    }
}

/// Transaction modes that matter.
#[derive(Debug, Default)]
struct Modes {
    read_only: Option<bool>,
    /// Which a hot standby refuses.
    serializable: bool,
}

impl Modes {
    fn of(options: List<'_>) -> Self {
        let mut modes = Self::default();
        for option in definitions(options) {
            match option.defname() {
                Some(b"transaction_read_only") => modes.read_only = Some(truth(option)),
                Some(b"transaction_isolation") => {
                    let level = option.arg().and_then(|level| constant(level).ok().flatten());
                    modes.serializable = level.is_none_or(|level| &*level == "serializable");
                }
                _ => {}
            }
        }
        modes
    }
}

fn definitions(options: List<'_>) -> impl Iterator<Item = DefElem<'_>> {
    options.iter().filter_map(|option| match option {
        Node::DefElem(option) => Some(option),
        _ => None,
    })
}

/// As Postgres's `defGetBoolean`; what that refuses counts as true.
fn truth(option: DefElem<'_>) -> bool {
    let Some(value) = option.arg() else { return true };
    match constant(value) {
        Ok(Some(value)) => !["0", "false", "off"].iter().any(|it| it.eq_ignore_ascii_case(&value)),
        _ => true,
    }
}

/// A constant as text; `None` for NULL and for what is no constant.
fn constant(node: Node<'_>) -> Result<Option<Box<str>>, Unknown> {
    let value = match node {
        Node::A_Const(constant) => constant.val(),
        // `SET TIME ZONE INTERVAL '…'`.
        Node::TypeCast(cast) => return cast.arg().map_or(Ok(None), constant),
        other => Some(other),
    };
    let text = match value {
        Some(Node::Integer(value)) => return Ok(Some(value.ival().to_string().into())),
        Some(Node::Boolean(value)) => return Ok(Some(value.boolval().to_string().into())),
        Some(Node::Float(value)) => value.fval(),
        Some(Node::String(value)) => value.sval(),
        _ => None,
    };
    optional(text)
}

fn optional(text: Option<&[u8]>) -> Result<Option<Box<str>>, Unknown> {
    let text = text.map(std::str::from_utf8).transpose().map_err(|_| Unknown::Encoding)?;
    Ok(text.map(Box::from))
}

fn required(text: Option<&[u8]>) -> Result<Box<str>, Unknown> {
    optional(text)?.ok_or(Unknown::Node)
}
