//! UPDATE of the sharding key: rows whose new key belongs to another shard move there.

use std::collections::BTreeMap;

use pgherd_plan::Move;
use pgherd_wire::{backend, frame};

use super::gather::{Gathered, about_own_text};
use super::{Done, Job, added, refused};
use crate::sharded::branch::{Arguments, Question, Wrote};
use crate::sharded::coordinator::Coordinator;
use crate::sharded::encoding::{Encoding, unreadable};
use crate::sharded::failure::Failure;

const TID: u32 = 27;
const ROW_OVERHEAD: usize = 32;

/// What the updates have brought.
#[derive(Default)]
struct Updated {
    /// The client's.
    rows: Vec<Vec<u8>>,
    /// By the shard that they leave, and by the one that they go to.
    gone: BTreeMap<usize, Gathered>,
    new: BTreeMap<usize, Gathered>,
    tag: Vec<u8>,
}

impl Coordinator {
    pub(super) async fn move_plan(
        &mut self,
        change: &Move,
        job: &Job<'_>,
    ) -> Result<Done, Failure> {
        let all: Vec<usize> = (0..self.sites.count()).collect();
        self.may_write(&all).await?;
        let shape = self.shape(job.text, job.types).await?;
        let begun = self.begin_own();
        let gathered = self.with_gathered(&change.gathers, change.first_parameter, job).await?;
        let arguments = gathered.as_ref().unwrap_or(job.arguments);
        let formats = formats(job.formats, shape.columns(), 2 + change.columns.len());
        let question = Question { arguments, formats: &formats, ..job.question(&change.update) };
        let updated = self.update_each(change, &question, shape.columns()).await?;
        for (shard, rows) in &updated.gone {
            self.give(*shard, &change.delete, rows, std::iter::once(TID)).await?;
        }
        for (shard, rows) in &updated.new {
            let types = change.columns.iter().map(|it| it.type_oid);
            self.give(*shard, &change.insert, rows, types).await?;
        }
        if job.is_simple
            && let Some(row) = &shape.row
        {
            self.front.put(|out| {
                frame::put(out, backend::tag::ROW_DESCRIPTION, |out| out.extend_from_slice(row));
            });
        }
        if shape.row.is_some() {
            for row in &updated.rows {
                self.front.put_row(row)?;
            }
        }
        self.end_own(begun).await?;
        Ok(Done { tag: updated.tag })
    }

    async fn update_each(
        &mut self,
        change: &Move,
        question: &Question<'_>,
        columns: usize,
    ) -> Result<Updated, Failure> {
        let loaded = self.catalog().await?;
        let budget = self.budget();
        let malformed = || Failure::error("XX000", "a shard has sent a malformed row");
        let encoding = Encoding::of(&self.front.params());
        let column = change.table.key().and_then(|it| change.table.columns.get(it));
        let type_of_key = column.map_or(0, |it| it.type_oid);
        let mut updated = Updated::default();
        for shard in change.shards.iter().copied() {
            let branch = self.branch(shard).await?;
            branch.wrote = Wrote::Yes;
            let completed = branch
                .ask(question, &mut |row| {
                    budget.take(row.len() + ROW_OVERHEAD)?;
                    let values = backend::parse_data_row(row).ok_or_else(malformed)?;
                    let (own, behind) = values.split_at_checked(columns).ok_or_else(malformed)?;
                    let [ctid, key, moved @ ..] = behind else { return Err(malformed()) };
                    updated.rows.push(data_row(own));
                    let key = match key {
                        Some(key) => {
                            Some(encoding.key(type_of_key, true, key).ok_or_else(unreadable)?)
                        }
                        None => None,
                    };
                    let to = change.shard(key.as_deref(), &loaded.places).map_err(refused)?;
                    if to != shard {
                        let gone = updated.gone.entry(shard);
                        gone.or_insert_with(|| Gathered::new(1)).push(&[*ctid]);
                        let new = updated.new.entry(to);
                        new.or_insert_with(|| Gathered::new(moved.len())).push(moved);
                    }
                    Ok(())
                })
                .await
                .map_err(about_own_text)?;
            updated.tag = match updated.tag.is_empty() {
                true => completed.tag,
                false => added(&updated.tag, &completed.tag),
            };
        }
        Ok(updated)
    }

    /// Runs a statement of the proxy with rows as arrays, which concerns all of them.
    async fn give(
        &mut self,
        shard: usize,
        sql: &str,
        rows: &Gathered,
        types: impl Iterator<Item = u32>,
    ) -> Result<(), Failure> {
        let mut arguments = Arguments::default();
        rows.push_to(&mut arguments, types);
        let question = Question { arguments: &arguments, ..Question::plain(sql) };
        let branch = self.branch(shard).await?;
        branch.wrote = Wrote::Yes;
        let completed = branch.ask(&question, &mut |_| Ok(())).await.map_err(about_own_text)?;
        let count = completed.tag.rsplit(|&byte| byte == b' ').next();
        if count != Some(rows.count().to_string().as_bytes()) {
            return Err(Failure::error("40001", "could not serialize access due to a moved row"));
        }
        Ok(())
    }
}

/// The client's formats for its own columns, binary for those behind them.
fn formats(client: &[i16], columns: usize, behind: usize) -> Vec<i16> {
    let own = (0..columns).map(|index| match client {
        [] => 0,
        [one] => *one,
        each => each.get(index).copied().unwrap_or(0),
    });
    own.chain(std::iter::repeat_n(1, behind)).collect()
}

/// The body of a DataRow.
fn data_row(values: &[Option<&[u8]>]) -> Vec<u8> {
    let mut body = u16::try_from(values.len()).unwrap_or(u16::MAX).to_be_bytes().to_vec();
    for value in values {
        match value {
            Some(value) => {
                body.extend_from_slice(&crate::sharded::branch::length(value.len()));
                body.extend_from_slice(value);
            }
            None => body.extend_from_slice(&(-1_i32).to_be_bytes()),
        }
    }
    body
}
