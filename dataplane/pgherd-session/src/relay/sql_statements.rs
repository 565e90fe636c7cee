//! Prepared statements by their names in SQL: `PREPARE`, `EXECUTE`, `DEALLOCATE`.
//!
//! A statement that SQL prepares lives on one server connection and pins it. One of the protocol
//! has another name on each server connection, so its name is exchanged in the text: `EXECUTE`
//! gets the name that the statement has there, `DEALLOCATE` and `PREPARE` that of an empty
//! statement, which is there to be dropped or to be found taken.

use std::sync::Arc;

use pgherd_pool::{Effect, Note, SqlUse, SqlVerb};
use pgherd_wire::TransactionStatus;
use pgherd_wire::frame::Header;
use pgherd_wire::frontend::{self, tag};
use pgherd_wire::owed::{Audience, Request};

use super::prepare::parse;
use crate::exchange::Exchange;
use crate::pins::Pins;
use crate::session::Session;
use crate::sql_names;

/// A text without parameters that does nothing.
pub(super) const EMPTY_DEFINITION: &[u8] = b"\0\0\0";

/// What a text says of prepared statements by name.
pub(super) fn uses(text: &[u8]) -> Option<Arc<[SqlUse]>> {
    if text.len() > sql_names::MAX_TEXT || !sql_names::may_be_any(text) {
        return None;
    }
    let found = sql_names::find(text);
    (!found.is_empty()).then(|| found.into())
}

/// Whether it changes which statements there are.
pub(super) fn changes(sql: &[SqlUse]) -> bool {
    sql.iter().any(|it| it.verb != SqlVerb::Execute)
}

impl Session {
    /// A simple query that names statements of the protocol. `false` when it must wait.
    pub(super) fn take_naming_query(
        &mut self,
        header: Header,
        text: &[u8],
        sql: &Arc<[SqlUse]>,
    ) -> bool {
        let Some(lease) = &mut self.lease else { return true };
        if !lease.owed.is_empty() && !lease.owed.is_copy_in() {
            return self.wait_for_answers();
        }
        let (sql, text) = self.exchange_names(text, sql);
        // The query drops it, also when the server does not come so far.
        self.unnamed = None;
        let undo = self.replace_unnamed(None, 0);
        let Some(lease) = &mut self.lease else { return true };
        let slipped = !lease.owed.is_empty();
        self.from_client.outbox.own(|out| frontend::put_query(out, &text));
        let note = Note { undo, plain_set: false, sql: Some(sql) };
        lease.owed.push(Request::Query, Audience::Client, note);
        if slipped {
            self.from_client.outbox.own(|out| frontend::put_empty(out, tag::SYNC));
            lease.owed.push(Request::Sync, Audience::Proxy, Note::default());
        }
        self.from_client.discard(header.total_len());
        self.batch_defines = true;
        self.end_batch();
        true
    }

    /// Whether a text names statements of the protocol that this client has.
    pub(super) fn names_own(&self, sql: &[SqlUse]) -> bool {
        !self.statements.is_empty()
            && sql.iter().any(|it| self.statements.contains_key(&it.name))
            // Postgres refuses the text as it is.
            && self
                .lease
                .as_ref()
                .is_some_and(|lease| lease.owed.status() != TransactionStatus::Failed)
    }

    /// Puts the names that statements have on the server connection into a text, and sees to it
    /// that they are there.
    pub(super) fn exchange_names(
        &mut self,
        text: &[u8],
        sql: &[SqlUse],
    ) -> (Arc<[SqlUse]>, Vec<u8>) {
        let mut sql = sql.to_vec();
        sql.iter_mut().for_each(|it| it.exchanged = None);
        let mut exchange = Exchange::new(text);
        for at in 0..sql.len() {
            let (before, [it, ..]) = sql.split_at_mut(at) else { break };
            let dropped = before.iter().any(|former| {
                former.verb == SqlVerb::ForgetAll
                    || (former.verb == SqlVerb::Deallocate && former.name == it.name)
            });
            let (Some(statement), Some(lease)) =
                (self.statements.get(&it.name).filter(|_| !dropped), &mut self.lease)
            else {
                continue;
            };
            let outbox = &mut self.from_client.outbox;
            let server_name = match it.verb {
                SqlVerb::Execute => match lease.statements.name(statement.id) {
                    Some(server_name) => server_name,
                    None => {
                        let undo = Effect::Parsed(statement.id);
                        let definition = statement.definition_elsewhere();
                        let name = it.name.clone();
                        parse(lease, outbox, statement, &definition, Audience::Proxy, undo, name)
                    }
                },
                _ => {
                    let server_name = lease.statements.passing_name();
                    outbox.own(|out| frontend::put_parse(out, &server_name, EMPTY_DEFINITION));
                    lease.owed.push(Request::Parse, Audience::Proxy, Note::default());
                    // Closed later, unless SQL has dropped it.
                    lease.statements.doom(server_name.clone());
                    server_name
                }
            };
            it.exchanged = Some(exchange.put(&it.at, server_name));
        }
        (sql.into(), exchange.finish())
    }

    /// `PREPARE` or `DEALLOCATE` has succeeded.
    pub(super) fn sql_succeeded(&mut self, verb: SqlVerb, sql: Option<&[SqlUse]>) {
        let uses = sql.unwrap_or_default();
        let next = (self.prepared.seen..uses.len()).find(|&at| uses[at].verb == verb);
        self.prepared.seen = next.map_or(uses.len(), |at| at + 1);
        let name = next.map(|at| uses[at].name.clone());
        if verb == SqlVerb::Prepare {
            self.prepared.add_sql(name);
            self.suspect(Pins::PREPARED);
        } else if let Some(name) = name {
            if !self.prepared.remove_sql(&name) {
                self.statements.remove(&name);
            }
            self.unpin_from_statements();
        }
    }

    /// A statement is gone that kept the server connection: whether SQL has prepared others the
    /// server says.
    pub(super) fn unpin_from_statements(&mut self) {
        self.doubt();
        if !self.prepared.has_sql_statements() {
            self.forget_pins(Pins::LARGE_STATEMENT);
        }
    }
}
