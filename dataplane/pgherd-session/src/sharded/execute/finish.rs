//! A query over gathered rows, answered by one Postgres.

use pgherd_plan::Finish;
use pgherd_wire::owed::Audience;

use super::gather::about_own_text;
use super::{Done, Job};
use crate::sharded::branch::{Arguments, Passing, Question};
use crate::sharded::coordinator::Coordinator;
use crate::sharded::failure::Failure;

impl Coordinator {
    /// The arguments of the final query, if rows are gathered for it.
    pub(crate) async fn gathered_for(
        &mut self,
        finish: &Finish,
        job: &Job<'_>,
    ) -> Result<Option<Arguments>, Failure> {
        let (gathers, first) = (&finish.gathers, finish.first_parameter);
        match finish.locks {
            Some(locks) => self.with_locked(gathers, first, locks, job).await,
            None => self.with_gathered(gathers, first, job).await,
        }
    }

    pub(super) async fn finish_plan(
        &mut self,
        finish: &Finish,
        job: &Job<'_>,
    ) -> Result<Done, Failure> {
        // Postgres judges the client's own text: its errors, and what its columns are called.
        let shape = self.shape(job.text, job.types).await?;
        let types = if job.is_simple { &shape.parameters } else { job.types };
        let job = Job { types, ..*job };
        let gathered = self.gathered_for(finish, &job).await?;
        let arguments = gathered.as_ref().unwrap_or(job.arguments);
        let question =
            Question { sql: finish.query.as_bytes(), types, arguments, formats: job.formats };
        let branch = self.branch(self.any_shard()).await?;
        branch.send_question(&question, Audience::Client).await?;
        drop(gathered);
        let passing = Passing { expected: shape.row.as_deref(), ..job.passing() };
        match branch.forward(passing).await {
            Ok(completed) => Ok(Done::of(completed)),
            // One Postgres has understood the client's own text: it is ours that is wrong.
            Err(Failure::Reported(report)) if !branch.has_bound() => Err(Failure::unsupported(
                format!("this query (the final query: {})", report.message()),
                "Compare the sharding key of every sharded table with one value.",
            )),
            Err(failure) => Err(about_own_text(failure)),
        }
    }
}
