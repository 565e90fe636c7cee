//! What one client did, when, and how it went.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Before its transaction had begun, if it failed, or all in one message.
    Transfer,
    /// Failed after its BEGIN was answered.
    BegunTransfer,
    CopyIn,
    PipelinedWrite,
    Read,
    Prepared,
    CopyOut,
    PipelinedRead,
    Login,
}

impl Kind {
    /// Whether a replica may serve it.
    pub fn is_read(self) -> bool {
        let writes = matches!(self, Self::Transfer | Self::BegunTransfer | Self::CopyIn);
        !writes && self != Self::PipelinedWrite
    }
}

/// How it went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// An ErrorResponse.
    Error {
        sqlstate: String,
        message: String,
        /// Something of the answer had come before.
        begun: bool,
    },
    /// The connection ended without a word.
    Closed {
        /// Something of the answer had come before.
        begun: bool,
    },
    /// It ended in the middle of a message, where nothing can be said any more.
    Cut,
    /// No connection could be made.
    Unreachable(String),
    /// Nothing was heard for as long as a client waits.
    Silent,
    /// What no fault excuses: a row of somebody else, a message out of place.
    Wrong(String),
}

impl Failure {
    /// The SQLSTATE, or a word.
    pub fn code(&self) -> &str {
        match self {
            Self::Error { sqlstate, .. } => sqlstate,
            Self::Closed { .. } => "closed",
            Self::Cut => "cut",
            Self::Unreachable(_) => "unreachable",
            Self::Silent => "silent",
            Self::Wrong(_) => "wrong",
        }
    }
}

impl Failure {
    /// Whether the client had nothing of the answer yet.
    pub fn is_unbegun(&self) -> bool {
        match self {
            Self::Error { begun, .. } | Self::Closed { begun } => !begun,
            Self::Cut => false,
            Self::Unreachable(_) | Self::Silent | Self::Wrong(_) => true,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error { sqlstate, message, .. } => write!(f, "{sqlstate} {message}"),
            Self::Unreachable(why) | Self::Wrong(why) => write!(f, "{}: {why}", self.code()),
            Self::Closed { .. } | Self::Cut | Self::Silent => f.write_str(self.code()),
        }
    }
}

/// One operation, reconnecting included.
#[derive(Clone, Debug)]
pub struct Operation {
    pub client: u64,
    pub kind: Kind,
    pub begun: Instant,
    pub ended: Instant,
    pub failure: Option<Failure>,
}

impl Operation {
    /// Whether another instance could have answered instead, without the client noticing: a read
    /// that is no COPY and of whose answer nothing had come.
    pub fn could_be_retried(&self) -> bool {
        let read = self.kind.is_read() && self.kind != Kind::CopyOut;
        read && self.failure.as_ref().is_some_and(Failure::is_unbegun)
    }

    pub fn took(&self) -> Duration {
        self.ended - self.begun
    }
}

/// One client's operations.
#[derive(Debug, Default)]
pub struct Journal(Mutex<Vec<Operation>>);

impl Journal {
    pub fn add(&self, operation: Operation) {
        self.with(|operations| operations.push(operation));
    }

    /// When the first of those ended that went well and began after `since`, if `times` did.
    pub fn first_done(&self, since: Instant, times: usize) -> Option<Instant> {
        self.with(|operations| {
            let done = |it: &&Operation| it.failure.is_none() && it.begun >= since;
            let mut done = operations.iter().filter(done);
            let first = done.next()?.ended;
            (times <= 1 || done.nth(times.saturating_sub(2)).is_some()).then_some(first)
        })
    }

    pub fn take(&self) -> Vec<Operation> {
        self.with(std::mem::take)
    }

    /// The longest of those that ended after `since`.
    pub fn longest(&self, since: Instant) -> Duration {
        self.with(|operations| {
            let after = operations.iter().filter(|it| it.ended > since);
            after.map(Operation::took).max().unwrap_or_default()
        })
    }

    /// The last operations, for complaints.
    pub fn last(&self, count: usize) -> String {
        self.with(|operations| {
            let from = operations.len().saturating_sub(count);
            let last = operations.get(from..).unwrap_or_default().iter().map(|it| {
                let how = it.failure.as_ref().map_or_else(|| "done".to_owned(), Failure::to_string);
                format!("{:?} {how} in {:?}", it.kind, it.took())
            });
            last.collect::<Vec<_>>().join("; ")
        })
    }

    fn with<T>(&self, look: impl FnOnce(&mut Vec<Operation>) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
