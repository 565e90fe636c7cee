//! Where Postgres's messages begin and end in a stream of bytes.

use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};

use super::{Connection, Direction};

/// Longer messages are passed on as they come, and cannot be struck at.
const LONGEST: usize = 8 * 1024;
/// The tag that startup packets count as.
pub(super) const STARTUP: u8 = 0;

const SSL_REQUEST: u32 = 80_877_103;
const GSSENC_REQUEST: u32 = 80_877_104;
/// Versions of the protocol are below the codes of requests.
const FIRST_REQUEST: u32 = 80_877_102;

/// A message, or bytes that are none or a part of a long one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub tag: Option<u8>,
    pub bytes: Bytes,
}

/// Cuts one direction of one connection.
#[derive(Debug)]
pub(super) struct Frames {
    direction: Direction,
    /// The client has not yet said StartupMessage.
    in_startup: bool,
    /// What is left of a long message.
    long: usize,
    held: BytesMut,
}

impl Frames {
    pub(super) fn new(direction: Direction) -> Self {
        let in_startup = direction == Direction::ToServer;
        Self { direction, in_startup, long: 0, held: BytesMut::new() }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// What can be passed on.
    pub(super) fn next(&mut self, connection: &Connection) -> Option<Piece> {
        if self.held.is_empty() {
            return None;
        }
        if connection.opaque.load(Ordering::Relaxed) {
            return Some(self.plain(self.held.len()));
        }
        if self.direction == Direction::ToClient
            && connection.awaits_byte.swap(false, Ordering::Relaxed)
        {
            let encrypted = self.held.first() != Some(&b'N');
            connection.opaque.store(encrypted, Ordering::Relaxed);
            return Some(self.plain(1));
        }
        if self.long > 0 {
            let part = self.long.min(self.held.len());
            self.long -= part;
            return Some(self.plain(part));
        }
        self.message(connection)
    }

    /// All that is left, at the end of the stream.
    pub(super) fn rest(&mut self) -> Option<Piece> {
        (!self.held.is_empty()).then(|| self.plain(self.held.len()))
    }

    fn plain(&mut self, length: usize) -> Piece {
        Piece { tag: None, bytes: self.held.split_to(length).freeze() }
    }

    fn message(&mut self, connection: &Connection) -> Option<Piece> {
        let (tag, header) = if self.in_startup { (STARTUP, 4) } else { (*self.held.first()?, 5) };
        let length = self.held.get(header - 4..header)?.try_into().ok()?;
        let length = u32::from_be_bytes(length);
        if length < 4 {
            connection.opaque.store(true, Ordering::Relaxed);
            return self.next(connection);
        }
        let total = header - 4 + length as usize;
        if total > LONGEST {
            self.long = total;
            return self.next(connection);
        }
        if self.held.len() < total {
            return None;
        }
        if self.in_startup {
            let code = self.held.get(4..8).and_then(|code| code.try_into().ok());
            let code = code.map_or(0, u32::from_be_bytes);
            let asks = matches!(code, SSL_REQUEST | GSSENC_REQUEST);
            connection.awaits_byte.store(asks, Ordering::Relaxed);
            self.in_startup = code >= FIRST_REQUEST;
        }
        Some(Piece { tag: Some(tag), bytes: self.held.split_to(total).freeze() })
    }
}
