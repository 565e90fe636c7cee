//! A request as it was sent, until its answer begins: so long it can be sent to another instance.
//!
//! The bytes stay where they are, in the client's buffer. What the server says before the first
//! row or the end of a statement is held back meanwhile.

use std::cell::RefCell;
use std::sync::Arc;

use ahash::{AHashMap, AHashSet, RandomState};
use bytes::Bytes;
use pgherd_pool::{Statement, Unnamed};
use pgherd_wire::ParamSet;
use pgherd_wire::backend::tag;
use pgherd_wire::error_response::ServerError as Report;
use pgherd_wire::frame::{HEADER_LEN, Header};
use pgherd_wire::frontend::definition_text;

use super::batch::{self, Item, MAX_BATCH};
use super::{Decision, Held};
use crate::end::End;
use crate::session::Session;

/// A client with more statements cannot have a request sent again that changes which ones it has.
const MAX_STATEMENTS: usize = 1000;
/// How often a request is sent again.
pub(crate) const MAX_FAILURES: u32 = 4;
/// How often it is sent again, a tenth of a second later each time, before the proxy has seen that what
/// was the primary is none any more.
const MAX_DEMOTED: u32 = 20;
/// Texts that a worker remembers to be refused by replicas.
const MAX_REFUTED: usize = 1024;

/// A request that can be sent again, and what the session was before it.
#[derive(Debug)]
pub(crate) struct Kept {
    /// It only reads: whatever has happened to it, it can be sent again.
    pub(crate) only_reads: bool,
    /// `None` when the request changes nothing of it.
    statements: Option<AHashMap<Bytes, Arc<Statement>>>,
    unnamed: Option<Unnamed>,
    params: Arc<ParamSet>,
    portal_sets: bool,
}

/// Texts of which replicas have said that they write, which is not to be seen in them.
#[derive(Debug, Default)]
pub struct Refuted {
    hasher: RandomState,
    texts: RefCell<AHashSet<u64>>,
}

impl Refuted {
    /// Whether a replica has refused this text.
    pub(crate) fn contains(&self, text: &[u8]) -> bool {
        let texts = self.texts.borrow();
        !texts.is_empty() && texts.contains(&self.hasher.hash_one(text))
    }

    pub(crate) fn insert(&self, text: &[u8]) {
        let mut texts = self.texts.borrow_mut();
        if texts.len() >= MAX_REFUTED {
            texts.clear();
        }
        texts.insert(self.hasher.hash_one(text));
    }
}

/// Whether an error says that a hot standby has no serializable transactions. The name of the
/// routine is not translated.
fn is_of_standby(body: &[u8]) -> bool {
    memchr::memmem::find(body, b"RGetSerializableTransactionSnapshot\0").is_some()
}

/// Whether the server may send this before it has executed anything.
pub(crate) fn is_prelude(tag: u8) -> bool {
    matches!(
        tag,
        tag::PARSE_COMPLETE
            | tag::BIND_COMPLETE
            | tag::CLOSE_COMPLETE
            | tag::PARAMETER_DESCRIPTION
            | tag::ROW_DESCRIPTION
            | tag::NO_DATA
    )
}

impl Session {
    /// The request at the head of the buffer is about to be sent: keeps it.
    pub(crate) fn keep(&mut self, decision: &Decision) {
        let fits = !decision.defines || self.statements.len() <= MAX_STATEMENTS;
        if !decision.is_whole || !fits || !self.from_client.is_between_messages() {
            return;
        }
        self.from_client.hold();
        self.routing.kept = Some(Box::new(Kept {
            only_reads: decision.only_reads,
            statements: decision.defines.then(|| self.statements.clone()),
            unnamed: self.unnamed.clone(),
            params: Arc::clone(&self.params),
            portal_sets: self.portal_sets,
        }));
    }

    /// The answer has begun, or something was sent that must not be sent twice.
    pub(crate) fn unkeep(&mut self) {
        if self.routing.kept.take().is_some() {
            self.from_client.unhold();
            self.routing.attempt = super::Attempt::default();
        }
    }

    /// Something behind the request that is kept changes which statements there are.
    pub(crate) fn unkeep_statements(&mut self) {
        if self.routing.kept.as_ref().is_some_and(|kept| kept.statements.is_none()) {
            self.unkeep();
        }
    }

    /// What was kept has grown too long.
    pub(crate) fn unkeep_what_is_long(&mut self) {
        if self.routing.kept.is_some() && self.from_client.buffer.len() > MAX_BATCH {
            self.unkeep();
        }
    }

    /// The first answer to the request that is kept is this error, all of which is there: whether
    /// another instance would do better.
    pub(crate) fn refusal(&mut self, header: Header) -> Option<End> {
        let only_reads = self.routing.kept.as_ref()?.only_reads;
        if !self.may_send_again() {
            return None;
        }
        let body = self.from_server.buffer.unscanned().get(HEADER_LEN..header.total_len())?;
        let report = Report::parse(body);
        let on_replica = self.routing.held == Some(Held::Replica);
        let is_read_only = self.params.get("default_transaction_read_only") == Some("on");
        match report.code.as_str() {
            // It was read only by its looks.
            "25006" if on_replica && self.routing.wishes.role().is_none() => {
                self.refute();
                self.routing.attempt.writes = true;
            }
            // A hot standby cannot do everything that a primary can.
            "0A000" if on_replica && only_reads && is_of_standby(body) => {
                self.routing.attempt.writes = true;
            }
            // The primary has become a replica. It has done nothing of this, and the next look at it
            // tells everybody.
            "25006" if !on_replica && !is_read_only => {
                self.pool.instance().look_now();
                let attempt = &mut self.routing.attempt;
                if attempt.demoted < MAX_DEMOTED {
                    attempt.demoted += 1;
                    attempt.failures = attempt.failures.saturating_sub(1);
                }
            }
            // In the way of the replay.
            "40001" if on_replica && only_reads => {}
            "57P01" | "57P02" | "57P03" if only_reads && report.is_fatal() => {}
            _ => return None,
        }
        Some(End::Elsewhere(report.code))
    }

    /// Whether the request that is kept has not failed too often or too long.
    pub(super) fn may_send_again(&self) -> bool {
        let attempt = &self.routing.attempt;
        attempt.failures < MAX_FAILURES
            && attempt.since.is_none_or(|since| since.elapsed() < self.checkout_timeout)
    }

    /// Remembers the texts of the request that is kept as such that write.
    fn refute(&self) {
        let worker = &self.worker;
        batch::scan(self.from_client.held_bytes(), |item| match item {
            Item::Query(text) | Item::Parse { text, .. } => worker.refuted.insert(text),
            Item::Uses(name) => {
                if let Some(statement) = self.statements.get(name) {
                    worker.refuted.insert(definition_text(&statement.definition));
                } else if let Some(unnamed) = self.unnamed.as_ref().filter(|_| name.is_empty()) {
                    worker.refuted.insert(definition_text(&unnamed.definition));
                }
            }
            Item::Closes | Item::Opaque => {}
        });
    }

    /// Makes everything as it was before the request that is kept, which then is the next one.
    pub(super) fn rewind(&mut self) {
        let Some(kept) = self.routing.kept.take() else { return };
        self.from_client.outbox.clear();
        self.from_client.rewind();
        self.from_server.outbox.clear();
        self.from_server.forget();
        if let Some(statements) = kept.statements {
            self.statements = statements;
        }
        self.unnamed = kept.unnamed;
        self.params = kept.params;
        self.portal_sets = kept.portal_sets;
        self.last_word = None;
    }
}
