//! How many ReadyForQuery come after a COPY that failed with Syncs among its data.
//!
//! The server ignores a Sync while it reads copy data and answers it once it has given the copy
//! up; only it knows where between the client's messages that was. Postgres's order helps: what
//! answers a later request ends the doubt. Where nothing is left to be answered, a Sync, a Close of
//! nothing and another Sync are slipped in: all ReadyForQuery before the CloseComplete, less one
//! for that Sync, were the client's.

use super::{Audience, Entry, Owed, Request, TransactionStatus};

/// A COPY has failed, and it is not known which of the Syncs among its data were answered.
#[derive(Debug)]
pub(super) struct Doubt {
    /// Syncs that may still be answered: no more ReadyForQuery pass than there were.
    left: usize,
    /// The client has seen a ReadyForQuery since: the server does not discard any more.
    answered: bool,
    /// A Close between two Syncs has been slipped in.
    probing: bool,
}

impl Doubt {
    pub(super) fn about(syncs: usize) -> Self {
        Self { left: syncs, answered: false, probing: false }
    }
}

impl<E> Owed<E> {
    /// Whether more ReadyForQuery may come than are known to be owed. Such a connection must not
    /// serve anybody else.
    pub fn is_in_doubt(&self) -> bool {
        self.doubt.is_some()
    }

    /// Whether a Close between two Syncs has to be slipped in: see [`Owed::push_probe`].
    pub fn needs_probe(&self) -> bool {
        self.queue.is_empty() && self.doubt.as_ref().is_some_and(|doubt| !doubt.probing)
    }

    /// Whether their answer is still to come. Nothing else may be sent meanwhile.
    pub fn is_probing(&self) -> bool {
        self.doubt.as_ref().is_some_and(|doubt| doubt.probing)
    }

    /// Notes a Sync, a Close of nothing and a Sync that were slipped in to end the doubt. If the
    /// server was discarding, it is not any more; the caller goes on to discard in its stead, as
    /// [`Owed::is_skipping`] says.
    pub fn push_probe(&mut self, effects: [E; 3]) {
        if let Some(doubt) = &mut self.doubt {
            doubt.probing = true;
        }
        let requests = [Request::Sync, Request::Close, Request::Sync];
        for (request, effect) in requests.into_iter().zip(effects) {
            self.queue.push_back(Entry::Asked { request, audience: Audience::Proxy, effect });
        }
        self.readies += 2;
    }

    /// Whether a ReadyForQuery answers one of the doubtful Syncs: it comes where none is due.
    pub(super) fn is_doubtful_ready(&mut self, status: TransactionStatus) -> bool {
        let due = match self.head_request() {
            Some(Request::Sync) => true,
            Some(Request::Query | Request::FunctionCall) => self.begun,
            _ => false,
        };
        let Some(doubt) = &mut self.doubt else { return false };
        if !due {
            match doubt.left.checked_sub(1) {
                Some(left) => doubt.left = left,
                None => return false,
            }
        }
        if !due || !doubt.probing {
            doubt.answered = true;
        }
        if !due {
            self.status = status;
            self.skipping = false;
            self.open_batch = !self.queue.is_empty();
        }
        !due
    }

    /// The server has come to a later request.
    pub(super) fn resolve_doubt(&mut self) {
        self.doubt = None;
    }
}
