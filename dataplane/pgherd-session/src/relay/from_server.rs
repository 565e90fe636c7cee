//! Replies on their way to the client: each is checked against what is owed, those that the
//! client did not ask for are swallowed, those that the proxy owes it are put in their place.

use pgherd_pool::{Effect, Note, SqlVerb, WorkerStats};
use pgherd_wire::TransactionStatus;
use pgherd_wire::backend::{self, tag};
use pgherd_wire::error_response::ServerError as Report;
use pgherd_wire::frame::{self, HEADER_LEN, Header};
use pgherd_wire::owed::{Audience, Failure, Request};

use super::description::MAX_DESCRIPTION;
use super::parameters::Told;
use crate::end::End;
use crate::exchange;
use crate::pins::Pins;
use crate::routing::kept;
use crate::session::Session;

/// The longest message that is waited for as a whole: those are short by nature.
const MAX_WHOLE: usize = 8 * 1024;

impl Session {
    /// Deals with what the server has sent, as far as it is there.
    pub(super) fn scan_server(&mut self) -> Result<(), End> {
        loop {
            if !self.from_server.move_on() {
                return Ok(());
            }
            self.give_invented();
            let unscanned = self.from_server.buffer.unscanned();
            let Some(header) = Header::peek(unscanned).map_err(End::ServerFrame)? else {
                return Ok(());
            };
            if self.routing.kept.is_some() && !kept::is_prelude(header.tag) {
                if header.tag == tag::ERROR {
                    if unscanned.len() < header.total_len() && header.body_len <= MAX_WHOLE {
                        return Ok(());
                    }
                    if let Some(end) = self.refusal(header) {
                        return Err(end);
                    }
                }
                self.unkeep();
            }
            let unscanned = self.from_server.buffer.unscanned();
            let audience = match header.tag {
                tag::READY_FOR_QUERY | tag::PARAMETER_STATUS | tag::COMMAND_COMPLETE => {
                    if header.body_len > MAX_WHOLE {
                        return Err(End::ServerMalformed(header.tag));
                    }
                    if unscanned.len() < header.total_len() {
                        return Ok(());
                    }
                    self.take_whole(header)?
                }
                tag::ERROR => {
                    if unscanned.len() < header.total_len() && header.body_len <= MAX_WHOLE {
                        return Ok(());
                    }
                    if (self.routing.has_choice() || self.is_done_with_server())
                        && let Some(report) = self.fatal_report(header)
                    {
                        return Err(End::ServerFatal(report));
                    }
                    let own_words = self.take_error(header);
                    if let Some(body) = own_words {
                        self.from_server.outbox.own(|out| {
                            frame::put(out, tag::ERROR, |out| out.extend_from_slice(&body));
                        });
                        self.from_server.discard(header.total_len());
                        continue;
                    }
                    Audience::Client
                }
                tag::NOTICE => Audience::Client,
                tag::NOTIFICATION => {
                    if header.body_len <= MAX_WHOLE && unscanned.len() < header.total_len() {
                        return Ok(());
                    }
                    self.take_notification(header)
                }
                tag::PARAMETER_DESCRIPTION | tag::ROW_DESCRIPTION | tag::NO_DATA
                    if self.is_for_the_books() =>
                {
                    if header.body_len > MAX_DESCRIPTION {
                        return Err(End::ServerMalformed(header.tag));
                    }
                    if unscanned.len() < header.total_len() {
                        return Ok(());
                    }
                    self.take_description(header)?
                }
                tag => self.take_reply(tag)?,
            };
            match audience {
                Audience::Client => self.from_server.pass(header.total_len()),
                Audience::Proxy => self.from_server.discard(header.total_len()),
            }
        }
    }

    /// Replies of the proxy whose turn has come.
    pub(super) fn give_invented(&mut self) {
        // Not into the middle of a message: its rest comes first.
        if !self.from_server.is_between_messages() {
            return;
        }
        let Some(lease) = &mut self.lease else { return };
        while let Some((tag, _)) = lease.owed.next_invented() {
            self.from_server.outbox.own(|out| frame::put(out, tag, |_| {}));
        }
    }

    fn take_reply(&mut self, tag: u8) -> Result<Audience, End> {
        let Some(lease) = &mut self.lease else { return Ok(Audience::Client) };
        let audience = lease.owed.reply(tag).map_err(End::ServerUnexpected)?;
        if matches!(tag, tag::EMPTY_QUERY | tag::PORTAL_SUSPENDED) {
            self.note_statement();
        }
        Ok(audience)
    }

    fn take_whole(&mut self, header: Header) -> Result<Audience, End> {
        let malformed = End::ServerMalformed(header.tag);
        let Some(lease) = &mut self.lease else { return Ok(Audience::Client) };
        let unscanned = self.from_server.buffer.unscanned();
        let body = unscanned.get(HEADER_LEN..header.total_len()).unwrap_or_default();
        match header.tag {
            tag::READY_FOR_QUERY => {
                let status = body.first().copied().and_then(TransactionStatus::from_byte);
                let status = status.ok_or(malformed)?;
                self.unsettled = self.unsettled.saturating_sub(1);
                self.prepared.seen = 0;
                let audience = lease.owed.ready(status).map_err(End::ServerUnexpected)?;
                if lease.owed.is_free() {
                    self.prepared.forget_portals();
                }
                if std::mem::take(&mut self.after_reset) {
                    self.redress(status);
                } else if status == TransactionStatus::Idle {
                    self.state.redressed = false;
                }
                if self.lease.as_ref().is_some_and(|lease| lease.owed.is_empty()) {
                    self.state.forget_resets();
                }
                self.doubt_after_a_while();
                self.note_ready(status, audience);
                if status != TransactionStatus::Idle && self.is_statement_mode() {
                    return Ok(self.refuse_transaction(status));
                }
                Ok(audience)
            }
            tag::PARAMETER_STATUS => {
                // Not UTF-8 under some client encodings: passed on, but not carried over.
                let Some((name, value)) = backend::parse_parameter_status(body) else {
                    return Ok(Audience::Client);
                };
                let (name, value) = (name.to_owned(), value.to_owned());
                match self.take_parameter(&name, &value) {
                    Told::AsItIs => Ok(Audience::Client),
                    Told::Nothing => Ok(Audience::Proxy),
                    Told::Instead(own) => {
                        let outbox = &mut self.from_server.outbox;
                        outbox.own(|out| backend::put_parameter_status(out, &name, &own));
                        Ok(Audience::Proxy)
                    }
                }
            }
            _ => {
                let tag = backend::parse_command_tag(body).ok_or(malformed)?;
                if self.routing.has_choice() && changes_functions(tag) {
                    self.targets.refresh_catalog();
                }
                let consequence = Consequence::of(tag);
                let plain_set = lease.owed.head_effect().is_some_and(|note| note.plain_set);
                let sql = lease.owed.head_effect().and_then(|note| note.sql.clone());
                if lease.owed.head_request() == Some(Request::Execute) {
                    self.prepared.seen = 0;
                }
                let audience = lease.owed.reply(header.tag).map_err(End::ServerUnexpected)?;
                if audience == Audience::Client {
                    self.note_statement();
                }
                match consequence {
                    // What redresses a RESET is none itself.
                    Some(Consequence::Set) if audience == Audience::Proxy => {}
                    Some(Consequence::Reset | Consequence::DiscardAll)
                        if self.is_session_mode() =>
                    {
                        self.after_reset = true;
                    }
                    Some(Consequence::Prepared(verb)) if !self.is_session_mode() => {
                        self.sql_succeeded(verb, sql.as_deref());
                    }
                    Some(consequence) if !self.is_session_mode() => {
                        self.follow(consequence, plain_set);
                    }
                    _ => {}
                }
                Ok(audience)
            }
        }
    }

    /// What a statement did to the session.
    fn follow(&mut self, consequence: Consequence, plain_set: bool) {
        match consequence {
            Consequence::Set if self.state.has_resets() => {
                // `SET … TO DEFAULT`.
                self.begin_reset();
                self.suspect(Pins::SETTINGS);
            }
            Consequence::Set if plain_set => {}
            Consequence::Set => {
                self.suspect(Pins::SETTINGS);
                if self.query_was_long {
                    self.suspect(Pins::UNKNOWN_SETTING);
                }
            }
            Consequence::May(kinds) => self.suspect(kinds),
            Consequence::MayEnd | Consequence::Prepared(_) => self.doubt(),
            Consequence::Reset => self.begin_reset(),
            Consequence::DeallocateAll => {
                self.forget_statements();
                self.doubt();
            }
            Consequence::DiscardAll => {
                self.forget_statements();
                self.forget_pins(Pins::UNKNOWN_SETTING.and(Pins::LARGE_STATEMENT));
                self.doubt();
                self.begin_reset();
            }
        }
    }

    fn forget_statements(&mut self) {
        self.statements.clear();
        self.prepared.clear_sql();
        self.unpin_from_statements();
        // The unnamed statement stays; only a simple query drops it.
        if let Some(lease) = &mut self.lease {
            lease.statements.clear();
        }
    }

    /// A notification names the backend that sent it. Clients know their own by the process id that
    /// the proxy gave them, and skip what they sent themselves.
    fn take_notification(&mut self, header: Header) -> Audience {
        let unscanned = self.from_server.buffer.unscanned();
        let body = unscanned.get(HEADER_LEN..header.total_len());
        let pid = body.and_then(|body| body.first_chunk().copied()).map(i32::from_be_bytes);
        let own = self.lease.as_ref().map(|lease| lease.info.cancel.pid);
        let Some(body) = body.filter(|_| pid.is_some() && pid == own) else {
            return Audience::Client;
        };
        let rest = body[4..].to_vec();
        let (pid, _) = self.entry().cancel_key();
        self.from_server.outbox.own(|out| {
            frame::put(out, tag::NOTIFICATION, |out| {
                out.extend_from_slice(&pid.to_be_bytes());
                out.extend_from_slice(&rest);
            });
        });
        Audience::Proxy
    }

    /// The last words of the server, if these are, and not about what the client has done.
    fn fatal_report(&self, header: Header) -> Option<Box<Report>> {
        let body = self.from_server.buffer.unscanned().get(HEADER_LEN..header.total_len())?;
        let report = Report::parse(body);
        let is_ours = matches!(&*report.code, "57P01" | "57P02" | "57P03" | "40001");
        (report.is_fatal() && is_ours).then(|| Box::new(report))
    }

    /// Returns the error in other words when it speaks of a name that the client does not know.
    fn take_error(&mut self, header: Header) -> Option<Vec<u8>> {
        WorkerStats::add(&self.stats().errors, 1);
        let unscanned = self.from_server.buffer.unscanned();
        let mut reworded = None;
        if let Some(body) = unscanned.get(HEADER_LEN..header.total_len()) {
            let report = Report::parse(body);
            if report.is_fatal() {
                self.saw_fatal = true;
            }
            reworded = self.with_names_of_client(body);
        }
        let effect = self.lease.as_ref().and_then(|lease| lease.owed.head_effect());
        if let Some(Note { undo: Effect::Refused { preface, .. }, .. }) = effect
            && !preface.is_empty()
        {
            let preface = preface.clone();
            self.from_server.outbox.own(|out| out.extend_from_slice(&preface));
        }
        let lease = self.lease.as_mut()?;
        if let Failure::Extended { failed, discarded } = lease.owed.error() {
            for note in discarded {
                self.undo(note, false);
            }
            self.undo(failed, true);
        }
        reworded
    }

    /// Some errors name the statement. The client must read its own name for it there. Others
    /// are the proxy's.
    fn with_names_of_client(&self, body: &[u8]) -> Option<Vec<u8>> {
        let lease = self.lease.as_ref()?;
        let note = lease.owed.head_effect()?;
        if let Some(sql) = &note.sql {
            return exchange::with_names_of_client(body, sql);
        }
        let name = match &note.undo {
            Effect::Refused { error, .. } => return Some(error.to_vec()),
            Effect::Uses(name) | Effect::Defined { name, .. } => name,
            _ => return None,
        };
        let start = memchr::memmem::find(body, lease.statements.prefix().as_bytes())?;
        let end = start + memchr::memchr(b'"', &body[start..])?;
        Some([&body[..start], name, &body[end..]].concat())
    }

    /// Takes a request out of the books: it was never executed, or it `failed`.
    pub(crate) fn undo(&mut self, note: Note, failed: bool) {
        let Some(lease) = &mut self.lease else { return };
        match note.undo {
            Effect::Nothing | Effect::Described { .. } | Effect::Uses(_) => {}
            Effect::Refused { .. } => {}
            // A Parse of the unnamed statement drops the former one before it can fail.
            Effect::Unnamed { now, .. } if failed => {
                // Unless another one behind a Sync has taken its place already.
                if lease.unnamed == now {
                    self.replace_unnamed(None, 0);
                }
            }
            Effect::Unnamed { client, server, .. } => self.restore_unnamed(client, server),
            Effect::DefinedSql(name) => {
                self.prepared.remove_sql(&name);
                self.unpin_from_statements();
            }
            Effect::Defined { name, id } => {
                self.statements.remove(&name);
                lease.statements.remove(id);
            }
            Effect::Parsed(id) => lease.statements.remove(id),
            Effect::ClosedSql(name) => {
                self.prepared.add_sql(Some(name));
                self.suspect(Pins::PREPARED.and(Pins::LARGE_STATEMENT));
            }
            Effect::Closed { name, before } => {
                self.statements.insert(name, before);
            }
            Effect::ServerClosed(name) => lease.statements.doom(name),
        }
    }
}

/// Whether a statement with this command tag may have changed what functions do.
fn changes_functions(tag: &[u8]) -> bool {
    [&b"FUNCTION"[..], b"PROCEDURE", b"EXTENSION", b"ROUTINE"]
        .iter()
        .any(|kind| tag.ends_with(kind))
        || tag == b"DO"
}

/// What a command tag says of the state of the session.
#[derive(Clone, Copy)]
enum Consequence {
    Set,
    Reset,
    DeallocateAll,
    DiscardAll,
    /// Such state may be there from now on.
    May(Pins),
    /// State that was there may be gone.
    MayEnd,
    /// `PREPARE` or `DEALLOCATE` of one statement.
    Prepared(SqlVerb),
}

impl Consequence {
    fn of(tag: &[u8]) -> Option<Self> {
        match tag {
            b"SET" => Some(Self::Set),
            b"RESET" => Some(Self::Reset),
            b"DEALLOCATE ALL" => Some(Self::DeallocateAll),
            b"DISCARD ALL" => Some(Self::DiscardAll),
            b"LISTEN" => Some(Self::May(Pins::LISTEN)),
            b"LOAD" => Some(Self::May(Pins::LOAD)),
            b"DO" | b"CALL" => Some(Self::May(Pins::ANYTHING)),
            b"UNLISTEN" | b"CLOSE CURSOR" | b"CLOSE CURSOR ALL" | b"DISCARD TEMP" | b"ROLLBACK"
            | b"DROP TABLE" | b"DROP VIEW" | b"DROP SEQUENCE" | b"DROP FUNCTION" | b"DROP TYPE" => {
                Some(Self::MayEnd)
            }
            b"PREPARE" => Some(Self::Prepared(SqlVerb::Prepare)),
            b"DEALLOCATE" => Some(Self::Prepared(SqlVerb::Deallocate)),
            _ => None,
        }
    }
}
