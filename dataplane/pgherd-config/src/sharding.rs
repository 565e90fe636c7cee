//! Which keys go to which shard: the settings, and what they mean once the key's type is known.

use std::borrow::Cow;
use std::cmp::Ordering;

use pgherd_types::{Collation, Collations, Comparator, Format, Settings, Type, TypeError, Value};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// How the rows of tables with a given column are placed on shards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShardedTable {
    /// Narrows the rule to one table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// The column that holds the sharding key.
    pub column: String,
    /// Type of the column.
    #[serde(rename = "type")]
    pub column_type: String,
    /// How a key becomes a shard.
    #[serde(default)]
    pub algorithm: ShardingAlgorithm,
    /// Which keys go where, for `list` and `range`: such as `{ shard = 0, values = ["at", "de"] }`
    /// or `{ shard = 1, from = 1000, to = 2000 }`. A shard may stand here several times.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shards: Vec<KeyedShard>,
}

/// How a sharding key becomes a shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ShardingAlgorithm {
    /// As Postgres's `PARTITION BY HASH`.
    #[default]
    Hash,
    /// By listed values.
    List,
    /// By ranges.
    Range,
}

/// Keys of one shard. A key that no entry takes is an error, unless an entry is the default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyedShard {
    /// The shard, counted from 0.
    pub shard: usize,
    /// The keys of a `list`, written as Postgres shows them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<KeyText>,
    /// Whether rows whose key is NULL go here, in a `list`.
    #[serde(default)]
    pub nulls: bool,
    /// The first key of a `range`; left out: every key below `to`. Text is ordered by bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<KeyText>,
    /// The first key behind a `range`; left out: every key from `from` on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<KeyText>,
    /// Whether everything goes here that no other entry takes; in a `range` also NULL.
    #[serde(default)]
    pub default: bool,
}

/// A schema whose tables are all on one shard, or all schemas that are called alike, each of them on
/// one shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShardedSchema {
    /// Name of the schema, or with a `*` at its end what the names of many begin with. A whole name
    /// goes before a beginning, a longer beginning before a shorter one.
    pub schema: String,
    /// The shard, counted from 0. Left out: by the hash of the schema's name, as Postgres's
    /// `PARTITION BY HASH (name text)` places it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<usize>,
}

/// A key: a text, an integer or a boolean of the document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum KeyText {
    /// `42`
    Integer(i64),
    /// `true`
    Boolean(bool),
    /// `"2024-01-01"`
    Text(String),
}

/// In schemas: a text, an integer or a boolean.
pub(crate) const KEY_FORMAT: &str = "key";

// === impl ShardedSchema ===

impl ShardedSchema {
    /// How much of a schema's name it says; `None` when it is not about that schema.
    pub fn fits(&self, schema: &str) -> Option<usize> {
        match self.schema.strip_suffix('*') {
            _ if is_reserved(schema) => None,
            Some(beginning) => schema.starts_with(beginning).then_some(beginning.len()),
            None => (self.schema == schema).then_some(usize::MAX),
        }
    }
}

/// Postgres's own schemas, and pgherd's: they are on all shards.
pub(crate) fn is_reserved(schema: &str) -> bool {
    schema.starts_with("pg_") || ["information_schema", "pgherd"].contains(&schema)
}

// === impl KeyText ===

impl KeyText {
    /// As Postgres would show it.
    pub fn as_text(&self) -> Cow<'_, str> {
        match self {
            Self::Integer(number) => number.to_string().into(),
            Self::Boolean(true) => "t".into(),
            Self::Boolean(false) => "f".into(),
            Self::Text(text) => text.into(),
        }
    }
}

impl JsonSchema for KeyText {
    fn schema_name() -> Cow<'static, str> {
        "KeyText".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "format": KEY_FORMAT,
            "anyOf": [{ "type": "string" }, { "type": "integer" }, { "type": "boolean" }],
        })
    }
}

// === keys with their type ===

/// The keys of a `list`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ListKeys {
    /// Each key with its shard.
    pub values: Vec<(Value, usize)>,
    /// The shard of NULL.
    pub nulls: Option<usize>,
    /// The shard of everything else.
    pub default: Option<usize>,
}

/// The keys of a `range`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RangeKeys {
    /// Without overlap, in order.
    pub ranges: Vec<KeyRange>,
    /// The shard of everything else, NULL included.
    pub default: Option<usize>,
}

/// Keys from `from` on and below `to`; `None` has no limit.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyRange {
    pub from: Option<Value>,
    pub to: Option<Value>,
    pub shard: usize,
    /// The entry that it is from.
    entry: usize,
}

/// What is wrong with the keys of a rule, and the entry that says it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyProblem {
    #[error("`{text}` is no value of type {type_name} as Postgres writes them")]
    NotAKey { entry: usize, text: String, type_name: String },
    #[error("the key `{text}` stands here twice")]
    KeyTwice { entry: usize, text: String },
    #[error("NULL already goes to the shard of entry {earlier}")]
    NullsTwice { entry: usize, earlier: usize },
    #[error("entry {earlier} is the default already")]
    DefaultTwice { entry: usize, earlier: usize },
    #[error("`from` must be less than `to`")]
    RangeEmpty { entry: usize },
    #[error("the range overlaps with that of entry {earlier}")]
    Overlap { entry: usize, earlier: usize },
    #[error(transparent)]
    NoOrder(TypeError),
}

impl KeyProblem {
    /// The place of the entry in `shards`, if it is about one.
    pub fn entry(&self) -> Option<usize> {
        match self {
            Self::NotAKey { entry, .. }
            | Self::KeyTwice { entry, .. }
            | Self::NullsTwice { entry, .. }
            | Self::DefaultTwice { entry, .. }
            | Self::RangeEmpty { entry }
            | Self::Overlap { entry, .. } => Some(*entry),
            Self::NoOrder(_) => None,
        }
    }
}

impl ShardedTable {
    /// The keys of a `list` as values of their type.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn list_keys(&self, data_type: &Type) -> Result<ListKeys, Vec<KeyProblem>> {
        let mut problems = Vec::new();
        let mut keys =
            ListKeys { default: self.default_shard(&mut problems), ..Default::default() };
        let mut seen = std::collections::HashSet::new();
        let mut nulls_at = None;
        for (entry, keyed) in self.shards.iter().enumerate() {
            for text in &keyed.values {
                let (value, key) = match read_key(data_type, text, entry).and_then(|value| {
                    let mut key = Vec::new();
                    data_type.group_key(Some(&value), &mut key).map_err(KeyProblem::NoOrder)?;
                    Ok((value, key))
                }) {
                    Ok(read) => read,
                    Err(problem) => {
                        problems.push(problem);
                        continue;
                    }
                };
                if seen.insert(key) {
                    keys.values.push((value, keyed.shard));
                } else {
                    let text = text.as_text().into_owned();
                    problems.push(KeyProblem::KeyTwice { entry, text });
                }
            }
            if keyed.nulls {
                match nulls_at.replace(entry) {
                    Some(earlier) => problems.push(KeyProblem::NullsTwice { entry, earlier }),
                    None => keys.nulls = Some(keyed.shard),
                }
            }
        }
        if problems.is_empty() { Ok(keys) } else { Err(problems) }
    }

    /// The keys of a `range` as values of their type.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn range_keys(&self, data_type: &Type) -> Result<RangeKeys, Vec<KeyProblem>> {
        // A rule places rows by itself, whatever the column's collation is.
        let comparator = Comparator::new(data_type, &Collation::Bytes, &Collations::bytes())
            .map_err(|error| vec![KeyProblem::NoOrder(error)])?;
        // Both are of the type, so that their order is known.
        let order = |a: &Value, b: &Value| comparator.compare(a, b).unwrap_or(Ordering::Equal);
        let mut problems = Vec::new();
        let default = self.default_shard(&mut problems);
        let mut ranges = Vec::new();
        for (entry, keyed) in self.shards.iter().enumerate().filter(|(_, it)| !it.default) {
            let read = |text: &Option<KeyText>| {
                text.as_ref().map(|text| read_key(data_type, text, entry)).transpose()
            };
            match (read(&keyed.from), read(&keyed.to)) {
                (Ok(Some(from)), Ok(Some(to))) if order(&from, &to).is_ge() => {
                    problems.push(KeyProblem::RangeEmpty { entry });
                }
                (Ok(from), Ok(to)) => {
                    ranges.push(KeyRange { from, to, shard: keyed.shard, entry });
                }
                (from, to) => problems.extend([from.err(), to.err()].into_iter().flatten()),
            }
        }
        ranges.sort_by(|a, b| match (&a.from, &b.from) {
            (Some(a), Some(b)) => order(a, b),
            (a, b) => a.is_some().cmp(&b.is_some()),
        });
        for pair in ranges.windows(2) {
            let [first, second] = pair else { continue };
            let apart = match (&first.to, &second.from) {
                (Some(to), Some(from)) => order(to, from).is_le(),
                _ => false,
            };
            if !apart {
                let (earlier, entry) =
                    (first.entry.min(second.entry), first.entry.max(second.entry));
                problems.push(KeyProblem::Overlap { entry, earlier });
            }
        }
        if problems.is_empty() { Ok(RangeKeys { ranges, default }) } else { Err(problems) }
    }

    fn default_shard(&self, problems: &mut Vec<KeyProblem>) -> Option<usize> {
        let mut defaults = self.shards.iter().enumerate().filter(|(_, keyed)| keyed.default);
        let (earlier, first) = defaults.next()?;
        problems.extend(defaults.map(|(entry, _)| KeyProblem::DefaultTwice { entry, earlier }));
        Some(first.shard)
    }
}

fn read_key(data_type: &Type, text: &KeyText, entry: usize) -> Result<Value, KeyProblem> {
    let text = text.as_text();
    let raw = text.as_bytes().to_vec().into();
    data_type.decode(Format::Text, &raw, &Settings::default()).map_err(|_| KeyProblem::NotAKey {
        entry,
        text: text.into_owned(),
        type_name: data_type.name().to_owned(),
    })
}
