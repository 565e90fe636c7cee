//! Getting a client's prepared statements onto the server connection that it holds now.

use std::sync::Arc;

use bytes::Bytes;
use pgherd_pool::{Effect, Lease, Statement};
use pgherd_wire::description::with_parameters;
use pgherd_wire::frame::Header;
use pgherd_wire::frontend::{self, Target, definition_text, tag};
use pgherd_wire::owed::{Audience, Request};

use crate::mentions;
use crate::outbox::Outbox;
use crate::session::Session;

/// What Postgres says when a statement is not any more what it was when it was defined. The
/// number of the line is left out; drivers look at the code and the routine.
const RESULT_TYPE_CHANGED: &[u8] = b"SERROR\0VERROR\0C0A000\0\
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
        let Some(lease) = &mut self.lease else { return };
        let outbox = &mut self.from_client.outbox;
        match &self.unnamed {
            Some(unnamed) if unnamed.generation == lease.unnamed => {}
            Some(unnamed) => {
                self.batch_defines = true;
                let undo = Effect::Unnamed {
                    client: Some(unnamed.clone()),
                    server: std::mem::replace(&mut lease.unnamed, unnamed.generation),
                };
                outbox.own(|out| frontend::put_parse(out, b"", &unnamed.definition));
                lease.owed.push(Request::Parse, Audience::Proxy, undo.into());
            }
            // Another client's statement must not be found where this one has none.
            None if lease.unnamed != 0 => {
                self.batch_defines = true;
                let undo =
                    Effect::Unnamed { client: None, server: std::mem::take(&mut lease.unnamed) };
                outbox.own(|out| frontend::put_target(out, tag::CLOSE, Target::Statement, b""));
                lease.owed.push(Request::Close, Audience::Proxy, undo.into());
            }
            None => {}
        }
    }

    /// Looks for a statement of this client on the server connection, where it is parsed first if
    /// need be. It is used once the server has said that it is still the statement that the
    /// client defined: a driver that knows its columns would read others without noticing.
    pub(super) fn prepare_named(&mut self, name: &[u8]) -> Named {
        let Some(lease) = self.lease.as_mut() else { return Named::Unknown };
        let outbox = &mut self.from_client.outbox;
        let Some((name, statement)) = self.statements.get_key_value(name) else {
            if name.starts_with(lease.statements.prefix().as_bytes()) {
                // A name of the proxy's own: what is found must be nothing.
                let server_name = nobody(lease);
                return Named::Ready { name: Bytes::copy_from_slice(name), server_name };
            }
            return Named::Unknown;
        };
        if let Some(server_name) = lease.statements.name(statement.id) {
            return Named::Ready { name: name.clone(), server_name };
        }
        if self.prepared.stale == Some(statement.id) {
            self.prepared.stale = None;
            return Named::Stale;
        }
        self.batch_defines = true;
        self.prepared.barrier = true;
        let (name, statement) = (name.clone(), Arc::clone(statement));
        close_doomed(lease, outbox);
        let undo = Effect::Parsed(statement.id);
        let pins = mentions::find(definition_text(&statement.definition)).any();
        match &statement.shape {
            // The types of the parameters stay what they were.
            Some(shape) => {
                let text = definition_text(&statement.definition);
                let definition = with_parameters(text, &shape.parameters);
                parse(lease, outbox, &statement, &definition, Audience::Proxy, undo, name);
            }
            None => {
                let definition = statement.definition.clone();
                parse(lease, outbox, &statement, &definition, Audience::Proxy, undo, name);
            }
        }
        outbox.own(|out| frontend::put_empty(out, tag::FLUSH));
        if pins {
            self.pin();
        }
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
    ) -> bool {
        self.batch_defines = true;
        if self.statements.contains_key(name) {
            // Postgres refuses a name that is taken, in its own words.
            match self.prepare_named(name) {
                Named::Wait => return self.block(),
                Named::Stale | Named::Unknown => {}
                Named::Ready { name, server_name } => {
                    let outbox = &mut self.from_client.outbox;
                    outbox.own(|out| frontend::put_parse(out, &server_name, definition));
                    self.owe(Request::Parse, Effect::Uses(name));
                    self.from_client.discard(header.total_len());
                }
            }
            return true;
        }
        let Some(lease) = &mut self.lease else { return true };
        let outbox = &mut self.from_client.outbox;
        close_doomed(lease, outbox);
        let name = Bytes::copy_from_slice(name);
        let statement = self.pool.statements().define(definition);
        self.statements.insert(name.clone(), Arc::clone(&statement));
        let undo = Effect::Defined { name: name.clone(), id: statement.id };
        parse(lease, outbox, &statement, definition, Audience::Client, undo, name);
        self.from_client.discard(header.total_len());
        true
    }

    /// Refuses the client's message with the proxy's own words, in its place among the replies:
    /// the server is made to give an error, so that it discards what follows.
    pub(super) fn refuse_message(&mut self, header: Header, error: Bytes) {
        let Some(lease) = &mut self.lease else { return };
        let name = nobody(lease);
        let outbox = &mut self.from_client.outbox;
        outbox.own(|out| frontend::put_target(out, tag::DESCRIBE, Target::Statement, &name));
        self.owe(Request::DescribeStatement, Effect::Refused(error));
        self.from_client.discard(header.total_len());
    }

    /// The client's statement is not any more what it was.
    pub(super) fn refuse_stale(&mut self, header: Header) {
        self.refuse_message(header, Bytes::from_static(RESULT_TYPE_CHANGED));
    }

    pub(super) fn owe(&mut self, request: Request, effect: Effect) {
        if let Some(lease) = &mut self.lease {
            lease.owed.push(request, Audience::Client, effect.into());
        }
    }
}

/// Parses a statement on the server connection and asks what became of it.
fn parse(
    lease: &mut Lease,
    outbox: &mut Outbox,
    statement: &Arc<Statement>,
    definition: &[u8],
    audience: Audience,
    undo: Effect,
    name: Bytes,
) {
    let server_name = lease.statements.add(statement.id);
    outbox.own(|out| {
        frontend::put_parse(out, &server_name, definition);
        frontend::put_target(out, tag::DESCRIBE, Target::Statement, &server_name);
    });
    lease.owed.push(Request::Parse, audience, undo.into());
    let described = Effect::Described { statement: Arc::clone(statement), name };
    lease.owed.push(Request::DescribeStatement, Audience::Proxy, described.into());
}

/// A name that no statement of the server connection has.
fn nobody(lease: &Lease) -> Bytes {
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
