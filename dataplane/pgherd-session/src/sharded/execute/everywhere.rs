//! Statements that all shards carry out: DDL, TRUNCATE, VACUUM, LOCK TABLE.

use pgherd_plan::{Block, Everywhere};

use super::write::{Part, Together};
use super::{Done, Job};
use crate::sharded::branch::Passing;
use crate::sharded::coordinator::Coordinator;
use crate::sharded::failure::Failure;

impl Coordinator {
    pub(super) async fn everywhere_plan(
        &mut self,
        everywhere: Everywhere,
        job: &Job<'_>,
    ) -> Result<Done, Failure> {
        let is_open = self.transaction.is_open();
        let done = match everywhere.block {
            Block::Forbidden if is_open => self.on_one(0, job).await,
            Block::Needed if !is_open => self.on_one(0, job).await,
            Block::Forbidden => self.one_by_one(job).await,
            Block::Allowed | Block::Needed => self.on_all(everywhere.ddl, job).await,
        };
        if everywhere.ddl && !self.transaction.is_open() {
            self.forget_catalog();
        }
        done
    }

    async fn on_all(&mut self, defines: bool, job: &Job<'_>) -> Result<Done, Failure> {
        let all: Vec<usize> = (0..self.sites.count()).collect();
        self.may_write(&all).await?;
        let begun = self.begin_own();
        if defines {
            self.transaction.defines = true;
            self.forget_private_catalog();
        }
        let parts: Vec<Part<'_>> = all
            .into_iter()
            .map(|shard| Part { shard, text: job.text, arguments: job.arguments })
            .collect();
        let done = self.write_parts(&parts, Together::First, job).await?;
        self.end_own(begun).await?;
        Ok(done)
    }

    /// Each shard by itself, which some commands want: there is no way back.
    async fn one_by_one(&mut self, job: &Job<'_>) -> Result<Done, Failure> {
        let mut first = None;
        for shard in 0..self.sites.count() {
            let branch = self.branch(shard).await?;
            branch.is_quiet = shard > 0;
            super::send(branch, job, job.text).await?;
            let passing = match shard {
                0 => job.passing(),
                _ => Passing::NOTHING,
            };
            let completed = branch.forward(passing).await;
            branch.is_quiet = false;
            match completed {
                Ok(completed) => first = Some(first.unwrap_or(Done { tag: completed.tag })),
                Err(Failure::Reported(report)) if shard > 0 => {
                    let done: Vec<String> = (0..shard).map(|it| it.to_string()).collect();
                    let detail = format!("It was done on shards {} before.", done.join(", "));
                    return Err(Failure::Reported(report.with_detail(&detail)));
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(first.unwrap_or_else(|| Done::tagged("")))
    }
}
