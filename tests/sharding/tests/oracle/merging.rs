//! The executor of a [`Merge`]: rows of the shards, merged and cut.

use anyhow::{Context as _, Result};
use pgherd_plan::{Merge, MergeKey};
use pgherd_types::merge::{Cut, Keys, Merger, Verdict};
use pgherd_types::{Collation, Collations, Comparator, Settings, SortOrder};
use tokio_postgres::types::{Kind, Type};
use tokio_postgres::{Column, Statement};

use crate::executor::{Outcome, Planned, answer, columns};
use crate::values::{Bound, Value};

/// Whether its binary form means the same on all shards.
pub fn is_same(column: &Column) -> bool {
    let of = column.type_();
    match of.kind() {
        Kind::Simple | Kind::Enum(_) | Kind::Domain(_) | Kind::Range(_) => true,
        Kind::Array(_) => of.oid() < 16384,
        _ => false,
    }
}

impl Planned<'_> {
    pub async fn merge(
        &self,
        merge: &Merge,
        described: &Statement,
        types: &[Type],
        parameters: &[Bound],
    ) -> Result<Outcome> {
        let orders = merge.keys.iter().map(|key| {
            let of = pgherd_types::Type::builtin(key.type_oid).context("a built-in type")?;
            let collation = match &key.collation {
                None => &Collation::Bytes,
                Some(name) => self.0.orders.get(&**name).context("a collation")?,
            };
            let comparator = Comparator::new(&of, collation, &Collations::bytes())?;
            let (descending, nulls_first) = (key.descending, key.nulls_first);
            Ok((of, SortOrder { comparator, descending, nulls_first }))
        });
        let (of, orders): (Vec<_>, Vec<_>) =
            orders.collect::<Result<Vec<_>>>()?.into_iter().unzip();
        let mut sources = Vec::new();
        for shard in &merge.shards {
            let client = &self.0.shards[*shard];
            match answer(client, &merge.query, types, parameters).await? {
                Outcome::Rows { rows, .. } => sources.push(rows.into_iter()),
                other => return Ok(other),
            }
        }
        let keys = |row: &Vec<Value>| -> Result<Keys> {
            let key = |(key, of): (&MergeKey, &pgherd_types::Type)| {
                let raw = row[key.column].0.as_ref();
                let decode = |it: &Vec<u8>| {
                    let raw = bytes::Bytes::copy_from_slice(it);
                    of.decode(pgherd_types::Format::Binary, &raw, &Settings::default())
                };
                Ok(raw.map(decode).transpose()?)
            };
            merge.keys.iter().zip(&of).map(key).collect()
        };
        let mut merger = Merger::new(orders.clone(), sources.len());
        let mut cut = Cut::new(orders, merge.offset, merge.limit, merge.with_ties);
        let mut heads = vec![None; sources.len()];
        let mut rows = Vec::new();
        loop {
            for source in merger.wanted().collect::<Vec<_>>() {
                match sources[source].next() {
                    Some(row) => {
                        merger.offer(source, keys(&row)?)?;
                        heads[source] = Some(row);
                    }
                    None => merger.close(source),
                }
            }
            let Some((source, keys)) = merger.pop() else { break };
            let mut row = heads[source].take().context("the row that was offered")?;
            row.truncate(row.len() - merge.hidden);
            match cut.judge(keys)? {
                Verdict::Skip => {}
                Verdict::Send => rows.push(row),
                Verdict::Stop => break,
            }
        }
        let affected = u64::try_from(rows.len())?;
        Ok(Outcome::Rows { columns: columns(described), rows, affected })
    }
}
