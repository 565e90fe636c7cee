//! Buffers that are taken when there are bytes and given back when there are none.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

/// What one read takes at most, and what a buffer holds unless a message forces it to grow.
pub const BUFFER_SIZE: usize = 16 * 1024;

/// Buffers that a worker keeps for the next one who needs them.
const MAX_SPARE: usize = 256;

/// The spare buffers of one worker.
#[derive(Debug, Default)]
pub struct BufferPool {
    spare: RefCell<Vec<Vec<u8>>>,
}

impl BufferPool {
    fn take(&self) -> Vec<u8> {
        self.spare.borrow_mut().pop().unwrap_or_else(|| vec![0; BUFFER_SIZE])
    }

    /// Buffers that have grown are not kept.
    fn put(&self, bytes: Vec<u8>) {
        let mut spare = self.spare.borrow_mut();
        if bytes.len() == BUFFER_SIZE && spare.len() < MAX_SPARE {
            spare.push(bytes);
        }
    }
}

/// Bytes that have been read from a socket. Without bytes it holds no memory.
///
/// `bytes[..filled]` has been read, of which `bytes[..scanned]` has been looked at.
#[derive(Debug, Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    filled: usize,
    scanned: usize,
}

impl Buffer {
    /// Reads once. `Ready(Ok(0))` is the end of the stream.
    pub fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut (impl AsyncRead + Unpin),
        pool: &BufferPool,
    ) -> Poll<io::Result<usize>> {
        if self.bytes.is_empty() {
            self.bytes = pool.take();
        }
        if self.filled == self.bytes.len() {
            let grown = self.bytes.len() * 2;
            self.bytes.resize(grown, 0);
        }
        let mut target = ReadBuf::new(&mut self.bytes[self.filled..]);
        ready!(Pin::new(socket).poll_read(cx, &mut target))?;
        let read = target.filled().len();
        self.filled += read;
        Poll::Ready(Ok(read))
    }

    /// What has been read and not been looked at.
    pub fn unscanned(&self) -> &[u8] {
        &self.bytes[self.scanned..self.filled]
    }

    /// Where the bytes stand that were looked at last: an offset for [`Buffer::range`].
    pub fn position(&self) -> usize {
        self.scanned
    }

    /// Marks bytes as looked at.
    pub fn advance(&mut self, n: usize) {
        debug_assert!(self.scanned + n <= self.filled);
        self.scanned += n;
    }

    /// Bytes between two positions.
    pub fn range(&self, from: usize, to: usize) -> &[u8] {
        &self.bytes[from..to]
    }

    /// Throws away what was looked at: nobody may hold a position from before.
    pub fn compact(&mut self) {
        if self.scanned == self.filled {
            self.filled = 0;
            if self.bytes.len() > BUFFER_SIZE {
                self.bytes = Vec::new();
            }
        } else if self.scanned > 0 {
            self.bytes.copy_within(self.scanned..self.filled, 0);
            self.filled -= self.scanned;
        }
        self.scanned = 0;
    }

    /// Whether there is room to read without growing.
    pub fn has_room(&self) -> bool {
        self.bytes.is_empty() || self.filled < self.bytes.len()
    }

    /// Looks once more at what stands behind a position.
    pub fn rewind(&mut self, position: usize) {
        debug_assert!(position <= self.scanned);
        self.scanned = position;
    }

    /// Everything that is there, looked at or not.
    pub fn len(&self) -> usize {
        self.filled
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.scanned == self.filled
    }

    /// Gives the memory back when nothing is left.
    pub fn park(&mut self, pool: &BufferPool) {
        if self.is_empty() && !self.bytes.is_empty() {
            pool.put(std::mem::take(&mut self.bytes));
            self.filled = 0;
            self.scanned = 0;
        }
    }

    /// Puts bytes in front of a socket, as if they had been read from it.
    pub fn preload(&mut self, bytes: &[u8], pool: &BufferPool) {
        if bytes.is_empty() {
            return;
        }
        if self.bytes.is_empty() {
            self.bytes = pool.take();
        }
        if self.bytes.len() < self.filled + bytes.len() {
            self.bytes.resize(self.filled + bytes.len(), 0);
        }
        self.bytes[self.filled..self.filled + bytes.len()].copy_from_slice(bytes);
        self.filled += bytes.len();
    }
}
