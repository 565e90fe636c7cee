//! One direction of the relay: bytes that came, and what of them goes on.

use crate::buffer::{Buffer, BufferPool};
use crate::outbox::Outbox;

/// One direction of the relay: what was read on one side, and what of it goes to the other.
#[derive(Debug, Default)]
pub(crate) struct Direction {
    pub(crate) buffer: Buffer,
    pub(crate) outbox: Outbox,
    /// Bytes of a message whose header has been dealt with that still go through.
    pub(crate) passing: usize,
    /// Bytes of a message that still come and go nowhere.
    pub(crate) dropping: usize,
    /// From here on the buffer keeps what was dealt with.
    held: Option<usize>,
}

impl Direction {
    /// Moves the rest of the current message as far as it has come. `false` when more must come.
    pub(crate) fn move_on(&mut self) -> bool {
        let here = self.buffer.unscanned().len();
        if self.passing > 0 {
            let n = self.passing.min(here);
            let at = self.buffer.position();
            self.outbox.pass(at, at + n);
            self.buffer.advance(n);
            self.passing -= n;
        } else if self.dropping > 0 {
            let n = self.dropping.min(here);
            self.buffer.advance(n);
            self.dropping -= n;
        }
        self.passing == 0 && self.dropping == 0
    }

    /// Sends a message of `len` bytes on its way, as far as it is there.
    pub(crate) fn pass(&mut self, len: usize) {
        self.passing = len;
        self.move_on();
    }

    /// Throws a message of `len` bytes away, as far as it is there.
    pub(crate) fn discard(&mut self, len: usize) {
        self.dropping = len;
        self.move_on();
    }

    /// Throws away what was dealt with, unless some of it has yet to be written.
    pub(crate) fn compact(&mut self) {
        if self.outbox.is_empty() && self.held.is_none() {
            self.buffer.compact();
        }
    }

    /// Gives the buffer back when there is nothing in it and nothing of it has yet to be written.
    pub(crate) fn park(&mut self, pool: &BufferPool) {
        if self.outbox.is_empty() && self.held.is_none() {
            self.buffer.park(pool);
        }
    }

    /// Keeps what comes next in the buffer, also when it has been dealt with.
    pub(crate) fn hold(&mut self) {
        self.held = Some(self.buffer.position());
    }

    /// Does so no longer.
    pub(crate) fn unhold(&mut self) {
        self.held = None;
    }

    /// What was kept, and what has come since.
    pub(crate) fn held_bytes(&self) -> &[u8] {
        self.held.map_or(&[], |from| self.buffer.range(from, self.buffer.len()))
    }

    /// Begins once more with what was kept. Nothing of it may be left to be written.
    pub(crate) fn rewind(&mut self) {
        if let Some(from) = self.held.take() {
            self.passing = 0;
            self.dropping = 0;
            self.buffer.rewind(from);
        }
    }

    /// The rest of the message that is half way through goes nowhere.
    pub(crate) fn drop_rest(&mut self) {
        self.dropping += std::mem::take(&mut self.passing);
    }

    /// Throws away what has come and was not dealt with.
    pub(crate) fn drop_unscanned(&mut self) {
        let unscanned = self.buffer.unscanned().len();
        self.buffer.advance(unscanned);
    }

    /// Throws everything away. Nothing may be left to be written.
    pub(crate) fn forget(&mut self) {
        self.passing = 0;
        self.dropping = 0;
        self.drop_unscanned();
        self.compact();
    }

    /// Whether no message is half way through.
    pub(crate) fn is_between_messages(&self) -> bool {
        self.passing == 0 && self.dropping == 0
    }
}
