//! Statement mode: no client ends up inside a transaction.
//!
//! What one message does, or one batch up to its Sync, is done as in Postgres, also where that is
//! several statements. A transaction that is open at the end of it is refused and rolled back. The
//! next message waits until that is known: sent at once, it would find itself in the transaction.

use pgherd_config::PoolMode;
use pgherd_pool::Note;
use pgherd_wire::backend;
use pgherd_wire::frontend::{self, tag};
use pgherd_wire::owed::{Audience, Request};
use pgherd_wire::{ErrorResponse, TransactionStatus, sqlstate};

use crate::session::Session;

impl Session {
    /// Whether transactions are refused that go on beyond a message.
    pub(crate) fn is_statement_mode(&self) -> bool {
        self.pool.settings().mode == PoolMode::Statement
    }

    /// Whether the next message is not to be sent yet.
    pub(crate) fn waits_for_statement(&mut self, tag: u8) -> bool {
        if !self.is_statement_mode() {
            return false;
        }
        self.roll_back_if_due();
        let Some(lease) = &self.lease else { return false };
        // Copy data belongs to the statement that is under way.
        lease.owed.readies() > 0
            && !lease.owed.is_copy_in()
            && !matches!(tag, tag::COPY_DATA | tag::COPY_DONE | tag::COPY_FAIL)
    }

    /// The server is ready, inside a transaction: says to the client that this is not allowed, and
    /// that it is outside. Returns who gets the server's own words.
    pub(crate) fn refuse_transaction(&mut self, status: TransactionStatus) -> Audience {
        let outbox = &mut self.from_server.outbox;
        // A transaction that has failed has said so already.
        if status == TransactionStatus::InTransaction {
            let error = ErrorResponse::error(
                sqlstate::FEATURE_NOT_SUPPORTED,
                "transaction blocks not allowed in statement pooling mode",
            )
            .detail("The transaction that was left open has been rolled back.")
            .hint("Use autocommit, or pool_mode = \"transaction\".");
            outbox.own(|out| error.put(out));
        }
        outbox.own(|out| backend::put_ready(out, TransactionStatus::Idle));
        self.rollback_due = true;
        self.roll_back_if_due();
        Audience::Proxy
    }

    /// Not into the middle of a message: its rest comes first.
    fn roll_back_if_due(&mut self) {
        if !self.rollback_due || !self.from_client.is_between_messages() {
            return;
        }
        let Some(lease) = &mut self.lease else { return };
        self.rollback_due = false;
        self.from_client.outbox.own(|out| frontend::put_query(out, b"ROLLBACK"));
        lease.owed.push(Request::Query, Audience::Proxy, Note::default());
        // A simple query drops it.
        lease.unnamed = 0;
    }
}
