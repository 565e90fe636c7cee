//! Rows of shards, held in memory column by column for one Postgres to finish a query over them.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use pgherd_plan::{Gather, Locks};
use pgherd_types::Type;
use pgherd_wire::backend;

use super::Job;
use super::write::check_count;
use crate::sharded::branch::{Arguments, Branch, Budget, Question, Wrote, length};
use crate::sharded::coordinator::Coordinator;
use crate::sharded::failure::Failure;
use crate::sharded::shapes::column_types;

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

    /// Gathers from all shards at the same time; all that is read of one shard is of one snapshot,
    /// since it is asked for in one query.
    pub(crate) async fn gather(
        &mut self,
        gathers: &[Gather],
        job: &Job<'_>,
    ) -> Result<Vec<Gathered>, Failure> {
        let of_shard = by_shard(gathers);
        let shards: Vec<usize> = of_shard.keys().copied().collect();
        self.open_branches(&shards).await?;
        let budget = self.budget();
        let asked = self.branches.iter_mut().filter_map(|branch| {
            let indexes = of_shard.get(&branch.shard)?;
            Some(gather_on(branch, indexes, gathers, job, &budget))
        });
        let answers = until_failure(asked.collect::<Vec<_>>()).await?;
        let mut all: Vec<Gathered> =
            gathers.iter().map(|it| Gathered::new(it.columns.len())).collect();
        for answer in answers {
            add(&mut all, answer);
        }
        Ok(all)
    }

    /// The client's arguments with gathered rows, which are locked: one shard after the other, as
    /// writes go, so that two sessions do not wait for each other where no Postgres sees it.
    pub(crate) async fn with_locked(
        &mut self,
        gathers: &[Gather],
        first_parameter: usize,
        locks: Locks,
        job: &Job<'_>,
    ) -> Result<Option<Arguments>, Failure> {
        check_count(job, first_parameter)?;
        let of_shard = by_shard(gathers);
        if self.transaction.is_open() {
            // What is locked takes part in the commit, so that locks last until it is decided.
            let shards: Vec<usize> = of_shard.keys().copied().collect();
            self.may_write(&shards).await?;
        }
        let budget = self.budget();
        let mut all: Vec<Gathered> =
            gathers.iter().map(|it| Gathered::new(it.columns.len())).collect();
        let mut left = locks.limit;
        for (shard, indexes) in &of_shard {
            let mut gathers = gathers.to_vec();
            if let Some(left) = left {
                if left == 0 {
                    break;
                }
                gathers.iter_mut().for_each(|it| it.query.push_str(&format!(" LIMIT {left}")));
            }
            let branch = self.branch(*shard).await?;
            branch.wrote = branch.wrote.max(Wrote::Perhaps);
            let answer = gather_on(branch, indexes, &gathers, job, &budget).await?;
            let rows: u64 = answer.iter().map(|(_, it)| u64::from(it.count())).sum();
            left = left.map(|it| it.saturating_sub(rows));
            add(&mut all, answer);
        }
        arguments(gathers, &all, job).map(Some)
    }
}

/// The client's arguments with the gathered arrays behind them; a Bind counts them in 16 bits.
pub(super) fn arguments(
    gathers: &[Gather],
    gathered: &[Gathered],
    job: &Job<'_>,
) -> Result<Arguments, Failure> {
    let mut arguments = job.arguments.clone();
    for (gather, gathered) in gathers.iter().zip(gathered) {
        gathered.push_to(&mut arguments, gather.columns.iter().map(|it| it.type_oid));
    }
    match arguments.len() <= usize::from(u16::MAX) {
        true => Ok(arguments),
        false => Err(Failure::unsupported(
            "a query of so many parameters that those of its gathered rows find no place",
            "Pass an array instead.",
        )),
    }
}

fn by_shard(gathers: &[Gather]) -> BTreeMap<usize, Vec<usize>> {
    let mut of_shard: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (index, gather) in gathers.iter().enumerate() {
        for shard in &gather.shards {
            of_shard.entry(*shard).or_default().push(index);
        }
    }
    of_shard
}

fn add(all: &mut [Gathered], answer: Vec<(usize, Gathered)>) {
    for (index, gathered) in answer {
        if let Some(own) = all.get_mut(index) {
            own.append(gathered);
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

/// Several gathers of one shard as one query. Its first column says which gather a row is of, the
/// others are shared by those that have columns of their type.
struct United {
    query: String,
    /// Types of the columns behind the first.
    slots: Vec<u32>,
    /// For each gather the slots of its columns.
    places: Vec<Vec<usize>>,
}

/// Postgres gives no more columns.
const MOST_COLUMNS: usize = 1600;
const INT4: u32 = 23;

impl United {
    /// `None` when that is no query that Postgres answers.
    fn new(gathers: &[&Gather]) -> Option<Self> {
        let (mut slots, mut places) = (Vec::new(), Vec::new());
        for gather in gathers {
            let mut own = Vec::new();
            for column in &gather.columns {
                let free = |at: &usize| slots.get(*at) == Some(&column.type_oid);
                let slot = (0..slots.len()).filter(free).find(|at| !own.contains(at));
                own.push(slot.unwrap_or_else(|| {
                    slots.push(column.type_oid);
                    slots.len() - 1
                }));
            }
            places.push(own);
        }
        if slots.len() >= MOST_COLUMNS {
            return None;
        }
        let mut arms = Vec::new();
        for (index, (gather, own)) in gathers.iter().zip(&places).enumerate() {
            let mut outputs = vec![index.to_string()];
            for (slot, oid) in slots.iter().enumerate() {
                outputs.push(match own.iter().position(|it| *it == slot) {
                    Some(column) => format!("c{column}"),
                    None => format!("NULL::{}", name_of(*oid)?),
                });
            }
            let names: Vec<String> = (0..own.len()).map(|it| format!("c{it}")).collect();
            arms.push(format!(
                "SELECT {} FROM ({}) AS g({})",
                outputs.join(", "),
                gather.query,
                names.join(", ")
            ));
        }
        Some(Self { query: arms.join(" UNION ALL "), slots, places })
    }

    fn types(&self) -> Vec<u32> {
        [INT4].iter().chain(&self.slots).copied().collect()
    }

    /// Takes a row apart. `None` when it is malformed.
    fn take(&self, row: &[u8], all: &mut [Gathered]) -> Option<()> {
        let values = backend::parse_data_row(row)?;
        let (first, values) = values.split_first()?;
        let index = usize::try_from(u32::from_be_bytes((*first)?.try_into().ok()?)).ok()?;
        let own = self.places.get(index)?.iter().map(|slot| values.get(*slot).copied());
        all.get_mut(index)?.push(&own.collect::<Option<Vec<_>>>()?);
        Some(())
    }
}

/// A type as it is cast to, without length.
fn name_of(oid: u32) -> Option<String> {
    const BPCHAR: u32 = 1042;
    const BIT: u32 = 1560;
    match oid {
        BPCHAR => Some("bpchar".to_owned()),
        // `bit` would be one bit; of a NULL that makes no difference.
        BIT => Some("bit".to_owned()),
        _ => Type::builtin(oid).map(|it| it.name().to_owned()),
    }
}

/// The rows of some gathers of one shard.
async fn gather_on(
    branch: &mut Branch,
    indexes: &[usize],
    gathers: &[Gather],
    job: &Job<'_>,
    budget: &Budget,
) -> Result<Vec<(usize, Gathered)>, Failure> {
    let asked: Vec<&Gather> = indexes.iter().filter_map(|it| gathers.get(*it)).collect();
    let uses_parameters = asked.iter().any(|it| it.uses_parameters);
    let united = match asked.as_slice() {
        [_] => None,
        several => Some(United::new(several).ok_or_else(|| {
            Failure::unsupported(
                "a query that reads this many columns of one shard",
                "Name the columns that are needed.",
            )
        })?),
    };
    let only = asked.first().map(|it| it.query.as_str()).unwrap_or_default();
    let query = united.as_ref().map_or(only, |it| it.query.as_str());
    let question = match uses_parameters {
        true => Question { formats: &[1], ..job.question(query) },
        false => Question::plain(query),
    };
    let mut all: Vec<Gathered> = asked.iter().map(|it| Gathered::new(it.columns.len())).collect();
    let shard = branch.shard;
    let completed = branch
        .ask(&question, &mut |row| {
            budget.take(row.len() + ROW_OVERHEAD)?;
            let taken = match &united {
                Some(united) => united.take(row, &mut all),
                None => all.first_mut().and_then(|it| it.take(row)),
            };
            taken.ok_or_else(|| Failure::malformed(shard, b'D'))
        })
        .await
        .map_err(about_own_text)?;
    let types = completed.description.as_deref().and_then(column_types);
    let wanted: Vec<u32> = match &united {
        Some(united) => united.types(),
        None => asked.iter().flat_map(|it| &it.columns).map(|it| it.type_oid).collect(),
    };
    if types.as_deref() != Some(&wanted[..]) {
        tracing::warn!(shard, query, "a shard returns other types than planned");
        return Err(Failure::error("XX000", "a shard returns other types than were planned"));
    }
    Ok(indexes.iter().copied().zip(all).collect())
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
    use pgherd_plan::GatheredColumn;

    #[test]
    fn several_gathers_are_one_query() {
        let gather = |query: &str, types: &[u32]| Gather {
            shards: vec![0],
            query: query.to_owned(),
            uses_parameters: false,
            columns: types.iter().map(|&type_oid| GatheredColumn { type_oid }).collect(),
        };
        let (one, two) = (gather("SELECT a, b", &[20, 25]), gather("SELECT c, d", &[25, 25]));
        let united = United::new(&[&one, &two]).expect("a query");
        assert_eq!(
            united.query,
            "SELECT 0, c0, c1, NULL::text FROM (SELECT a, b) AS g(c0, c1) UNION ALL \
             SELECT 1, NULL::bigint, c0, c1 FROM (SELECT c, d) AS g(c0, c1)"
        );
        assert_eq!(united.types(), [23, 20, 25, 25]);
        let mut all = vec![Gathered::new(2), Gathered::new(2)];
        let row = b"\0\x04\0\0\0\x04\0\0\0\x01\xff\xff\xff\xff\0\0\0\x01a\xff\xff\xff\xff";
        assert_eq!(united.take(row, &mut all), Some(()));
        assert_eq!((all[0].count(), all[1].count()), (0, 1));
        assert_eq!(united.take(&row[..row.len() - 4], &mut all), None);
    }

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
