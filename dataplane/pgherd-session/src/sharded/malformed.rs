//! What Postgres says of messages that are not what their type promises.

use pgherd_wire::frontend::tag;
use pgherd_wire::sqlstate;

use super::failure::Failure;

/// What a message consists of.
#[derive(Clone, Copy)]
enum Part {
    /// Up to a zero.
    Text,
    /// `S` or `P`; the word is for the error.
    Kind(&'static str),
    Int32,
    /// A count and as many times so many bytes.
    Counted(usize),
    /// A count and as many values, each with its length.
    Values,
}

const STRING: &str = "invalid string in message";
const TOO_SHORT: &str = "insufficient data left in message";
const NOTHING_LEFT: &str = "no data left in message";
const FORMAT: &str = "invalid message format";

fn parts(tag: u8) -> &'static [Part] {
    use Part::{Counted, Int32, Kind, Text, Values};
    match tag {
        tag::QUERY => &[Text],
        tag::PARSE => &[Text, Text, Counted(4)],
        tag::BIND => &[Text, Text, Counted(2), Values, Counted(2)],
        tag::DESCRIBE => &[Kind("DESCRIBE"), Text],
        tag::CLOSE => &[Kind("CLOSE"), Text],
        tag::EXECUTE => &[Text, Int32],
        _ => &[],
    }
}

/// What is wrong with the body of a message; `None` when it is what it should be.
pub(super) fn fault(tag: u8, body: &[u8]) -> Option<String> {
    let mut rest = body;
    let mut unknown = None;
    for part in parts(tag) {
        if let Err(fault) = part.skip(&mut rest, &mut unknown) {
            return Some(fault.to_owned());
        }
    }
    match unknown {
        _ if !rest.is_empty() => Some(FORMAT.to_owned()),
        Some((word, kind)) => Some(format!("invalid {word} message subtype {kind}")),
        None => None,
    }
}

/// The error about a malformed message.
pub(super) fn malformed(tag: u8, body: &[u8]) -> Failure {
    let text = fault(tag, body).unwrap_or_else(|| FORMAT.to_owned());
    Failure::error(sqlstate::PROTOCOL_VIOLATION, text)
}

// === impl Part ===

impl Part {
    fn skip(
        self,
        rest: &mut &[u8],
        unknown: &mut Option<(&'static str, u8)>,
    ) -> Result<(), &'static str> {
        match self {
            Self::Text => {
                let end = memchr::memchr(0, rest).ok_or(STRING)?;
                take(rest, end + 1).map(drop)
            }
            Self::Kind(word) => {
                let (kind, behind) = rest.split_first().ok_or(NOTHING_LEFT)?;
                *rest = behind;
                if !matches!(kind, b'S' | b'P') {
                    *unknown = Some((word, *kind));
                }
                Ok(())
            }
            Self::Int32 => take(rest, 4).map(drop),
            Self::Counted(size) => {
                let count = count(rest)?;
                (0..count).try_for_each(|_| take(rest, size).map(drop))
            }
            Self::Values => {
                let count = count(rest)?;
                (0..count).try_for_each(|_| {
                    let (length, behind) = rest.split_first_chunk::<4>().ok_or(TOO_SHORT)?;
                    *rest = behind;
                    match i32::from_be_bytes(*length) {
                        -1 => Ok(()),
                        length => {
                            take(rest, usize::try_from(length).map_err(|_| TOO_SHORT)?).map(drop)
                        }
                    }
                })
            }
        }
    }
}

fn take<'a>(rest: &mut &'a [u8], size: usize) -> Result<&'a [u8], &'static str> {
    let (taken, behind) = rest.split_at_checked(size).ok_or(TOO_SHORT)?;
    *rest = behind;
    Ok(taken)
}

fn count(rest: &mut &[u8]) -> Result<u16, &'static str> {
    let (count, behind) = rest.split_first_chunk::<2>().ok_or(TOO_SHORT)?;
    *rest = behind;
    Ok(u16::from_be_bytes(*count))
}

/// The error about bytes that are no UTF-8, which names the first of them.
pub(super) fn not_utf8(text: &[u8]) -> Failure {
    const MOST: usize = 8;
    let valid = std::str::from_utf8(text).map_or_else(|it| it.valid_up_to(), str::len);
    let rest = text.get(valid..).unwrap_or_default();
    // As many as the first one promises.
    let promised = match rest.first() {
        Some(0xc0..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        Some(0xf0..=0xf7) => 4,
        _ => 1,
    };
    let bytes: Vec<String> =
        rest.iter().take(promised).take(MOST).map(|it| format!("0x{it:02x}")).collect();
    let text = format!("invalid byte sequence for encoding \"UTF8\": {}", bytes.join(" "));
    Failure::error("22021", text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_named_as_postgres_does() {
        for (tag, body, expected) in [
            (tag::QUERY, &b"SELECT 1"[..], Some(STRING)),
            (tag::QUERY, b"SELECT 1\0\0", Some(FORMAT)),
            (tag::QUERY, b"SELECT 1\0", None),
            (tag::PARSE, b"abc", Some(STRING)),
            (tag::PARSE, b"\0\0\0", Some(TOO_SHORT)),
            (tag::PARSE, b"\0\0\0\x01\0\0\0\x17", None),
            (tag::EXECUTE, b"\0", Some(TOO_SHORT)),
            (tag::DESCRIBE, b"", Some(NOTHING_LEFT)),
            (tag::DESCRIBE, b"Z\0", Some("invalid DESCRIBE message subtype 90")),
            (tag::CLOSE, b"Z\0", Some("invalid CLOSE message subtype 90")),
            (tag::BIND, b"\0\0\0\0\0\x01\0\0\0\x05a", Some(TOO_SHORT)),
            (tag::BIND, b"\0\0\0\0\0\x01\xff\xff\xff\xff\0\0", None),
            (tag::SYNC, b"x", Some(FORMAT)),
            (tag::SYNC, b"", None),
        ] {
            assert_eq!(fault(tag, body).as_deref(), expected, "{}", body.escape_ascii());
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_named() {
        let mut out = Vec::new();
        not_utf8(b"a\xe4\xb8").put(&mut out);
        assert!(out.windows(10).any(|it| it == b": 0xe4 0xb"), "{}", out.escape_ascii());
        let mut out = Vec::new();
        not_utf8(b"\xff\xff").put(&mut out);
        assert!(out.windows(8).any(|it| it == b": 0xff\0\0"), "{}", out.escape_ascii());
    }
}
