//! What of a client's session state there really is on its server connection.
//!
//! Words in statements and command tags only raise a suspicion. When the transaction has ended,
//! the server is asked: parameters that it does not report are taken into the client's set, which
//! follows it to other connections; what cannot follow pins the connection until it is gone. Asked
//! at that moment, rollbacks, savepoints and errors are accounted for by Postgres itself.

mod answer;
pub(crate) mod question;

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use pgherd_pool::{ServerError, WorkerStats, in_any_transaction};
use pgherd_wire::{ParamSet, frontend};

pub(crate) use self::answer::Answer;
use self::question::question;
use crate::clients::Detach;
use crate::end::End;
use crate::patience::in_time;
use crate::pins::Pins;
use crate::routing::wishes;
use crate::session::Session;
use crate::setting_names::{self, SettingNames};

/// How long what pins may stay unquestioned while the client works: functions end it too.
const PATIENCE: Duration = Duration::from_secs(1);

/// Parameters that may be named before the server is asked.
const MAX_NAMES: usize = 256;

/// What is known and suspected of a session's state.
#[derive(Debug, Default)]
pub(crate) struct SessionState {
    /// What may have come about since the server was asked last.
    suspected: Pins,
    /// What pins the server connection.
    held: Pins,
    /// Something was done that may have ended what pins.
    doubted: bool,
    /// Custom parameters that were named since the server was asked last.
    names: Vec<String>,
    /// Parameters that a RESET under way names.
    resets: Vec<String>,
    /// Parameters that are set behind such a RESET.
    set_again: Vec<String>,
    /// A RESET was seen since the server was asked last, and one of the role.
    was_reset: bool,
    role_was_reset: bool,
    /// What these named, and what was set behind them.
    reset_names: Vec<String>,
    set_since: Vec<String>,
    /// What a RESET took away was set again inside the transaction that is open.
    pub(crate) redressed: bool,
    asked_at: Option<Instant>,
}

impl SessionState {
    /// The server connection goes back: nothing that was named has come of it.
    pub(crate) fn forget_names(&mut self) {
        self.names.clear();
        self.forget_resets();
    }

    /// Whether one of the proxy's own parameters may have been set since the server was asked.
    pub(crate) fn names_own(&self) -> bool {
        self.names.iter().any(|name| wishes::is_own(name))
    }

    /// Whether a RESET was seen since the server was asked.
    pub(crate) fn was_reset(&self) -> bool {
        self.was_reset
    }

    /// Whether a RESET under way names anything.
    pub(crate) fn has_resets(&self) -> bool {
        !self.resets.is_empty()
    }

    /// Whether a RESET under way names this parameter.
    pub(crate) fn resets(&self, name: &str) -> bool {
        names(&self.resets, name)
            && !self.set_again.iter().any(|set| set.eq_ignore_ascii_case(name))
    }

    /// What was sent has been answered, and with it every RESET.
    pub(crate) fn forget_resets(&mut self) {
        self.resets.clear();
        self.set_again.clear();
    }

    /// A RESET has run.
    pub(crate) fn note_reset(&mut self) {
        self.was_reset = true;
        self.role_was_reset |= self.resets.iter().any(|reset| reset == "role");
        let (resets, set_again) = (&self.resets, &self.set_again);
        self.set_since.retain(|set| set_again.contains(set) || !names(resets, set));
        for (known, new) in [(&mut self.reset_names, resets), (&mut self.set_since, set_again)] {
            for name in new {
                if known.len() < MAX_NAMES && !known.contains(name) {
                    known.push(name.clone());
                }
            }
        }
    }

    /// Whether this parameter was set behind a RESET that has run, or that is under way.
    pub(crate) fn is_set_again(&self, name: &str) -> bool {
        self.set_again.iter().chain(&self.set_since).any(|set| set.eq_ignore_ascii_case(name))
    }

    /// Whether what a RESET has left of this parameter is there still, as far as is known.
    fn is_reset(&self, name: &str) -> bool {
        self.was_reset
            && names(&self.reset_names, name)
            && !self.set_since.iter().any(|set| set.eq_ignore_ascii_case(name))
    }

    /// Whether the server connection cannot be given back as it is.
    pub(crate) fn is_bound(&self) -> bool {
        !self.suspected.is_empty() || !self.held.is_empty()
    }

    /// Whether there is something, as far as is known, for which the server connection is kept.
    pub(crate) fn is_pinned(&self) -> bool {
        !self.held.is_empty()
    }

    /// Whether there is something that even `DISCARD ALL` leaves.
    pub(crate) fn is_beyond_reset(&self) -> bool {
        self.held.and(self.suspected).contains(Pins::LOAD)
    }

    /// Whether the server is to be asked once the transaction has ended.
    pub(crate) fn is_questionable(&self) -> bool {
        !self.suspected.is_empty() || (self.doubted && !self.held.common(Pins::ASKABLE).is_empty())
    }
}

/// Whether one of these RESETs names the parameter.
fn names(resets: &[String], name: &str) -> bool {
    resets.iter().any(|reset| reset == "all" || reset.eq_ignore_ascii_case(name))
}

/// What there is to remember of a statement's text: kinds of state that it mentions, and more.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Marks(u16);

impl Marks {
    /// The text begins with `SET` or `RESET`, or calls `set_config`.
    const SETS: u16 = 1 << 15;
    /// It is one plain `SET` of a parameter that Postgres reports.
    const PLAIN_SET: u16 = 1 << 14;

    pub(crate) fn of(text: &[u8]) -> Self {
        let mentioned = crate::mentions::find(text);
        let mut marks = mentioned.bits();
        if setting_names::begins_with_set(text) {
            marks |= Self::SETS;
            if crate::mentions::sets_reported_parameter(text) {
                marks |= Self::PLAIN_SET;
            }
        } else if mentioned.contains(Pins::SETTINGS) || setting_names::begins_with_reset(text) {
            marks |= Self::SETS;
        }
        Self(marks)
    }

    /// In session mode, where nothing else has to be known.
    pub(crate) fn read_resets(text: &[u8]) -> Reading {
        let SettingNames { resets, set_again, .. } = setting_names::find(text);
        Reading { resets, set_again, ..Reading::default() }
    }

    /// Of a simple query, where a `SET` may stand behind other statements.
    pub(crate) fn of_query(text: &[u8]) -> Self {
        let mut marks = Self::of(text);
        if setting_names::has_several(text) {
            marks.0 |= Self::SETS;
        }
        marks
    }

    pub(crate) fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    pub(crate) fn bits(self) -> u16 {
        self.0
    }

    pub(crate) fn is_plain_set(self) -> bool {
        self.0 & Self::PLAIN_SET != 0
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// What follows from the marks and the text that has them.
    pub(crate) fn read(self, text: &[u8]) -> Reading {
        let mut kinds = Pins::from_bits(self.0 & !(Self::SETS | Self::PLAIN_SET));
        if self.0 & Self::SETS == 0 {
            return Reading { kinds, ..Reading::default() };
        }
        let SettingNames { names, unknown, resets, set_again, outlives } =
            setting_names::find(text);
        if unknown {
            kinds = kinds.and(Pins::UNKNOWN_SETTING);
        }
        if !outlives {
            kinds = kinds.without(Pins::SETTINGS);
        }
        Reading { kinds, names, resets, set_again }
    }
}

/// What was read in a statement's text.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    kinds: Pins,
    /// Custom parameters that it may set.
    names: Vec<String>,
    resets: Vec<String>,
    set_again: Vec<String>,
}

impl Session {
    /// A statement of which this was read is on its way.
    pub(crate) fn heed(&mut self, reading: Reading) {
        let mut kinds = reading.kinds;
        let state = &mut self.state;
        for reset in &reading.resets {
            state.set_again.retain(|set| reset != "all" && !set.eq_ignore_ascii_case(reset));
        }
        let mut set_again = reading.set_again;
        if !state.reset_names.is_empty() && state.set_since.len() < MAX_NAMES {
            state.set_since.extend(set_again.iter().cloned());
        }
        if state.resets.is_empty() && reading.resets.is_empty() {
            set_again.clear();
        }
        for (known, new) in [
            (&mut state.names, reading.names),
            (&mut state.resets, reading.resets),
            (&mut state.set_again, set_again),
        ] {
            for name in new {
                if known.len() >= MAX_NAMES {
                    kinds = kinds.and(Pins::UNKNOWN_SETTING);
                } else if !known.contains(&name) {
                    known.push(name);
                }
            }
        }
        if kinds.contains(Pins::ENDS) {
            self.state.doubted = true;
        }
        self.suspect(kinds.without(Pins::ENDS));
    }

    /// The unnamed statement is bound.
    pub(crate) fn heed_unnamed(&mut self) {
        let marks = self.unnamed.as_ref().map_or(Marks::default(), |it| Marks(it.marks));
        self.portal_sets = marks.is_plain_set();
        if !marks.is_empty()
            && let Some(unnamed) = &self.unnamed
        {
            self.heed(marks.read(frontend::definition_text(&unnamed.definition)));
        }
    }

    /// Some of this may be there from now on.
    pub(crate) fn suspect(&mut self, kinds: Pins) {
        if kinds.is_empty() || self.is_session_mode() {
            return;
        }
        if let Some(lease) = &mut self.lease {
            lease.tainted = true;
            self.state.suspected = self.state.suspected.and(kinds);
        }
    }

    /// Some of what pins may be gone.
    pub(crate) fn doubt(&mut self) {
        self.state.doubted = true;
    }

    /// This pins no more, whatever the server would say.
    pub(crate) fn forget_pins(&mut self, kinds: Pins) {
        self.state.suspected = self.state.suspected.without(kinds);
        self.hold(self.state.held.without(kinds));
    }

    /// Notes that a transaction has ended while something pins.
    pub(crate) fn doubt_after_a_while(&mut self) {
        if !self.state.held.is_empty()
            && self.state.asked_at.is_none_or(|asked_at| asked_at.elapsed() > PATIENCE)
        {
            self.state.doubted = true;
        }
    }

    fn hold(&mut self, kinds: Pins) {
        if self.state.held.is_empty() && !kinds.is_empty() {
            WorkerStats::add(&self.stats().pins, 1);
        }
        if self.state.held != kinds {
            self.state.held = kinds;
            self.entry().set_pins(kinds);
        }
        if !self.state.is_bound()
            && let Some(lease) = &mut self.lease
        {
            lease.tainted = false;
        }
    }

    /// Asks the server about what is suspected and what may be gone. The connection is idle.
    ///
    /// Not cancel safe: the server connection must be closed when this is dropped.
    pub(crate) async fn settle(&mut self) -> Result<(), End> {
        // What the client waits for goes first, as far as the socket takes it.
        poll_fn(|cx| {
            let _ = self.poll_flush_client(cx);
            Poll::Ready(())
        })
        .await;
        // No cancel of the client's may hit the question.
        let lost = loop {
            match self.entry().try_detach() {
                Detach::InFlight => self.entry().cancels_done().await,
                other => break other == Detach::Lost,
            }
        };
        let Some(mut lease) = self.lease.take() else { return Ok(()) };
        let kinds = self.state.suspected.and(self.state.held);
        let asked = kinds.common(Pins::ASKABLE);
        let mut names = std::mem::take(&mut self.state.names);
        for (name, _) in lease.params.iter() {
            if name.contains('.') && !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
        let mut answer = Answer::default();
        let result = if asked.is_empty() {
            Ok(())
        } else {
            let mut question = question(asked, &names);
            if self.routing.is_on_replica() {
                question = in_any_transaction(&question);
            }
            in_time(answer.ask(&mut lease, &question)).await
        };
        self.from_server.outbox.own(|out| out.append(&mut answer.notices));
        match result {
            Ok(()) => {}
            Err(ServerError::Reported(report)) => {
                // A statement_timeout of the client's, say. Everything suspected is taken for true.
                tracing::debug!("cannot ask for the session's state: {}", report.message);
                answer = Answer { present: asked, illegible: true, ..Answer::default() };
            }
            Err(ServerError::Io(error)) => return Err(End::ServerIo(error)),
            Err(_) => return Err(End::ServerClosed),
        }
        if asked.contains(Pins::SETTINGS) && !answer.illegible {
            self.take_settings(&mut lease.params, &answer.settings);
        }
        self.entry().attach(Arc::clone(&lease.info.cancel));
        self.lease = Some(lease);
        self.state.suspected = Pins::NONE;
        self.state.doubted = false;
        self.state.was_reset = false;
        self.state.role_was_reset = false;
        self.state.reset_names.clear();
        self.state.set_since.clear();
        self.state.asked_at = Some(Instant::now());
        let mut held = kinds.without(Pins::ASKABLE).and(answer.present.without(Pins::SETTINGS));
        if asked.contains(Pins::SETTINGS) && answer.illegible {
            held = held.and(Pins::UNKNOWN_SETTING);
        }
        if asked.contains(Pins::PREPARED)
            && held.common(Pins::PREPARED.and(Pins::LARGE_STATEMENT)).is_empty()
        {
            self.prepared.clear_sql();
        }
        self.hold(held);
        if !held.is_empty() {
            // It stays with this client: what a RESET took away is put back here.
            self.synchronise_held().await?;
        }
        if lost && let Some(lease) = &mut self.lease {
            lease.tainted = true;
        }
        Ok(())
    }

    async fn synchronise_held(&mut self) -> Result<(), End> {
        let Some(lease) = &mut self.lease else { return Ok(()) };
        let sql = lease.params.sql_to(&self.params);
        if !sql.is_empty() {
            let mut answer = Answer::default();
            let asking = lease.ask(&sql, |tag, body| answer.take(tag, body));
            let result = in_time(asking).await;
            match result {
                Ok(_) => lease.params = Arc::clone(&self.params),
                Err(ServerError::Reported(report)) => {
                    tracing::warn!("cannot reset a session's parameters: {}", report.message);
                }
                Err(ServerError::Io(error)) => return Err(End::ServerIo(error)),
                Err(_) => return Err(End::ServerClosed),
            }
            self.from_server.outbox.own(|out| out.append(&mut answer.notices));
        }
        Ok(())
    }

    /// The parameters that the session has set follow the client. Those with which it began and
    /// which it has reset have their first values again.
    fn take_settings(&mut self, on_server: &mut Arc<ParamSet>, settings: &[(String, String)]) {
        let reported = self.pool.welcome().unwrap_or_default();
        let settings: Vec<(String, String)> = settings
            .iter()
            // What was never set reads like this after a RESET.
            .filter(|(name, value)| {
                let began_with = self.startup_params.get(name).is_some();
                match name.as_str() {
                    "role" if value == "none" => began_with && !self.state.role_was_reset,
                    _ if value.is_empty() && name.contains('.') => {
                        !(began_with && self.state.is_reset(name))
                    }
                    _ => true,
                }
            })
            .cloned()
            .collect();
        let read = || settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let server = on_server.with_unreported(&reported, read());
        let client =
            self.params.with_unreported(&reported, self.startup_params.iter().chain(read()));
        if *self.params != client {
            let before = std::mem::replace(&mut self.params, Arc::new(client));
            self.warn_of_wishes(&before);
            self.look_at_wishes();
        }
        *on_server =
            if server == *self.params { Arc::clone(&self.params) } else { Arc::new(server) };
    }
}
