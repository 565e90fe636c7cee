//! Bind: the statement gets the name that it has on the server connection.

use bytes::Bytes;
use pgherd_pool::{Effect, Note};
use pgherd_wire::frame::{self, HEADER_LEN, Header};
use pgherd_wire::frontend::{self, BindNames, tag};
use pgherd_wire::owed::Request;

use super::prepare::Named;
use super::sql_statements::uses;
use crate::end::End;
use crate::session::Session;

/// The longest pair of names in a Bind.
pub(super) const MAX_BIND_NAMES: usize = 64 * 1024;

impl Session {
    /// `false` when it must wait.
    pub(super) fn take_bind(&mut self, header: Header) -> Result<bool, End> {
        if self.is_session_mode() {
            self.pass(header, Request::Bind, Note::default());
            return Ok(true);
        }
        if self.must_wait() {
            return Ok(false);
        }
        let body = self.body(header);
        let Some(names) = BindNames::parse(body) else {
            if body.len() < header.body_len && body.len() < MAX_BIND_NAMES {
                return Ok(false);
            }
            if body.len() < header.body_len {
                return Err(End::MalformedMessage(header.tag));
            }
            // Postgres says what is wrong with it.
            self.pass(header, Request::Bind, Note::default());
            return Ok(true);
        };
        if names.statement.is_empty() {
            let names_others = self.unnamed.as_ref().is_some_and(|it| it.sql.is_some());
            let portal = (names_others || self.prepared.has_portals())
                .then(|| Bytes::copy_from_slice(names.portal));
            self.prepare_unnamed();
            self.heed_unnamed();
            if let Some(portal) = portal {
                let sql = self.unnamed.as_ref().and_then(|unnamed| unnamed.sql.clone());
                self.prepared.bind(&portal, sql);
            }
            self.pass(header, Request::Bind, Note::default());
            return Ok(true);
        }
        let (portal, name) = (names.portal.to_vec(), names.statement.to_vec());
        let names_len = names.encoded_len();
        let (name, server_name) = match self.prepare_named(&name) {
            Named::Ready { name, server_name } => (name, server_name),
            Named::Unknown => {
                self.portal_sets = false;
                self.pass(header, Request::Bind, Note::default());
                return Ok(true);
            }
            Named::Wait => return Ok(self.block()),
            Named::Stale => {
                self.refuse_stale(header);
                return Ok(true);
            }
        };
        if let Some(statement) = self.statements.get(&name) {
            let text = frontend::definition_text(&statement.definition);
            self.prepared.bind(&portal, uses(text));
        }
        let rest = header.body_len - names_len;
        let length = portal.len() + server_name.len() + 2 + rest;
        let Ok(length) = u32::try_from(length + 4) else {
            return Err(End::MalformedMessage(header.tag));
        };
        self.from_client.outbox.own(|out| {
            out.push(tag::BIND);
            out.extend_from_slice(&length.to_be_bytes());
            frame::put_cstr(out, &portal);
            frame::put_cstr(out, &server_name);
        });
        self.owe(Request::Bind, Effect::Uses(name));
        self.from_client.discard(HEADER_LEN + names_len);
        self.from_client.pass(rest);
        Ok(true)
    }
}
