//! A backend message as it came, readable when printed.

use std::fmt;

use anyhow::{Result, ensure};

/// Larger than any answer that a test asks for.
const LONGEST: usize = 256 << 20;
/// How much of a body is printed.
const SHOWN: usize = 120;

/// Tag and body of one backend message.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// The first byte.
    pub tag: u8,
    /// All that follows the length.
    pub body: Vec<u8>,
}

impl Message {
    /// Takes a whole message off the front of `bytes`.
    pub(super) fn take(bytes: &mut Vec<u8>) -> Result<Option<Self>> {
        let Some((&[tag, a, b, c, d], _)) = bytes.split_first_chunk::<5>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        ensure!(
            (4..LONGEST).contains(&length),
            "not a message: '{}'",
            bytes[..bytes.len().min(SHOWN)].escape_ascii()
        );
        if bytes.len() < length + 1 {
            return Ok(None);
        }
        let body = bytes[5..=length].to_vec();
        bytes.drain(..=length);
        Ok(Some(Self { tag, body }))
    }

    /// A field of an ErrorResponse or NoticeResponse: `C` SQLSTATE, `M` message, ….
    pub fn field(&self, code: u8) -> Option<String> {
        if !matches!(self.tag, b'E' | b'N') {
            return None;
        }
        self.fields().find(|(field, _)| *field == code).map(|(_, value)| value)
    }

    /// The SQLSTATE of an error or notice.
    pub fn sqlstate(&self) -> Option<String> {
        self.field(b'C')
    }

    /// Name and value of a ParameterStatus.
    pub fn parameter_status(&self) -> Option<(String, String)> {
        if self.tag != b'S' {
            return None;
        }
        let mut texts = self.body.split(|&byte| byte == 0);
        let mut next = || Some(String::from_utf8_lossy(texts.next()?).into_owned());
        Some((next()?, next()?))
    }

    /// The names in a RowDescription.
    pub fn columns(&self) -> Option<Vec<String>> {
        /// What follows each name: table, column, type, size, modifier, format.
        const ATTRIBUTES: usize = 18;
        if self.tag != b'T' {
            return None;
        }
        let (count, mut rest) = self.body.split_first_chunk::<2>()?;
        let mut names = Vec::new();
        for _ in 0..u16::from_be_bytes(*count) {
            let end = rest.iter().position(|&byte| byte == 0)?;
            names.push(String::from_utf8_lossy(&rest[..end]).into_owned());
            rest = rest.get(end + 1 + ATTRIBUTES..)?;
        }
        Some(names)
    }

    /// The values of a DataRow.
    pub fn data_row(&self) -> Option<Vec<Option<&[u8]>>> {
        if self.tag != b'D' {
            return None;
        }
        let (count, mut rest) = self.body.split_first_chunk::<2>()?;
        let mut values = Vec::new();
        for _ in 0..u16::from_be_bytes(*count) {
            let (length, tail) = rest.split_first_chunk::<4>()?;
            match usize::try_from(i32::from_be_bytes(*length)) {
                Ok(length) => {
                    let (value, tail) = tail.split_at_checked(length)?;
                    values.push(Some(value));
                    rest = tail;
                }
                Err(_) => {
                    values.push(None);
                    rest = tail;
                }
            }
        }
        Some(values)
    }

    fn fields(&self) -> impl Iterator<Item = (u8, String)> {
        self.body.split(|&byte| byte == 0).filter_map(|field| {
            let (&code, value) = field.split_first()?;
            Some((code, String::from_utf8_lossy(value).into_owned()))
        })
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.tag.escape_ascii())?;
        match self.tag {
            b'E' | b'N' => {
                for (code, value) in self.fields() {
                    write!(f, " {}={value}", code.escape_ascii())?;
                }
                Ok(())
            }
            _ if self.body.len() > SHOWN => {
                let shown = self.body[..SHOWN].escape_ascii();
                write!(f, " {shown}… ({} bytes)", self.body.len())
            }
            _ => write!(f, " {}", self.body.escape_ascii()),
        }
    }
}
