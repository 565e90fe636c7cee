//! Writes by several shards, each with its own text, and what the client sees of their answers.

use std::collections::VecDeque;

use pgherd_plan::{Gather, Replies, Write};
use pgherd_wire::owed::Audience;

use super::gather::{about_own_text, arguments};
use super::{Done, Job, added, send};
use crate::sharded::branch::{Arguments, Passing, Question, Wrote};
use crate::sharded::coordinator::Coordinator;
use crate::sharded::failure::Failure;
use crate::sharded::transaction::State;

/// What is sent to one shard.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) shard: usize,
    pub(super) text: &'a str,
    pub(super) arguments: &'a Arguments,
}

/// How the answers of several shards become one.
#[derive(Debug, Clone, Copy)]
pub(super) enum Together<'a> {
    Added,
    /// Of each row that was given, the index of the part that has it.
    InOrder(&'a [usize]),
    Same,
    /// What the first one says.
    First,
}

/// `data_corrupted`
const DRIFTED: &str = "XX001";

impl Coordinator {
    /// Makes what follows a transaction if none is open. Whether it did.
    pub(crate) fn begin_own(&mut self) -> bool {
        let begins = self.transaction.state == State::None;
        self.begin_implicit();
        begins
    }

    /// Commits what [`Coordinator::begin_own`] has begun.
    pub(crate) async fn end_own(&mut self, begun: bool) -> Result<(), Failure> {
        if begun { self.finish_transaction().await } else { Ok(()) }
    }

    pub(super) async fn write_plan(
        &mut self,
        write: &Write,
        job: &Job<'_>,
    ) -> Result<Done, Failure> {
        let shards: Vec<usize> = write.texts.iter().map(|(shard, _)| *shard).collect();
        self.may_write(&shards).await?;
        let several = write.texts.len() > 1 || !write.gathers.is_empty();
        let begun = several && self.begin_own();
        let gathered = self.with_gathered(&write.gathers, write.first_parameter, job).await?;
        let arguments = gathered.as_ref().unwrap_or(job.arguments);
        let parts: Vec<Part<'_>> = write
            .texts
            .iter()
            .map(|(shard, text)| Part { shard: *shard, text, arguments })
            .collect();
        let together = match &write.replies {
            Replies::Added => Together::Added,
            Replies::InOrder(order) => Together::InOrder(order),
            Replies::Same => Together::Same,
        };
        let done = self.write_parts(&parts, together, job).await?;
        self.end_own(begun).await?;
        Ok(done)
    }

    /// The client's arguments with the gathered arrays behind them; `None` where nothing is
    /// gathered.
    pub(crate) async fn with_gathered(
        &mut self,
        gathers: &[Gather],
        first_parameter: usize,
        job: &Job<'_>,
    ) -> Result<Option<Arguments>, Failure> {
        if gathers.is_empty() {
            return Ok(None);
        }
        check_count(job, first_parameter)?;
        let gathered = self.gather(gathers, job).await?;
        arguments(gathers, &gathered, job).map(Some)
    }

    /// Runs the parts one after the other, in the order of shards, so that two clients cannot wait
    /// for each other's locks. A transaction is open, or there is one part.
    pub(super) async fn write_parts(
        &mut self,
        parts: &[Part<'_>],
        together: Together<'_>,
        job: &Job<'_>,
    ) -> Result<Done, Failure> {
        let mut order: Vec<usize> = (0..parts.len()).collect();
        order.sort_by_key(|index| parts.get(*index).map(|it| it.shard));
        // Rows in the order in which they were given can only be sent when all are there.
        let keeps =
            matches!(together, Together::InOrder(given) if parts.len() > 1 && !given.is_empty());
        let mut kept: Vec<VecDeque<Vec<u8>>> = parts.iter().map(|_| VecDeque::new()).collect();
        let mut tags: Vec<Vec<u8>> = Vec::new();
        for index in order {
            let Some(part) = parts.get(index) else { continue };
            let is_first = tags.is_empty();
            let is_same = matches!(together, Together::Same | Together::First);
            let branch = self.branch(part.shard).await?;
            branch.wrote = Wrote::Yes;
            branch.is_quiet = is_same && !is_first;
            let sent = match part.arguments.len() == job.arguments.len() {
                true => send(branch, job, part.text).await,
                false => {
                    let arguments = part.arguments;
                    let question = Question { arguments, ..job.question(part.text) };
                    branch.send_question(&question, Audience::Client).await
                }
            };
            sent?;
            let passing = Passing {
                description: job.is_simple && is_first,
                rows: is_first || !is_same,
                ..Passing::NOTHING
            };
            let outer = keeps.then(|| self.front.begin_capture(self.budget()));
            let Some(branch) = self.branches.get(part.shard) else { continue };
            let completed = branch.forward(passing).await;
            branch.is_quiet = false;
            if let Some(outer) = outer
                && let Some(kept) = kept.get_mut(index)
            {
                *kept = self.front.end_capture(outer);
            }
            tags.push(completed.map_err(about_own_text)?.tag);
        }
        self.put_kept(kept, together)?;
        let mut tags = tags.into_iter();
        let first = tags.next().unwrap_or_default();
        if matches!(together, Together::Same) {
            return match tags.all(|tag| tag == first) {
                true => Ok(Done { tag: first }),
                false => Err(Failure::error(
                    DRIFTED,
                    "the copies of a reference table are not the same on all shards",
                )),
            };
        }
        if matches!(together, Together::First) {
            return Ok(Done { tag: first });
        }
        Ok(Done { tag: tags.fold(first, |sum, tag| added(&sum, &tag)) })
    }

    /// Sends rows that were kept: as they were given, if each shard has as many as it was given.
    fn put_kept(
        &self,
        mut kept: Vec<VecDeque<Vec<u8>>>,
        together: Together<'_>,
    ) -> Result<(), Failure> {
        let Together::InOrder(given) = together else { return Ok(()) };
        let mut counts = vec![0; kept.len()];
        for index in given {
            if let Some(count) = counts.get_mut(*index) {
                *count += 1;
            }
        }
        if kept.iter().map(VecDeque::len).eq(counts) {
            for index in given {
                if let Some(row) = kept.get_mut(*index).and_then(VecDeque::pop_front) {
                    self.front.put_row(&row)?;
                }
            }
        }
        for row in kept.into_iter().flatten() {
            self.front.put_row(&row)?;
        }
        Ok(())
    }
}

/// What is gathered is numbered behind the client's own parameters.
pub(super) fn check_count(job: &Job<'_>, first_parameter: usize) -> Result<(), Failure> {
    if job.arguments.len() + 1 == first_parameter {
        return Ok(());
    }
    Err(Failure::unsupported("a statement with parameters that it does not use", "Leave them out."))
}
