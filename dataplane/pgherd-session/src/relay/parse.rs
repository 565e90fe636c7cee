//! Parse of the unnamed statement and of large ones, and Close.

use std::sync::Arc;

use bytes::Bytes;
use pgherd_pool::{Effect, Note, SqlUse, Unnamed};
use pgherd_wire::backend;
use pgherd_wire::frame::{self, HEADER_LEN, Header};
use pgherd_wire::frontend::{self, tag};
use pgherd_wire::owed::Request;

use super::prepare::Named;
use crate::end::End;
use crate::mentions;
use crate::pins::Pins;
use crate::session::Session;
use crate::settle::Marks;

/// The longest Parse that is remembered, so that it can be given to another server connection.
const MAX_DEFINITION: usize = 1 << 20;
/// The same for the unnamed statement, of which each client has one at most, while all of them
/// together leave room. A longer one passes as it is and keeps its server connection until it is
/// closed or replaced.
const MAX_UNNAMED: usize = 16 << 20;
/// The longest name.
const MAX_NAME: usize = 64 * 1024;

/// Generation of an unnamed statement that was too long to be remembered.
const LARGE: u64 = u64::MAX;

impl Session {
    /// Whether a Parse is too long to be remembered. `None` while it cannot be told.
    pub(super) fn is_large_parse(&self, header: Header) -> Option<bool> {
        if header.body_len <= MAX_DEFINITION {
            return Some(false);
        }
        let is_unnamed = *self.body(header).first()? == 0;
        let has_room = self.pool.statements().has_room(header.body_len);
        Some(!is_unnamed || header.body_len > MAX_UNNAMED || !has_room)
    }

    /// Too long to be kept: the statement lives on this server connection alone, under the
    /// client's own name, as if SQL had prepared it. `false` when more of it must come first.
    pub(super) fn take_large_parse(&mut self, header: Header) -> Result<bool, End> {
        let body = self.body(header);
        let Some(end) = memchr::memchr(0, body) else {
            return if body.len() < MAX_NAME {
                Ok(false)
            } else {
                Err(End::MalformedMessage(header.tag))
            };
        };
        let name = Bytes::copy_from_slice(&body[..end]);
        if self.statements.contains_key(&name) {
            return self.take_large_parse_of_taken(header, &name);
        }
        self.look_at_beginning(header);
        self.batch_defines = true;
        let undo = if name.is_empty() {
            self.replace_unnamed(None, LARGE)
        } else if self.prepared.is_sql_name(&name) {
            Effect::Nothing
        } else {
            Effect::DefinedSql(name.clone())
        };
        if !self.prepared.is_sql_name(&name) {
            self.prepared.add_sql(Some(name));
        }
        self.suspect(Pins::LARGE_STATEMENT);
        self.pass(header, Request::Parse, undo.into());
        Ok(true)
    }

    /// Postgres refuses a name that is taken, in its own words.
    fn take_large_parse_of_taken(&mut self, header: Header, name: &[u8]) -> Result<bool, End> {
        match self.prepare_named(name) {
            Named::Wait => return Ok(self.block()),
            Named::Stale => self.refuse_stale(header),
            Named::Unknown => self.pass(header, Request::Parse, Note::default()),
            Named::Ready { name, server_name } => {
                let rest = header.body_len - name.len() - 1;
                let Ok(length) = u32::try_from(server_name.len() + 1 + rest + 4) else {
                    return Err(End::MalformedMessage(header.tag));
                };
                self.from_client.outbox.own(|out| {
                    out.push(tag::PARSE);
                    out.extend_from_slice(&length.to_be_bytes());
                    frame::put_cstr(out, &server_name);
                });
                self.from_client.discard(HEADER_LEN + name.len() + 1);
                self.owe(Request::Parse, Effect::Uses(name));
                self.from_client.pass(rest);
            }
        }
        Ok(true)
    }

    /// Looks for mentions in what is there of a long message; the rest is looked at as it passes.
    fn look_at_beginning(&mut self, header: Header) {
        let body = self.body(header);
        let found = mentions::find(body);
        let mut tail = body[body.len().saturating_sub(mentions::OVERLAP)..].to_vec();
        tail.push(b' ');
        self.query_tail = tail;
        self.suspect(found);
        if found.contains(Pins::SETTINGS) {
            self.suspect(Pins::UNKNOWN_SETTING);
        }
    }

    pub(super) fn take_unnamed_parse(
        &mut self,
        header: Header,
        definition: Bytes,
        is_own: bool,
        sql: Option<Arc<[SqlUse]>>,
        marks: Marks,
    ) {
        let statements = self.pool.statements();
        let generation = statements.next_id();
        let reserved = (definition.len() > MAX_DEFINITION)
            .then(|| Arc::new(statements.reserve(definition.len())));
        let mut unnamed = Unnamed { generation, definition, marks: marks.bits(), sql, reserved };
        // Where it is not what the client has sent: names are exchanged, or other words put.
        let own = is_own.then(|| unnamed.definition.clone());
        let exchanged = self.definition_here(&mut unnamed);
        let Some(lease) = &mut self.lease else { return };
        // The first of its batch is never discarded: whatever comes of it, no other client's
        // statement is left there.
        self.batch_defines |= lease.owed.is_open();
        let sql = exchanged.is_some().then(|| unnamed.sql.clone()).flatten();
        let undo = self.replace_unnamed(Some(unnamed), generation);
        let note = Note { undo, sql, plain_set: false };
        if let Some(here) = exchanged.or(own) {
            self.from_client.outbox.own(|out| frontend::put_parse(out, b"", &here));
            self.owe_noted(Request::Parse, note);
            self.from_client.discard(header.total_len());
        } else {
            self.pass(header, Request::Parse, note);
        }
    }

    /// The client and the server connection have another unnamed statement, or none.
    pub(super) fn replace_unnamed(&mut self, client: Option<Unnamed>, server: u64) -> Effect {
        let client = std::mem::replace(&mut self.unnamed, client);
        let Some(lease) = &mut self.lease else { return Effect::Nothing };
        let now = server;
        let server = std::mem::replace(&mut lease.unnamed, now);
        if server == LARGE && lease.unnamed != LARGE {
            self.prepared.remove_sql(b"");
            self.unpin_from_statements();
        }
        Effect::Unnamed { client, server, now }
    }

    /// Takes [`Session::replace_unnamed`] back.
    pub(super) fn restore_unnamed(&mut self, client: Option<Unnamed>, server: u64) {
        self.replace_unnamed(client, server);
        if server == LARGE {
            self.prepared.add_sql(Some(Bytes::new()));
            self.suspect(Pins::LARGE_STATEMENT);
        }
    }

    /// Whether the server connection has an unnamed statement of another client.
    pub(super) fn has_foreign_unnamed(&self) -> bool {
        let server = self.lease.as_ref().map_or(0, |lease| lease.unnamed);
        self.unnamed.is_none() && server != 0 && server != LARGE
    }

    /// The statement stays on the server connection, where others may want it; only the name of
    /// this client goes. The answer is due in its place all the same.
    pub(super) fn take_close(&mut self, header: Header, name: &[u8]) {
        self.batch_defines = true;
        self.unkeep_statements();
        if name.is_empty() {
            let undo = self.replace_unnamed(None, 0);
            self.pass(header, Request::Close, undo.into());
            return;
        }
        if self.prepared.remove_sql(name) {
            self.unpin_from_statements();
            let undo = Effect::ClosedSql(Bytes::copy_from_slice(name));
            self.pass(header, Request::Close, undo.into());
            return;
        }
        let undo = match self.statements.remove_entry(name) {
            Some((name, before)) => Effect::Closed { name, before },
            // It may be one that SQL has prepared unseen.
            None if self.state.is_bound() => {
                self.pass(header, Request::Close, Note::default());
                return;
            }
            None => Effect::Nothing,
        };
        let Some(lease) = &mut self.lease else { return };
        lease.owed.push_invented(backend::tag::CLOSE_COMPLETE, undo.into());
        self.from_client.discard(header.total_len());
        self.give_invented();
    }
}
