//! Rows of COPY in CSV.

use super::options::CopyOptions;
use super::split::{CopyError, Field, Step};
use super::text::Eol;

#[derive(Debug)]
pub(super) struct Csv {
    delimiter: u8,
    quote: u8,
    escape: u8,
    null: Vec<u8>,
    default: Option<Vec<u8>>,
    force_null: bool,
    force_not_null: bool,
    key: Option<usize>,
    header: bool,
    eol: Eol,
}

// === impl Csv ===

impl Csv {
    pub(super) fn new(options: &CopyOptions, key: Option<usize>, name: &str) -> Self {
        let has = |names: &[String]| names.iter().any(|it| it == "*" || it == name);
        Self {
            delimiter: options.delimiter,
            quote: options.quote,
            escape: options.escape,
            null: options.null.clone(),
            default: options.default.clone(),
            force_null: has(&options.force_null),
            force_not_null: has(&options.force_not_null),
            key,
            header: options.header,
            eol: Eol::Unknown,
        }
    }

    pub(super) fn step(&mut self, data: &[u8], last: bool) -> Result<Step, CopyError> {
        let hint = "Use quoted CSV field to represent carriage return.";
        let errors = [
            CopyError::new("22P04", "unquoted carriage return found in data").hint(hint),
            CopyError::new("22P04", "unquoted newline found in data")
                .hint("Use quoted CSV field to represent newline."),
        ];
        let (mut quoted, mut escaped, mut lines) = (false, false, 1);
        let escape = (self.escape != self.quote).then_some(self.escape);
        for (at, &byte) in data.iter().enumerate() {
            if quoted && Some(byte) == escape {
                escaped = !escaped;
            }
            if byte == self.quote && !escaped {
                quoted = !quoted;
            }
            if Some(byte) != escape {
                escaped = false;
            }
            let counted = if self.eol == Eol::Newline { b'\n' } else { b'\r' };
            if quoted && byte == counted {
                lines += 1;
            }
            if quoted || !matches!(byte, b'\n' | b'\r') {
                continue;
            }
            match self.eol.ends(data, at, last, &errors)? {
                None => return Ok(Step::More),
                Some(0) => {}
                Some(n) => return self.row(data, at, at + n, lines),
            }
        }
        match last && !data.is_empty() {
            true => self.row(data, data.len(), data.len(), lines),
            false => Ok(Step::More),
        }
    }

    fn row(
        &mut self,
        data: &[u8],
        end: usize,
        length: usize,
        lines: u64,
    ) -> Result<Step, CopyError> {
        // Before Postgres 18 it is the end of the data, from then on a value.
        if data.get(..end) == Some(b"\\.") {
            return Err(CopyError::new("0A000", "\\. in CSV cannot be answered over shards"));
        }
        if std::mem::take(&mut self.header) {
            return Ok(Step::Everywhere { length, lines });
        }
        Ok(Step::Row { length, lines })
    }

    pub(super) fn key(&self, row: &[u8]) -> Field {
        let Some(wanted) = self.key else { return Field::None };
        let row = row.get(..row.len() - self.eol.of(row)).unwrap_or_default();
        let mut rest = row;
        let mut field = 0;
        loop {
            let (value, was_quoted, more) = self.field(rest);
            if field == wanted {
                return self.value(value, was_quoted);
            }
            match more {
                Some(more) => rest = more,
                None => return Field::Missing,
            }
            field += 1;
        }
    }

    /// The length of the line's end, and how many fields are before it.
    pub(super) fn fields(&self, row: &[u8]) -> (usize, usize) {
        let end = self.eol.of(row);
        let mut rest = row.get(..row.len() - end);
        let mut fields = 0;
        while let Some(row) = rest {
            rest = self.field(row).2;
            fields += 1;
        }
        (end, fields)
    }

    /// A field, whether it had quotes, and what is behind its delimiter.
    fn field<'r>(&self, row: &'r [u8]) -> (Vec<u8>, bool, Option<&'r [u8]>) {
        let (mut out, mut was_quoted, mut quoted, mut at) = (Vec::new(), false, false, 0);
        while let Some(&byte) = row.get(at) {
            at += 1;
            if quoted {
                let next = row.get(at).copied();
                let escapes = byte == self.escape
                    && next.is_some_and(|it| it == self.escape || it == self.quote);
                if let (true, Some(next)) = (escapes, next) {
                    out.push(next);
                    at += 1;
                } else if byte == self.quote {
                    quoted = false;
                } else {
                    out.push(byte);
                }
            } else if byte == self.delimiter {
                return (out, was_quoted, row.get(at..));
            } else if byte == self.quote {
                (quoted, was_quoted) = (true, true);
            } else {
                out.push(byte);
            }
        }
        (out, was_quoted, None)
    }

    fn value(&self, value: Vec<u8>, was_quoted: bool) -> Field {
        if !was_quoted && self.default.as_deref() == Some(&value) {
            return Field::Default;
        }
        let is_null = value == self.null;
        // What Postgres does last counts: FORCE_NULL is about fields in quotes.
        match is_null && if was_quoted { self.force_null } else { !self.force_not_null } {
            true => Field::Null,
            false => Field::Value(value),
        }
    }
}
