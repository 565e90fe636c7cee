//! Requests on their way to the server: names of prepared statements are exchanged, everything
//! is entered into the queue of owed replies, the rest passes as it is.

use std::sync::Arc;

use bytes::Bytes;
use pgherd_pool::{Effect, Note, Statement, Unnamed};
use pgherd_wire::frame::{self, HEADER_LEN, Header};
use pgherd_wire::frontend::{self, BindNames, Parse, Target, tag};
use pgherd_wire::owed::{Audience, Request};
use pgherd_wire::{TransactionStatus, backend};

use super::MAX_PIPELINE;
use super::prepare::close_doomed;
use crate::end::End;
use crate::mentions;
use crate::pins::Pins;
use crate::session::{Session, is_frontend_tag, is_ready_to_send};
use crate::setting_names;
use crate::settle::Marks;

/// The longest Parse that is remembered, so that it can be given to another server connection.
/// A longer one passes as it is and keeps its server connection.
const MAX_DEFINITION: usize = 1 << 20;
/// The longest pair of names in a Bind.
const MAX_BIND_NAMES: usize = 64 * 1024;

impl Session {
    /// Deals with what the client has sent, as far as whole decisions can be made. `true` when
    /// anything was dealt with.
    pub(super) fn scan_client(&mut self) -> Result<bool, End> {
        let mut moved = false;
        self.blocked = false;
        loop {
            if self.from_client.passing > 0 || self.from_client.dropping > 0 {
                if self.from_client.buffer.is_empty() {
                    return Ok(moved);
                }
                moved = true;
                if !self.continue_message() {
                    return Ok(moved);
                }
            }
            let unscanned = self.from_client.buffer.unscanned();
            let header = match Header::peek(unscanned) {
                Ok(Some(header)) => header,
                Ok(None) => return Ok(moved),
                Err(error) => {
                    self.say_last(End::ClientFrame(error));
                    return Ok(moved);
                }
            };
            let Some(lease) = &self.lease else { return Ok(moved) };
            if lease.owed.len() >= MAX_PIPELINE {
                return Ok(moved);
            }
            if header.tag == tag::TERMINATE {
                self.say_last(End::Terminated);
                return Ok(moved);
            }
            if !is_frontend_tag(header.tag) {
                self.say_last(End::UnknownMessage(header.tag));
                return Ok(moved);
            }
            if !is_ready_to_send(unscanned, header) {
                return Ok(moved);
            }
            if self.waits_for_statement(header.tag) {
                self.blocked = true;
                return Ok(moved);
            }
            let Some(lease) = &self.lease else { return Ok(moved) };
            if lease.owed.is_skipping() && header.tag != tag::SYNC {
                // The server would discard it too; so nothing of it may enter the books.
                self.from_client.discard(header.total_len());
            } else if !self.take_message(header)? {
                return Ok(moved);
            }
            moved = true;
        }
    }

    /// What came before the last word is done first, and answered also where no Sync stands.
    fn say_last(&mut self, end: End) {
        if self.last_word.is_some() {
            return;
        }
        self.last_word = Some(end);
        if let Some(lease) = &self.lease
            && lease.owed.needs_sync()
            && !lease.owed.is_copy_in()
        {
            let outbox = &mut self.from_client.outbox;
            outbox.own(|out| frontend::put_empty(out, tag::FLUSH));
        }
    }

    /// More of a message that was too long for the buffer. `true` when it is through.
    fn continue_message(&mut self) -> bool {
        if self.from_client.passing > 0 && !self.query_tail.is_empty() {
            self.look_at_more_of_query();
        }
        let through = self.from_client.move_on();
        if through {
            self.query_tail.clear();
        }
        through
    }

    /// `false` when more of the message must come first.
    fn take_message(&mut self, header: Header) -> Result<bool, End> {
        match header.tag {
            tag::QUERY => self.take_query(header),
            tag::PARSE => return self.take_parse(header),
            tag::BIND => return self.take_bind(header),
            tag::DESCRIBE | tag::CLOSE => return self.take_target(header),
            tag::EXECUTE => {
                let note = Note { plain_set: self.portal_sets, ..Note::default() };
                self.pass(header, Request::Execute, note);
            }
            tag::SYNC => {
                self.pass(header, Request::Sync, Note::default());
                self.end_batch();
            }
            tag::FUNCTION_CALL => self.pass(header, Request::FunctionCall, Note::default()),
            tag::COPY_DONE | tag::COPY_FAIL => {
                if let Some(lease) = &mut self.lease {
                    lease.owed.push_copy_end();
                }
                self.from_client.pass(header.total_len());
            }
            // CopyData and Flush are not answered.
            _ => self.from_client.pass(header.total_len()),
        }
        Ok(true)
    }

    fn pass(&mut self, header: Header, request: Request, note: Note) {
        if let Some(lease) = &mut self.lease {
            lease.owed.push(request, Audience::Client, note);
        }
        self.from_client.pass(header.total_len());
    }

    /// A Sync was sent. What the batch did to statements is known when it is answered.
    fn end_batch(&mut self) {
        if std::mem::take(&mut self.batch_defines)
            && let Some(lease) = &self.lease
        {
            self.unsettled = lease.owed.readies();
        }
    }

    /// Whether it is known which statements there are. A message that names one waits until the
    /// batches before, which may fail, have been answered.
    fn is_settled(&self) -> bool {
        self.unsettled == 0 || self.lease.as_ref().is_none_or(|lease| lease.owed.readies() == 0)
    }

    /// Whether the message at the head waits for the batches before; if so, no more is read.
    fn must_wait(&mut self) -> bool {
        self.blocked = !self.is_settled();
        self.blocked
    }

    fn body(&self, header: Header) -> &[u8] {
        let unscanned = self.from_client.buffer.unscanned();
        let end = header.total_len().min(unscanned.len());
        unscanned.get(HEADER_LEN..end).unwrap_or_default()
    }

    /// The body, once all of it is there.
    fn whole_body(&self, header: Header) -> Option<&[u8]> {
        let body = self.body(header);
        (body.len() == header.body_len).then_some(body)
    }

    // === Query ===

    fn take_query(&mut self, header: Header) {
        let text = self.body(header);
        let whole = text.len() == header.body_len;
        let mut plain_set = false;
        let mut forgets = false;
        if !self.is_session_mode() {
            let text = text.strip_suffix(&[0]).unwrap_or(text);
            forgets = mentions::forgets_statements(text);
            let marks = Marks::of_query(text);
            plain_set = whole && marks.is_plain_set();
            let tail = (!whole).then(|| {
                // Never empty while a query is under way, by which it is told from other messages.
                let mut tail = text[text.len().saturating_sub(mentions::OVERLAP)..].to_vec();
                tail.push(b' ');
                tail
            });
            if !marks.is_empty() {
                let reading = marks.read(text);
                self.heed(reading);
            }
            self.query_was_long = !whole;
            if let Some(tail) = tail {
                self.query_tail = tail;
            }
        } else if setting_names::may_reset(text) {
            let reading = Marks::read_resets(text);
            self.heed(reading);
        }
        // A simple query drops the unnamed statement.
        let Some(lease) = &mut self.lease else { return };
        let undo = if self.unnamed.is_some() || lease.unnamed != 0 {
            Effect::Unnamed {
                client: self.unnamed.take(),
                server: std::mem::take(&mut lease.unnamed),
            }
        } else {
            Effect::Nothing
        };
        self.pass(header, Request::Query, Note { undo, plain_set });
        self.batch_defines |= forgets;
        self.end_batch();
    }

    fn look_at_more_of_query(&mut self) {
        let unscanned = self.from_client.buffer.unscanned();
        let chunk = &unscanned[..self.from_client.passing.min(unscanned.len())];
        // The blank at the end was put there by this proxy.
        let mut seam = self.query_tail[..self.query_tail.len() - 1].to_vec();
        seam.extend_from_slice(&chunk[..chunk.len().min(mentions::OVERLAP)]);
        let found = mentions::find(&seam).and(mentions::find(chunk));
        let mut tail = if chunk.len() < mentions::OVERLAP { seam } else { chunk.to_vec() };
        tail.drain(..tail.len().saturating_sub(mentions::OVERLAP));
        tail.push(b' ');
        self.query_tail = tail;
        self.suspect(found);
        if found.contains(Pins::SETTINGS) {
            self.suspect(Pins::UNKNOWN_SETTING);
        }
    }

    // === Parse ===

    fn take_parse(&mut self, header: Header) -> Result<bool, End> {
        if self.is_session_mode() {
            if let Some(parse) = self.whole_body(header).and_then(Parse::read)
                && setting_names::may_reset(parse.text())
            {
                let reading = Marks::read_resets(parse.text());
                self.heed(reading);
            }
            self.pass(header, Request::Parse, Note::default());
            return Ok(true);
        }
        if self.must_wait() {
            return Ok(false);
        }
        if header.body_len > MAX_DEFINITION {
            let Some(&first) = self.body(header).first() else { return Ok(false) };
            self.take_large_parse(header, first == 0);
            return Ok(true);
        }
        let Some(body) = self.whole_body(header) else { return Ok(false) };
        let Some(parse) = Parse::read(body) else {
            // Postgres says what is wrong with it.
            self.pass(header, Request::Parse, Note::default());
            return Ok(true);
        };
        let marks = Marks::of(parse.text());
        if parse.name.is_empty() {
            let definition = Bytes::copy_from_slice(parse.definition);
            self.take_unnamed_parse(header, definition, marks);
        } else {
            let name = Bytes::copy_from_slice(parse.name);
            let statement = self.pool.statements().intern(parse.definition, marks.bits());
            self.take_named_parse(header, name, statement);
        }
        Ok(true)
    }

    /// Too long to be kept: the statement lives on this server connection alone.
    fn take_large_parse(&mut self, header: Header, unnamed: bool) {
        self.suspect(Pins::LARGE_STATEMENT);
        if unnamed {
            self.unnamed = None;
            if let Some(lease) = &mut self.lease {
                lease.unnamed = 0;
            }
        }
        self.pass(header, Request::Parse, Note::default());
    }

    fn take_unnamed_parse(&mut self, header: Header, definition: Bytes, marks: Marks) {
        let generation = self.pool.statements().next_id();
        let Some(lease) = &mut self.lease else { return };
        // The first of its batch is never discarded: whatever comes of it, no other client's
        // statement is left there.
        self.batch_defines |= lease.owed.is_open();
        let undo = Effect::Unnamed {
            client: self.unnamed.replace(Unnamed { generation, definition, marks: marks.bits() }),
            server: std::mem::replace(&mut lease.unnamed, generation),
        };
        self.pass(header, Request::Parse, undo.into());
    }

    fn take_named_parse(&mut self, header: Header, name: Bytes, statement: Arc<Statement>) {
        let Some(lease) = &mut self.lease else { return };
        if self.statements.contains_key(&name) {
            // Postgres refuses a name that is taken, in its own words: the name is taken there
            // for as long as it needs to say so.
            self.batch_defines = true;
            let outbox = &mut self.from_client.outbox;
            lease.statements.evict_name(&name);
            // It may have been taken so before.
            close_doomed(lease, outbox);
            outbox.own(|out| frontend::put_parse(out, &name, b"\0\0\0"));
            lease.owed.push(Request::Parse, Audience::Proxy, Note::default());
            lease.statements.doom(name);
            self.pass(header, Request::Parse, Note::default());
            return;
        }
        close_doomed(lease, &mut self.from_client.outbox);
        self.batch_defines = true;
        let before = self.statements.insert(name.clone(), Arc::clone(&statement));
        let known = lease.statements.name(statement.id).is_some();
        // In a failed transaction Postgres refuses a Parse, so it must see it.
        let certain = lease.owed.status() != TransactionStatus::Failed && lease.owed.readies() == 0;
        if known && certain {
            let undo = Effect::Defined { name, before, parsed: None };
            lease.owed.push_invented(backend::tag::PARSE_COMPLETE, undo.into());
            self.give_invented();
        } else {
            let server_name = lease.statements.add(statement.id);
            let undo = Effect::Defined { name, before, parsed: Some(statement.id) };
            lease.owed.push(Request::Parse, Audience::Client, undo.into());
            let outbox = &mut self.from_client.outbox;
            outbox.own(|out| frontend::put_parse(out, &server_name, &statement.definition));
        }
        self.from_client.discard(header.total_len());
    }

    // === Bind ===

    fn take_bind(&mut self, header: Header) -> Result<bool, End> {
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
            self.prepare_unnamed();
            self.heed_unnamed();
            self.pass(header, Request::Bind, Note::default());
            return Ok(true);
        }
        let (portal, name) = (names.portal.to_vec(), names.statement.to_vec());
        let names_len = names.encoded_len();
        let Some(server_name) = self.prepare_named(&name) else {
            self.pass(header, Request::Bind, Note::default());
            return Ok(true);
        };
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
        if let Some(lease) = &mut self.lease {
            lease.owed.push(Request::Bind, Audience::Client, Note::default());
        }
        self.from_client.discard(HEADER_LEN + names_len);
        self.from_client.pass(rest);
        Ok(true)
    }

    // === Describe and Close ===

    fn take_target(&mut self, header: Header) -> Result<bool, End> {
        let request = |target| match (header.tag, target) {
            (tag::CLOSE, _) => Request::Close,
            (_, Target::Statement) => Request::DescribeStatement,
            (_, Target::Portal) => Request::DescribePortal,
        };
        if header.body_len > MAX_BIND_NAMES {
            return Err(End::MalformedMessage(header.tag));
        }
        let Some(body) = self.whole_body(header) else { return Ok(false) };
        let Some((target, name)) = frontend::parse_target(body) else {
            // Postgres says what is wrong with it.
            self.pass(header, request(Target::Portal), Note::default());
            return Ok(true);
        };
        if target == Target::Portal || self.is_session_mode() {
            self.pass(header, request(target), Note::default());
            return Ok(true);
        }
        if !self.is_settled() {
            self.blocked = true;
            return Ok(false);
        }
        let name = name.to_vec();
        if header.tag == tag::CLOSE {
            self.take_close(header, &name);
        } else if name.is_empty() {
            self.prepare_unnamed();
            self.pass(header, Request::DescribeStatement, Note::default());
        } else if let Some(server_name) = self.prepare_named(&name) {
            self.from_client.outbox.own(|out| {
                frontend::put_target(out, tag::DESCRIBE, Target::Statement, &server_name);
            });
            if let Some(lease) = &mut self.lease {
                let note = Note::default();
                lease.owed.push(Request::DescribeStatement, Audience::Client, note);
            }
            self.from_client.discard(header.total_len());
        } else {
            self.pass(header, Request::DescribeStatement, Note::default());
        }
        Ok(true)
    }

    /// The statement stays on the server connection, where others may want it; only the name of
    /// this client goes. The answer is due in its place all the same.
    fn take_close(&mut self, header: Header, name: &[u8]) {
        let Some(lease) = &mut self.lease else { return };
        self.batch_defines = true;
        if name.is_empty() {
            let undo = Effect::Unnamed {
                client: self.unnamed.take(),
                server: std::mem::take(&mut lease.unnamed),
            };
            self.pass(header, Request::Close, undo.into());
            return;
        }
        let undo = match self.statements.remove_entry(name) {
            Some((name, before)) => Effect::Closed { name, before },
            // It may be one that was too long to be kept, which is on this server connection alone.
            None if self.state.is_bound() => {
                self.pass(header, Request::Close, Note::default());
                return;
            }
            None => Effect::Nothing,
        };
        lease.owed.push_invented(backend::tag::CLOSE_COMPLETE, undo.into());
        self.from_client.discard(header.total_len());
        self.give_invented();
    }
}
