//! Columns that a COPY leaves out, and whose defaults one shard computes for all.

use pgherd_parser::CopyStmt;

use super::options::{CopyFormat, CopyOptions};
use crate::catalog::{Column, Kind, Table};
use crate::edit::{Edit, Tokens, edited};
use crate::facts::Default;
use crate::functions::Volatility;
use crate::insert::default_of;
use crate::plan::Refusal;
use crate::quote;

/// Values that go behind those of each row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Supply {
    /// The statement with the supplied columns behind its own.
    pub text: String,
    /// As many rows as `$1` says, of the supplied columns; with a key among them that once more.
    pub query: String,
    /// How many columns are supplied.
    pub columns: usize,
    /// How many fields a row of the client's has.
    pub fields: usize,
    /// One of them is the sharding key: `query` has it as its last column, to be asked in binary.
    pub has_key: bool,
    /// All rows get the same.
    pub once: bool,
}

/// What is supplied to a COPY of these columns.
///
/// # Errors
/// What nobody can compute.
pub(super) fn supply(
    copy: CopyStmt<'_>,
    table: &Table,
    columns: &[&str],
    options: &CopyOptions,
    whole: &str,
) -> Result<Option<Supply>, Refusal> {
    let harmless = match table.kind {
        Kind::Sharded { .. } => Volatility::Independent,
        Kind::Reference => Volatility::Everywhere,
        _ => return Ok(None),
    };
    let refused = |column: &Column, hint: &'static str| {
        let construct = format!("COPY into {} without its column {}", table.name, column.name);
        Err(Refusal::new(construct, hint))
    };
    let key = table.key();
    let mut supplied: Vec<(&Column, &Default)> = Vec::new();
    let mut place_of_key = None;
    for (index, column) in table.columns.iter().enumerate() {
        let Some(default) = default_of(table, &column.name) else { continue };
        let is_given = columns.contains(&column.name.as_str());
        if is_given && options.default.is_some() && default.volatility > harmless {
            let construct = format!("COPY with DEFAULT into {}", table.name);
            return Err(Refusal::new(
                construct,
                "The default of one of its columns would be another one on each shard.",
            ));
        }
        if is_given || default.volatility <= harmless && key != Some(index) {
            continue;
        }
        if default.volatility == Volatility::Unknown {
            let hint = "Its default may read anything, and so another thing on each shard: have \
                        the column in the data.";
            return refused(column, hint);
        }
        if key == Some(index) {
            place_of_key = Some(supplied.len());
        }
        supplied.push((column, default));
    }
    let Some(worst) = supplied.iter().map(|(_, it)| it.volatility).max() else { return Ok(None) };
    if options.matches_header || options.force_null.iter().any(|it| it == "*") {
        return Err(Refusal::over_shards(
            "COPY with HEADER MATCH or FORCE_NULL * that leaves out columns with defaults",
        ));
    }
    let facts = table.facts.as_ref();
    if worst == Volatility::Sequence && facts.is_some_and(|it| it.fires_for_statements()) {
        let hint = "Have the columns with sequences in the data.";
        let construct = format!("COPY into {}, which has a trigger for statements,", table.name);
        return Err(Refusal::new(construct, hint));
    }
    let values = supplied.iter().enumerate();
    let values: Vec<String> = values
        .map(|(index, (column, default))| {
            format!("({}){} AS d{index}", default.sql, column.to_plain())
        })
        .collect();
    let mut outputs: Vec<String> = (0..supplied.len()).map(|it| format!("r.d{it}")).collect();
    if let Some((index, column)) =
        place_of_key.and_then(|it| Some((it, supplied.get(it).map(|it| it.0)?)))
    {
        outputs.push(format!("r.d{index}::{}", column.sql_type));
    }
    let query = format!(
        "SELECT {} FROM (SELECT {} FROM pg_catalog.generate_series(1, $1::pg_catalog.int8)) AS r",
        outputs.join(", "),
        values.join(", ")
    );
    let names: Vec<&str> = supplied.iter().map(|(it, _)| it.name.as_str()).collect();
    let independent = supplied.iter().any(|(_, it)| it.volatility == Volatility::Independent);
    Ok(Some(Supply {
        text: with_columns(copy, whole, &names)?,
        query,
        columns: supplied.len(),
        fields: columns.len(),
        has_key: place_of_key.is_some(),
        once: worst <= Volatility::OfSession && !independent,
    }))
}

/// The statement with more columns in its list, which it has if it leaves some out.
fn with_columns(copy: CopyStmt<'_>, whole: &str, names: &[&str]) -> Result<String, Refusal> {
    let odd = || Refusal::over_shards("a COPY written like this");
    let tokens = Tokens::new(whole)?;
    let open = (0..tokens.len()).find(|it| tokens.text(*it) == "(").ok_or_else(odd)?;
    let close = tokens.closing(open).ok_or_else(odd)?;
    // A list of columns, and not of options or of another statement before it.
    let is_list = copy.attlist().len() * 2 == close - open
        && !(0..open).any(|it| tokens.text(it).eq_ignore_ascii_case("from"));
    let at = tokens.range(close).filter(|_| is_list).ok_or_else(odd)?.start;
    let more: String = names.iter().map(|it| format!(", {}", quote::name(it))).collect();
    edited(whole, 0..whole.len(), vec![Edit { range: at..at, text: more }]).ok_or_else(odd)
}

// === impl Supply ===

impl Supply {
    /// A row with more values behind its own. `end` bytes of it are its line's end. One with too
    /// few fields is left as it is: the first that is missing is the client's.
    pub fn appended(
        &self,
        options: &CopyOptions,
        row: &[u8],
        end: usize,
        fields: usize,
        values: &[Option<Vec<u8>>],
    ) -> Vec<u8> {
        if fields < self.fields {
            return row.to_vec();
        }
        let values = values.iter().take(self.columns);
        if options.format == CopyFormat::Binary {
            let count = u16::try_from(fields + self.columns).unwrap_or(u16::MAX);
            let mut out = count.to_be_bytes().to_vec();
            out.extend_from_slice(row.get(2..).unwrap_or_default());
            for value in values {
                let length = value.as_ref().map_or(-1, |it| i32::try_from(it.len()).unwrap_or(-1));
                out.extend_from_slice(&length.to_be_bytes());
                out.extend_from_slice(value.as_deref().unwrap_or_default());
            }
            return out;
        }
        let (row, end) = row.split_at(row.len().saturating_sub(end));
        let mut out = row.to_vec();
        for value in values {
            out.push(options.delimiter);
            match value {
                None => out.extend_from_slice(&options.null),
                Some(value) => options.put_value(&mut out, value),
            }
        }
        out.extend_from_slice(end);
        out
    }

    /// What an error shows of a row, without what was appended to it. `is_whole`: all of the row is
    /// shown, which may have too many fields.
    pub fn without(&self, options: &CopyOptions, shown: &str, is_whole: bool) -> Option<String> {
        let (mut delimiters, mut quoted, mut escaped) = (Vec::new(), false, false);
        for (at, byte) in shown.bytes().enumerate() {
            if escaped {
                escaped = false;
                continue;
            }
            match options.format {
                CopyFormat::Text => escaped = byte == b'\\',
                CopyFormat::Csv if byte == options.escape && quoted && byte != options.quote => {
                    escaped = true;
                }
                CopyFormat::Csv => quoted ^= byte == options.quote,
                CopyFormat::Binary => return None,
            }
            if byte == options.delimiter && !quoted {
                delimiters.push(at);
            }
        }
        let last = match is_whole {
            true => delimiters.len().checked_sub(self.columns)?,
            false => self.fields.checked_sub(1)?,
        };
        shown.get(..*delimiters.get(last)?).map(str::to_owned)
    }
}

// === impl CopyOptions ===

impl CopyOptions {
    /// A value that is not NULL, and reads as such.
    pub fn put_value(&self, out: &mut Vec<u8>, value: &[u8]) {
        if self.format == CopyFormat::Csv {
            self.put_quoted(out, value);
            return;
        }
        let start = out.len();
        self.put_escaped(out, value);
        // Before escapes are resolved, NULL and DEFAULT are told by their bytes.
        let raw = out.get(start..).unwrap_or_default();
        if (raw == self.null || self.default.as_deref() == Some(raw))
            && let Some(&first) = raw.first().filter(|it| **it != b'\\')
        {
            let rest = raw.get(1..).unwrap_or_default().to_vec();
            out.truncate(start);
            out.extend_from_slice(format!("\\{first:03o}").as_bytes());
            out.extend_from_slice(&rest);
        }
    }
}
