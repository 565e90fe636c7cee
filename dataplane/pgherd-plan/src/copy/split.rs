//! The data of COPY FROM STDIN, row by row, whatever the borders of its chunks.

use super::binary::Binary;
use super::csv::Csv;
use super::options::{CopyFormat, CopyOptions};
use super::text::Text;

/// A part of the data, whose bytes go on unchanged.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A header or trailer: every shard must see it. So many lines.
    Everywhere(&'a [u8], u64),
    Row {
        bytes: &'a [u8],
        key: Field,
        /// How many lines it has, and which is its last.
        lines: u64,
        last_line: u64,
        /// How many of its bytes end the line, and how many fields are before them; only of a
        /// splitter that counts.
        end: usize,
        fields: usize,
    },
}

/// The value of the sharding key in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    Null,
    Value(Vec<u8>),
    /// There are not so many fields: any shard says so.
    Missing,
    /// It stands for the column's default.
    Default,
    /// There is no key.
    None,
}

/// Data that no row can be told in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CopyError {
    pub sqlstate: &'static str,
    pub message: &'static str,
    pub hint: Option<&'static str>,
    pub line: u64,
}

/// A row cannot be longer: Postgres's own limit of a line is 1 GB.
const LONGEST: usize = 1 << 28;

/// Takes the data apart.
#[derive(Debug)]
pub struct Splitter {
    /// What has come of a row that is not complete.
    rest: Vec<u8>,
    reader: Reader,
    line: u64,
    ended: bool,
    counts: bool,
}

#[derive(Debug)]
enum Reader {
    Text(Text),
    Csv(Csv),
    Binary(Binary),
}

/// How far a reader came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// More is needed.
    More,
    /// So many bytes are a row, so many lines of it.
    Row { length: usize, lines: u64 },
    /// For every shard.
    Everywhere { length: usize, lines: u64 },
    /// The end marker: for every shard, and nothing behind it counts.
    End { length: usize, lines: u64 },
}

// === impl CopyError ===

impl CopyError {
    pub(super) fn new(sqlstate: &'static str, message: &'static str) -> Self {
        Self { sqlstate, message, hint: None, line: 0 }
    }

    pub(super) fn hint(self, hint: &'static str) -> Self {
        Self { hint: Some(hint), ..self }
    }
}

// === impl Splitter ===

impl Splitter {
    /// `key`: where in a row the key is; `name`: of its column.
    pub fn new(options: &CopyOptions, key: Option<usize>, name: &str) -> Self {
        let reader = match options.format {
            CopyFormat::Text => Reader::Text(Text::new(options, key)),
            CopyFormat::Csv => Reader::Csv(Csv::new(options, key, name)),
            CopyFormat::Binary => Reader::Binary(Binary::new(key)),
        };
        Self { rest: Vec::new(), reader, line: 0, ended: false, counts: false }
    }

    /// The same, which says of each row how many fields it has.
    pub fn counting(self) -> Self {
        Self { counts: true, ..self }
    }

    /// Takes a chunk; `each` gets what is complete.
    ///
    /// # Errors
    /// Those of `each`, and of data that cannot be told apart.
    pub fn push<E: From<CopyError>>(
        &mut self,
        chunk: &[u8],
        mut each: impl FnMut(Piece<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.ended {
            return Ok(());
        }
        let whole;
        let mut data = chunk;
        if !self.rest.is_empty() {
            self.rest.extend_from_slice(chunk);
            whole = std::mem::take(&mut self.rest);
            data = &whole;
        }
        loop {
            let consumed = self.step(data, false, &mut each)?;
            match consumed {
                Some(consumed) => data = data.get(consumed..).unwrap_or_default(),
                None => break,
            }
        }
        if !self.ended {
            if data.len() > LONGEST {
                return Err(CopyError { line: self.line + 1, ..too_long() }.into());
            }
            self.rest = data.to_vec();
        }
        Ok(())
    }

    /// Nothing more comes: a last line may have no end.
    ///
    /// # Errors
    /// As for [`Splitter::push`].
    pub fn finish<E: From<CopyError>>(
        &mut self,
        mut each: impl FnMut(Piece<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let rest = std::mem::take(&mut self.rest);
        let mut data = rest.as_slice();
        while !data.is_empty() && !self.ended {
            match self.step(data, true, &mut each)? {
                Some(consumed) => data = data.get(consumed..).unwrap_or_default(),
                None => break,
            }
        }
        Ok(())
    }

    /// One row, if there is a whole one: how many bytes.
    fn step<E: From<CopyError>>(
        &mut self,
        data: &[u8],
        last: bool,
        each: &mut impl FnMut(Piece<'_>) -> Result<(), E>,
    ) -> Result<Option<usize>, E> {
        if data.is_empty() || self.ended {
            return Ok(None);
        }
        let step = match &mut self.reader {
            Reader::Text(it) => it.step(data, last),
            Reader::Csv(it) => it.step(data, last),
            Reader::Binary(it) => it.step(data, last),
        };
        let step = step.map_err(|error| CopyError { line: self.line + 1, ..error })?;
        let (length, lines, everywhere) = match step {
            Step::More => return Ok(None),
            Step::Row { length, lines } => (length, lines, false),
            Step::Everywhere { length, lines } => (length, lines, true),
            Step::End { length, lines } => {
                self.ended = true;
                (length, lines, true)
            }
        };
        self.line += lines;
        let bytes = data.get(..length).unwrap_or_default();
        let piece = match everywhere {
            true => Piece::Everywhere(bytes, lines),
            false => {
                let key = match &self.reader {
                    Reader::Text(it) => it.key(bytes),
                    Reader::Csv(it) => it.key(bytes),
                    Reader::Binary(it) => it.key(bytes),
                };
                let (end, fields) = match &self.reader {
                    _ if !self.counts => (0, 0),
                    Reader::Text(it) => it.fields(bytes),
                    Reader::Csv(it) => it.fields(bytes),
                    Reader::Binary(_) => (0, Binary::fields(bytes)),
                };
                Piece::Row { bytes, key, lines, last_line: self.line, end, fields }
            }
        };
        each(piece)?;
        Ok(Some(length))
    }
}

fn too_long() -> CopyError {
    CopyError::new("54000", "a row of COPY is too long to be placed")
}
