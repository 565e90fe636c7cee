//! A TOML or JSON document as a tree that still knows where each part stands in the text.

use std::{fmt, ops::Range};

use serde::{Deserialize, Deserializer, de};
use toml::{Spanned, de::DeValue};

/// One value of a document.
#[derive(Debug)]
pub(crate) struct Node {
    /// Where it stands in the text, in bytes; unknown for JSON.
    pub(crate) span: Option<Range<usize>>,
    pub(crate) value: Value,
}

#[derive(Debug)]
pub(crate) enum Value {
    Null,
    Bool,
    /// `None` when it does not fit.
    Integer(Option<i128>),
    Float,
    Text(String),
    Array(Vec<Node>),
    Table(Vec<Entry>),
    DateTime,
}

/// One key of a table and what stands behind it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_span: Option<Range<usize>>,
    pub(crate) node: Node,
}

impl Node {
    /// The name of the value's type, for messages.
    pub(crate) fn type_name(&self) -> &'static str {
        match self.value {
            Value::Null => "null",
            Value::Bool => "a boolean",
            Value::Integer(_) => "an integer",
            Value::Float => "a number",
            Value::Text(_) => "a string",
            Value::Array(_) => "an array",
            Value::Table(_) => "a table",
            Value::DateTime => "a date or time",
        }
    }

    /// Where the value at a JSON pointer begins, or the nearest thing around it that exists.
    ///
    /// For a table under a key that is the key's place, so that messages about a whole section
    /// point at its heading.
    pub(crate) fn locate(&self, pointer: &str) -> Option<usize> {
        let mut node = self;
        let mut place = None;
        for segment in pointer.split('/').skip(1) {
            let child = match &node.value {
                Value::Array(items) => segment
                    .parse::<usize>()
                    .ok()
                    .and_then(|index| items.get(index))
                    .map(|item| (item, item.span.clone())),
                Value::Table(entries) => {
                    let key = unescape(segment);
                    entries
                        .iter()
                        .find(|entry| entry.key == key)
                        .map(|entry| (&entry.node, entry.key_span.clone()))
                }
                Value::Null
                | Value::Bool
                | Value::Integer(_)
                | Value::Float
                | Value::Text(_)
                | Value::DateTime => None,
            };
            let Some((child, span)) = child else { break };
            place = span.map(|span| span.start).or(place);
            node = child;
        }
        place
    }

    /// Reads JSON, keeping keys that stand twice in an object.
    ///
    /// # Errors
    /// When the text is not JSON, or nested too deeply for the parser.
    pub(crate) fn from_json(text: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(text)
    }

    /// Takes over what the TOML parser has read.
    pub(crate) fn from_toml(value: Spanned<DeValue<'_>>) -> Self {
        let span = Some(value.span());
        let value = match value.into_inner() {
            DeValue::String(text) => Value::Text(text.into_owned()),
            DeValue::Integer(number) => {
                Value::Integer(i128::from_str_radix(number.as_str(), number.radix()).ok())
            }
            DeValue::Float(_) => Value::Float,
            DeValue::Boolean(_) => Value::Bool,
            DeValue::Datetime(_) => Value::DateTime,
            DeValue::Array(items) => Value::Array(items.into_iter().map(Self::from_toml).collect()),
            DeValue::Table(entries) => Value::Table(
                entries
                    .into_iter()
                    .map(|(key, value)| Entry {
                        key_span: Some(key.span()),
                        key: key.into_inner().into_owned(),
                        node: Self::from_toml(value),
                    })
                    .collect(),
            ),
        };
        Self { span, value }
    }
}

/// Writes a key as a segment of a JSON pointer (RFC 6901).
pub(crate) fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn unescape(segment: &str) -> String {
    segment.replace("~1", "/").replace("~0", "~")
}

/// Shows a JSON pointer the way a TOML file is read: `/clusters/0/name` as `clusters[0].name`.
pub(crate) fn readable(pointer: &str) -> String {
    let mut path = String::new();
    for segment in pointer.split('/').skip(1) {
        if !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit()) {
            path.push('[');
            path.push_str(segment);
            path.push(']');
        } else {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(&unescape(segment));
        }
    }
    path
}

// === impl Deserialize for Node ===

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = deserializer.deserialize_any(ValueVisitor)?;
        Ok(Self { span: None, value })
    }
}

struct ValueVisitor;

impl<'de> de::Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Bool)
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(Some(value.into())))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Integer(Some(value.into())))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Float)
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = items.next_element()? {
            nodes.push(node);
        }
        Ok(Value::Array(nodes))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, node)) = map.next_entry()? {
            entries.push(Entry { key, key_span: None, node });
        }
        Ok(Value::Table(entries))
    }
}
