//! What a COPY that ended may have left undecided.

use pgherd_pool::Note;
use pgherd_wire::frontend::{self, Target, tag};

use super::prepare::nobody;
use crate::session::Session;

impl Session {
    /// Finds out what a COPY that failed has left. `false` while that is under way.
    pub(super) fn end_doubt(&mut self) -> bool {
        let Some(lease) = &mut self.lease else { return true };
        if !lease.owed.is_in_doubt() {
            return true;
        }
        if lease.owed.needs_probe() {
            let name = nobody(lease);
            self.from_client.outbox.own(|out| {
                frontend::put_empty(out, tag::SYNC);
                frontend::put_target(out, tag::CLOSE, Target::Statement, &name);
                frontend::put_empty(out, tag::SYNC);
            });
            lease.owed.push_probe([Note::default(), Note::default(), Note::default()]);
        }
        self.blocked |= lease.owed.is_probing();
        !lease.owed.is_probing()
    }
}

/// Whether a message may stand among the data of a copy.
pub(super) fn is_for_copy(tag: u8) -> bool {
    matches!(tag, tag::COPY_DATA | tag::COPY_DONE | tag::COPY_FAIL | tag::SYNC | tag::FLUSH)
}
