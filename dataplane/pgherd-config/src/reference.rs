//! Renders the reference pages from the types and fails when what is checked in differs.
//!
//! `UPDATE_EXPECT=1 cargo test -p pgherd-config reference` writes them anew.

use std::fmt::Write;

use expect_test::expect_file;
use serde_json::{Map, Value as Json, json};

use crate::{ProxyFile, document::Node, document::Value, limits};

const INTRODUCTION: &str = "\
# Configuration

Generated from the types in `dataplane/pgherd-config`; a test fails when this page differs.
The same as a JSON schema: [config.schema.json](config.schema.json). A file to start from:
[pgherd.example.toml](../deploy/pgherd.example.toml).

`pgherd-proxy --config FILE` reads everything below. With `--control-plane URL` the clusters come
from the control plane, in the same form as JSON. `pgherd-proxy --config FILE --check` only
validates. An unknown key is an error that names the key, its line and the nearest known key.

A *duration* is a text of whole numbers with units, the largest first: `500ms`, `5s`, `2m`,
`1h30m`, `7d`; `0` needs no unit. A *size* is a whole number with one of Postgres's units: `B`,
`kB` (1024 bytes), `MB`, `GB`, `TB`. A *sharding key* is a text as Postgres shows the value, such as
`2024-01-31`, an integer or a boolean.
";

/// A file with every key set, from which the order of the keys is taken.
fn complete() -> ProxyFile {
    let text = include_str!("reference/complete.toml");
    ProxyFile::from_toml(text).unwrap_or_else(|errors| panic!("complete.toml:\n{errors}"))
}

/// The settings of the example file; what equals its default is written as a comment.
fn example() -> ProxyFile {
    let text = include_str!("reference/example.toml");
    ProxyFile::from_toml(text).unwrap_or_else(|errors| panic!("example.toml:\n{errors}"))
}

#[test]
fn the_reference_page_is_up_to_date() {
    expect_file!["../../../docs/config.md"].assert_eq(&Reference::new().page());
}

#[test]
fn the_json_schema_is_up_to_date() {
    let schema = serde_json::to_string_pretty(&schemars::schema_for!(ProxyFile)).unwrap();
    expect_file!["../../../docs/config.schema.json"].assert_eq(&(schema + "\n"));
}

#[test]
fn the_example_file_is_up_to_date_and_says_what_it_shall() {
    let example = example();
    let text = Reference::new().example(&serde_json::to_value(&example).unwrap());
    expect_file!["../../../deploy/pgherd.example.toml"].assert_eq(&text);
    assert_eq!(ProxyFile::from_toml(&text).unwrap(), example);
    let uncommented: Vec<_> = text
        .lines()
        .map(|line| line.strip_prefix("# ").filter(|l| l.contains(" = ")).unwrap_or(line))
        .collect();
    ProxyFile::from_toml(&uncommented.join("\n")).expect("the commented defaults are valid too");
}

/// The schema of the file and the order in which each of its tables lists its keys.
struct Reference {
    schema: Json,
    order: Node,
}

/// A key of a table, as its schema describes it.
struct Key<'a> {
    name: &'a str,
    schema: &'a Json,
    /// The same key in the document that gives the order.
    order: &'a Node,
    required: bool,
}

/// Puts the keys of all tables of an array into the first: some keys exclude each other.
fn gather(node: &mut Node) {
    match &mut node.value {
        Value::Table(entries) => entries.iter_mut().for_each(|entry| gather(&mut entry.node)),
        Value::Array(items) => {
            let others = items.split_off(items.len().min(1));
            for other in others {
                let first = items.first_mut().map(|first| &mut first.value);
                let (Some(Value::Table(first)), Value::Table(entries)) = (first, other.value)
                else {
                    continue;
                };
                for entry in entries {
                    match first.iter_mut().find(|known| known.key == entry.key) {
                        None => first.push(entry),
                        Some(known) => {
                            if let (Value::Array(known), Value::Array(more)) =
                                (&mut known.node.value, entry.node.value)
                            {
                                known.extend(more);
                            }
                        }
                    }
                }
            }
            items.iter_mut().for_each(gather);
        }
        _ => {}
    }
}

impl Reference {
    fn new() -> Self {
        let mut order = Node::from_json(&serde_json::to_vec(&complete()).unwrap()).unwrap();
        gather(&mut order);
        Self { schema: Json::from(schemars::schema_for!(ProxyFile)), order }
    }

    /// The schema that holds the type's properties: references and optional types resolved.
    fn resolve<'a>(&'a self, schema: &'a Json) -> &'a Json {
        if let Some(name) = schema["$ref"].as_str() {
            return &self.schema["$defs"][name.rsplit('/').next().unwrap()];
        }
        match schema["anyOf"].as_array() {
            Some(choices) if schema.get("format").is_none() => self.resolve(&choices[0]),
            _ => schema,
        }
    }

    fn keys<'a>(&'a self, schema: &'a Json, order: &'a Node) -> Vec<Key<'a>> {
        let Value::Table(entries) = &order.value else { panic!("{schema} is no table") };
        let properties = schema["properties"].as_object().unwrap();
        assert_eq!(entries.len(), properties.len(), "complete.toml lacks a key of {schema}");
        let required = |name: &str| {
            schema["required"].as_array().is_some_and(|keys| keys.iter().any(|key| key == name))
        };
        entries
            .iter()
            .map(|entry| Key {
                name: &entry.key,
                schema: &properties[&entry.key],
                order: &entry.node,
                required: required(&entry.key),
            })
            .collect()
    }

    /// The tables within a table: the schema of each, and whether there can be several.
    fn inner<'a>(&'a self, key: &Key<'a>) -> Option<(&'a Json, &'a Node, bool)> {
        let schema = self.resolve(key.schema);
        match &key.order.value {
            Value::Table(_) => Some((schema, key.order, false)),
            Value::Array(items) => {
                let item = self.resolve(&schema["items"]);
                (item["type"] == "object").then(|| (item, &items[0], true))
            }
            _ => None,
        }
    }

    // === the page ===

    fn page(&self) -> String {
        let mut page = INTRODUCTION.to_owned();
        write!(
            page,
            "\nLimits: {} clusters, {} users a cluster, {} MiB for the whole document as JSON, \
             {} bytes a name.\n",
            limits::CLUSTERS,
            limits::USERS,
            limits::DOCUMENT_BYTES >> 20,
            limits::NAME_BYTES,
        )
        .unwrap();
        self.section(&mut page, &self.schema, &self.order, "", false);
        page
    }

    fn section(&self, page: &mut String, schema: &Json, order: &Node, path: &str, several: bool) {
        let keys = self.keys(schema, order);
        if !path.is_empty() {
            let (open, close) = if several { ("[[", "]]") } else { ("[", "]") };
            write!(page, "\n## `{open}{path}{close}`\n\n").unwrap();
            writeln!(page, "{}\n", one_line(schema)).unwrap();
            page.push_str("| key | type | default | meaning |\n|---|---|---|---|\n");
            for key in &keys {
                writeln!(
                    page,
                    "| `{}` | {} | {} | {} |",
                    key.name,
                    self.type_of(key.schema),
                    default_of(key),
                    self.meaning(key.schema)
                )
                .unwrap();
            }
        }
        for key in &keys {
            if let Some((schema, order, several)) = self.inner(key) {
                let separator = if path.is_empty() { "" } else { "." };
                self.section(
                    page,
                    schema,
                    order,
                    &format!("{path}{separator}{}", key.name),
                    several,
                );
            }
        }
    }

    fn type_of(&self, schema: &Json) -> String {
        let schema = self.resolve(schema);
        if schema["format"] == "period" {
            return "duration".to_owned();
        }
        if schema["format"] == "size" {
            return "size".to_owned();
        }
        if schema["format"] == "key" {
            return "sharding key".to_owned();
        }
        if schema["oneOf"].is_array() {
            return "word".to_owned();
        }
        let name = match &schema["type"] {
            Json::Array(names) => names[0].as_str(),
            name => name.as_str(),
        };
        match name {
            Some("array") if self.resolve(&schema["items"])["type"] == "object" => {
                "array of tables".to_owned()
            }
            Some("array") => format!("array of {}s", self.type_of(&schema["items"])),
            Some("object") => "table".to_owned(),
            name => name.unwrap().to_owned(),
        }
    }

    fn meaning(&self, schema: &Json) -> String {
        let mut meaning = one_line(schema);
        let schema = self.resolve(schema);
        // An array of words explains its words.
        let words = if schema["items"].is_object() { &schema["items"] } else { schema };
        for choice in self.resolve(words)["oneOf"].as_array().into_iter().flatten() {
            let word = choice["const"].as_str().unwrap();
            write!(meaning, "<br>`{word}`: {}", one_line(choice)).unwrap();
        }
        meaning.replace('|', "\\|")
    }

    // === the example file ===

    fn example(&self, values: &Json) -> String {
        let mut text = "\
# An example of the file for `pgherd-proxy --config`, generated from the types.
# A setting behind `# ` shows its default. All are explained in docs/config.md.
"
        .to_owned();
        for key in self.keys(&self.schema, &self.order) {
            self.table(&mut text, &key, &values[key.name], key.name);
        }
        text
    }

    /// Writes a table, or each table of an array, under its own heading.
    fn table(&self, text: &mut String, key: &Key<'_>, values: &Json, path: &str) {
        let (schema, order, several) = self.inner(key).expect("only tables are written here");
        let (open, close) = if several { ("[[", "]]") } else { ("[", "]") };
        let tables = if several {
            values.as_array().unwrap().as_slice()
        } else {
            std::slice::from_ref(values)
        };
        for values in tables {
            write!(text, "\n# {}\n{open}{path}{close}\n", one_line(key.schema)).unwrap();
            let keys = self.keys(schema, order);
            // Shards have headings of their own, which must come after all other keys.
            let (inner, own): (Vec<_>, Vec<_>) = keys.iter().partition(|key| key.name == "shards");
            for key in own {
                writeln!(text, "# {}", one_line(key.schema)).unwrap();
                let default = key.schema.get("default").filter(|default| !default.is_null());
                match values.get(key.name).filter(|value| !value.is_null()) {
                    Some(value) if default == Some(value) => {
                        writeln!(text, "# {} = {}", key.name, toml(value)).unwrap();
                    }
                    Some(value) => writeln!(text, "{} = {}", key.name, toml(value)).unwrap(),
                    None => writeln!(text, "#{} = ...", key.name).unwrap(),
                }
            }
            for key in inner {
                self.table(text, key, &values[key.name], &format!("{path}.{}", key.name));
            }
        }
    }
}

fn one_line(schema: &Json) -> String {
    schema["description"].as_str().unwrap_or_default().replace('\n', " ")
}

fn default_of(key: &Key<'_>) -> String {
    match key.schema.get("default") {
        _ if key.required => "**required**".to_owned(),
        None | Some(Json::Null) => "none".to_owned(),
        Some(Json::Array(items)) if items.is_empty() => "none".to_owned(),
        Some(Json::String(text)) if text.is_empty() => "**required**".to_owned(),
        Some(default) => format!("`{}`", toml(default)),
    }
}

/// Writes a value as TOML, tables inline and arrays of tables with one to a line.
fn toml(value: &Json) -> String {
    match value {
        Json::Object(entries) => inline_table(entries),
        Json::Array(items) if items.iter().any(Json::is_object) => {
            let lines: String = items.iter().map(|item| format!("  {},\n", toml(item))).collect();
            format!("[\n{lines}]")
        }
        Json::Array(items) => {
            format!("[{}]", items.iter().map(toml).collect::<Vec<_>>().join(", "))
        }
        scalar => scalar.to_string(),
    }
}

fn inline_table(entries: &Map<String, Json>) -> String {
    let worth_saying = |(key, value): &(&String, &Json)| !(*key == "weight" && **value == json!(1));
    // The name or host first: JSON objects come sorted.
    let (first, rest): (Vec<_>, Vec<_>) = entries
        .iter()
        .filter(worth_saying)
        .partition(|(key, _)| matches!(key.as_str(), "name" | "host"));
    let pairs: Vec<_> = first
        .into_iter()
        .chain(rest)
        .map(|(key, value)| format!("{key} = {}", toml(value)))
        .collect();
    if pairs.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", pairs.join(", ")) }
}
