//! What becomes of a client whose server connection has failed: where it can, it goes on.
//!
//! A read that has not begun to answer goes to another instance. Everything else that was under way
//! gets an error. A transaction that was lost fails until the client ends it, on a server
//! connection that was put into that state, so that Postgres itself refuses what follows.

use pgherd_config::EvidenceClass;
use pgherd_pool::{Lease, ServerError};
use pgherd_wire::owed::{Audience, Failure};
use pgherd_wire::{ErrorResponse, TransactionStatus, backend, sqlstate};

use super::Attempt;
use crate::end::End;
use crate::session::Session;
use crate::settle::SessionState;

impl Session {
    /// Whether the session goes on without the server connection that it had. If so, it has none,
    /// and the client has been told, or its request stands at the head of the buffer again.
    pub(crate) fn survives(&mut self, end: &End) -> bool {
        let is_refusal = matches!(end, End::Elsewhere(_));
        let has_failed = matches!(
            end,
            End::ServerClosed | End::ServerIo(_) | End::ServerSilent | End::ServerFatal(_)
        );
        // The server has told the client itself why it closes.
        if self.saw_fatal {
            return false;
        }
        if has_failed {
            self.report(end);
        }
        if has_failed && self.is_done_with_server() {
            self.from_server.drop_unscanned();
            self.lose_lease();
            return true;
        }
        if !self.routing.has_choice() || !(is_refusal || has_failed) || self.lease.is_none() {
            return false;
        }
        let kept = self.routing.kept.as_ref();
        if kept.is_some_and(|kept| kept.only_reads || is_refusal) && self.may_send_again() {
            self.send_again();
            return true;
        }
        self.tell_of_loss(end)
    }

    /// Whether everything was answered and the server connection holds nothing of the client's: what
    /// the server says or does now is not meant for it.
    pub(crate) fn is_done_with_server(&self) -> bool {
        self.lease.as_ref().is_some_and(|lease| lease.owed.is_free())
            && !self.state.is_bound()
            && !self.state.is_questionable()
            && !self.is_session_mode()
            && self.from_client.outbox.is_empty()
            && self.from_client.is_between_messages()
            && self.from_server.is_between_messages()
    }

    /// Says of the instance what has been seen.
    fn report(&self, end: &End) {
        let Some(lease) = &self.lease else { return };
        let instance = self.pool.instance();
        // What was cut off because it is silent says nothing new.
        if instance.is_silent() {
            return;
        }
        let class = match end {
            End::ServerSilent => EvidenceClass::QueryTimeout,
            End::ServerFatal(report) if matches!(&*report.code, "57P02" | "57P03") => {
                EvidenceClass::ServerShutdown
            }
            // Perhaps somebody has ended this one connection.
            End::ServerFatal(_) => return instance.look_now(),
            _ => EvidenceClass::ConnectionReset,
        };
        instance.report(class, &end.to_string(), Some(lease.connected_at));
    }

    /// The request that is kept goes to another instance.
    fn send_again(&mut self) {
        let instance = self.pool.instance();
        tracing::debug!(instance = %instance.key, "a request is sent again");
        let attempt = &mut self.routing.attempt;
        attempt.failures += 1;
        attempt.since.get_or_insert_with(std::time::Instant::now);
        if !attempt.writes {
            attempt.avoid |= bit(instance.index());
        }
        self.rewind();
        self.lose_lease();
    }

    /// Answers everything that is under way with an error. `false` when the protocol or what the
    /// client had on the server connection does not allow it to go on.
    fn tell_of_loss(&mut self, end: &End) -> bool {
        let Some(lease) = &mut self.lease else { return false };
        if self.state.is_bound()
            || self.last_word.is_some()
            || !self.from_server.is_between_messages()
            // Nobody waits for an answer in which it could be said.
            || lease.owed.is_answered()
            || lease.owed.awaits_copy()
        {
            return false;
        }
        let was_open = lease.owed.is_open();
        let status = match lease.owed.status() {
            TransactionStatus::Idle => TransactionStatus::Idle,
            TransactionStatus::InTransaction | TransactionStatus::Failed => {
                TransactionStatus::Failed
            }
        };
        let is_told = lease.owed.is_skipping();
        let error = loss(end, self.pool.instance().is_silent());
        let mut told = is_told;
        while let Some(lease) = self.lease.as_mut().filter(|lease| !lease.owed.is_empty()) {
            let failure = lease.owed.error();
            if lease.owed.is_in_doubt() {
                return false;
            }
            if let Failure::Extended { failed, discarded } = failure {
                discarded.into_iter().for_each(|note| self.undo(note, false));
                self.undo(failed, true);
            }
            self.from_server.outbox.own(|out| error.put(out));
            told = true;
            let Some(lease) = &mut self.lease else { break };
            match lease.owed.ready(status) {
                Ok(Audience::Client) => {
                    self.from_server.outbox.own(|out| backend::put_ready(out, status));
                }
                Ok(Audience::Proxy) => {}
                // The client has not sent its Sync.
                Err(_) => break,
            }
        }
        let owes_sync = self.lease.as_ref().is_some_and(|it| it.owed.is_skipping());
        self.discarding = owes_sync || (was_open && !told);
        if !told {
            self.from_server.outbox.own(|out| error.put(out));
        }
        self.unkeep();
        // The rest of a message that was on its way goes nowhere.
        self.from_client.outbox.clear();
        self.from_client.drop_rest();
        self.from_server.drop_unscanned();
        self.restore_params();
        self.routing.has_lost_transaction = status != TransactionStatus::Idle;
        self.lose_lease();
        self.routing.attempt = Attempt::default();
        true
    }

    /// What was set in the transaction that was lost is as it was before.
    fn restore_params(&mut self) {
        let Some(before) = self.routing.params_before.take() else { return };
        for (name, value) in before.iter() {
            let is_reported = self.pool.reported().iter().any(|reported| **reported == *name);
            if is_reported && self.params.get(name) != Some(value) {
                let outbox = &mut self.from_server.outbox;
                outbox.own(|out| backend::put_parameter_status(out, name, value));
            }
        }
        self.params = before;
        self.look_at_wishes();
    }

    /// Closes the server connection, and forgets what was known of it.
    pub(crate) fn lose_lease(&mut self) {
        // A cancel that is on its way finds nobody any more.
        let _ = self.entry().try_detach();
        self.account();
        self.lease = None;
        self.entry().set_state(crate::clients::ClientState::Idle);
        self.state = SessionState::default();
        self.prepared.lose_server();
        self.query_tail.clear();
        self.query_was_long = false;
        self.saw_fatal = false;
        self.unsettled = 0;
        self.batch_defines = false;
        self.blocked = false;
        self.rollback_due = false;
        self.after_reset = false;
        self.routing.end();
    }

    /// Makes a fresh server connection what that of a transaction which has failed would be.
    ///
    /// Not cancel safe: dropped, the server connection must be closed.
    pub(crate) async fn fail_transaction(&mut self, lease: &mut Lease) -> Result<(), ServerError> {
        lease.execute("BEGIN").await?;
        match lease.execute("ROLLBACK TO SAVEPOINT pgherd_lost_its_server").await {
            Err(ServerError::Reported(_)) => {
                self.routing.has_lost_transaction = false;
                Ok(())
            }
            Ok(_) => Err(ServerError::Closed),
            Err(error) => Err(error),
        }
    }
}

/// The bit of an instance among those that are avoided.
pub(crate) fn bit(index: usize) -> u64 {
    u32::try_from(index).ok().and_then(|index| 1_u64.checked_shl(index)).unwrap_or(0)
}

/// What the client is told.
fn loss(end: &End, is_silent: bool) -> ErrorResponse<'_> {
    let (code, text) = match end {
        End::ServerFatal(report) => (report.code.as_str(), report.message.as_str()),
        _ if is_silent => (sqlstate::CONNECTION_FAILURE, "the server does not answer"),
        End::ServerSilent => (sqlstate::CONNECTION_FAILURE, "the server does not answer"),
        _ => (sqlstate::CONNECTION_FAILURE, "the server closed the connection unexpectedly"),
    };
    ErrorResponse::error(code, text)
        .detail("The statement may have been executed; an open transaction has been rolled back.")
}
