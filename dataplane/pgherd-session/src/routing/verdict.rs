//! What one statement needs, by its text.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use pgherd_pool::{Access, RoleWish, Statement, Volatilities};
use pgherd_sql::{Analysis, ClientEncoding, FunctionName, Kind, Lexical, Volatility};
use pgherd_wire::ParamSet;
use pgherd_wire::frontend::definition_text;

use super::commands::may_be_command;
use crate::session::Session;
use crate::settle::Marks;
use crate::shared::Worker;

/// What one statement needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// By what it does.
    pub(crate) access: Access,
    /// By what its comments ask for, if they do; `Some(None)` is what the statement does.
    pub(crate) role: Option<Option<RoleWish>>,
}

/// What a session's parameters say of how its texts are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Reading {
    lexical: Lexical,
    /// Transactions are read only unless they say otherwise.
    begins_read_only: bool,
    /// A hot standby has no serializable transactions.
    is_serializable: bool,
}

/// How texts are read, as long as the parameters are these.
#[derive(Debug)]
pub(super) struct ReadingOf(Arc<ParamSet>, Reading);

/// What decides how texts are read.
pub(crate) struct Judge<'s> {
    worker: &'s Worker,
    volatilities: Option<Arc<Volatilities>>,
    reading: Reading,
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
    pub(crate) const WRITES: Self = Self { access: Access::Write, role: None };
    /// It only reads.
    pub(super) const READS: Self = Self { access: Access::Read, role: None };

    /// As a number up to [`VERDICT`]; never 0 by itself.
    fn pack(self) -> u64 {
        let access = if self.access == Access::Read { 4 } else { 0 };
        let role = match self.role {
            Some(Some(RoleWish::Primary)) => 1,
            Some(Some(RoleWish::Replica)) => 2,
            Some(Some(RoleWish::Any)) => 3,
            Some(None) | None => 0,
        };
        access | role
    }

    fn unpack(packed: u64) -> Self {
        let access = if packed & 4 != 0 { Access::Read } else { Access::Write };
        let role = match packed & 3 {
            1 => Some(Some(RoleWish::Primary)),
            2 => Some(Some(RoleWish::Replica)),
            3 => Some(Some(RoleWish::Any)),
            _ => None,
        };
        Self { access, role }
    }
}

/// The bits of a packed verdict; the others say under which circumstances it was found.
const VERDICT: u64 = 7;

impl Reading {
    fn of(params: &ParamSet) -> Self {
        let encoding = params.get("client_encoding");
        let is = |name, value| params.get(name) == Some(value);
        Self {
            lexical: Lexical {
                client_encoding: encoding.map_or(ClientEncoding::Utf8, ClientEncoding::named),
                standard_conforming_strings: !is("standard_conforming_strings", "off"),
            },
            begins_read_only: is("default_transaction_read_only", "on"),
            is_serializable: params.is_serializable(),
        }
    }
}

impl<'s> Judge<'s> {
    /// For texts of a session with these parameters.
    pub(crate) fn new(
        worker: &'s Worker,
        volatilities: Option<Arc<Volatilities>>,
        params: &ParamSet,
    ) -> Self {
        Self { worker, volatilities, reading: Reading::of(params) }
    }
}

impl Judge<'_> {
    /// What a text needs.
    pub(crate) fn text(&self, text: &[u8]) -> Verdict {
        // Serializable: whatever follows a transaction there, the proxy's own questions too, would
        // be refused by a replica.
        if self.reading.is_serializable || pgherd_sql::begins_with_write(text) {
            return Verdict { access: Access::Write, role: role(text) };
        }
        // It is meant for the proxy.
        if may_be_command(text) && pgherd_sql::command(text).is_some() {
            return Verdict { access: Access::Read, role: role(text) };
        }
        if self.worker.refuted.contains(text) {
            return self.refuted(text);
        }
        let mut analyses = self.worker.analyses.borrow_mut();
        let circumstances = (self.circumstances(), VERDICT);
        let found = analyses.note(text, self.reading.lexical, circumstances, |analysis| {
            let access = if self.only_reads(text, analysis) { Access::Read } else { Access::Write };
            Verdict { access, role: role(text) }.pack()
        });
        Verdict::unpack(found)
    }

    /// What a text needs that a replica has refused.
    fn refuted(&self, text: &[u8]) -> Verdict {
        let mut analyses = self.worker.analyses.borrow_mut();
        let sets = Marks::of_query(text).is_plain_set()
            && only_sets(&analyses.get_in(text, self.reading.lexical));
        Verdict { access: if sets { Access::Read } else { Access::Write }, role: role(text) }
    }

    fn only_reads(&self, text: &[u8], analysis: &mut dyn FnMut() -> Rc<Analysis>) -> bool {
        // What may stay on the server connection belongs where writes go.
        let marks = Marks::of_query(text);
        if !marks.is_empty() && !marks.is_plain_set() {
            return false;
        }
        let analysis = analysis();
        if marks.is_plain_set() {
            return only_sets(&analysis);
        }
        let catalog = Catalog(self.volatilities.as_deref());
        if analysis.access(&catalog) == pgherd_sql::Access::Read {
            return true;
        }
        self.reading.begins_read_only
            && analysis.unknown.is_none()
            && analysis.statements.iter().all(|statement| {
                matches!(statement.kind, Kind::Begin { read_only: None })
                    || !statement.may_write(&catalog)
            })
    }
}

/// Whether a text sets parameters for the session, which follow the client wherever they were set,
/// and does nothing else.
fn only_sets(analysis: &Analysis) -> bool {
    let is_set = |kind: &Kind| matches!(kind, Kind::Set { local: false, .. });
    analysis.unknown.is_none() && analysis.statements.iter().all(|it| is_set(&it.kind))
}

/// What the comments of a text ask for, if they do.
fn role(text: &[u8]) -> Option<Option<RoleWish>> {
    if !pgherd_sql::names_proxy(text) {
        return None;
    }
    let wish = pgherd_sql::directive(text)?.role?;
    Some(Some(match wish {
        pgherd_sql::RoleWish::Primary => RoleWish::Primary,
        pgherd_sql::RoleWish::Replica => RoleWish::Replica,
        pgherd_sql::RoleWish::Any => RoleWish::Any,
    }))
}

impl Judge<'_> {
    /// What a statement needs that was prepared by the protocol: found out once, not at each Bind.
    pub(crate) fn statement(&self, statement: &Statement) -> Verdict {
        let text = definition_text(&statement.definition);
        if self.worker.refuted.contains(text) {
            return self.text(text);
        }
        let circumstances = self.circumstances();
        let known = statement.verdict.load(Ordering::Relaxed);
        if known & !VERDICT == circumstances {
            return Verdict::unpack(known);
        }
        let verdict = self.text(text);
        statement.verdict.store(circumstances | verdict.pack(), Ordering::Relaxed);
        verdict
    }

    /// All that a verdict depends on besides the text, but what replicas have refused. Never 0.
    fn circumstances(&self) -> u64 {
        // Small and distinct, added to the random number of a catalog.
        let encoding = match self.reading.lexical.client_encoding {
            ClientEncoding::Utf8 => 0,
            ClientEncoding::AsciiSafe => 1,
            ClientEncoding::Opaque => 2,
        };
        let flags = [
            self.reading.lexical.standard_conforming_strings,
            self.reading.begins_read_only,
            self.reading.is_serializable,
        ];
        let reading = flags.iter().fold(encoding, |bits, &flag| bits << 1 | u64::from(flag));
        let catalog = self.volatilities.as_ref().map_or(0, |it| it.id());
        (catalog << 9) | 1 << 8 | reading << 3
    }
}

impl Session {
    /// Finds out how texts of this session are read, if that may have changed.
    pub(super) fn look_at_reading(&mut self) {
        if !self.routing.reading.as_ref().is_some_and(|it| Arc::ptr_eq(&it.0, &self.params)) {
            let reading = Reading::of(&self.params);
            self.routing.reading = Some(ReadingOf(Arc::clone(&self.params), reading));
        }
    }

    /// How texts of this session are read now.
    pub(super) fn judge(&self) -> Judge<'_> {
        let known = self.routing.reading.as_ref();
        Judge {
            worker: &self.worker,
            volatilities: self.targets.volatilities(),
            reading: known.map_or_else(|| Reading::of(&self.params), |it| it.1),
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
            Some(statement) => judge.statement(statement),
            // One that SQL has prepared, or none.
            None => Verdict::WRITES,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_what_it_was_before_it_was_packed() {
        for access in [Access::Read, Access::Write] {
            for role in [
                None,
                Some(Some(RoleWish::Primary)),
                Some(Some(RoleWish::Replica)),
                Some(Some(RoleWish::Any)),
            ] {
                let verdict = Verdict { access, role };
                assert!(verdict.pack() <= VERDICT);
                assert_eq!(Verdict::unpack(verdict.pack()), verdict);
            }
        }
    }
}
