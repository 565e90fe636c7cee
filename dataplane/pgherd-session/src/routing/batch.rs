//! What a client is about to have executed: the messages at the head of its buffer, up to the one
//! at which the server says that it is ready.

use pgherd_wire::frame::{HEADER_LEN, Header};
use pgherd_wire::frontend::{BindNames, Parse, Target, parse_target, tag};

/// The longest batch that is waited for and looked at as a whole.
pub(crate) const MAX_BATCH: usize = 64 * 1024;

/// One thing in a batch by which its instance is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Item<'b> {
    /// A simple query.
    Query(&'b [u8]),
    /// A statement is defined.
    Parse {
        /// Its name; empty for the unnamed one.
        name: &'b [u8],
        /// Its text.
        text: &'b [u8],
    },
    /// A statement is bound, or asked about.
    Uses(&'b [u8]),
    /// A statement is closed.
    Closes,
    /// Something of which nothing is known: a function call, a message that is malformed.
    Opaque,
}

/// How far a batch is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// All of it.
    Whole,
    /// The client wants an answer before it says how it goes on.
    Open,
    /// More must come.
    Partial,
    /// It is too long to be waited for.
    TooLong,
}

/// Calls `each` with what stands in the first batch of `bytes`.
pub(crate) fn scan<'b>(bytes: &'b [u8], mut each: impl FnMut(Item<'b>)) -> Extent {
    let mut rest = bytes;
    loop {
        let header = match Header::peek(rest) {
            Ok(Some(header)) => header,
            Ok(None) if bytes.len() >= MAX_BATCH => return Extent::TooLong,
            Ok(None) => return Extent::Partial,
            Err(_) => {
                each(Item::Opaque);
                return Extent::Whole;
            }
        };
        if (bytes.len() - rest.len()).saturating_add(header.total_len()) > MAX_BATCH {
            return Extent::TooLong;
        }
        let Some((message, behind)) = rest.split_at_checked(header.total_len()) else {
            return Extent::Partial;
        };
        let body = message.get(HEADER_LEN..).unwrap_or_default();
        match header.tag {
            tag::QUERY => {
                each(Item::Query(body.strip_suffix(&[0]).unwrap_or(body)));
                return Extent::Whole;
            }
            tag::FUNCTION_CALL => {
                each(Item::Opaque);
                return Extent::Whole;
            }
            tag::PARSE => match Parse::read(body) {
                Some(parse) => each(Item::Parse { name: parse.name, text: parse.text() }),
                None => each(Item::Opaque),
            },
            tag::BIND => match BindNames::parse(body) {
                Some(names) => each(Item::Uses(names.statement)),
                None => each(Item::Opaque),
            },
            tag::DESCRIBE => match parse_target(body) {
                Some((Target::Statement, name)) => each(Item::Uses(name)),
                // A portal was bound before it is described.
                Some((Target::Portal, _)) => {}
                None => each(Item::Opaque),
            },
            tag::CLOSE if matches!(parse_target(body), Some((Target::Statement, _))) => {
                each(Item::Closes);
            }
            tag::FLUSH => return Extent::Open,
            // The end of the session, or of the protocol, ends the batch as well.
            tag if tag == tag::SYNC || !crate::session::is_frontend_tag(tag) => {
                return Extent::Whole;
            }
            tag::TERMINATE => return Extent::Whole,
            // Execute names a portal that was bound before; a Close executes nothing; copy data
            // outside of a copy is ignored.
            _ => {}
        }
        rest = behind;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgherd_wire::{frame, frontend};

    fn message(tag: u8, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        frame::put(&mut out, tag, |out| out.extend_from_slice(body));
        out
    }

    #[track_caller]
    fn check(bytes: &[u8], items: &str, extent: Extent) {
        let mut seen = Vec::new();
        let found = scan(bytes, |item| {
            seen.push(match item {
                Item::Query(text) => format!("query {}", text.escape_ascii()),
                Item::Parse { name, text } => {
                    format!("parse {}:{}", name.escape_ascii(), text.escape_ascii())
                }
                Item::Uses(name) => format!("uses {}", name.escape_ascii()),
                Item::Closes => "closes".to_owned(),
                Item::Opaque => "opaque".to_owned(),
            });
        });
        assert_eq!((seen.join(", ").as_str(), found), (items, extent));
    }

    fn parse(name: &str, text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        frontend::put_parse(&mut out, name.as_bytes(), format!("{text}\0\0\0").as_bytes());
        out
    }

    #[test]
    fn a_batch_ends_where_the_server_says_that_it_is_ready() {
        let query = message(b'Q', b"SELECT 1\0");
        check(&query, "query SELECT 1", Extent::Whole);
        let two = [query.clone(), message(b'Q', b"DELETE\0")].concat();
        check(&two, "query SELECT 1", Extent::Whole);
        let bind = message(b'B', b"p\0s1\0\0\0\0\0\0\0");
        let execute = message(b'E', b"p\0\0\0\0\0");
        let sync = message(b'S', b"");
        let batch = [parse("s2", "X"), bind.clone(), execute.clone(), sync.clone()].concat();
        check(&batch, "parse s2:X, uses s1", Extent::Whole);
        let behind = [batch, parse("", "Y")].concat();
        check(&behind, "parse s2:X, uses s1", Extent::Whole);
        check(&[bind, execute].concat(), "uses s1", Extent::Partial);
        let open = [parse("", "X"), message(b'D', b"S\0"), message(b'H', b""), sync].concat();
        check(&open, "parse :X, uses ", Extent::Open);
        check(&message(b'F', b"x"), "opaque", Extent::Whole);
        check(&message(b'X', b""), "", Extent::Whole);
        check(&message(b'!', b""), "", Extent::Whole);
        check(b"Q\0\0\0\0", "opaque", Extent::Whole);
        check(&message(b'B', b"p"), "opaque", Extent::Partial);
    }

    #[test]
    fn what_is_cut_anywhere_is_waited_for() {
        let batch = [parse("", "SELECT 1"), message(b'B', b"\0\0"), message(b'S', b"")].concat();
        for cut in 0..batch.len() {
            assert_eq!(scan(&batch[..cut], |_| {}), Extent::Partial, "cut at {cut}");
        }
        assert_eq!(scan(&batch, |_| {}), Extent::Whole);
    }

    #[test]
    fn what_is_long_is_not_waited_for() {
        let query = message(b'Q', &vec![b'x'; MAX_BATCH]);
        assert_eq!(scan(&query, |_| {}), Extent::TooLong);
        assert_eq!(scan(&query[..5], |_| {}), Extent::TooLong);
        let many = message(b'B', &vec![0; 1000]).repeat(70);
        assert_eq!(scan(&many, |_| {}), Extent::TooLong);
    }
}
