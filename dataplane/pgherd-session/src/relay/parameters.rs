//! What the client is told of its parameters, and what a RESET leads to.
//!
//! RESET leads to the values that a session began with. The server connection began with others
//! than the client: what it reports is put right before ReadyForQuery, and the client's values are
//! set again, inside a transaction at once, otherwise with the next checkout.

use pgherd_pool::{Note, note_parameter};
use pgherd_wire::owed::{Audience, Request};
use pgherd_wire::{ParamSet, TransactionStatus, backend, frontend};

use crate::pins::Pins;
use crate::session::Session;

/// What becomes of a ParameterStatus of the server.
pub(super) enum Told {
    AsItIs,
    Instead(String),
    Nothing,
}

impl Session {
    pub(super) fn begin_reset(&mut self) {
        self.after_reset = true;
        self.state.note_reset();
        // RESET only takes away: where nothing was set there is nothing to ask for.
        let reported = self.pool.welcome().unwrap_or_default();
        let set = |params: &ParamSet| params.iter().any(|(name, _)| reported.get(name).is_none());
        if self.lease.as_ref().is_some_and(|lease| set(&lease.params)) {
            self.suspect(Pins::SETTINGS);
        }
    }

    pub(super) fn take_parameter(&mut self, name: &str, value: &str) -> Told {
        let Some(lease) = &mut self.lease else { return Told::AsItIs };
        note_parameter(&mut lease.params, name, value);
        let injected = lease.owed.head_audience() == Some(Audience::Proxy);
        if name == "session_authorization" {
            // Not carried over: the server connection stays until the user is the first one again.
            match self.pool.welcome().is_some_and(|welcome| welcome.get(name) == Some(value)) {
                true => self.forget_pins(Pins::AUTHORIZATION),
                false => self.suspect(Pins::AUTHORIZATION),
            }
        }
        let known = self.params.get(name).map(str::to_owned);
        let redressed = self.state.redressed;
        if known.is_none() || !(self.after_reset || injected || redressed) {
            note_parameter(&mut self.params, name, value);
            return Told::AsItIs;
        }
        let welcome = self.pool.welcome().unwrap_or_default();
        // A rollback takes away what was set inside the transaction to redress a RESET.
        let is_taken = redressed && !self.state.is_set_again(name);
        let is_reset = (self.state.resets(name) || is_taken) && welcome.get(name) == Some(value);
        let own = self.startup_params.get(name).filter(|_| is_reset).unwrap_or(value).to_owned();
        note_parameter(&mut self.params, name, &own);
        if known.as_deref() == Some(&own) {
            Told::Nothing
        } else if own == value {
            Told::AsItIs
        } else {
            Told::Instead(own)
        }
    }

    /// A statement has ended in which a RESET ran.
    pub(super) fn redress(&mut self, status: TransactionStatus) {
        if status == TransactionStatus::Failed {
            return;
        }
        let at_once = status == TransactionStatus::InTransaction
            || self.is_session_mode()
            // It stays on this server connection.
            || self.state.is_pinned();
        let Some(lease) = &mut self.lease else { return };
        let welcome = self.pool.welcome().unwrap_or_default();
        let mut wanted = ParamSet::default();
        for (name, value) in self.startup_params.iter() {
            if !self.state.resets(name) {
                continue;
            }
            let Some(default) = welcome.get(name) else {
                wanted.set(name, value);
                continue;
            };
            if lease.params.get(name) != Some(default) || value == default {
                continue;
            }
            wanted.set(name, value);
            // The server does not speak of it when it had its default before.
            if self.params.get(name) != Some(value) {
                let outbox = &mut self.from_server.outbox;
                outbox.own(|out| backend::put_parameter_status(out, name, value));
                note_parameter(&mut self.params, name, value);
            }
        }
        let sql = wanted.to_set_statements();
        if at_once && !sql.is_empty() && lease.owed.is_empty() {
            self.from_client.outbox.own(|out| frontend::put_query(out, sql.as_bytes()));
            lease.owed.push(Request::Query, Audience::Proxy, Note::default());
            self.state.redressed = status == TransactionStatus::InTransaction;
            self.suspect(Pins::SETTINGS);
        }
    }
}
