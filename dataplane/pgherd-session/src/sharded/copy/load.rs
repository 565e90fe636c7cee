//! The rows of a COPY FROM on their way to the shards.

use pgherd_plan::copy::{CopyError, CopyFormat, CopyFrom, Field, Lines, Piece, Supply};
use pgherd_plan::{Parameter, Placement};
use pgherd_wire::ErrorResponse;

use crate::sharded::encoding::Encoding;
use crate::sharded::failure::Report;
use crate::sharded::places::Places;

/// What is collected for a shard before it is sent.
const ENOUGH: usize = 32 * 1024;
/// What is collected before values are drawn for it: the shard that supplies them has to end and
/// begin its own COPY each time.
const ENOUGH_TO_SUPPLY: usize = 512 * 1024;

pub(super) struct Load<'a> {
    pub(super) from: &'a CopyFrom,
    places: &'a Places,
    /// Of the data.
    encoding: Encoding,
    pub(super) targets: Vec<Target>,
    /// The client's last line so far.
    pub(super) line: u64,
    /// Values for all rows.
    pub(super) constant: Option<Values>,
    /// Rows that wait for their values, and how many bytes they are.
    waiting: Vec<Waiting>,
    waiting_bytes: usize,
    /// What stood before the first row, with its lines: each COPY needs it.
    header: (Vec<u8>, u64),
    /// What stands behind the last one.
    trailer: (Vec<u8>, u64),
}

/// Of the columns that are supplied, and of the key behind them if it is one of them.
pub(super) type Values = Vec<Option<Vec<u8>>>;

struct Waiting {
    bytes: Vec<u8>,
    key: Field,
    lines: u64,
    last_line: u64,
    end: usize,
    fields: usize,
}

/// A shard that takes rows.
pub(super) struct Target {
    pub(super) shard: usize,
    pub(super) pending: Vec<u8>,
    lines: Lines,
    pub(super) has_rows: bool,
    pub(super) failed: Option<Report>,
    /// It is reading data.
    pub(super) is_open: bool,
    /// Of what it has ended so far.
    pub(super) tags: Vec<Vec<u8>>,
}

/// Why no more is taken.
pub(super) enum Stop {
    Data(CopyError),
    Unplaced { key: Field, line: u64 },
    Fields { given: usize, expected: usize, line: u64 },
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
            Self::Unplaced { line, .. } | Self::Fields { line, .. } => *line,
        }
    }
}

// === impl Load ===

impl<'a> Load<'a> {
    pub(super) fn new(from: &'a CopyFrom, places: &'a Places, encoding: Encoding) -> Self {
        let target = |shard: &usize| Target {
            shard: *shard,
            pending: Vec::new(),
            lines: Lines::default(),
            has_rows: false,
            failed: None,
            is_open: true,
            tags: Vec::new(),
        };
        Self {
            from,
            places,
            encoding,
            targets: from.shards.iter().map(target).collect(),
            line: 0,
            constant: None,
            waiting: Vec::new(),
            waiting_bytes: 0,
            header: (Vec::new(), 0),
            trailer: (Vec::new(), 0),
        }
    }

    pub(super) fn take(&mut self, piece: Piece<'_>) -> Result<(), Stop> {
        match piece {
            Piece::Everywhere(bytes, lines) => {
                let is_header = self.line == 0 && self.waiting.is_empty();
                self.line += lines;
                if is_header {
                    self.header = (bytes.to_vec(), lines);
                } else if self.waits() {
                    self.trailer = (bytes.to_vec(), lines);
                    return Ok(());
                }
                for target in &mut self.targets {
                    target.add(bytes, lines, self.line);
                }
            }
            Piece::Row { bytes, key, lines, last_line, end, fields } => {
                self.line = last_line;
                if let Some(supply) = &self.from.supply {
                    let row = Waiting { bytes: bytes.to_vec(), key, lines, last_line, end, fields };
                    self.check_fields(supply, &row)?;
                    match self.constant.take() {
                        Some(values) => {
                            let added = self.add_supplied(supply, row, &values);
                            self.constant = Some(values);
                            added?;
                        }
                        None => {
                            self.waiting_bytes += bytes.len();
                            self.waiting.push(row);
                        }
                    }
                    return Ok(());
                }
                let place = self.place(key, last_line)?;
                self.add_row(place, bytes, lines, last_line);
            }
        }
        Ok(())
    }

    fn add_row(&mut self, place: Option<usize>, bytes: &[u8], lines: u64, last_line: u64) {
        for target in &mut self.targets {
            if place.is_none_or(|shard| shard == target.shard) {
                target.has_rows = true;
                target.add(bytes, lines, last_line);
            }
        }
    }

    /// In binary Postgres says how many fields it expects: as many as the client knows of.
    fn check_fields(&self, supply: &Supply, row: &Waiting) -> Result<(), Stop> {
        let is_binary = self.from.options.format == CopyFormat::Binary;
        if !is_binary || row.fields == supply.fields {
            return Ok(());
        }
        let (given, expected, line) = (row.fields, supply.fields, row.last_line);
        Err(Stop::Fields { given, expected, line })
    }

    fn add_supplied(&mut self, supply: &Supply, row: Waiting, values: &Values) -> Result<(), Stop> {
        let place = match supply.has_key {
            // It is an error on any of them.
            true if row.fields < supply.fields => self.targets.first().map(|it| it.shard),
            true => {
                let key = values.last().cloned().flatten();
                let key = key.map_or(Field::Null, Field::Value);
                self.place_of(key, true, row.last_line)?
            }
            false => self.place(row.key, row.last_line)?,
        };
        let bytes = supply.appended(&self.from.options, &row.bytes, row.end, row.fields, values);
        self.add_row(place, &bytes, row.lines, row.last_line);
        Ok(())
    }

    /// Rows wait for values that are another one for each.
    fn waits(&self) -> bool {
        self.from.supply.is_some() && self.constant.is_none()
    }

    /// How many rows are to be supplied with values now.
    pub(super) fn wanted(&self, all: bool) -> usize {
        let enough = all || self.waiting_bytes >= ENOUGH_TO_SUPPLY;
        if enough { self.waiting.len() } else { 0 }
    }

    /// The shard that supplies has ended what it was sent so far, and begins anew.
    pub(super) fn begin_again(&mut self, shard: usize) {
        let (header, lines) = self.header.clone();
        for target in self.targets.iter_mut().filter(|it| it.shard == shard) {
            target.lines = Lines::default();
            target.is_open = true;
            target.add(&header, lines, lines);
        }
    }

    /// The rows that have waited, with their values.
    pub(super) fn supplied(&mut self, values: Vec<Values>) -> Result<(), Stop> {
        let Some(supply) = &self.from.supply else { return Ok(()) };
        self.waiting_bytes = 0;
        let rows = std::mem::take(&mut self.waiting);
        rows.into_iter().zip(values).try_for_each(|(row, it)| self.add_supplied(supply, row, &it))
    }

    /// What is behind all rows.
    pub(super) fn end(&mut self) {
        let (trailer, lines) = std::mem::take(&mut self.trailer);
        for target in &mut self.targets {
            target.add(&trailer, lines, self.line);
        }
    }

    /// `None`: all of them.
    fn place(&self, key: Field, line: u64) -> Result<Option<usize>, Stop> {
        let binary = self.from.options.format == CopyFormat::Binary;
        self.place_of(key, binary, line)
    }

    fn place_of(&self, key: Field, binary: bool, line: u64) -> Result<Option<usize>, Stop> {
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
        let place = column.and_then(|column| {
            let value = match value {
                Some(value) => Some(self.encoding.key(column.type_oid, binary, value)?),
                None => None,
            };
            let key = Parameter { type_oid: column.type_oid, value: value.as_deref(), binary };
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
        match self.from.is_copied() {
            // All of them have the same rows.
            true => first,
            false => tags.fold(first, |sum, tag| crate::sharded::execute::added(&sum, tag)),
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
    pub(super) fn about_client(&self, from: &CopyFrom, report: Report) -> (u64, Report) {
        let report = match &from.supply {
            Some(supply) => report.without_supplied(from, supply),
            None => report,
        };
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

    /// The client's row in its context, without what was appended to it.
    fn without_supplied(self, from: &CopyFrom, supply: &Supply) -> Self {
        let context = String::from_utf8_lossy(self.field(b'W').unwrap_or_default()).into_owned();
        let shown = (|| {
            let (_, behind) = line_in(&context)?;
            // Not of a column, which is the client's.
            let row = context.get(behind..)?.strip_prefix(": \"")?;
            let row = row.strip_suffix('"')?;
            let cut = row.strip_suffix("...");
            let own = supply.without(&from.options, cut.unwrap_or(row), cut.is_none())?;
            Some(format!("{}: \"{own}\"", context.get(..behind)?))
        })();
        match shown {
            Some(context) => self.with_context(&context),
            None => self,
        }
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
