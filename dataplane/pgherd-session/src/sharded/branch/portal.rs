//! Portals that stay on a shard between two Executes, within its transaction.

use pgherd_wire::owed::{Audience, Request};
use pgherd_wire::{frame, frontend};

use super::{Branch, Completed, Passing, Question};
use crate::sharded::failure::Failure;

impl Branch {
    /// Binds a portal and executes it up to a limit. Its rows go to the client.
    pub(crate) async fn open_portal(
        &mut self,
        question: &Question<'_>,
        name: &str,
        limit: u32,
    ) -> Result<Completed, Failure> {
        let mut out = Vec::with_capacity(question.sql.len() + question.arguments.size() + 128);
        self.put_parse(question, &mut out)?;
        question.put_bind_as(&mut out, name.as_bytes(), b"");
        self.owes(Request::Parse, Audience::Client);
        self.owes(Request::Bind, Audience::Client);
        self.run_portal(out, name, limit).await
    }

    /// Executes it further; no limit is 0.
    pub(crate) async fn go_on(&mut self, name: &str, limit: u32) -> Result<Completed, Failure> {
        self.run_portal(Vec::new(), name, limit).await
    }

    async fn run_portal(
        &mut self,
        mut out: Vec<u8>,
        name: &str,
        limit: u32,
    ) -> Result<Completed, Failure> {
        frame::put(&mut out, frontend::tag::EXECUTE, |body| {
            frame::put_cstr(body, name.as_bytes());
            body.extend_from_slice(&limit.to_be_bytes());
        });
        frontend::put_empty(&mut out, frontend::tag::SYNC);
        self.owes(Request::Execute, Audience::Client);
        self.owes(Request::Sync, Audience::Client);
        self.send(&out).await?;
        self.forward(Passing::ROWS).await
    }
}
