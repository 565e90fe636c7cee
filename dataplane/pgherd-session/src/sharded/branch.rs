//! One shard's part of a session: a server connection, and conversations on it.
//!
//! Errors of the shard are values, and the branch can be used further behind them. A branch that
//! is dropped gives its connection back: at once when it is idle, otherwise through the salvage
//! table, never as it is.

mod conversation;
mod copy;
mod ending;
mod portal;
mod request;
mod statement;

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use pgherd_config::EvidenceClass;
use pgherd_pool::{Lease, Need, ServerError, WorkerStats, note_parameter};
use pgherd_wire::backend::{self, tag};
use pgherd_wire::frame::{HEADER_LEN, Header};
use pgherd_wire::{ErrorResponse, ParamSet, TransactionStatus, sqlstate};
use tokio::io::AsyncWriteExt;

use super::failure::{Failure, Report};
use super::front::Front;
use super::oids::Translation;
use super::presence::{Cut, Presence};
use super::sites::Sites;
use crate::buffer::Buffer;
use crate::patience::in_time;

pub(crate) use conversation::{Answer, Completed, Passing};
pub(crate) use copy::CopyOut;
pub(crate) use request::{Arguments, Budget, Question, length};

/// Whether a branch has changed something in its transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wrote {
    No,
    /// To be asked by `pg_current_xact_id_if_assigned()`.
    Perhaps,
    Yes,
}

/// A server connection of one shard in use by a session.
pub(crate) struct Branch {
    pub(crate) shard: usize,
    /// `None` only while it is given back.
    lease: Option<Lease>,
    front: Rc<Front>,
    input: Buffer,
    /// Bytes of the message whose beginning was dealt with.
    passing: usize,
    /// A request was written in part.
    is_cut: bool,
    /// The connection is of no more use.
    is_broken: bool,
    /// The statement that is parsed now under a name of the connection's.
    parsing: Option<u64>,
    /// The statement that was asked last was understood.
    has_parsed: bool,
    /// The statement that was asked last is done.
    has_tag: bool,
    /// Nothing that the server says unasked is for the client.
    pub(crate) is_quiet: bool,
    pub(crate) wrote: Wrote,
    /// Its instance is the primary of the shard, and perhaps the only one.
    pub(crate) on_primary: bool,
    pub(crate) is_alone: bool,
    presence: Rc<Presence>,
    /// Where its OIDs are not those that clients know.
    pub(crate) translation: Option<Arc<Translation>>,
    leased_at: Instant,
}

/// What a shard says next, but for what it says unasked.
pub(crate) enum Reply {
    /// Its body has perhaps not come yet: to be taken by `body`, `pass` or `drop_message`.
    Message(Header),
    Error(Report),
    Ready(TransactionStatus),
}

/// Connections whose state cannot be brought to the client's before others are tried.
const MAX_REFUSED: usize = 3;

// === impl Branch ===

impl Branch {
    /// A connection to a shard that has the client's parameters. Waits for one within the limits of
    /// the pool. Cancel safe.
    pub(crate) async fn open(
        front: &Rc<Front>,
        sites: &Sites,
        shard: usize,
        need: Need,
    ) -> Result<Self, Failure> {
        let mut refused = 0;
        loop {
            let lease = sites.lease(shard, need).await?;
            let stats = lease.pool().worker_stats(front.worker.index);
            WorkerStats::add(&stats.assignments, 1);
            let is_alone = sites.is_alone(shard);
            let presence = front.presences.add(&lease, shard, is_alone);
            let mut branch = Self {
                shard,
                lease: Some(lease),
                front: Rc::clone(front),
                input: Buffer::default(),
                passing: 0,
                is_cut: false,
                is_broken: false,
                parsing: None,
                has_parsed: false,
                has_tag: false,
                is_quiet: false,
                wrote: Wrote::No,
                on_primary: presence.on_primary,
                is_alone,
                presence,
                translation: None,
                leased_at: Instant::now(),
            };
            let params = front.params();
            match branch.synchronise(&params).await {
                Ok(()) => {
                    let target = branch.connection().map(|lease| Arc::clone(&lease.info.cancel));
                    if let Some(target) = target {
                        front.entry.attach_branch(target);
                    }
                    return Ok(branch);
                }
                // What its last client has set may be in the way: another one is tried.
                Err(ServerError::Reported(_) | ServerError::Io(_) | ServerError::Closed)
                    if refused < MAX_REFUSED =>
                {
                    branch.is_broken = true;
                    refused += 1;
                }
                Err(ServerError::Reported(report)) => {
                    branch.is_broken = true;
                    let error = ErrorResponse::error(sqlstate::CONNECTION_FAILURE, report.message)
                        .detail("The server refused the session parameters of the client.");
                    return Err(Failure::refused(error));
                }
                Err(_) => {
                    branch.is_broken = true;
                    return Err(Failure::Broken(shard));
                }
            }
        }
    }

    async fn synchronise(&mut self, wanted: &Arc<ParamSet>) -> Result<(), ServerError> {
        let Some(lease) = self.lease.as_mut() else { return Ok(()) };
        if Arc::ptr_eq(&lease.params, wanted) {
            return Ok(());
        }
        let sql = lease.params.sql_to(wanted);
        if !sql.is_empty() {
            in_time(lease.execute(&sql)).await?;
        }
        lease.params = Arc::clone(wanted);
        Ok(())
    }

    /// The connection, unless it is gone.
    pub(crate) fn connection(&mut self) -> Option<&mut Lease> {
        self.lease.as_mut().filter(|_| !self.is_broken)
    }

    /// Whether it can be talked to.
    pub(crate) fn is_alive(&self) -> bool {
        !self.is_broken && self.lease.is_some()
    }

    /// The process id of its backend.
    pub(crate) fn pid(&self) -> i32 {
        self.presence.pid
    }

    /// What the shard said last of its transaction.
    pub(crate) fn status(&self) -> TransactionStatus {
        self.lease.as_ref().map_or(TransactionStatus::Idle, |lease| lease.owed.status())
    }

    /// Whether nothing is owed.
    pub(crate) fn is_idle(&self) -> bool {
        self.lease.as_ref().is_some_and(|lease| lease.owed.is_answered()) && self.passing == 0
    }

    /// Whether the statement that was asked last was understood.
    pub(crate) fn has_bound(&self) -> bool {
        self.has_parsed
    }

    /// There is state on it that only a reset removes.
    pub(crate) fn taint(&mut self) {
        if let Some(lease) = self.lease.as_mut() {
            lease.tainted = true;
        }
    }

    /// The connection has these parameters, whatever was noted of them.
    pub(crate) fn assume_params(&mut self, params: &Arc<ParamSet>) {
        if let Some(lease) = self.lease.as_mut() {
            lease.params = Arc::clone(params);
        }
    }

    pub(crate) fn stats(&self) -> Option<&WorkerStats> {
        let worker = self.front.worker.index;
        self.lease.as_ref().map(|lease| lease.pool().worker_stats(worker))
    }

    fn broken(&mut self) -> Failure {
        self.is_broken = true;
        if self.passing > 0 && !self.is_quiet {
            self.front.is_cut.set(true);
        }
        self.front.blamed.set(Some(self.presence.blamed()));
        Failure::Broken(self.shard)
    }

    /// Its wait is over, although nothing came.
    fn cut_off(&mut self, cut: Cut) -> Failure {
        let refused = match cut {
            Cut::Refused(error) => return Failure::Refused(error),
            Cut::TookTooLong => {
                let text = "canceling statement due to query_timeout";
                let detail = format!("Shard {} does not answer.", self.shard);
                Some(ErrorResponse::error(sqlstate::QUERY_CANCELED, text).detail(detail))
            }
            Cut::Silent => None,
        };
        let instance = &self.presence.instance;
        // What was cut off because it is silent says nothing new.
        if !instance.is_silent() {
            let since = self.lease.as_ref().map(|lease| lease.connected_at);
            instance.report(EvidenceClass::QueryTimeout, "the server is silent", since);
        }
        let _ = self.broken();
        refused.map_or(Failure::Silent(self.shard), Failure::refused)
    }

    /// The connection has ended: says so of its instance.
    fn lost(&mut self) -> Failure {
        let instance = &self.presence.instance;
        if !instance.is_silent() {
            let since = self.lease.as_ref().map(|lease| lease.connected_at);
            let text = "the server closed the connection unexpectedly";
            instance.report(EvidenceClass::ConnectionReset, text, since);
        }
        self.broken()
    }

    // === bytes ===

    /// Sends what was asked. The books of what is owed are the caller's.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let Some(lease) = self.lease.as_mut().filter(|_| !self.is_broken) else {
            return Err(Failure::Broken(self.shard));
        };
        self.has_tag = false;
        self.has_parsed = false;
        self.is_cut = true;
        self.presence.rest();
        let presence = &self.presence;
        let written = {
            let write = lease.socket.write_all(bytes);
            tokio::pin!(write);
            poll_fn(|cx| match write.as_mut().poll(cx) {
                Poll::Pending => match presence.take_cut() {
                    Some(cut) => Poll::Ready(Some(cut)),
                    None => {
                        presence.wait(cx.waker());
                        Poll::Pending
                    }
                },
                // It may have said why before it closed: that is read next.
                Poll::Ready(Ok(()) | Err(_)) => Poll::Ready(None),
            })
            .await
        };
        self.presence.rest();
        match written {
            None => {
                self.is_cut = false;
                Ok(())
            }
            Some(cut) => Err(self.cut_off(cut)),
        }
    }

    /// Reads more. While it waits, what is enough for the client goes out. Cancel safe.
    async fn fill(&mut self) -> Result<(), Failure> {
        self.front.relieve().await?;
        let Some(lease) = self.lease.as_mut().filter(|_| !self.is_broken) else {
            return Err(Failure::Broken(self.shard));
        };
        if self.input.is_empty() || !self.input.has_room() {
            self.input.compact();
        }
        let (input, socket) = (&mut self.input, &mut lease.socket);
        let (buffers, presence) = (&self.front.worker.buffers, &self.presence);
        let read = poll_fn(|cx| match input.poll_fill(cx, socket, buffers) {
            Poll::Pending => {
                input.park(buffers);
                if let Some(cut) = presence.take_cut() {
                    return Poll::Ready(Err(cut));
                }
                presence.wait(cx.waker());
                Poll::Pending
            }
            Poll::Ready(read) => Poll::Ready(Ok(read)),
        })
        .await;
        let read = match read {
            Ok(read) => read,
            Err(cut) => return Err(self.cut_off(cut)),
        };
        match read {
            Ok(n) if n > 0 => {
                self.presence.hear();
                if let Some(watch) = &*self.front.watch.borrow() {
                    watch.server_spoke();
                }
                Ok(())
            }
            _ => Err(self.lost()),
        }
    }

    /// The body of a message, which is dealt with when the branch is used next.
    pub(crate) async fn body(&mut self, header: Header) -> Result<&[u8], Failure> {
        while self.input.unscanned().len() < header.total_len() {
            self.fill().await?;
        }
        let at = self.input.position();
        self.input.advance(header.total_len());
        Ok(self.input.range(at + HEADER_LEN, at + header.total_len()))
    }

    /// Passes a message on to the client, as it comes.
    pub(crate) async fn pass(&mut self, header: Header) -> Result<(), Failure> {
        self.passing = header.total_len();
        loop {
            let n = self.passing.min(self.input.unscanned().len());
            self.front.put_bytes(self.input.unscanned().get(..n).unwrap_or_default());
            self.input.advance(n);
            self.passing -= n;
            if self.passing == 0 {
                return Ok(());
            }
            self.fill().await?;
        }
    }

    /// Throws a message away, as it comes.
    pub(crate) async fn drop_message(&mut self, header: Header) -> Result<(), Failure> {
        let was_quiet = std::mem::replace(&mut self.is_quiet, true);
        self.passing = header.total_len();
        loop {
            let n = self.passing.min(self.input.unscanned().len());
            self.input.advance(n);
            self.passing -= n;
            if self.passing == 0 {
                self.is_quiet = was_quiet;
                return Ok(());
            }
            self.fill().await?;
        }
    }

    /// What the shard says next. What it says unasked is dealt with on the way: notices and changed
    /// parameters go to the client, unless the branch is quiet.
    pub(crate) async fn reply(&mut self) -> Result<Reply, Failure> {
        loop {
            let header = match Header::peek(self.input.unscanned()) {
                Ok(Some(header)) => header,
                Ok(None) => {
                    self.fill().await?;
                    continue;
                }
                Err(_) => return Err(self.broken()),
            };
            match header.tag {
                tag::NOTICE if self.is_quiet => self.drop_message(header).await?,
                tag::NOTICE => self.pass(header).await?,
                tag::NOTIFICATION => self.drop_message(header).await?,
                tag::PARAMETER_STATUS => self.take_parameter(header).await?,
                tag::ERROR => return self.take_error(header).await,
                tag::READY_FOR_QUERY => {
                    let status = self.body(header).await?.first().copied();
                    let status = status.and_then(TransactionStatus::from_byte);
                    let (Some(status), Some(lease)) = (status, self.lease.as_mut()) else {
                        return Err(self.broken());
                    };
                    if lease.owed.ready(status).is_err() {
                        return Err(self.broken());
                    }
                    return Ok(Reply::Ready(status));
                }
                tag => {
                    let Some(lease) = self.lease.as_mut() else { return Err(self.broken()) };
                    if lease.owed.reply(tag).is_err() {
                        return Err(self.broken());
                    }
                    self.has_parsed |= tag == tag::PARSE_COMPLETE;
                    return Ok(Reply::Message(header));
                }
            }
        }
    }

    async fn take_parameter(&mut self, header: Header) -> Result<(), Failure> {
        let body = self.body(header).await?.to_vec();
        let Some((name, value)) = backend::parse_parameter_status(&body) else {
            return Err(self.broken());
        };
        let Some(lease) = self.lease.as_mut() else { return Ok(()) };
        note_parameter(&mut lease.params, name, value);
        if !self.is_quiet {
            match self.has_tag {
                true => self.front.report_later(name, value),
                false => self.front.report(name, value),
            }
        }
        Ok(())
    }

    async fn take_error(&mut self, header: Header) -> Result<Reply, Failure> {
        let shard = self.shard;
        let report = Report { shard, body: self.body(header).await?.to_vec() };
        let parsed = self.has_parsed;
        // What it reports behind it are parameters as they were before.
        self.has_tag = true;
        if let Some(lease) = self.lease.as_mut() {
            lease.owed.error();
            if let Some(id) = self.parsing.take().filter(|_| !parsed) {
                lease.statements.remove(id);
            }
        }
        if let Some(stats) = self.stats() {
            WorkerStats::add(&stats.errors, 1);
        }
        if report.is_fatal() {
            tracing::info!(shard, "a shard has ended a connection: {}", report.message());
            let instance = &self.presence.instance;
            match &*report.code() {
                "57P02" | "57P03" if !instance.is_silent() => {
                    let since = self.lease.as_ref().map(|lease| lease.connected_at);
                    instance.report(EvidenceClass::ServerShutdown, &report.message(), since);
                }
                // Perhaps somebody has ended this one connection.
                _ => instance.look_now(),
            }
            return Err(self.broken());
        }
        self.front.blamed.set(Some(self.presence.blamed()));
        Ok(Reply::Error(report))
    }
}
