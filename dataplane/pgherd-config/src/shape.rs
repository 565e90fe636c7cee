//! Compares a document with the schema of a settings type and reports every deviation.
//!
//! Serde stops at the first error and knows nothing of near misses. It still decides what is
//! accepted; this only explains what it refused, in full.

use schemars::JsonSchema;
use serde_json::{Map, Value as Json};

use crate::{
    ByteSize, Period, PeriodError, SizeError,
    document::{Node, Value, escape},
    duration::PERIOD_FORMAT,
    sharding::KEY_FORMAT,
    size::SIZE_FORMAT,
};

/// One way in which a document differs from what its type allows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Deviation {
    /// A key that this table does not have.
    #[error("unknown key `{key}`{}", hint(nearest.as_deref()))]
    UnknownKey {
        /// The key as it was written.
        key: String,
        /// The known key that looks most like it.
        nearest: Option<String>,
    },
    /// A key that must be there is not.
    #[error("the key `{key}` is missing")]
    MissingKey {
        /// The key that is needed.
        key: String,
    },
    /// A key stands twice in one table.
    #[error("the key `{key}` stands here twice")]
    DuplicateKey {
        /// The key in question.
        key: String,
    },
    /// A value of another type.
    #[error("expected {expected}, found {found}")]
    WrongType {
        /// What may stand here.
        expected: String,
        /// What does.
        found: &'static str,
    },
    /// A word that is none of those allowed here.
    #[error("expected one of {}{}", list(allowed), hint(nearest.as_deref()))]
    NotOneOf {
        /// The words that are allowed.
        allowed: Vec<String>,
        /// The allowed word that looks most like the one written.
        nearest: Option<String>,
    },
    /// A number outside of its limits.
    #[error("expected an integer from {least} to {most}")]
    OutOfRange {
        /// The smallest number allowed.
        least: i128,
        /// The largest number allowed.
        most: i128,
    },
    /// A duration that cannot be read.
    #[error("expected a duration such as \"500ms\", \"5s\" or \"1h30m\": {0}")]
    Period(#[from] PeriodError),
    /// A size that cannot be read.
    #[error("expected a size such as \"512kB\", \"64MB\" or \"1GB\": {0}")]
    Size(#[from] SizeError),
}

impl Deviation {
    /// A fixed word for programs to act on.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownKey { .. } => "unknown_key",
            Self::MissingKey { .. } => "missing_key",
            Self::DuplicateKey { .. } => "duplicate_key",
            Self::WrongType { .. } => "wrong_type",
            Self::NotOneOf { .. } => "not_one_of",
            Self::OutOfRange { .. } => "out_of_range",
            Self::Period(_) => "bad_duration",
            Self::Size(_) => "bad_size",
        }
    }
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map(|nearest| format!("; did you mean `{nearest}`?")).unwrap_or_default()
}

fn list(words: &[String]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// Every place where `document` differs from `T`, as JSON pointers, in the document's order.
pub(crate) fn deviations<T: JsonSchema>(document: &Node) -> Vec<(String, Deviation)> {
    let schema = Json::from(schemars::schema_for!(T));
    let empty = Map::new();
    let definitions = schema.get("$defs").and_then(Json::as_object).unwrap_or(&empty);
    let mut walk = Walk { definitions, found: Vec::new() };
    walk.node(document, &schema, "");
    walk.found
}

struct Walk<'a> {
    definitions: &'a Map<String, Json>,
    found: Vec<(String, Deviation)>,
}

impl<'a> Walk<'a> {
    fn report(&mut self, pointer: &str, deviation: Deviation) {
        self.found.push((pointer.to_owned(), deviation));
    }

    fn wrong_type(&mut self, pointer: &str, node: &Node, expected: &str) {
        let deviation =
            Deviation::WrongType { expected: expected.to_owned(), found: node.type_name() };
        self.report(pointer, deviation);
    }

    fn node(&mut self, node: &Node, schema: &'a Json, pointer: &str) {
        let (schema, nullable) = self.resolve(schema);
        if nullable && matches!(node.value, Value::Null) {
            return;
        }
        if schema.get("format").and_then(Json::as_str) == Some(PERIOD_FORMAT) {
            return self.period(node, pointer);
        }
        if schema.get("format").and_then(Json::as_str) == Some(SIZE_FORMAT) {
            return self.size(node, pointer);
        }
        if schema.get("format").and_then(Json::as_str) == Some(KEY_FORMAT) {
            if !matches!(node.value, Value::Text(_) | Value::Integer(Some(_)) | Value::Bool) {
                self.wrong_type(pointer, node, "a string, an integer or a boolean");
            }
            return;
        }
        if let Some(words) = allowed_words(schema) {
            return self.word(node, words, pointer);
        }
        match (type_of(schema), &node.value) {
            ("object", Value::Table(_)) => self.table(node, schema, pointer),
            ("array", Value::Array(items)) => {
                for (index, item) in items.iter().enumerate() {
                    self.node(item, &schema["items"], &format!("{pointer}/{index}"));
                }
            }
            ("integer", Value::Integer(number)) => self.integer(*number, schema, pointer),
            ("number", Value::Integer(_) | Value::Float)
            | ("boolean", Value::Bool)
            | ("string", Value::Text(_)) => {}
            ("object", _) => self.wrong_type(pointer, node, "a table"),
            ("array", _) => self.wrong_type(pointer, node, "an array"),
            ("integer", _) => self.wrong_type(pointer, node, "an integer"),
            ("number", _) => self.wrong_type(pointer, node, "a number"),
            ("boolean", _) => self.wrong_type(pointer, node, "true or false"),
            (_, _) => self.wrong_type(pointer, node, "a string"),
        }
    }

    /// Follows references and takes the `null` out of an optional type.
    fn resolve(&self, mut schema: &'a Json) -> (&'a Json, bool) {
        let mut nullable = false;
        loop {
            if let Some(choices) = schema.get("anyOf").and_then(Json::as_array)
                && schema.get("format").is_none()
            {
                nullable |= choices.iter().any(|choice| type_of(choice) == "null");
                match choices.iter().find(|choice| type_of(choice) != "null") {
                    Some(choice) => schema = choice,
                    None => return (schema, nullable),
                }
            } else if let Some(name) = schema.get("$ref").and_then(Json::as_str) {
                let name = name.rsplit('/').next().unwrap_or_default();
                match self.definitions.get(name) {
                    Some(definition) => schema = definition,
                    None => return (schema, nullable),
                }
            } else {
                let types = schema.get("type").and_then(Json::as_array);
                nullable |= types.is_some_and(|types| types.iter().any(|name| name == "null"));
                return (schema, nullable);
            }
        }
    }

    fn table(&mut self, node: &Node, schema: &'a Json, pointer: &str) {
        let Value::Table(entries) = &node.value else { return };
        let Some(properties) = schema.get("properties").and_then(Json::as_object) else { return };
        for (index, entry) in entries.iter().enumerate() {
            let key = &entry.key;
            let child = format!("{pointer}/{}", escape(key));
            if entries.iter().take(index).any(|earlier| earlier.key == *key) {
                self.report(&child, Deviation::DuplicateKey { key: key.clone() });
            }
            match properties.get(key) {
                Some(schema) => self.node(&entry.node, schema, &child),
                None => {
                    let nearest = nearest(key, properties.keys().map(String::as_str));
                    self.report(&child, Deviation::UnknownKey { key: key.clone(), nearest });
                }
            }
        }
        let required = schema.get("required").and_then(Json::as_array).into_iter().flatten();
        for key in required.filter_map(Json::as_str) {
            if !entries.iter().any(|entry| entry.key == key) {
                self.report(pointer, Deviation::MissingKey { key: key.to_owned() });
            }
        }
    }

    fn integer(&mut self, number: Option<i128>, schema: &Json, pointer: &str) {
        let least = limit(schema, "minimum").unwrap_or(i64::MIN.into());
        let most = limit(schema, "maximum").unwrap_or_else(|| {
            match schema.get("format").and_then(Json::as_str) {
                Some("uint8") => u8::MAX.into(),
                Some("uint16") => u16::MAX.into(),
                Some("uint32") => u32::MAX.into(),
                _ => i64::MAX.into(),
            }
        });
        if !number.is_some_and(|number| (least..=most).contains(&number)) {
            self.report(pointer, Deviation::OutOfRange { least, most });
        }
    }

    fn period(&mut self, node: &Node, pointer: &str) {
        let error = match &node.value {
            Value::Text(text) => text.parse::<Period>().err(),
            Value::Integer(Some(0)) => None,
            Value::Integer(_) | Value::Float => Some(PeriodError::UnitMissing),
            Value::Null | Value::Bool | Value::Array(_) | Value::Table(_) | Value::DateTime => {
                return self.wrong_type(pointer, node, "a duration such as \"5s\"");
            }
        };
        if let Some(error) = error {
            self.report(pointer, error.into());
        }
    }

    fn size(&mut self, node: &Node, pointer: &str) {
        let error = match &node.value {
            Value::Text(text) => text.parse::<ByteSize>().err(),
            Value::Integer(_) | Value::Float => Some(SizeError::UnitMissing),
            Value::Null | Value::Bool | Value::Array(_) | Value::Table(_) | Value::DateTime => {
                return self.wrong_type(pointer, node, "a size such as \"64MB\"");
            }
        };
        if let Some(error) = error {
            self.report(pointer, error.into());
        }
    }

    fn word(&mut self, node: &Node, allowed: Vec<String>, pointer: &str) {
        match &node.value {
            Value::Text(text) if allowed.contains(text) => {}
            Value::Text(text) => {
                let nearest = nearest(text, allowed.iter().map(String::as_str));
                self.report(pointer, Deviation::NotOneOf { allowed, nearest });
            }
            _ => self.wrong_type(pointer, node, &format!("one of {}", list(&allowed))),
        }
    }
}

/// The type that a schema names first, leaving `null` aside where there is another.
fn type_of(schema: &Json) -> &str {
    match schema.get("type") {
        Some(Json::String(name)) => name,
        Some(Json::Array(names)) => {
            names.iter().filter_map(Json::as_str).find(|name| *name != "null").unwrap_or("null")
        }
        _ => "",
    }
}

/// The words of an enum, which schemars writes as `enum` or, with doc comments, as `oneOf`.
fn allowed_words(schema: &Json) -> Option<Vec<String>> {
    let plain = schema.get("enum").and_then(Json::as_array).into_iter().flatten();
    let documented = schema.get("oneOf").and_then(Json::as_array).into_iter().flatten();
    let words: Vec<String> = plain
        .chain(documented.filter_map(|choice| choice.get("const")))
        .filter_map(Json::as_str)
        .map(str::to_owned)
        .collect();
    (!words.is_empty()).then_some(words)
}

fn limit(schema: &Json, name: &str) -> Option<i128> {
    schema.get(name).and_then(Json::as_i64).map(i128::from)
}

/// The candidate with the fewest typing errors, if it is near enough to be meant.
fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<String> {
    let furthest = (word.chars().count() / 3).max(2);
    candidates
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= furthest)
        .min()
        .map(|(_, candidate)| candidate.to_owned())
}
