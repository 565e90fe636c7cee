//! A data-modifying statement of WITH, and the rest of the statement over the rows it returns.

use pgherd_plan::Chain;
use pgherd_wire::description::row_type;
use pgherd_wire::{backend, frame};

use super::gather::Gathered;
use super::{Done, Job};
use crate::sharded::coordinator::Coordinator;
use crate::sharded::failure::Failure;
use crate::sharded::verb::Nature;

/// The shard that says what time it is.
const HOME: usize = 0;

impl Coordinator {
    pub(super) async fn chain_plan(
        &mut self,
        chain: &Chain,
        job: &Job<'_>,
    ) -> Result<Done, Failure> {
        // Postgres judges the client's own text: its errors, and what its columns are called.
        let shape = self.shape(job.text, job.types).await?;
        let begun = self.begin_own();
        self.branch(HOME).await?;
        let rows = self.first_of_chain(chain, job).await?;
        let mut arguments = job.arguments.first(chain.rest_parameters);
        rows.push_to(&mut arguments, chain.columns.iter().map(|it| it.type_oid));
        drop(rows);
        let rest = Job {
            text: &chain.rest,
            types: first(job.types, chain.rest_parameters),
            arguments: &arguments,
            parameters: first(job.parameters, chain.rest_parameters),
            is_simple: false,
            statement: None,
            ..*job
        };
        let described = self.shape(rest.text, rest.types).await?;
        // Texts that are made of it may not show what its arrays are.
        let rest = Job { types: &described.parameters, ..rest };
        let same = match (&shape.row, &described.row) {
            (None, None) => true,
            (Some(one), Some(other)) => row_type(one) == row_type(other),
            _ => false,
        };
        if !same {
            return Err(Failure::unsupported(
                "a data-modifying statement in WITH whose columns would be others",
                "Cast them to the type that they shall have.",
            ));
        }
        if let Some(row) = shape.row.as_ref().filter(|_| job.is_simple) {
            self.front.put(|out| {
                frame::put(out, backend::tag::ROW_DESCRIPTION, |body| body.extend_from_slice(row));
            });
        }
        let done = Box::pin(self.carry_out((*chain.rest_plan).clone(), &rest)).await;
        let done = done.map_err(super::about_own_text)?;
        self.end_own(begun).await?;
        Ok(done)
    }

    async fn first_of_chain(&mut self, chain: &Chain, job: &Job<'_>) -> Result<Gathered, Failure> {
        let arguments = job.arguments.first(chain.first_parameters);
        let first = Job {
            text: &chain.first,
            types: first(job.types, chain.first_parameters),
            arguments: &arguments,
            parameters: first(job.parameters, chain.first_parameters),
            formats: &[1],
            is_simple: false,
            nature: Nature::Writes,
            statement: None,
        };
        let outer = self.front.begin_capture(self.budget());
        let done = Box::pin(self.carry_out((*chain.first_plan).clone(), &first)).await;
        let rows = self.front.end_capture(outer);
        done.map_err(super::about_own_text)?;
        let malformed = || Failure::error("XX000", "a shard has sent a malformed row");
        let mut gathered = Gathered::new(chain.columns.len());
        for row in rows.iter().filter(|_| !chain.columns.is_empty()) {
            let values = backend::parse_data_row(row).ok_or_else(malformed)?;
            if values.len() != chain.columns.len() {
                return Err(malformed());
            }
            gathered.push(&values);
        }
        Ok(gathered)
    }
}

fn first<T>(all: &[T], count: usize) -> &[T] {
    all.get(..count).unwrap_or(all)
}
