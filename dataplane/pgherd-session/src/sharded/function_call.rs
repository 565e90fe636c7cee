//! FunctionCall: what drivers call by it are the functions of large objects, which the first shard
//! keeps.

use pgherd_wire::owed::Request;
use pgherd_wire::{frame, frontend, owed::Audience};

use super::branch::{Passing, Wrote};
use super::coordinator::{Coordinator, in_failed_transaction};
use super::failure::Failure;
use super::transaction::State;
use crate::end::End;

/// `lo_create`, `lo_open`, `lo_close`, `loread`, `lowrite`, `lo_lseek`, `lo_creat`, `lo_tell`,
/// `lo_unlink`, `lo_truncate`, and those of 64 bits.
const OF_LARGE_OBJECTS: [u32; 13] =
    [715, 952, 953, 954, 955, 956, 957, 958, 964, 1004, 3170, 3171, 3172];
/// Where they are.
const FIRST: usize = 0;

impl Coordinator {
    /// Answers a FunctionCall.
    pub(crate) async fn function_call(&mut self, body: &[u8]) -> Result<(), End> {
        let called = self.call(body).await;
        self.answered(called).await
    }

    async fn call(&mut self, body: &[u8]) -> Result<(), Failure> {
        if self.transaction.state == State::Failed {
            return Err(in_failed_transaction());
        }
        let oid = body.first_chunk::<4>().map(|it| u32::from_be_bytes(*it));
        if !oid.is_some_and(|it| OF_LARGE_OBJECTS.contains(&it)) {
            return Err(Failure::unsupported("a function call by its OID", "Use SELECT."));
        }
        let branch = self.branch(FIRST).await?;
        branch.wrote = branch.wrote.max(Wrote::Perhaps);
        let mut out = Vec::with_capacity(body.len() + 5);
        frame::put(&mut out, frontend::tag::FUNCTION_CALL, |out| out.extend_from_slice(body));
        branch.owes(Request::FunctionCall, Audience::Client);
        branch.send(&out).await?;
        branch.forward(Passing::ROWS).await?;
        Ok(())
    }
}
