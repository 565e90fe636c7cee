//! What a branch is asked in the extended protocol, and how much may come of it.

use std::cell::Cell;

use pgherd_wire::{ErrorResponse, frame, frontend};

use crate::sharded::failure::Failure;

/// A query with its parameters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question<'a> {
    pub(crate) sql: &'a [u8],
    /// Types of the parameters, as Parse gives them; those that are left out are inferred.
    pub(crate) types: &'a [u32],
    pub(crate) arguments: &'a Arguments,
    /// Formats of the result: none for text, one for all, or one for each column.
    pub(crate) formats: &'a [i16],
}

/// Values of parameters, each with its format.
#[derive(Debug, Clone, Default)]
pub(crate) struct Arguments {
    count: usize,
    formats: Vec<u8>,
    /// Each with its length, as in Bind.
    values: Vec<u8>,
}

/// How much may be gathered for one statement.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    most: u64,
    left: Cell<u64>,
}

/// `program_limit_exceeded`
const LIMIT_EXCEEDED: &str = "54000";

// === impl Question ===

impl<'a> Question<'a> {
    /// Without parameters, results in binary.
    pub(crate) fn plain(sql: &'a str) -> Self {
        static NOTHING: Arguments = Arguments { count: 0, formats: Vec::new(), values: Vec::new() };
        Self { sql: sql.as_bytes(), types: &[], arguments: &NOTHING, formats: &[1] }
    }

    /// Appends a Parse of the unnamed statement.
    pub(crate) fn put_parse(&self, out: &mut Vec<u8>) {
        frame::put(out, frontend::tag::PARSE, |body| {
            body.push(0);
            frame::put_cstr(body, self.sql);
            body.extend_from_slice(&count(self.types.len()));
            for type_oid in self.types {
                body.extend_from_slice(&type_oid.to_be_bytes());
            }
        });
    }

    /// Appends a Bind of the unnamed portal to a statement.
    pub(crate) fn put_bind(&self, out: &mut Vec<u8>, statement: &[u8]) {
        self.put_bind_as(out, b"", statement);
    }

    /// The same of a portal with a name.
    pub(crate) fn put_bind_as(&self, out: &mut Vec<u8>, portal: &[u8], statement: &[u8]) {
        frame::put(out, frontend::tag::BIND, |body| {
            frame::put_cstr(body, portal);
            frame::put_cstr(body, statement);
            self.arguments.put(body);
            body.extend_from_slice(&count(self.formats.len()));
            for format in self.formats {
                body.extend_from_slice(&format.to_be_bytes());
            }
        });
    }
}

/// Postgres reads it without a sign; nobody gets beyond 65,535 parameters.
fn count(n: usize) -> [u8; 2] {
    u16::try_from(n).unwrap_or(u16::MAX).to_be_bytes()
}

// === impl Arguments ===

impl Arguments {
    pub(crate) const NONE: Self = Self { count: 0, formats: Vec::new(), values: Vec::new() };

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// One more; `None` is NULL.
    pub(crate) fn push(&mut self, binary: bool, value: Option<&[u8]>) {
        self.push_with(binary, |out| match value {
            Some(value) => {
                out.extend_from_slice(&length(value.len()));
                out.extend_from_slice(value);
            }
            None => out.extend_from_slice(&(-1_i32).to_be_bytes()),
        });
    }

    /// One more, whose length and bytes `write` appends.
    pub(crate) fn push_with(&mut self, binary: bool, write: impl FnOnce(&mut Vec<u8>)) {
        self.count += 1;
        self.formats.extend_from_slice(&i16::from(binary).to_be_bytes());
        write(&mut self.values);
    }

    /// Whether each is in binary, and its value.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (bool, Option<&[u8]>)> {
        let (formats, _) = self.formats.as_chunks::<2>();
        let mut rest = self.values.as_slice();
        formats.iter().map_while(move |format| {
            let (size, behind) = rest.split_first_chunk::<4>()?;
            let size = usize::try_from(i32::from_be_bytes(*size)).ok();
            let (value, behind) = behind.split_at_checked(size.unwrap_or(0))?;
            rest = behind;
            Some((*format == [0, 1], size.map(|_| value)))
        })
    }

    /// The first so many of them.
    pub(crate) fn first(&self, count: usize) -> Self {
        let mut first = Self::default();
        self.iter().take(count).for_each(|(binary, value)| first.push(binary, value));
        first
    }

    /// Bytes that they take.
    pub(crate) fn size(&self) -> usize {
        self.values.len()
    }

    fn put(&self, body: &mut Vec<u8>) {
        body.extend_from_slice(&count(self.count));
        body.extend_from_slice(&self.formats);
        body.extend_from_slice(&count(self.count));
        body.extend_from_slice(&self.values);
    }
}

/// As values are prefixed in Bind and in arrays.
pub(crate) fn length(n: usize) -> [u8; 4] {
    u32::try_from(n).unwrap_or(u32::MAX).to_be_bytes()
}

// === impl Budget ===

impl Budget {
    pub(crate) fn new(most: u64) -> Self {
        Self { most, left: Cell::new(most) }
    }

    /// Takes so many bytes of it.
    pub(crate) fn take(&self, bytes: usize) -> Result<(), Failure> {
        let left = self.left.get().checked_sub(bytes as u64);
        self.left.set(left.unwrap_or(0));
        match left {
            Some(_) => Ok(()),
            None => Err(Failure::refused(
                ErrorResponse::error(
                    LIMIT_EXCEEDED,
                    format!("the statement gathers more than {} bytes from the shards", self.most),
                )
                .hint(
                    "Narrow it down, by the sharding key for one, or raise gather_limit of the \
                     cluster.",
                ),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bind_has_a_format_for_each_value() {
        let mut arguments = Arguments::default();
        arguments.push(false, Some(b"7"));
        arguments.push(true, None);
        let question = Question { sql: b"x", types: &[23], arguments: &arguments, formats: &[1] };
        let (mut bind, mut parse) = (Vec::new(), Vec::new());
        question.put_bind(&mut bind, b"s");
        assert_eq!(
            &bind[5..],
            b"\0s\0\0\x02\0\0\0\x01\0\x02\0\0\0\x017\xff\xff\xff\xff\0\x01\0\x01"
        );
        question.put_parse(&mut parse);
        assert_eq!(&parse[5..], b"\0x\0\0\x01\0\0\0\x17");
    }

    #[test]
    fn a_budget_says_what_to_raise() {
        let budget = Budget::new(10);
        assert!(budget.take(10).is_ok());
        let failure = budget.take(1).unwrap_err();
        assert_eq!(failure.code(), LIMIT_EXCEEDED);
    }
}
