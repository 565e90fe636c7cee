//! `jsonb`: its text, and the order of its btree.

use std::cmp::Ordering;

use bytes::Bytes;

use crate::{Collation, Numeric};

/// Deeper values are refused: Postgres takes some thousands, a worker's stack does not.
const DEEPEST: usize = 500;

/// A value of `jsonb`. Objects have their keys once, by length and then by bytes, as servers send
/// them.
#[derive(Clone, Debug, PartialEq)]
pub enum Jsonb {
    Null,
    String(Bytes),
    Number(Numeric),
    Bool(bool),
    Array(Vec<Jsonb>),
    Object(Vec<(Bytes, Jsonb)>),
}

// === impl Jsonb ===

impl Jsonb {
    /// Reads the text that Postgres writes.
    pub fn from_text(text: &[u8]) -> Option<Self> {
        let mut parser = Parser { rest: text, depth: 0 };
        let value = parser.value()?;
        parser.rest.is_empty().then_some(value)
    }

    /// Writes the text that Postgres writes.
    pub fn write_text(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.extend_from_slice(b"null"),
            Self::Bool(true) => out.extend_from_slice(b"true"),
            Self::Bool(false) => out.extend_from_slice(b"false"),
            Self::Number(number) => number.write_text(out),
            Self::String(text) => write_string(text, out),
            Self::Array(elements) => {
                out.push(b'[');
                for (place, element) in elements.iter().enumerate() {
                    out.extend_from_slice(if place > 0 { b", " } else { b"" });
                    element.write_text(out);
                }
                out.push(b']');
            }
            Self::Object(pairs) => {
                out.push(b'{');
                for (place, (key, value)) in pairs.iter().enumerate() {
                    out.extend_from_slice(if place > 0 { b", " } else { b"" });
                    write_string(key, out);
                    out.extend_from_slice(b": ");
                    value.write_text(out);
                }
                out.push(b'}');
            }
        }
    }

    /// The order of the types within `jsonb`.
    fn class(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::String(_) => 1,
            Self::Number(_) => 2,
            Self::Bool(_) => 3,
            Self::Array(_) => 4,
            Self::Object(_) => 5,
        }
    }

    /// `jsonb_cmp`: strings by the database's collation.
    pub(crate) fn compare(&self, other: &Self, collation: &Collation) -> Option<Ordering> {
        // A scalar by itself is stored as an array of one element, and an array that is really one
        // counts as greater, unless the numbers of elements differ: then these decide.
        let lone = |it: &Self| !matches!(it, Self::Array(_) | Self::Object(_));
        let order = match (self, other) {
            (Self::Array(elements), it) if lone(it) => {
                elements.len().cmp(&1).then(Ordering::Greater)
            }
            (it, Self::Array(elements)) if lone(it) => 1.cmp(&elements.len()).then(Ordering::Less),
            _ => return self.compare_inner(other, collation),
        };
        Some(order)
    }

    fn compare_inner(&self, other: &Self, collation: &Collation) -> Option<Ordering> {
        Some(match (self, other) {
            (Self::String(a), Self::String(b)) => collation.order(a, b)?,
            (Self::Number(a), Self::Number(b)) => a.compare(b),
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Array(a), Self::Array(b)) => {
                if a.len() != b.len() {
                    return Some(a.len().cmp(&b.len()));
                }
                for (a, b) in a.iter().zip(b) {
                    let order = a.compare_inner(b, collation)?;
                    if order.is_ne() {
                        return Some(order);
                    }
                }
                Ordering::Equal
            }
            (Self::Object(a), Self::Object(b)) => compare_objects(a, b, collation)?,
            _ => self.class().cmp(&other.class()),
        })
    }
}

fn compare_objects(
    a: &[(Bytes, Jsonb)],
    b: &[(Bytes, Jsonb)],
    collation: &Collation,
) -> Option<Ordering> {
    if a.len() != b.len() {
        return Some(a.len().cmp(&b.len()));
    }
    for ((a_key, a_value), (b_key, b_value)) in a.iter().zip(b) {
        let keys = collation.order(a_key, b_key)?;
        if keys.is_ne() {
            return Some(keys);
        }
        let values = a_value.compare_inner(b_value, collation)?;
        if values.is_ne() {
            return Some(values);
        }
    }
    Some(Ordering::Equal)
}

/// `escape_json`
pub(crate) fn write_string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for &byte in text {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0C => out.extend_from_slice(b"\\f"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..0x20 => out.extend(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

/// Reads what `jsonb_out` writes, which has few forms.
struct Parser<'a> {
    rest: &'a [u8],
    depth: usize,
}

impl<'a> Parser<'a> {
    fn eat(&mut self, token: &[u8]) -> bool {
        let rest = self.rest.strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn value(&mut self) -> Option<Jsonb> {
        match self.rest.first()? {
            b'{' => self.nested(Self::object),
            b'[' => self.nested(Self::array),
            b'"' => self.string().map(Jsonb::String),
            b'n' => self.eat(b"null").then_some(Jsonb::Null),
            b't' => self.eat(b"true").then_some(Jsonb::Bool(true)),
            b'f' => self.eat(b"false").then_some(Jsonb::Bool(false)),
            _ => self.number(),
        }
    }

    fn nested(&mut self, read: fn(&mut Self) -> Option<Jsonb>) -> Option<Jsonb> {
        self.depth += 1;
        let value = if self.depth > DEEPEST { None } else { read(self) };
        self.depth -= 1;
        value
    }

    fn object(&mut self) -> Option<Jsonb> {
        let mut pairs = Vec::new();
        self.rest = self.rest.get(1..)?;
        if self.eat(b"}") {
            return Some(Jsonb::Object(pairs));
        }
        loop {
            let key = self.string()?;
            if !self.eat(b": ") {
                return None;
            }
            pairs.push((key, self.value()?));
            if self.eat(b"}") {
                return Some(Jsonb::Object(pairs));
            }
            if !self.eat(b", ") {
                return None;
            }
        }
    }

    fn array(&mut self) -> Option<Jsonb> {
        let mut elements = Vec::new();
        self.rest = self.rest.get(1..)?;
        if self.eat(b"]") {
            return Some(Jsonb::Array(elements));
        }
        loop {
            elements.push(self.value()?);
            if self.eat(b"]") {
                return Some(Jsonb::Array(elements));
            }
            if !self.eat(b", ") {
                return None;
            }
        }
    }

    fn number(&mut self) -> Option<Jsonb> {
        let digit = |byte: &&u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
        let (text, rest) = self.rest.split_at(self.rest.iter().take_while(digit).count());
        self.rest = rest;
        Numeric::from_text(text).map(Jsonb::Number)
    }

    fn string(&mut self) -> Option<Bytes> {
        if !self.eat(b"\"") {
            return None;
        }
        let mut text = Vec::new();
        loop {
            let (&byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            match byte {
                b'"' => return Some(text.into()),
                b'\\' => {
                    let (&escape, rest) = self.rest.split_first()?;
                    self.rest = rest;
                    match escape {
                        b'b' => text.push(0x08),
                        b'f' => text.push(0x0C),
                        b'n' => text.push(b'\n'),
                        b'r' => text.push(b'\r'),
                        b't' => text.push(b'\t'),
                        b'u' => self.code_point(&mut text)?,
                        b'"' | b'\\' | b'/' => text.push(escape),
                        _ => return None,
                    }
                }
                _ => text.push(byte),
            }
        }
    }

    /// Servers write only control characters this way.
    fn code_point(&mut self, text: &mut Vec<u8>) -> Option<()> {
        let (digits, rest) = self.rest.split_first_chunk::<4>()?;
        self.rest = rest;
        let code = u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        let letter = char::from_u32(code)?;
        text.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
        Some(())
    }
}
