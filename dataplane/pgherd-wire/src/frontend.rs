//! Messages of the client: their tags, the parts that the proxy reads, and those that it writes.

use crate::cursor::Cursor;
use crate::frame;

/// Tags of the messages that a client may send after startup.
pub mod tag {
    /// Bind.
    pub const BIND: u8 = b'B';
    /// Close of a statement or portal.
    pub const CLOSE: u8 = b'C';
    /// Data of COPY IN.
    pub const COPY_DATA: u8 = b'd';
    /// End of COPY IN.
    pub const COPY_DONE: u8 = b'c';
    /// The client gives COPY IN up.
    pub const COPY_FAIL: u8 = b'f';
    /// Describe of a statement or portal.
    pub const DESCRIBE: u8 = b'D';
    /// Execute.
    pub const EXECUTE: u8 = b'E';
    /// Flush.
    pub const FLUSH: u8 = b'H';
    /// FunctionCall.
    pub const FUNCTION_CALL: u8 = b'F';
    /// Parse.
    pub const PARSE: u8 = b'P';
    /// Password, SASLInitialResponse, SASLResponse or GSSResponse.
    pub const PASSWORD: u8 = b'p';
    /// Query of the simple protocol.
    pub const QUERY: u8 = b'Q';
    /// Sync.
    pub const SYNC: u8 = b'S';
    /// Terminate.
    pub const TERMINATE: u8 = b'X';
}

/// What Describe and Close speak of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A prepared statement.
    Statement,
    /// A portal.
    Portal,
}

/// The body of a Parse message, cut at its seams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parse<'a> {
    /// Name of the statement; empty for the unnamed one.
    pub name: &'a [u8],
    /// Everything behind the name: text, zero, number of types, types. With the name taken off
    /// this is what makes two statements the same.
    pub definition: &'a [u8],
}

impl<'a> Parse<'a> {
    /// Cuts the body; `None` when it is malformed.
    pub fn read(body: &'a [u8]) -> Option<Self> {
        let mut rest = Cursor(body);
        let name = rest.cstr()?;
        let definition = rest.0;
        rest.cstr()?;
        // Postgres reads the count without a sign: up to 65,535 types.
        let types = usize::from(u16::from_be_bytes(rest.array()?));
        (rest.0.len() == types * 4).then_some(Self { name, definition })
    }

    /// The SQL text.
    pub fn text(&self) -> &'a [u8] {
        definition_text(self.definition)
    }
}

/// The SQL text at the start of a statement's definition.
pub fn definition_text(definition: &[u8]) -> &[u8] {
    let end = memchr::memchr(0, definition).unwrap_or(definition.len());
    &definition[..end]
}

/// The names at the start of a Bind message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindNames<'a> {
    /// Name of the portal; empty for the unnamed one.
    pub portal: &'a [u8],
    /// Name of the statement; empty for the unnamed one.
    pub statement: &'a [u8],
}

impl<'a> BindNames<'a> {
    /// Reads both names; `None` while the end of the second is not in `body`.
    pub fn parse(body: &'a [u8]) -> Option<Self> {
        let mut rest = Cursor(body);
        Some(Self { portal: rest.cstr()?, statement: rest.cstr()? })
    }

    /// Bytes that both names and their zeros take.
    pub fn encoded_len(&self) -> usize {
        self.portal.len() + self.statement.len() + 2
    }
}

/// Reads the body of Describe or Close.
pub fn parse_target(body: &[u8]) -> Option<(Target, &[u8])> {
    let mut rest = Cursor(body);
    let target = match rest.u8()? {
        b'S' => Target::Statement,
        b'P' => Target::Portal,
        _ => return None,
    };
    let name = rest.cstr()?;
    rest.0.is_empty().then_some((target, name))
}

/// Appends a Parse with another name before the same definition.
pub fn put_parse(out: &mut Vec<u8>, name: &[u8], definition: &[u8]) {
    frame::put(out, tag::PARSE, |b| {
        frame::put_cstr(b, name);
        b.extend_from_slice(definition);
    });
}

/// Appends a Describe or Close.
pub fn put_target(out: &mut Vec<u8>, tag: u8, target: Target, name: &[u8]) {
    frame::put(out, tag, |b| {
        b.push(match target {
            Target::Statement => b'S',
            Target::Portal => b'P',
        });
        frame::put_cstr(b, name);
    });
}

/// Appends a Query of the simple protocol.
pub fn put_query(out: &mut Vec<u8>, sql: &[u8]) {
    frame::put(out, tag::QUERY, |b| frame::put_cstr(b, sql));
}

/// Appends a message without a body (Sync, Flush, CopyDone, Terminate).
pub fn put_empty(out: &mut Vec<u8>, tag: u8) {
    frame::put(out, tag, |_| {});
}

/// Appends a CopyFail with its reason.
pub fn put_copy_fail(out: &mut Vec<u8>, reason: &[u8]) {
    frame::put(out, tag::COPY_FAIL, |b| frame::put_cstr(b, reason));
}

/// Appends a password, or a SASLResponse, which has the same form but no terminating zero.
pub fn put_password(out: &mut Vec<u8>, password: &[u8]) {
    frame::put(out, tag::PASSWORD, |b| frame::put_cstr(b, password));
}

/// Appends a SASLInitialResponse.
pub fn put_sasl_initial(out: &mut Vec<u8>, mechanism: &[u8], data: &[u8]) {
    frame::put(out, tag::PASSWORD, |b| {
        frame::put_cstr(b, mechanism);
        let length = u32::try_from(data.len()).expect("what the proxy writes itself is small");
        b.extend_from_slice(&length.to_be_bytes());
        b.extend_from_slice(data);
    });
}

/// Appends a SASLResponse.
pub fn put_sasl_response(out: &mut Vec<u8>, data: &[u8]) {
    frame::put(out, tag::PASSWORD, |b| b.extend_from_slice(data));
}

/// Reads a SASLInitialResponse: mechanism and data.
pub fn parse_sasl_initial(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut rest = Cursor(body);
    let mechanism = rest.cstr()?;
    match rest.i32()? {
        -1 => rest.0.is_empty().then_some((mechanism, &[][..])),
        length => (usize::try_from(length).ok()? == rest.0.len()).then_some((mechanism, rest.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parse_is_cut_behind_its_name() {
        let body = b"s1\0SELECT $1\0\0\x01\0\0\0\x17";
        let parse = Parse::read(body).expect("well-formed");
        assert_eq!((parse.name, parse.text()), (&b"s1"[..], &b"SELECT $1"[..]));
        let mut out = Vec::new();
        put_parse(&mut out, b"s1", parse.definition);
        assert_eq!(&out[5..], body);
        for cut in 0..body.len() {
            assert_eq!(Parse::read(&body[..cut]), None, "cut at {cut}");
        }
    }

    #[test]
    fn a_count_of_types_has_no_sign() {
        assert_eq!(Parse::read(b"\0\0\xff\xff"), None);
        let body = [&b"\0\0\xff\xff"[..], &[0; 4 * 0xffff]].concat();
        assert!(Parse::read(&body).is_some());
    }

    #[test]
    fn bind_names_are_there_once_both_zeros_are() {
        assert_eq!(BindNames::parse(b"p\0s"), None);
        let names = BindNames::parse(b"p\0s\0\0\0").expect("both names");
        assert_eq!((names.portal, names.statement, names.encoded_len()), (&b"p"[..], &b"s"[..], 4));
    }

    #[test]
    fn describe_names_one_target_and_nothing_else() {
        assert_eq!(parse_target(b"Sx\0"), Some((Target::Statement, &b"x"[..])));
        assert_eq!(parse_target(b"P\0"), Some((Target::Portal, &b""[..])));
        assert_eq!(parse_target(b"Zx\0"), None);
        assert_eq!(parse_target(b"Sx\0y"), None);
    }

    #[test]
    fn sasl_initial_responses_must_say_their_true_length() {
        let mut out = Vec::new();
        put_sasl_initial(&mut out, b"SCRAM-SHA-256", b"n,,n=,r=x");
        assert_eq!(parse_sasl_initial(&out[5..]), Some((&b"SCRAM-SHA-256"[..], &b"n,,n=,r=x"[..])));
        assert_eq!(parse_sasl_initial(b"M\0\0\0\0\x05abc"), None);
        assert_eq!(parse_sasl_initial(b"M\0\xff\xff\xff\xff"), Some((&b"M"[..], &b""[..])));
    }
}
