//! Values that a COPY leaves out, and that one shard computes for all: times, names, sequences.

use pgherd_plan::copy::{CopyFormat, CopyFrom, Supply};
use pgherd_wire::backend;

use super::load::{Load, Stop, Values};
use crate::sharded::branch::{Arguments, Question, Wrote};
use crate::sharded::coordinator::Coordinator;
use crate::sharded::failure::Failure;

/// The shard whose sequences are everybody's.
const HOME: usize = 0;
const INT8: u32 = 20;

/// The CopyInResponse as the client expects it: of its own columns.
pub(super) fn response(from: &CopyFrom, body: Vec<u8>) -> Vec<u8> {
    let Some(supply) = &from.supply else { return body };
    let mut own = body.get(..1).unwrap_or_default().to_vec();
    let fields = u16::try_from(supply.fields).unwrap_or(u16::MAX);
    own.extend_from_slice(&fields.to_be_bytes());
    own.extend_from_slice(body.get(3..3 + 2 * supply.fields).unwrap_or_default());
    own
}

impl Coordinator {
    /// What all rows get, if it is the same for all. No COPY has begun.
    pub(super) async fn constant(&mut self, from: &CopyFrom) -> Result<Option<Values>, Failure> {
        let Some(supply) = &from.supply else { return Ok(None) };
        if from.options.format != CopyFormat::Binary {
            self.check_styles()?;
        }
        if !supply.once {
            return Ok(None);
        }
        Ok(self.drawn(supply, &from.options.format, 1).await?.pop())
    }

    /// Texts that are read again must mean what they meant.
    fn check_styles(&self) -> Result<(), Failure> {
        let params = self.front.params();
        let is = |name: &str, good: &dyn Fn(&str) -> bool| params.get(name).is_none_or(good);
        let good = is("DateStyle", &|it| it.starts_with("ISO"))
            && is("IntervalStyle", &|it| it != "sql_standard")
            && is("extra_float_digits", &|it| it.parse::<i32>().is_ok_and(|it| it > 0));
        if good {
            return Ok(());
        }
        Err(Failure::unsupported(
            "COPY that leaves out columns with defaults, under this DateStyle, IntervalStyle or \
             extra_float_digits,",
            "Set DateStyle to ISO, IntervalStyle to postgres and extra_float_digits to 1.",
        ))
    }

    /// Draws values for the rows that wait, when there are enough of them or `all`. The shard that
    /// does it reads no data meanwhile.
    pub(super) async fn supply(
        &mut self,
        load: &mut Load<'_>,
        all: bool,
    ) -> Result<Result<(), Stop>, Failure> {
        let count = load.wanted(all);
        let Some(supply) = load.from.supply.as_ref().filter(|_| count > 0) else {
            return Ok(Ok(()));
        };
        self.send_rows(load, true).await?;
        let Some(home) = load.targets.iter_mut().find(|it| it.shard == HOME) else {
            return Ok(Ok(()));
        };
        let Some(branch) = self.branches.get(HOME) else { return Err(Failure::Broken(HOME)) };
        if home.failed.is_none() {
            branch.end_copy(None).await?;
        }
        home.is_open = false;
        match branch.copy_ended().await {
            Ok(completed) => home.tags.push(completed.tag),
            Err(Failure::Reported(report)) => {
                home.failed = Some(home.failed.take().unwrap_or(report))
            }
            Err(failure) => return Err(failure),
        }
        if home.failed.is_some() {
            return Ok(Ok(()));
        }
        let values = match self.drawn(supply, &load.from.options.format, count).await {
            Ok(values) => values,
            Err(failure) => return self.stop_others(load, failure).await,
        };
        let Some(branch) = self.branches.get(HOME) else { return Err(Failure::Broken(HOME)) };
        if let Err(failure) = branch.begin_copy(&supply.text).await {
            return self.stop_others(load, failure).await;
        }
        load.begin_again(HOME);
        Ok(load.supplied(values))
    }

    /// What goes wrong between two COPYs of a shard ends those of the others.
    async fn stop_others<T>(&mut self, load: &Load<'_>, failure: Failure) -> Result<T, Failure> {
        let others = load.targets.iter().filter(|it| it.is_open).map(|it| it.shard);
        let others: Vec<usize> = others.collect();
        self.give_up(&others).await?;
        Err(failure)
    }

    /// So many rows of supplied values.
    async fn drawn(
        &mut self,
        supply: &Supply,
        format: &CopyFormat,
        count: usize,
    ) -> Result<Vec<Values>, Failure> {
        let mut number = Arguments::default();
        let wanted = i64::try_from(count).unwrap_or(i64::MAX);
        number.push(true, Some(&wanted.to_be_bytes()));
        let mut formats = vec![i16::from(*format == CopyFormat::Binary); supply.columns];
        formats.extend(supply.has_key.then_some(1));
        let question = Question {
            sql: supply.query.as_bytes(),
            types: &[INT8],
            arguments: &number,
            formats: &formats,
        };
        let branch = self.branch(HOME).await?;
        branch.wrote = branch.wrote.max(Wrote::Perhaps);
        let mut rows = Vec::with_capacity(count);
        branch
            .ask(&question, &mut |row| {
                let values = backend::parse_data_row(row).unwrap_or_default();
                rows.push(values.into_iter().map(|it| it.map(<[u8]>::to_vec)).collect());
                Ok(())
            })
            .await?;
        if rows.len() != count || rows.iter().any(|it: &Values| it.len() != formats.len()) {
            return Err(Failure::error(
                "XX000",
                "a shard has supplied other values than asked for",
            ));
        }
        Ok(rows)
    }
}
