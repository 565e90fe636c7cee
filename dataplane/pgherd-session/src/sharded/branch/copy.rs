//! COPY on a branch: always by a simple query, as it has no parameters.

use futures_util::FutureExt;
use pgherd_wire::backend::tag;
use pgherd_wire::owed::{Audience, Request};
use pgherd_wire::{frame, frontend};

use super::{Branch, Completed, Passing, Reply};
use crate::sharded::failure::{Failure, Report};

/// What comes of COPY TO STDOUT.
pub(crate) enum CopyOut {
    /// The body of the CopyOutResponse.
    Begin(Vec<u8>),
    Data(Vec<u8>),
    /// The body of the tag, without its zero.
    Done(Vec<u8>),
}

impl Branch {
    /// Sends COPY FROM STDIN. The body of the CopyInResponse, when the shard reads data from now
    /// on.
    pub(crate) async fn begin_copy(&mut self, sql: &str) -> Result<Vec<u8>, Failure> {
        self.send_simple(sql.as_bytes(), Audience::Client).await?;
        let mut failed = None;
        loop {
            match self.reply().await? {
                Reply::Error(report) => failed = Some(report),
                Reply::Ready(_) => {
                    let other = || Failure::error("08P01", "a shard did not begin the COPY");
                    return Err(failed.map_or_else(other, Failure::Reported));
                }
                Reply::Message(header) if header.tag == tag::COPY_IN => {
                    return Ok(self.body(header).await?.to_vec());
                }
                Reply::Message(header) => self.drop_message(header).await?,
            }
        }
    }

    /// Sends data.
    pub(crate) async fn put_copy(&mut self, data: &[u8]) -> Result<(), Failure> {
        let mut out = Vec::with_capacity(data.len() + 5);
        frame::put(&mut out, frontend::tag::COPY_DATA, |body| body.extend_from_slice(data));
        self.send(&out).await
    }

    /// The error by which the shard has given the COPY up, if that has come. Does not wait.
    pub(crate) fn copy_error(&mut self) -> Result<Option<Report>, Failure> {
        match self.reply().now_or_never() {
            None => Ok(None),
            Some(Ok(Reply::Error(report))) => Ok(Some(report)),
            Some(Ok(Reply::Message(header))) => Err(Failure::malformed(self.shard, header.tag)),
            Some(Ok(Reply::Ready(_))) => Err(Failure::malformed(self.shard, tag::READY_FOR_QUERY)),
            Some(Err(failure)) => Err(failure),
        }
    }

    /// Sends CopyDone, or CopyFail with a reason.
    pub(crate) async fn end_copy(&mut self, reason: Option<&[u8]>) -> Result<(), Failure> {
        let mut out = Vec::new();
        match reason {
            None => frontend::put_empty(&mut out, frontend::tag::COPY_DONE),
            Some(reason) => frontend::put_copy_fail(&mut out, reason),
        }
        if let Some(lease) = self.connection() {
            lease.owed.push_copy_end();
        }
        self.send(&out).await
    }

    /// Reads to the end of a COPY.
    pub(crate) async fn copy_ended(&mut self) -> Result<Completed, Failure> {
        self.forward(Passing::NOTHING).await
    }

    /// Sends COPY TO STDOUT.
    pub(crate) async fn ask_for_copy(&mut self, sql: &str) -> Result<(), Failure> {
        self.send_simple(sql.as_bytes(), Audience::Client).await
    }

    /// What comes next of a COPY TO STDOUT.
    pub(crate) async fn copy_out(&mut self) -> Result<CopyOut, Failure> {
        let (mut failed, mut done) = (None, None);
        loop {
            match self.reply().await? {
                Reply::Error(report) => failed = Some(report),
                Reply::Ready(_) => {
                    let other = || Failure::error("08P01", "a shard did not end the COPY");
                    return match (failed, done) {
                        (Some(report), _) => Err(Failure::Reported(report)),
                        (None, Some(done)) => Ok(CopyOut::Done(done)),
                        (None, None) => Err(other()),
                    };
                }
                Reply::Message(header) => match header.tag {
                    tag::COPY_OUT => return Ok(CopyOut::Begin(self.body(header).await?.to_vec())),
                    tag::COPY_DATA => return Ok(CopyOut::Data(self.body(header).await?.to_vec())),
                    tag::COMMAND_COMPLETE => {
                        let body = self.body(header).await?;
                        let body = body.strip_suffix(b"\0").unwrap_or(body);
                        done = Some(body.to_vec());
                        self.has_tag = true;
                    }
                    _ => self.drop_message(header).await?,
                },
            }
        }
    }

    /// The Sync that was sent before is part of what the shard has ignored.
    pub(super) async fn sync_behind_copy(&mut self) -> Result<(), Failure> {
        if !self.connection().is_some_and(|lease| lease.owed.needs_sync()) {
            return Ok(());
        }
        let mut out = Vec::new();
        frontend::put_empty(&mut out, frontend::tag::SYNC);
        self.owes(Request::Sync, Audience::Proxy);
        self.send(&out).await
    }

    /// The shard reads copy data: passes on what the client sends up to its end.
    pub(super) async fn copy_from_client(&mut self) -> Result<(), Failure> {
        use frontend::tag;
        self.front.flush().await?;
        loop {
            let message = self.front.message(frame::MAX_BODY_LEN).await?;
            match message.tag {
                tag::COPY_DATA | tag::COPY_DONE | tag::COPY_FAIL => {
                    let mut out = Vec::with_capacity(message.body.len() + 5);
                    frame::put(&mut out, message.tag, |out| out.extend_from_slice(&message.body));
                    let ends = message.tag != tag::COPY_DATA;
                    if let Some(lease) = self.connection().filter(|_| ends) {
                        lease.owed.push_copy_end();
                    }
                    self.send(&out).await?;
                    if ends {
                        return self.sync_behind_copy().await;
                    }
                }
                // Postgres ignores them in the middle of a copy.
                tag::SYNC | tag::FLUSH => {}
                other => return Err(self.front.lost_in_copy(other).into()),
            }
        }
    }
}
