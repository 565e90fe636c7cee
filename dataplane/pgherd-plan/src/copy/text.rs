//! Rows of COPY in text format.

use super::options::CopyOptions;
use super::split::{CopyError, Field, Step};

/// How lines end: the first one decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Eol {
    Unknown,
    Newline,
    Return,
    Both,
}

#[derive(Debug)]
pub(super) struct Text {
    delimiter: u8,
    null: Vec<u8>,
    default: Option<Vec<u8>>,
    key: Option<usize>,
    header: bool,
    eol: Eol,
}

const RETURN: &str = "literal carriage return found in data";
const NEWLINE: &str = "literal newline found in data";

// === impl Eol ===

impl Eol {
    /// Whether a line ends at this place outside of quotes and escapes: so many bytes; `None` when
    /// more must be seen. `errors`: for a carriage return and for a newline that are out of place.
    pub(super) fn ends(
        &mut self,
        data: &[u8],
        at: usize,
        last: bool,
        errors: &[CopyError; 2],
    ) -> Result<Option<usize>, CopyError> {
        let next = data.get(at + 1).copied();
        match (data.get(at), *self) {
            (Some(b'\n'), Self::Unknown | Self::Newline) => {
                *self = Self::Newline;
                Ok(Some(1))
            }
            (Some(b'\n'), _) => Err(errors[1].clone()),
            (Some(b'\r'), Self::Newline) => Err(errors[0].clone()),
            (Some(b'\r'), Self::Return) => Ok(Some(1)),
            (Some(b'\r'), _) if next.is_none() && !last => Ok(None),
            (Some(b'\r'), Self::Unknown) => {
                *self = if next == Some(b'\n') { Self::Both } else { Self::Return };
                Ok(Some(if next == Some(b'\n') { 2 } else { 1 }))
            }
            (Some(b'\r'), Self::Both) if next == Some(b'\n') => Ok(Some(2)),
            (Some(b'\r'), Self::Both) => Err(errors[0].clone()),
            _ => Ok(Some(0)),
        }
    }
}

impl Eol {
    /// How many bytes of a row are its line's end.
    pub(super) fn of(self, row: &[u8]) -> usize {
        match row {
            [.., b'\r', b'\n'] if self == Self::Both => 2,
            [.., b'\n'] if self == Self::Newline => 1,
            [.., b'\r'] if self == Self::Return => 1,
            _ => 0,
        }
    }
}

// === impl Text ===

impl Text {
    pub(super) fn new(options: &CopyOptions, key: Option<usize>) -> Self {
        Self {
            delimiter: options.delimiter,
            null: options.null.clone(),
            default: options.default.clone(),
            key,
            header: options.header,
            eol: Eol::Unknown,
        }
    }

    pub(super) fn step(&mut self, data: &[u8], last: bool) -> Result<Step, CopyError> {
        let errors = [
            CopyError::new("22P04", RETURN).hint("Use \"\\r\" to represent carriage return."),
            CopyError::new("22P04", NEWLINE).hint("Use \"\\n\" to represent newline."),
        ];
        let mut at = 0;
        while let Some(&byte) = data.get(at) {
            match byte {
                b'\\' => match data.get(at + 1) {
                    None => break,
                    Some(b'.') => return self.end_marker(data, at, last),
                    Some(_) => at += 2,
                },
                b'\n' | b'\r' => match self.eol.ends(data, at, last, &errors)? {
                    None => return Ok(Step::More),
                    Some(0) => at += 1,
                    Some(n) => return Ok(self.row(at + n)),
                },
                _ => at += 1,
            }
        }
        if last && !data.is_empty() { Ok(self.row(data.len())) } else { Ok(Step::More) }
    }

    fn row(&mut self, length: usize) -> Step {
        if std::mem::take(&mut self.header) {
            return Step::Everywhere { length, lines: 1 };
        }
        Step::Row { length, lines: 1 }
    }

    /// `\.`, which must be alone on its line.
    fn end_marker(&mut self, data: &[u8], at: usize, last: bool) -> Result<Step, CopyError> {
        let behind = data.get(at + 2..).unwrap_or_default();
        let length = match behind {
            [] if !last => return Ok(Step::More),
            [b'\r'] if !last => return Ok(Step::More),
            [] => at + 2,
            [b'\n', ..] => at + 3,
            [b'\r', b'\n', ..] => at + 4,
            [b'\r', ..] => at + 3,
            _ => return Err(CopyError::new("22P04", "end-of-copy marker corrupt")),
        };
        if at > 0 {
            let message = "end-of-copy marker is not alone on its line";
            return Err(CopyError::new("22P04", message));
        }
        Ok(Step::End { length, lines: 1 })
    }

    /// The key of a row.
    pub(super) fn key(&self, row: &[u8]) -> Field {
        let Some(wanted) = self.key else { return Field::None };
        let row = row.get(..row.len() - self.eol.of(row)).unwrap_or_default();
        let (mut start, mut at, mut field) = (0, 0, 0);
        loop {
            let byte = row.get(at).copied();
            match byte {
                Some(b'\\') => {
                    at = row.len().min(at + 2);
                    continue;
                }
                Some(byte) if byte != self.delimiter => {
                    at += 1;
                    continue;
                }
                _ => {}
            }
            match field == wanted {
                true => return self.value(row.get(start..at).unwrap_or_default()),
                false if byte.is_none() => return Field::Missing,
                false => {}
            }
            field += 1;
            at += 1;
            start = at;
        }
    }

    /// The length of the line's end, and how many fields are before it.
    pub(super) fn fields(&self, row: &[u8]) -> (usize, usize) {
        let end = self.eol.of(row);
        let (mut fields, mut escaped) = (1, false);
        for &byte in row.get(..row.len() - end).unwrap_or_default() {
            fields += usize::from(byte == self.delimiter && !escaped);
            escaped = byte == b'\\' && !escaped;
        }
        (end, fields)
    }

    fn value(&self, raw: &[u8]) -> Field {
        if raw == self.null {
            return Field::Null;
        }
        if self.default.as_deref() == Some(raw) {
            return Field::Default;
        }
        Field::Value(unescaped(raw))
    }
}

fn unescaped(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((&byte, more)) = rest.split_first() {
        rest = more;
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let Some((&byte, more)) = rest.split_first() else {
            out.push(b'\\');
            break;
        };
        rest = more;
        match byte {
            b'0'..=b'7' => {
                let mut value = u32::from(byte - b'0');
                for _ in 0..2 {
                    let Some(digit @ b'0'..=b'7') = rest.first() else { break };
                    value = value << 3 | u32::from(digit - b'0');
                    rest = rest.get(1..).unwrap_or_default();
                }
                out.push((value & 0o377) as u8);
            }
            b'x' => {
                let digits: Vec<u32> =
                    rest.iter().take(2).map_while(|it| char::from(*it).to_digit(16)).collect();
                match digits.is_empty() {
                    true => out.push(b'x'),
                    false => out.push(digits.iter().fold(0, |all, it| all << 4 | it) as u8),
                }
                rest = rest.get(digits.len()..).unwrap_or_default();
            }
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'v' => out.push(11),
            other => out.push(other),
        }
    }
    out
}
