//! Requests on their way to the server: names of prepared statements are exchanged, everything
//! is entered into the queue of owed replies, the rest passes as it is.

use std::sync::Arc;

use pgherd_pool::{Effect, Note, SqlUse};
use pgherd_sql::ForServer;
use pgherd_wire::frame::{HEADER_LEN, Header};
use pgherd_wire::frontend::{self, Parse, Target, tag};
use pgherd_wire::owed::{Audience, Request};

use super::MAX_PIPELINE;
use super::bind::MAX_BIND_NAMES;
use super::copy_end::is_for_copy;
use super::own_settings::with_text;
use super::prepare::Named;
use super::sql_statements::{changes, uses};
use crate::end::End;
use crate::mentions;
use crate::pins::Pins;
use crate::session::{Session, is_frontend_tag, is_ready_to_send};
use crate::setting_names;
use crate::settle::Marks;

impl Session {
    /// Deals with what the client has sent, as far as whole decisions can be made. `true` when
    /// anything was dealt with.
    pub(super) fn scan_client(&mut self) -> Result<bool, End> {
        let mut moved = false;
        self.blocked = false;
        self.lower_barriers();
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
            if !self.end_doubt() {
                return Ok(moved);
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
            if self.routing.has_choice() && !self.stays() {
                self.blocked = true;
                return Ok(moved);
            }
            if self.waits_for_statement(header.tag) {
                self.blocked = true;
                return Ok(moved);
            }
            let Some(lease) = &self.lease else { return Ok(moved) };
            if lease.owed.awaits_copy() && !is_for_copy(header.tag) {
                self.flush_and_block();
                return Ok(moved);
            }
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
            tag::QUERY => return Ok(self.take_query(header)),
            tag::PARSE => return self.take_parse(header),
            tag::BIND => return self.take_bind(header),
            tag::DESCRIBE | tag::CLOSE => return self.take_target(header),
            tag::EXECUTE => {
                let sql = self.portal_sql(header);
                let waits = sql.as_ref().is_some_and(|sql| changes(sql));
                let note = Note { plain_set: self.portal_sets, sql, ..Note::default() };
                self.pass(header, Request::Execute, note);
                if waits {
                    self.raise_barrier();
                }
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

    pub(super) fn pass(&mut self, header: Header, request: Request, note: Note) {
        if let Some(lease) = &mut self.lease {
            lease.owed.push(request, Audience::Client, note);
        }
        self.from_client.pass(header.total_len());
    }

    /// A Sync was sent. What the batch did to statements is known when it is answered.
    pub(super) fn end_batch(&mut self) {
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
    pub(super) fn must_wait(&mut self) -> bool {
        if self.prepared.barrier {
            self.wait_for_answers();
        } else {
            self.blocked = !self.is_settled();
        }
        self.blocked
    }

    /// The message at the head waits until all that was sent has been answered. Always `false`.
    pub(super) fn wait_for_answers(&mut self) -> bool {
        self.prepared.barrier = true;
        self.flush_and_block()
    }

    /// The message at the head waits, and what it waits for must not stay in the server's buffer.
    pub(super) fn flush_and_block(&mut self) -> bool {
        if !std::mem::replace(&mut self.prepared.flushed, true) {
            self.from_client.outbox.own(|out| frontend::put_empty(out, tag::FLUSH));
        }
        self.block()
    }

    /// What comes next and names a statement waits until all before it has been answered.
    fn raise_barrier(&mut self) {
        self.batch_defines = true;
        self.prepared.barrier = true;
        self.prepared.flushed = false;
    }

    /// Before anything new is sent: what has been answered holds nothing back any more.
    fn lower_barriers(&mut self) {
        if !self.prepared.barrier && !self.prepared.flushed {
            return;
        }
        let owed = self.lease.as_ref().map(|lease| &lease.owed);
        self.prepared.barrier &= owed.is_some_and(|owed| !owed.is_settled());
        self.prepared.flushed &=
            self.prepared.barrier || owed.is_some_and(|owed| owed.awaits_copy());
    }

    /// What the portal that an Execute names does to prepared statements.
    fn portal_sql(&self, header: Header) -> Option<Arc<[SqlUse]>> {
        if !self.prepared.has_portals() {
            return None;
        }
        self.prepared.of_portal(frontend::definition_text(self.body(header)))
    }

    /// The message at the head waits. Always `false`.
    pub(super) fn block(&mut self) -> bool {
        self.blocked = true;
        false
    }

    pub(super) fn body(&self, header: Header) -> &[u8] {
        let unscanned = self.from_client.buffer.unscanned();
        let end = header.total_len().min(unscanned.len());
        unscanned.get(HEADER_LEN..end).unwrap_or_default()
    }

    /// The body, once all of it is there.
    pub(super) fn whole_body(&self, header: Header) -> Option<&[u8]> {
        let body = self.body(header);
        (body.len() == header.body_len).then_some(body)
    }

    // === Query ===

    /// `false` when it must wait.
    fn take_query(&mut self, header: Header) -> bool {
        let body = self.body(header);
        let whole = body.len() == header.body_len;
        let words =
            if whole { self.words_for_server(frontend::definition_text(body)) } else { None };
        let own_text = match words {
            Some(ForServer::Refused(command)) => return self.refuse_query(header, &command),
            Some(ForServer::Text(text)) => Some(text),
            None => None,
        };
        // It drops the unnamed statement, which must not come back with what is discarded before.
        if !self.is_settled() {
            return self.block();
        }
        let text = own_text.as_deref().unwrap_or(self.body(header));
        let mut plain_set = false;
        let mut sql = None;
        let mut forgets = false;
        if !self.is_session_mode() {
            let text = text.strip_suffix(&[0]).unwrap_or(text);
            sql = if whole { uses(text) } else { None };
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
        if sql.is_some() && self.must_wait() {
            return false;
        }
        if let Some(sql) = &sql
            && self.names_own(sql)
        {
            let text =
                own_text.unwrap_or_else(|| frontend::definition_text(self.body(header)).to_vec());
            return self.take_naming_query(header, &text, sql);
        }
        forgets |= sql.as_ref().is_some_and(|sql| changes(sql));
        // A simple query drops the unnamed statement.
        let Some(lease) = &self.lease else { return true };
        let undo = if self.unnamed.is_some() || lease.unnamed != 0 {
            forgets |= lease.owed.is_open();
            self.replace_unnamed(None, 0)
        } else {
            Effect::Nothing
        };
        let note = Note { undo, plain_set, sql };
        match own_text {
            None => self.pass(header, Request::Query, note),
            Some(text) => {
                self.from_client.outbox.own(|out| frontend::put_query(out, &text));
                self.owe_noted(Request::Query, note);
                self.from_client.discard(header.total_len());
            }
        }
        self.batch_defines |= forgets;
        self.end_batch();
        true
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
            if !self.take_own_parse(header) {
                self.pass(header, Request::Parse, Note::default());
            }
            return Ok(true);
        }
        if self.must_wait() {
            return Ok(false);
        }
        match self.is_large_parse(header) {
            Some(false) => {}
            Some(true) => return self.take_large_parse(header),
            None => return Ok(false),
        }
        let Some(body) = self.whole_body(header) else { return Ok(false) };
        let Some(parse) = Parse::read(body) else {
            // Postgres says what is wrong with it.
            self.pass(header, Request::Parse, Note::default());
            return Ok(true);
        };
        let (definition, is_own) = match self.words_for_server(parse.text()) {
            Some(ForServer::Refused(command)) => {
                self.refuse_command(header, &command);
                return Ok(true);
            }
            Some(ForServer::Text(text)) => (with_text(&parse, &text), true),
            None => (parse.definition.to_vec(), false),
        };
        let text = frontend::definition_text(&definition);
        let marks = Marks::of(text);
        if parse.name.is_empty() {
            let sql = uses(text);
            self.take_unnamed_parse(header, definition.into(), is_own, sql, marks);
        } else {
            let name = parse.name.to_vec();
            if !self.take_named_parse(header, &name, &definition, marks) {
                return Ok(false);
            }
        }
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
        let name = name.to_vec();
        if self.must_wait() {
            return Ok(false);
        }
        if header.tag == tag::CLOSE {
            self.take_close(header, &name);
        } else if name.is_empty() {
            self.prepare_unnamed();
            self.pass(header, Request::DescribeStatement, Note::default());
        } else {
            match self.prepare_named(&name) {
                Named::Ready { name, server_name } => {
                    self.from_client.outbox.own(|out| {
                        frontend::put_target(out, tag::DESCRIBE, Target::Statement, &server_name);
                    });
                    self.owe(Request::DescribeStatement, Effect::Uses(name));
                    self.from_client.discard(header.total_len());
                }
                Named::Unknown => self.pass(header, Request::DescribeStatement, Note::default()),
                Named::Wait => return Ok(self.block()),
                Named::Stale => self.refuse_to_describe(header, &name),
            }
        }
        Ok(true)
    }
}
