//! Getting a client's prepared statements onto the server connection that it holds now.

use std::sync::Arc;

use bytes::Bytes;
use pgherd_pool::{Effect, Lease, Note, Statement, Unnamed};
use pgherd_wire::backend;
use pgherd_wire::frame::{self, HEADER_LEN, Header};
use pgherd_wire::frontend::{self, Target, definition_text, tag};
use pgherd_wire::owed::{Audience, Request};
use pgherd_wire::{ErrorResponse, sqlstate};

use super::sql_statements::EMPTY_DEFINITION;
use crate::outbox::Outbox;
use crate::prepared::Checking;
use crate::session::Session;
use crate::settle::Marks;

/// What Postgres says when a statement is not any more what it was when it was defined. The
/// number of the line is left out; drivers look at the code and the routine.
pub(crate) const RESULT_TYPE_CHANGED: &[u8] = b"SERROR\0VERROR\0C0A000\0\
    Mcached plan must not change result type\0Fplancache.c\0RRevalidateCachedQuery\0\0";

/// What came of looking for a statement of the client's.
pub(super) enum Named {
    /// It is on the server connection.
    Ready {
        /// The client's name for it.
        name: Bytes,
        /// The server connection's.
        server_name: Bytes,
    },
    /// The client has none of this name: the message passes as it is, and Postgres says so.
    Unknown,
    /// It is known only when the server has answered.
    Wait,
    /// It would not be the same statement any more.
    Stale,
}

impl Session {
    /// Makes the unnamed statement of the server connection that of this client.
    pub(super) fn prepare_unnamed(&mut self) {
        let here = self.lease.as_ref().map_or(0, |lease| lease.unnamed);
        let definition = match &self.unnamed {
            Some(unnamed) if unnamed.sql.is_none() && unnamed.generation == here => return,
            Some(unnamed) if unnamed.sql.is_none() => unnamed.definition.clone(),
            // The names in its text are exchanged each time.
            Some(unnamed) => {
                let mut unnamed = unnamed.clone();
                let definition = match self.definition_here(&mut unnamed) {
                    // Its text is the client's, unless names were exchanged that are gone.
                    None if unnamed.generation == here && !unnamed.forget_exchanged() => return,
                    None => unnamed.definition.clone(),
                    Some(definition) => definition,
                };
                self.unnamed = Some(unnamed);
                definition
            }
            // Another client's statement must not be found where this one has none.
            None if self.has_foreign_unnamed() => {
                self.batch_defines = true;
                let undo = self.replace_unnamed(None, 0);
                let outbox = &mut self.from_client.outbox;
                outbox.own(|out| frontend::put_target(out, tag::CLOSE, Target::Statement, b""));
                let Some(lease) = &mut self.lease else { return };
                lease.owed.push(Request::Close, Audience::Proxy, undo.into());
                return;
            }
            None => return,
        };
        self.batch_defines = true;
        let client = self.unnamed.clone();
        let generation = client.as_ref().map_or(0, |unnamed| unnamed.generation);
        let undo = self.replace_unnamed(client, generation);
        self.from_client.outbox.own(|out| frontend::put_parse(out, b"", &definition));
        let Some(lease) = &mut self.lease else { return };
        lease.owed.push(Request::Parse, Audience::Proxy, undo.into());
    }

    /// The definition with the names that the statements in its text have on this connection, if
    /// it names any.
    pub(super) fn definition_here(&mut self, unnamed: &mut Unnamed) -> Option<Bytes> {
        let sql = Arc::clone(unnamed.sql.as_ref()?);
        if !self.names_own(&sql) {
            return None;
        }
        let text = definition_text(&unnamed.definition);
        let (sql, exchanged) = self.exchange_names(text, &sql);
        unnamed.sql = Some(sql);
        Some([&exchanged, &unnamed.definition[text.len()..]].concat().into())
    }

    /// Looks for a statement of this client on the server connection, where it is parsed first if
    /// need be. It is used once the server has said that it is still the statement that the
    /// client defined: a driver that knows its columns would read others without noticing.
    pub(super) fn prepare_named(&mut self, name: &[u8]) -> Named {
        let Some(lease) = self.lease.as_mut() else { return Named::Unknown };
        let outbox = &mut self.from_client.outbox;
        close_doomed(lease, outbox);
        let Some((name, statement)) = self.statements.get_key_value(name) else {
            if name.starts_with(lease.statements.prefix().as_bytes()) {
                // A name of the proxy's own: what is found must be nothing.
                let server_name = nobody(lease);
                return Named::Ready { name: Bytes::copy_from_slice(name), server_name };
            }
            return Named::Unknown;
        };
        let marks = Marks::from_bits(statement.marks);
        self.portal_sets = marks.is_plain_set();
        if let Some(server_name) = lease.statements.name(statement.id) {
            let name = name.clone();
            if !marks.is_empty() {
                let reading = marks.read(definition_text(&statement.definition));
                self.heed(reading);
            }
            return Named::Ready { name, server_name };
        }
        if self.prepared.checking.take() == Some(Checking::Stale(statement.id)) {
            return Named::Stale;
        }
        self.prepared.checking = Some(Checking::Asked(statement.id));
        self.batch_defines = true;
        let (name, statement) = (name.clone(), Arc::clone(statement));
        let undo = Effect::Parsed(statement.id);
        let definition = statement.definition_elsewhere();
        parse(lease, outbox, &statement, &definition, Audience::Proxy, undo, name);
        self.prepared.flushed = false;
        self.wait_for_answers();
        Named::Wait
    }

    /// A Parse with a name. `false` when it must wait.
    ///
    /// Postgres parses it each time, also where the server connection has a statement with this
    /// text already: only so the client gets what its own connection would have made of it, after
    /// whatever DDL. Which of the two is kept is decided when the server has described it.
    pub(super) fn take_named_parse(
        &mut self,
        header: Header,
        name: &[u8],
        definition: &[u8],
        marks: Marks,
    ) -> bool {
        self.batch_defines = true;
        self.unkeep_statements();
        if self.prepared.is_sql_name(name) {
            // It is taken on this server connection, where Postgres says so.
            self.pass(header, Request::Parse, Note::default());
            return true;
        }
        if self.statements.contains_key(name) {
            // Postgres refuses a name that is taken, in its own words.
            match self.prepare_named(name) {
                Named::Wait => return self.block(),
                Named::Stale => self.parse_as_taken(header, name, definition),
                Named::Unknown => {}
                Named::Ready { name, server_name } => {
                    let outbox = &mut self.from_client.outbox;
                    outbox.own(|out| frontend::put_parse(out, &server_name, definition));
                    self.owe(Request::Parse, Effect::Uses(name));
                    self.from_client.discard(header.total_len());
                }
            }
            return true;
        }
        if self.is_at_limit() {
            self.refuse_too_many(header);
            return true;
        }
        let Some(lease) = &mut self.lease else { return true };
        let outbox = &mut self.from_client.outbox;
        close_doomed(lease, outbox);
        let name = Bytes::copy_from_slice(name);
        let statement = self.pool.statements().define(definition, marks.bits());
        self.statements.insert(name.clone(), Arc::clone(&statement));
        let undo = Effect::Defined { name: name.clone(), id: statement.id };
        parse(lease, outbox, &statement, definition, Audience::Client, undo, name);
        self.from_client.discard(header.total_len());
        true
    }

    /// Has Postgres refuse a name that is taken where the statement of that name is not any more
    /// what it was: an empty one stands in for it.
    fn parse_as_taken(&mut self, header: Header, name: &[u8], definition: &[u8]) {
        let Some(lease) = &mut self.lease else { return };
        let outbox = &mut self.from_client.outbox;
        let server_name = lease.statements.passing_name();
        outbox.own(|out| frontend::put_parse(out, &server_name, EMPTY_DEFINITION));
        lease.owed.push(Request::Parse, Audience::Proxy, Note::default());
        lease.statements.doom(server_name.clone());
        outbox.own(|out| frontend::put_parse(out, &server_name, definition));
        self.owe(Request::Parse, Effect::Uses(Bytes::copy_from_slice(name)));
        self.from_client.discard(header.total_len());
    }

    /// Refuses the client's message with the proxy's own words, in its place among the replies:
    /// the server is made to give an error, so that it discards what follows.
    pub(super) fn refuse_message(&mut self, header: Header, error: Bytes) {
        self.refuse_behind(header, Bytes::new(), error);
    }

    /// The same, behind messages that Postgres sends before it refuses.
    fn refuse_behind(&mut self, header: Header, preface: Bytes, error: Bytes) {
        let Some(lease) = &mut self.lease else { return };
        let name = nobody(lease);
        let outbox = &mut self.from_client.outbox;
        outbox.own(|out| frontend::put_target(out, tag::DESCRIBE, Target::Statement, &name));
        self.owe(Request::DescribeStatement, Effect::Refused { preface, error });
        self.from_client.discard(header.total_len());
    }

    /// Whether the client has as many statements as it may have.
    fn is_at_limit(&self) -> bool {
        let most = self.pool.settings().max_prepared_statements;
        most != 0 && self.statements.len() >= most
    }

    fn refuse_too_many(&mut self, header: Header) {
        let most = self.pool.settings().max_prepared_statements;
        let mut error = Vec::new();
        ErrorResponse::error(
            sqlstate::CONFIGURATION_LIMIT_EXCEEDED,
            "too many prepared statements",
        )
        .detail(format!("A client of pgherd may have {most} at a time."))
        .hint("Close some, or raise \"max_prepared_statements\" of the cluster.")
        .put(&mut error);
        error.drain(..HEADER_LEN);
        self.refuse_message(header, error.into());
    }

    /// The client's statement is not any more what it was.
    pub(super) fn refuse_stale(&mut self, header: Header) {
        self.refuse_message(header, Bytes::from_static(RESULT_TYPE_CHANGED));
    }

    /// The same for a Describe, which Postgres answers as far as it can.
    pub(super) fn refuse_to_describe(&mut self, header: Header, name: &[u8]) {
        let shape = self.statements.get(name).and_then(|statement| statement.shape.as_ref());
        let mut preface = Vec::new();
        if let Some(shape) = shape {
            frame::put(&mut preface, backend::tag::PARAMETER_DESCRIPTION, |out| {
                out.extend_from_slice(&shape.parameters);
            });
        }
        self.refuse_behind(header, preface.into(), Bytes::from_static(RESULT_TYPE_CHANGED));
    }

    pub(super) fn owe(&mut self, request: Request, effect: Effect) {
        self.owe_noted(request, effect.into());
    }

    pub(super) fn owe_noted(&mut self, request: Request, note: Note) {
        if let Some(lease) = &mut self.lease {
            lease.owed.push(request, Audience::Client, note);
        }
    }
}

/// Parses a statement on the server connection and asks what became of it. Returns its name there.
pub(super) fn parse(
    lease: &mut Lease,
    outbox: &mut Outbox,
    statement: &Arc<Statement>,
    definition: &[u8],
    audience: Audience,
    undo: Effect,
    name: Bytes,
) -> Bytes {
    let server_name = lease.statements.add(statement.id);
    outbox.own(|out| {
        frontend::put_parse(out, &server_name, definition);
        frontend::put_target(out, tag::DESCRIBE, Target::Statement, &server_name);
    });
    lease.owed.push(Request::Parse, audience, undo.into());
    let described = Effect::Described { statement: Arc::clone(statement), name };
    lease.owed.push(Request::DescribeStatement, Audience::Proxy, described.into());
    server_name
}

/// A name that no statement of the server connection has.
pub(super) fn nobody(lease: &Lease) -> Bytes {
    Bytes::from(format!("{}0", lease.statements.prefix()))
}

/// Closes what the server connection no longer needs. Only at the beginning of a batch, so that
/// nothing is closed that the batch uses.
pub(super) fn close_doomed(lease: &mut Lease, outbox: &mut Outbox) {
    if !lease.owed.is_empty() || !lease.statements.has_doomed() {
        return;
    }
    for name in lease.statements.take_doomed() {
        outbox.own(|out| frontend::put_target(out, tag::CLOSE, Target::Statement, &name));
        let undo = Effect::ServerClosed(name);
        lease.owed.push(Request::Close, Audience::Proxy, undo.into());
    }
}
