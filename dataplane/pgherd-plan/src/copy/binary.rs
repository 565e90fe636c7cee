//! Rows of COPY in binary.

use super::split::{CopyError, Field, Step};

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// Signature, flags, length of the extension.
const HEADER: usize = 19;

#[derive(Debug)]
pub(super) struct Binary {
    key: Option<usize>,
    /// The header was seen.
    begun: bool,
}

fn number(data: &[u8], at: usize) -> Option<i32> {
    let bytes = data.get(at..at.checked_add(4)?)?;
    Some(i32::from_be_bytes(bytes.try_into().ok()?))
}

fn count(data: &[u8]) -> Option<i16> {
    Some(i16::from_be_bytes(data.get(..2)?.try_into().ok()?))
}

fn malformed(message: &'static str) -> CopyError {
    CopyError::new("22P04", message)
}

// === impl Binary ===

impl Binary {
    pub(super) fn new(key: Option<usize>) -> Self {
        Self { key, begun: false }
    }

    pub(super) fn step(&mut self, data: &[u8], last: bool) -> Result<Step, CopyError> {
        let step = if self.begun { Self::row(data)? } else { self.header(data)? };
        match step {
            Step::More if last && !data.is_empty() => Err(malformed("unexpected EOF in COPY data")),
            step => Ok(step),
        }
    }

    fn header(&mut self, data: &[u8]) -> Result<Step, CopyError> {
        let seen = data.len().min(SIGNATURE.len());
        if data.get(..seen) != SIGNATURE.get(..seen) {
            return Err(malformed("COPY file signature not recognized"));
        }
        let Some(extension) = number(data, 15) else { return Ok(Step::More) };
        let extension = usize::try_from(extension)
            .map_err(|_| malformed("invalid COPY file header (missing length)"))?;
        if data.len() < HEADER + extension {
            return Ok(Step::More);
        }
        self.begun = true;
        Ok(Step::Everywhere { length: HEADER + extension, lines: 0 })
    }

    fn row(data: &[u8]) -> Result<Step, CopyError> {
        let Some(fields) = count(data) else { return Ok(Step::More) };
        if fields == -1 {
            return Ok(Step::End { length: 2, lines: 0 });
        }
        let mut at = 2usize;
        for _ in 0..fields {
            let Some(length) = number(data, at) else { return Ok(Step::More) };
            at += 4;
            match usize::try_from(length) {
                Ok(length) => at = at.saturating_add(length),
                Err(_) if length == -1 => {}
                Err(_) => return Err(malformed("invalid field size")),
            }
        }
        Ok(if data.len() < at { Step::More } else { Step::Row { length: at, lines: 1 } })
    }

    pub(super) fn fields(row: &[u8]) -> usize {
        count(row).and_then(|it| usize::try_from(it).ok()).unwrap_or(0)
    }

    pub(super) fn key(&self, row: &[u8]) -> Field {
        let Some(wanted) = self.key else { return Field::None };
        let fields = count(row).and_then(|it| usize::try_from(it).ok()).unwrap_or(0);
        if wanted >= fields {
            return Field::Missing;
        }
        let mut at = 2usize;
        for field in 0..=wanted {
            let Some(length) = number(row, at) else { return Field::Missing };
            at += 4;
            let length = usize::try_from(length).ok();
            if field == wanted {
                return match length {
                    Some(length) => row
                        .get(at..at.saturating_add(length))
                        .map_or(Field::Missing, |it| Field::Value(it.to_vec())),
                    None => Field::Null,
                };
            }
            at = at.saturating_add(length.unwrap_or(0));
        }
        Field::Missing
    }
}
