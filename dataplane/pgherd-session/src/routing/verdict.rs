//! What one statement needs, by its text.

use std::sync::Arc;

use pgherd_pool::{Access, RoleWish, Volatilities};
use pgherd_sql::{ClientEncoding, FunctionName, Kind, Lexical, Volatility};
use pgherd_wire::frontend::definition_text;

use super::commands::may_be_command;
use crate::session::Session;
use crate::settle::Marks;
use crate::shared::Worker;

/// What one statement needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// By what it does.
    pub(super) access: Access,
    /// By what its comments ask for, if they do; `Some(None)` is what the statement does.
    pub(super) role: Option<Option<RoleWish>>,
}

/// What decides how texts are read.
pub(super) struct Judge<'s> {
    worker: &'s Worker,
    volatilities: Option<Arc<Volatilities>>,
    lexical: Lexical,
    /// Transactions are read only unless they say otherwise.
    begins_read_only: bool,
    /// A hot standby has no serializable transactions.
    is_serializable: bool,
}

/// The database's own functions, as `pgherd-sql` asks for them.
struct Catalog<'v>(Option<&'v Volatilities>);

impl Volatility for Catalog<'_> {
    fn may_write(&self, function: &FunctionName) -> bool {
        let known = self.0.and_then(|it| it.may_write(function.schema.as_deref(), &function.name));
        known.unwrap_or(true)
    }

    fn shadows(&self, name: &str) -> bool {
        self.0.is_some_and(|it| it.shadows(name))
    }
}

impl Verdict {
    /// It may write.
    pub(super) const WRITES: Self = Self { access: Access::Write, role: None };
    /// It only reads.
    pub(super) const READS: Self = Self { access: Access::Read, role: None };
}

impl Judge<'_> {
    /// What a text needs.
    pub(super) fn text(&self, text: &[u8]) -> Verdict {
        let directive = pgherd_sql::directive(text);
        let role = directive.and_then(|directive| directive.role).map(|wish| {
            Some(match wish {
                pgherd_sql::RoleWish::Primary => RoleWish::Primary,
                pgherd_sql::RoleWish::Replica => RoleWish::Replica,
                pgherd_sql::RoleWish::Any => RoleWish::Any,
            })
        });
        let access = if self.only_reads(text) { Access::Read } else { Access::Write };
        Verdict { access, role }
    }

    fn only_reads(&self, text: &[u8]) -> bool {
        // It is meant for the proxy.
        if may_be_command(text) && pgherd_sql::command(text).is_some() {
            return true;
        }
        // What may stay on the server connection belongs where writes go.
        let marks = Marks::of_query(text);
        if !marks.is_empty() && !marks.is_plain_set() {
            return false;
        }
        let analysis = self.worker.analyses.borrow_mut().get_in(text, self.lexical);
        if marks.is_plain_set() {
            // It follows the client wherever it was set.
            let is_set = |kind: &Kind| matches!(kind, Kind::Set { local: false, .. });
            return analysis.unknown.is_none()
                && analysis.statements.iter().all(|it| is_set(&it.kind));
        }
        if self.is_serializable || self.worker.refuted.contains(text) {
            return false;
        }
        let catalog = Catalog(self.volatilities.as_deref());
        if analysis.access(&catalog) == pgherd_sql::Access::Read {
            return true;
        }
        self.begins_read_only
            && analysis.unknown.is_none()
            && analysis.statements.iter().all(|statement| {
                matches!(statement.kind, Kind::Begin { read_only: None })
                    || !statement.may_write(&catalog)
            })
    }
}

impl Session {
    /// How texts of this session are read now.
    pub(super) fn judge(&self) -> Judge<'_> {
        let param = |name| self.params.get(name);
        let encoding = param("client_encoding");
        let lexical = Lexical {
            client_encoding: encoding.map_or(ClientEncoding::Utf8, ClientEncoding::named),
            standard_conforming_strings: param("standard_conforming_strings") != Some("off"),
        };
        Judge {
            worker: &self.worker,
            volatilities: self.targets.volatilities(),
            lexical,
            begins_read_only: param("default_transaction_read_only") == Some("on"),
            is_serializable: param("default_transaction_isolation") == Some("serializable"),
        }
    }

    /// What a statement needs that the client has prepared.
    pub(super) fn verdict_of_statement(&self, judge: &Judge<'_>, name: &[u8]) -> Verdict {
        if name.is_empty() {
            return match &self.unnamed {
                Some(unnamed) => judge.text(definition_text(&unnamed.definition)),
                // Postgres says that there is none.
                None => Verdict::READS,
            };
        }
        match self.statements.get(name) {
            Some(statement) => judge.text(definition_text(&statement.definition)),
            // One that SQL has prepared, or none.
            None => Verdict::WRITES,
        }
    }
}
