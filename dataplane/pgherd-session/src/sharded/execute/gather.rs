//! Rows of shards, held in memory column by column for one Postgres to finish a query over them.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use pgherd_plan::Gather;
use pgherd_wire::TransactionStatus;

use super::Job;
use crate::sharded::branch::{Arguments, Branch, Budget, Question, Wrote, length};
use crate::sharded::branches::Branches;
use crate::sharded::coordinator::Coordinator;
use crate::sharded::failure::Failure;
use crate::sharded::shapes::column_types;
use crate::sharded::transaction::State;

/// The rows of one gather of one or more shards.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    columns: Vec<Column>,
    rows: u32,
}

/// Values as the elements of an array are sent: each with its length.
#[derive(Debug, Default)]
struct Column {
    elements: Vec<u8>,
    has_nulls: bool,
}

/// What a row costs beside its values.
const ROW_OVERHEAD: usize = 16;
/// How long other shards may go on when one has failed.
const A_MOMENT: Duration = Duration::from_millis(50);

// === impl Gathered ===

impl Gathered {
    pub(super) fn new(columns: usize) -> Self {
        Self { columns: (0..columns).map(|_| Column::default()).collect(), rows: 0 }
    }

    /// Takes the body of a DataRow apart. `None` when it is malformed.
    fn take(&mut self, row: &[u8]) -> Option<()> {
        let (count, mut rest) = row.split_first_chunk::<2>()?;
        if usize::from(u16::from_be_bytes(*count)) != self.columns.len() {
            return None;
        }
        for column in &mut self.columns {
            let (size, _) = rest.split_first_chunk::<4>()?;
            let size = i32::from_be_bytes(*size);
            column.has_nulls |= size < 0;
            let whole = 4 + usize::try_from(size).unwrap_or(0);
            let (value, left) = rest.split_at_checked(whole)?;
            column.elements.extend_from_slice(value);
            rest = left;
        }
        self.rows = self.rows.checked_add(1)?;
        rest.is_empty().then_some(())
    }

    /// One more row.
    pub(super) fn push(&mut self, values: &[Option<&[u8]>]) {
        for (column, value) in self.columns.iter_mut().zip(values) {
            match value {
                Some(value) => {
                    column.elements.extend_from_slice(&length(value.len()));
                    column.elements.extend_from_slice(value);
                }
                None => {
                    column.has_nulls = true;
                    column.elements.extend_from_slice(&(-1_i32).to_be_bytes());
                }
            }
        }
        self.rows += 1;
    }

    /// How many rows there are.
    pub(super) fn count(&self) -> u32 {
        self.rows
    }

    fn append(&mut self, other: Self) {
        for (own, other) in self.columns.iter_mut().zip(other.columns) {
            own.has_nulls |= other.has_nulls;
            own.elements.extend_from_slice(&other.elements);
        }
        self.rows += other.rows;
    }

    /// Each column as an array in binary, in their order.
    pub(crate) fn push_to(&self, arguments: &mut Arguments, types: impl Iterator<Item = u32>) {
        for (column, type_oid) in self.columns.iter().zip(types) {
            arguments.push_with(true, |out| {
                let header = if self.rows == 0 { 12 } else { 20 };
                out.extend_from_slice(&length(header + column.elements.len()));
                out.extend_from_slice(&u32::from(self.rows > 0).to_be_bytes());
                out.extend_from_slice(&u32::from(column.has_nulls).to_be_bytes());
                out.extend_from_slice(&type_oid.to_be_bytes());
                if self.rows > 0 {
                    out.extend_from_slice(&self.rows.to_be_bytes());
                    out.extend_from_slice(&1_u32.to_be_bytes());
                    out.extend_from_slice(&column.elements);
                }
            });
        }
    }
}

impl Coordinator {
    pub(crate) fn budget(&self) -> Budget {
        Budget::new(self.sites.cluster().gather_limit.0)
    }

    /// Gathers from all shards at the same time; all that is read of one shard is of one snapshot.
    pub(crate) async fn gather(
        &mut self,
        gathers: &[Gather],
        job: &Job<'_>,
    ) -> Result<Vec<Gathered>, Failure> {
        let mut of_shard: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (index, gather) in gathers.iter().enumerate() {
            for shard in &gather.shards {
                of_shard.entry(*shard).or_default().push(index);
            }
        }
        let mut apart = Branches::default();
        for (shard, indexes) in &of_shard {
            if indexes.len() > 1 && !self.has_one_snapshot(*shard).await? {
                let mut branch = self.branch_apart(*shard).await?;
                branch.is_quiet = true;
                branch.simple("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
                apart.add(branch);
            } else {
                self.branch(*shard).await?;
            }
        }
        let budget = self.budget();
        let own = self.branches.iter_mut().filter(|it| !apart.has(it.shard));
        let own: Vec<&mut Branch> = own.collect();
        let branches = own.into_iter().chain(apart.iter_mut());
        let asked = branches.filter_map(|branch| {
            let indexes = of_shard.get(&branch.shard)?;
            Some(gather_on(branch, indexes, gathers, job, &budget))
        });
        let answers = until_failure(asked.collect::<Vec<_>>()).await;
        drop(apart);
        let mut all: Vec<Gathered> =
            gathers.iter().map(|it| Gathered::new(it.columns.len())).collect();
        for answer in answers? {
            for (index, gathered) in answer {
                if let Some(own) = all.get_mut(index) {
                    own.append(gathered);
                }
            }
        }
        Ok(all)
    }

    /// Whether several queries on the session's own branch of a shard see the same rows. If not,
    /// another connection can ask instead, unless the transaction has written there.
    async fn has_one_snapshot(&mut self, shard: usize) -> Result<bool, Failure> {
        if self.transaction.state == State::None {
            return Ok(false);
        }
        let isolation = self.branch(shard).await?.simple("SHOW transaction_isolation").await?;
        let isolation = isolation.rows.first().and_then(|row| row.first()?.clone());
        if matches!(isolation.as_deref(), Some(b"repeatable read" | b"serializable")) {
            return Ok(true);
        }
        let branch = self.branch(shard).await?;
        if branch.wrote == Wrote::Perhaps {
            let sql = "SELECT pg_catalog.pg_current_xact_id_if_assigned() IS NULL";
            let answer = branch.simple(sql).await?;
            if answer.rows.first().and_then(|row| row.first()?.as_deref()) == Some(b"t") {
                branch.wrote = Wrote::No;
            }
        }
        match branch.wrote {
            Wrote::No => Ok(false),
            _ => Err(Failure::unsupported(
                "a query that reads several tables in a READ COMMITTED transaction that has \
                 written",
                "Begin the transaction with ISOLATION LEVEL REPEATABLE READ.",
            )),
        }
    }
}

/// All answers, or the failure of the first of those that fail. The others have a moment to end by
/// themselves: they are not needed any more.
async fn until_failure<T>(
    asked: Vec<impl Future<Output = Result<T, Failure>>>,
) -> Result<Vec<T>, Failure> {
    let numbered = asked.into_iter().enumerate().map(|(at, it)| async move { (at, it.await) });
    let mut asked: FuturesUnordered<_> = numbered.collect();
    let mut answers = BTreeMap::new();
    let mut failed: BTreeMap<usize, Failure> = BTreeMap::new();
    while let Some((at, answer)) = asked.next().await {
        match answer {
            Ok(answer) => drop(answers.insert(at, answer)),
            Err(failure) => {
                failed.insert(at, failure);
                let rest = async {
                    while let Some((at, answer)) = asked.next().await {
                        if let Err(failure) = answer {
                            failed.insert(at, failure);
                        }
                    }
                };
                let _all_or_not = tokio::time::timeout(A_MOMENT, rest).await;
                break;
            }
        }
    }
    match failed.pop_first() {
        Some((_, failure)) => Err(failure),
        None => Ok(answers.into_values().collect()),
    }
}

async fn gather_on(
    branch: &mut Branch,
    indexes: &[usize],
    gathers: &[Gather],
    job: &Job<'_>,
    budget: &Budget,
) -> Result<Vec<(usize, Gathered)>, Failure> {
    let mut all = Vec::new();
    for index in indexes {
        let Some(gather) = gathers.get(*index) else { continue };
        let question = match gather.uses_parameters {
            true => Question { formats: &[1], ..job.question(&gather.query) },
            false => Question::plain(&gather.query),
        };
        let mut gathered = Gathered::new(gather.columns.len());
        let shard = branch.shard;
        let completed = branch
            .ask(&question, &mut |row| {
                budget.take(row.len() + ROW_OVERHEAD)?;
                gathered.take(row).ok_or_else(|| Failure::malformed(shard, b'D'))
            })
            .await
            .map_err(about_own_text)?;
        let types = completed.description.as_deref().and_then(column_types);
        let wanted: Vec<u32> = gather.columns.iter().map(|it| it.type_oid).collect();
        if types.as_deref() != Some(&wanted[..]) {
            tracing::warn!(shard, query = gather.query, "a shard returns other types than planned");
            return Err(Failure::error("XX000", "a shard returns other types than were planned"));
        }
        all.push((*index, gathered));
    }
    if branch.is_quiet && branch.status() == TransactionStatus::InTransaction {
        branch.simple("COMMIT").await?;
    }
    Ok(all)
}

/// Positions in a text that the client has not written mean nothing to it.
pub(crate) fn about_own_text(failure: Failure) -> Failure {
    match failure {
        Failure::Reported(report) => Failure::Reported(report.without_position()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_arrays() {
        let mut gathered = Gathered::new(2);
        let row = b"\0\x02\0\0\0\x01a\xff\xff\xff\xff";
        assert_eq!(gathered.take(row), Some(()));
        assert_eq!(gathered.take(&row[..row.len() - 1]), None);
        let mut other = Gathered::new(2);
        other.take(row).unwrap();
        let mut all = Gathered::new(2);
        all.append(other);
        let mut arguments = Arguments::default();
        all.push_to(&mut arguments, [25, 23].into_iter());
        let mut empty = Arguments::default();
        Gathered::new(1).push_to(&mut empty, [25].into_iter());
        assert_eq!((arguments.len(), arguments.size()), (2, 4 + 20 + 5 + 4 + 20 + 4));
        assert_eq!(empty.size(), 16);
    }
}
