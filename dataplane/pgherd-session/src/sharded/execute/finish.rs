//! A query over gathered rows, answered by one Postgres.

use pgherd_plan::Finish;
use pgherd_wire::owed::Audience;

use super::gather::about_own_text;
use super::{Done, Job};
use crate::sharded::branch::{Passing, Question};
use crate::sharded::coordinator::Coordinator;
use crate::sharded::failure::Failure;

impl Coordinator {
    pub(super) async fn finish_plan(
        &mut self,
        finish: &Finish,
        job: &Job<'_>,
    ) -> Result<Done, Failure> {
        // Postgres judges the client's own text: its errors, and what its columns are called.
        let shape = self.shape(job.text, job.types).await?;
        let types = if job.is_simple { &shape.parameters } else { job.types };
        if job.arguments.len() + 1 != finish.first_parameter {
            return Err(Failure::unsupported(
                "a query with parameters that it does not use",
                "Leave them out.",
            ));
        }
        let job = Job { types, ..*job };
        let gathered = self.gather(&finish.gathers, &job).await?;
        let mut arguments = job.arguments.clone();
        for (gather, gathered) in finish.gathers.iter().zip(&gathered) {
            gathered.push_to(&mut arguments, gather.columns.iter().map(|it| it.type_oid));
        }
        drop(gathered);
        let question = Question {
            sql: finish.query.as_bytes(),
            types,
            arguments: &arguments,
            formats: job.formats,
        };
        let branch = self.branch(self.any_shard()).await?;
        branch.send_question(&question, Audience::Client).await?;
        drop(arguments);
        let passing = Passing { expected: shape.row.as_deref(), ..job.passing() };
        let completed = branch.forward(passing).await.map_err(about_own_text)?;
        Ok(Done::of(completed))
    }
}
