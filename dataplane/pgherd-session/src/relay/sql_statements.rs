//! Prepared statements by their names in SQL: `PREPARE`, `EXECUTE`, `DEALLOCATE`.
//!
//! A statement that SQL prepares lives on one server connection and pins it. One of the protocol
//! has another name on each server connection, so its name is exchanged in the text: `EXECUTE`
//! gets the name that the statement has there, `DEALLOCATE` and `PREPARE` that of an empty
//! statement, which is there to be dropped or to be found taken.

use std::sync::Arc;

use pgherd_pool::{Effect, Exchanged, Note, SqlUse, SqlVerb};
use pgherd_wire::TransactionStatus;
use pgherd_wire::frame::Header;
use pgherd_wire::frontend::{self, definition_text, tag};
use pgherd_wire::owed::{Audience, Request};

use super::prepare::parse;
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
    pub(super) fn take_naming_query(&mut self, header: Header, sql: &Arc<[SqlUse]>) -> bool {
        let Some(lease) = &mut self.lease else { return true };
        if !lease.owed.is_empty() && !lease.owed.is_copy_in() {
            return self.wait_for_answers();
        }
        let text = definition_text(self.body(header)).to_vec();
        let (sql, text) = self.exchange_names(&text, sql);
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
        let mut out = Vec::with_capacity(text.len() + 64);
        let mut copied = 0;
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
            out.extend_from_slice(&text[copied..it.at.start]);
            it.exchanged = Some(Exchanged {
                at: characters(&out) + 1,
                written: characters(&text[it.at.clone()]),
                server_name: server_name.clone(),
            });
            out.extend_from_slice(&server_name);
            copied = it.at.end;
        }
        out.extend_from_slice(&text[copied..]);
        (sql.into(), out)
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

/// An error about a text in which names were exchanged, as the client must read it: with its own
/// names, and with the position in its own text.
pub(super) fn with_names_of_client(body: &[u8], sql: &[SqlUse]) -> Option<Vec<u8>> {
    if sql.iter().all(|it| it.exchanged.is_none()) {
        return None;
    }
    let mut out = Vec::with_capacity(body.len());
    for field in body.split_inclusive(|&byte| byte == 0) {
        if let [b'P', digits @ .., 0] = field
            && let Some(position) =
                std::str::from_utf8(digits).ok().and_then(|digits| digits.parse::<usize>().ok())
        {
            out.extend_from_slice(format!("P{}\0", position_of_client(position, sql)).as_bytes());
            continue;
        }
        let mut field = field.to_vec();
        for (name, exchanged) in
            sql.iter().filter_map(|it| Some((&it.name, it.exchanged.as_ref()?)))
        {
            if let Some(at) = memchr::memmem::find(&field, &exchanged.server_name) {
                field.splice(at..at + exchanged.server_name.len(), name.iter().copied());
            }
        }
        out.extend_from_slice(&field);
    }
    Some(out)
}

fn position_of_client(position: usize, sql: &[SqlUse]) -> usize {
    let before = sql.iter().filter_map(|it| it.exchanged.as_ref()).filter(|it| it.at < position);
    let (mut longer, mut shorter) = (0, 0);
    for it in before {
        longer += it.server_name.len();
        shorter += it.written;
    }
    (position + shorter).saturating_sub(longer)
}

/// Characters, as Postgres counts positions.
fn characters(text: &[u8]) -> usize {
    text.iter().filter(|&&byte| byte & 0xc0 != 0x80).count()
}
