//! The rows of a COPY FROM on their way to the shards.

use pgherd_plan::copy::{CopyError, CopyFrom, Field, Lines, Piece};
use pgherd_plan::{Parameter, Placement};
use pgherd_wire::ErrorResponse;

use crate::sharded::failure::Report;
use crate::sharded::places::Places;

/// What is collected for a shard before it is sent.
const ENOUGH: usize = 32 * 1024;

pub(super) struct Load<'a> {
    pub(super) from: &'a CopyFrom,
    places: &'a Places,
    pub(super) targets: Vec<Target>,
    /// The client's last line so far.
    pub(super) line: u64,
}

/// A shard that takes rows.
pub(super) struct Target {
    pub(super) shard: usize,
    pub(super) pending: Vec<u8>,
    lines: Lines,
    pub(super) has_rows: bool,
    pub(super) failed: Option<Report>,
}

/// Why no more is taken.
pub(super) enum Stop {
    Data(CopyError),
    Unplaced { key: Field, line: u64 },
}

impl From<CopyError> for Stop {
    fn from(error: CopyError) -> Self {
        Self::Data(error)
    }
}

// === impl Stop ===

impl Stop {
    pub(super) fn line(&self) -> u64 {
        match self {
            Self::Data(error) => error.line,
            Self::Unplaced { line, .. } => *line,
        }
    }
}

// === impl Load ===

impl<'a> Load<'a> {
    pub(super) fn new(from: &'a CopyFrom, places: &'a Places) -> Self {
        let target = |shard: &usize| Target {
            shard: *shard,
            pending: Vec::new(),
            lines: Lines::default(),
            has_rows: false,
            failed: None,
        };
        Self { from, places, targets: from.shards.iter().map(target).collect(), line: 0 }
    }

    pub(super) fn take(&mut self, piece: Piece<'_>) -> Result<(), Stop> {
        match piece {
            Piece::Everywhere(bytes, lines) => {
                self.line += lines;
                for target in &mut self.targets {
                    target.add(bytes, lines, self.line);
                }
            }
            Piece::Row { bytes, key, lines, last_line } => {
                self.line = last_line;
                let place = self.place(key, last_line)?;
                for target in &mut self.targets {
                    if place.is_none_or(|shard| shard == target.shard) {
                        target.has_rows = true;
                        target.add(bytes, lines, last_line);
                    }
                }
            }
        }
        Ok(())
    }

    /// `None`: all of them.
    fn place(&self, key: Field, line: u64) -> Result<Option<usize>, Stop> {
        let value = match &key {
            Field::None => return Ok(None),
            // It is an error on any of them.
            Field::Missing => return Ok(self.targets.first().map(|it| it.shard)),
            Field::Null => None,
            Field::Value(value) => Some(value.as_slice()),
            Field::Default => return Err(Stop::Unplaced { key, line }),
        };
        let table = &self.from.table;
        let column = table.key().and_then(|it| table.columns.get(it));
        let binary = self.from.options.format == pgherd_plan::copy::CopyFormat::Binary;
        let place = column.and_then(|column| {
            let key = Parameter { type_oid: column.type_oid, value, binary };
            self.places.shard(table, column, &key)
        });
        let not_null = || {
            let facts = table.facts.as_ref();
            column.zip(facts).is_some_and(|(it, facts)| facts.not_null.contains(&it.name))
        };
        match place {
            Some(shard) => Ok(Some(shard)),
            None if value.is_none() && not_null() => Ok(self.targets.first().map(|it| it.shard)),
            None => Err(Stop::Unplaced { key, line }),
        }
    }

    /// `COPY 17`
    pub(super) fn tag(&self, tags: &[Vec<u8>]) -> Vec<u8> {
        let mut tags = tags.iter();
        let first = tags.next().cloned().unwrap_or_default();
        match self.from.key {
            // All of them have the same rows.
            None => first,
            Some(_) => tags.fold(first, |sum, tag| crate::sharded::execute::added(&sum, tag)),
        }
    }
}

// === impl Target ===

impl Target {
    fn add(&mut self, bytes: &[u8], lines: u64, of_client: u64) {
        self.pending.extend_from_slice(bytes);
        if lines > 0 {
            self.lines.add(lines, of_client);
        }
    }

    pub(super) fn is_due(&self, all: bool) -> bool {
        self.pending.len() >= ENOUGH || all && !self.pending.is_empty()
    }

    /// An error of the shard with the line of the client's data, and that line.
    pub(super) fn about_client(&self, report: Report) -> (u64, Report) {
        let line = report.line().and_then(|it| self.lines.of_client(it));
        match line {
            Some(line) => (line, report.with_line(line)),
            None => (u64::MAX, report),
        }
    }
}

// === impl Report ===

impl Report {
    /// An error of the proxy's as a shard would write it.
    pub(super) fn of(error: &ErrorResponse<'_>) -> Self {
        let mut message = Vec::new();
        error.put(&mut message);
        // Tag and length go before the body.
        Self { shard: 0, body: message.get(5..).unwrap_or_default().to_vec() }
    }

    /// With this context in place of its own, where Postgres has it.
    pub(super) fn with_context(self, context: &str) -> Self {
        let fields = self.body.split_inclusive(|&byte| byte == 0);
        let kept = fields.filter(|field| !matches!(field, [b'W' | b'P', ..] | [0]));
        let (mut body, mut is_in) = (Vec::new(), false);
        let put = |body: &mut Vec<u8>| {
            body.push(b'W');
            body.extend_from_slice(context.as_bytes());
            body.push(0);
        };
        for field in kept {
            if !is_in && field.first().is_some_and(|it| b"stcdnFLR".contains(it)) {
                put(&mut body);
                is_in = true;
            }
            body.extend_from_slice(field);
        }
        if !is_in {
            put(&mut body);
        }
        body.push(0);
        Self { body, ..self }
    }

    /// The line of COPY that its context tells.
    fn line(&self) -> Option<u64> {
        let context = String::from_utf8_lossy(self.field(b'W')?).into_owned();
        let (start, end) = line_in(&context)?;
        context.get(start..end)?.parse().ok()
    }

    /// With another line of COPY in its context.
    pub(super) fn with_line(self, line: u64) -> Self {
        let context = String::from_utf8_lossy(self.field(b'W').unwrap_or_default()).into_owned();
        let Some((start, end)) = line_in(&context) else { return self };
        let (before, behind) = (context.get(..start), context.get(end..));
        let text = format!("{}{line}{}", before.unwrap_or_default(), behind.unwrap_or_default());
        self.with_context(&text)
    }
}

/// Where the number of the line stands in `COPY t, line 7, column x: "y"`.
fn line_in(context: &str) -> Option<(usize, usize)> {
    let copy = context.find("COPY ")?;
    let start = copy + context.get(copy..)?.find(", line ")? + ", line ".len();
    let digits = context.get(start..)?.bytes().take_while(u8::is_ascii_digit).count();
    (digits > 0).then_some((start, start + digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_in_an_error_is_the_clients() {
        let body = b"SERROR\0C22P02\0Mno\0WCOPY t, line 2, column a: \"x\"\0Ffile\0\0".to_vec();
        let report = Report { shard: 1, body };
        assert_eq!(report.line(), Some(2));
        let report = report.with_line(70);
        assert_eq!(report.field(b'W'), Some(&b"COPY t, line 70, column a: \"x\""[..]));
        assert_eq!(report.line(), Some(70));
        assert!(report.body.ends_with(b"\"x\"\0Ffile\0\0"));
    }
}
