//! Blows that fall at a given byte or message.

use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result};

use super::frames::{Piece, STARTUP};
use super::{Direction, Set};

/// Where in a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    /// After so many bytes of its direction.
    Byte(u64),
    /// At the first message with this tag whose bytes contain these; messages of more than 8 KiB
    /// are not looked at.
    Message {
        /// Its first byte; 0 stands for startup packets.
        tag: u8,
        /// Anything in it.
        containing: Vec<u8>,
    },
}

/// Where in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// None of it passes.
    Before,
    /// Half of it passes.
    Within,
    /// All of it passes.
    After,
}

/// Who is hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The connection on which it came.
    Connection,
    /// All of them, those to come included.
    All,
}

/// A blow that waits for its moment, which comes once.
#[derive(Clone, Debug)]
pub struct Strike {
    /// In which direction to look.
    pub direction: Direction,
    /// For what.
    pub at: At,
    /// Where in it.
    pub position: Position,
    /// What becomes wrong then.
    pub blow: Set,
    /// With whom.
    pub scope: Scope,
}

/// A strike that was armed.
#[derive(Debug)]
pub struct Armed(mpsc::Receiver<u64>);

/// The proxy's half of it.
#[derive(Debug)]
pub(super) struct Waiting {
    pub strike: Strike,
    pub tell: mpsc::Sender<u64>,
}

pub(super) fn arm(strike: Strike) -> (Waiting, Armed) {
    let (tell, told) = mpsc::channel();
    (Waiting { strike, tell }, Armed(told))
}

impl Armed {
    /// Waits until the blow has fallen; the number of the connection that it fell on.
    pub fn wait(&self, timeout: Duration) -> Result<u64> {
        self.0.recv_timeout(timeout).with_context(|| format!("no moment to strike in {timeout:?}"))
    }
}

impl Strike {
    /// How many bytes of `piece` pass before the blow, if it falls here; `passed` came before it.
    pub(super) fn falls(&self, direction: Direction, passed: u64, piece: &Piece) -> Option<usize> {
        if direction != self.direction {
            return None;
        }
        let length = piece.bytes.len();
        match &self.at {
            At::Byte(byte) => {
                let into = usize::try_from(byte.checked_sub(passed)?).ok()?;
                (into < length).then_some(into)
            }
            At::Message { tag, containing } => {
                let found = piece.tag == Some(*tag) && contains(&piece.bytes, containing);
                found.then_some(match self.position {
                    Position::Before => 0,
                    Position::Within => length / 2,
                    Position::After => length,
                })
            }
        }
    }

    /// At the first startup packet.
    pub fn at_startup(direction: Direction, position: Position, blow: Set, scope: Scope) -> Self {
        let at = At::Message { tag: STARTUP, containing: Vec::new() };
        Self { direction, at, position, blow, scope }
    }
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    wanted.is_empty() || bytes.windows(wanted.len()).any(|window| window == wanted)
}
