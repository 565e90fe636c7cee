//! INSERT of rows that one query computes, which then go to their shards.

use std::collections::BTreeMap;

use pgherd_plan::{Plan, Scatter, To};
use pgherd_wire::backend;

use super::gather::Gathered;
use super::write::{Part, Together, check_count};
use super::{Done, Job, refused};
use crate::sharded::branch::{Arguments, Question, Wrote};
use crate::sharded::coordinator::Coordinator;
use crate::sharded::encoding::{Encoding, unreadable};
use crate::sharded::failure::Failure;
use crate::sharded::verb::Nature;

const INT8: u32 = 20;

impl Coordinator {
    pub(super) async fn scatter_plan(
        &mut self,
        scatter: &Scatter,
        job: &Job<'_>,
    ) -> Result<Done, Failure> {
        check_count(job, scatter.first_parameter)?;
        // Where the rows go is not known yet.
        let all: Vec<usize> = (0..self.sites.count()).collect();
        self.may_write(&all).await?;
        let begun = self.begin_own();
        let rows = self.computed(scatter, job).await?;
        let (of_shard, given) = self.by_shard(scatter, &rows).await?;
        drop(rows);
        let types: Vec<u32> = scatter.columns.iter().map(|it| it.type_oid).collect();
        let mut arguments: Vec<(usize, Arguments)> = Vec::new();
        for (shard, rows) in &of_shard {
            // Arrays say the type of their elements.
            let there = match self.oids.of(*shard) {
                Some(translation) => translation.elements_there(&types)?,
                None => types.clone(),
            };
            let mut own = job.arguments.clone();
            rows.push_to(&mut own, there.into_iter());
            arguments.push((*shard, own));
        }
        let parts: Vec<Part<'_>> = arguments
            .iter()
            .map(|(shard, arguments)| Part { shard: *shard, text: &scatter.insert, arguments })
            .collect();
        let place = |shard: &usize| parts.iter().position(|it| it.shard == *shard);
        let order: Vec<usize> = given.iter().filter_map(place).collect();
        let together = match scatter.to {
            To::All => Together::Same,
            To::Key { .. } | To::One(_) => Together::InOrder(&order),
        };
        let done = self.write_parts(&parts, together, job).await?;
        self.end_own(begun).await?;
        Ok(done)
    }

    /// The rows to insert, each the body of a DataRow in binary, with what is supplied for it.
    async fn computed(
        &mut self,
        scatter: &Scatter,
        job: &Job<'_>,
    ) -> Result<Vec<(Vec<u8>, Option<Vec<u8>>)>, Failure> {
        let asked = Job {
            text: &scatter.rows,
            formats: &[1],
            is_simple: false,
            nature: Nature::Reads,
            ..*job
        };
        let outer = self.front.begin_capture(self.budget());
        let done = match (&*scatter.plan, scatter.on) {
            (Plan::Any, Some(shard)) => {
                let done = self.on_one(shard, &asked).await;
                self.note_write(shard, Wrote::Yes);
                done
            }
            (plan, _) => Box::pin(self.carry_out(plan.clone(), &asked)).await,
        };
        let rows = self.front.end_capture(outer);
        done?;
        let mut supplied = Vec::new();
        if let Some(supply) = scatter.supply.as_ref().filter(|_| !rows.is_empty()) {
            let shard = scatter.on.unwrap_or(0);
            let mut count = Arguments::default();
            let number = i64::try_from(rows.len()).unwrap_or(i64::MAX);
            count.push(true, Some(&number.to_be_bytes()));
            let question =
                Question { types: &[INT8], arguments: &count, ..Question::plain(supply) };
            let branch = self.branch(shard).await?;
            branch.wrote = Wrote::Yes;
            branch
                .ask(&question, &mut |row| {
                    supplied.push(row.to_vec());
                    Ok(())
                })
                .await?;
            if supplied.len() != rows.len() {
                return Err(Failure::error("XX000", "a shard has supplied another number of rows"));
            }
        }
        let mut supplied = supplied.into_iter();
        Ok(rows.into_iter().map(|row| (row, supplied.next())).collect())
    }

    /// The rows of each shard, and for each row its shard.
    async fn by_shard(
        &mut self,
        scatter: &Scatter,
        rows: &[(Vec<u8>, Option<Vec<u8>>)],
    ) -> Result<(BTreeMap<usize, Gathered>, Vec<usize>), Failure> {
        let loaded = self.catalog().await?;
        let count = self.sites.count();
        let malformed = || Failure::error("XX000", "a shard has sent a malformed row");
        let encoding = Encoding::of(&self.front.params());
        let type_of_key = match &scatter.to {
            To::Key { at, .. } => scatter.columns.get(*at).map_or(0, |it| it.type_oid),
            To::All | To::One(_) => 0,
        };
        let (mut of_shard, mut given) = (BTreeMap::<usize, Gathered>::new(), Vec::new());
        for (row, more) in rows {
            let mut values = backend::parse_data_row(row).ok_or_else(malformed)?;
            if let Some(more) = more {
                values.extend(backend::parse_data_row(more).ok_or_else(malformed)?);
            }
            if values.len() != scatter.columns.len() {
                return Err(malformed());
            }
            let key = match &scatter.to {
                To::Key { at, .. } => values.get(*at).copied().flatten(),
                To::All | To::One(_) => None,
            };
            let key = match key {
                Some(key) => Some(encoding.key(type_of_key, true, key).ok_or_else(unreadable)?),
                None => None,
            };
            let shards = match scatter.shard(key.as_deref(), &loaded.places).map_err(refused)? {
                Some(shard) => shard..shard + 1,
                None => 0..count,
            };
            for shard in shards {
                let gathered = of_shard.entry(shard).or_insert_with(|| Gathered::new(values.len()));
                gathered.push(&values);
                given.push(shard);
            }
        }
        if of_shard.is_empty() {
            of_shard.insert(0, Gathered::new(scatter.columns.len()));
        }
        Ok((of_shard, given))
    }
}
