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
        if self.outbox.is_empty() {
            self.buffer.compact();
        }
    }

    /// Gives the buffer back when there is nothing in it and nothing of it has yet to be written.
    pub(crate) fn park(&mut self, pool: &BufferPool) {
        if self.outbox.is_empty() {
            self.buffer.park(pool);
        }
    }

    /// Whether no message is half way through.
    pub(crate) fn is_between_messages(&self) -> bool {
        self.passing == 0 && self.dropping == 0
    }
}
