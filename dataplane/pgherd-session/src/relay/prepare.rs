//! Getting a client's prepared statements onto the server connection that it holds now.

use std::sync::Arc;

use bytes::Bytes;
use pgherd_pool::{Effect, Lease};
use pgherd_wire::frontend::{self, Target, tag};
use pgherd_wire::owed::{Audience, Request};

use crate::outbox::Outbox;
use crate::session::Session;
use crate::settle::Marks;

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

    /// The name that a statement of this client has on the server connection, where it is parsed
    /// first if need be. `None` when the client has no such statement: then its message passes as
    /// it is, and Postgres says so.
    pub(super) fn prepare_named(&mut self, name: &[u8]) -> Option<Bytes> {
        let lease = self.lease.as_mut()?;
        let outbox = &mut self.from_client.outbox;
        let Some(statement) = self.statements.get(name) else {
            lease.statements.evict_name(name);
            close_doomed(lease, outbox);
            self.portal_sets = false;
            return None;
        };
        let marks = Marks::from_bits(statement.marks);
        self.portal_sets = marks.is_plain_set();
        if let Some(server_name) = lease.statements.name(statement.id) {
            if !marks.is_empty() {
                let reading = marks.read(frontend::definition_text(&statement.definition));
                self.heed(reading);
            }
            return Some(server_name);
        }
        let statement = Arc::clone(statement);
        self.batch_defines = true;
        close_doomed(lease, outbox);
        let server_name = lease.statements.add(statement.id);
        outbox.own(|out| frontend::put_parse(out, &server_name, &statement.definition));
        let undo = Effect::Parsed(statement.id);
        lease.owed.push(Request::Parse, Audience::Proxy, undo.into());
        self.heed(marks.read(frontend::definition_text(&statement.definition)));
        Some(server_name)
    }
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
