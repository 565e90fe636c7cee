//! The plan of the proxy as text, JSON, XML and YAML, with the plans of the shards in it.

use std::fmt::Write as _;

/// In what an EXPLAIN is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Text,
    Json,
    Xml,
    Yaml,
}

/// A part of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Node {
        title: String,
        properties: Vec<(&'static str, String)>,
        parts: Vec<Part>,
    },
    /// What a shard has said, line by line.
    Shard {
        shard: usize,
        lines: Vec<String>,
    },
}

const TEXT: u32 = 25;
const JSON: u32 = 114;
const XML: u32 = 142;

// === impl Format ===

impl Format {
    /// Of the one column.
    pub(super) fn type_oid(self) -> u32 {
        match self {
            Self::Text | Self::Yaml => TEXT,
            Self::Json => JSON,
            Self::Xml => XML,
        }
    }

    /// The rows of the answer.
    pub(super) fn rows(self, part: &Part) -> Vec<String> {
        let mut out = String::new();
        match self {
            Self::Text => {
                let mut lines = Vec::new();
                part.text(0, true, &mut lines);
                return lines;
            }
            Self::Json => {
                out.push_str("[\n  {\n    \"Plan\": ");
                part.json(2, &mut out);
                out.push_str("\n  }\n]");
            }
            Self::Xml => {
                out.push_str("<explain xmlns=\"http://www.postgresql.org/2009/explain\">\n");
                out.push_str("  <Query>\n");
                part.xml(2, &mut out);
                out.push_str("  </Query>\n</explain>");
            }
            Self::Yaml => {
                out.push_str("- Plan: ");
                part.yaml(2, &mut out);
            }
        }
        vec![out]
    }
}

// === impl Part ===

impl Part {
    pub(super) fn node(title: impl Into<String>) -> Self {
        Self::Node { title: title.into(), properties: Vec::new(), parts: Vec::new() }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        if let Self::Node { properties, .. } = &mut self {
            properties.push((name, value.into()));
        }
        self
    }

    pub(super) fn add(&mut self, part: Self) {
        if let Self::Node { parts, .. } = self {
            parts.push(part);
        }
    }

    fn text(&self, depth: usize, is_first: bool, lines: &mut Vec<String>) {
        let indent = " ".repeat(depth);
        let (arrow, inner) = match is_first {
            true => (indent.clone(), depth + 2),
            false => (format!("{indent}->  "), depth + 6),
        };
        match self {
            Self::Node { title, properties, parts } => {
                lines.push(format!("{arrow}{title}"));
                let inside = " ".repeat(inner);
                for (name, value) in properties {
                    lines.push(format!("{inside}{name}: {value}"));
                }
                // Shards stand one step further in than what they are shards of.
                for part in parts {
                    part.text(inner, false, lines);
                }
            }
            Self::Shard { shard, lines: own } => {
                lines.push(format!("{arrow}Shard {shard}"));
                let inside = " ".repeat(inner);
                lines.extend(own.iter().map(|line| format!("{inside}{line}")));
            }
        }
    }

    fn json(&self, depth: usize, out: &mut String) {
        let inside = "  ".repeat(depth + 1);
        out.push('{');
        match self {
            Self::Node { title, properties, parts } => {
                let _ = write!(out, "\n{inside}\"Node Type\": {}", quoted(title));
                for (name, value) in properties {
                    let _ = write!(out, ",\n{inside}\"{name}\": {}", quoted(value));
                }
                if !parts.is_empty() {
                    let _ = write!(out, ",\n{inside}\"Plans\": [");
                    for (index, part) in parts.iter().enumerate() {
                        let comma = if index == 0 { "" } else { "," };
                        let _ = write!(out, "{comma}\n{inside}  ");
                        part.json(depth + 2, out);
                    }
                    let _ = write!(out, "\n{inside}]");
                }
            }
            Self::Shard { shard, lines } => {
                let _ = write!(out, "\n{inside}\"Node Type\": \"Shard\"");
                let _ = write!(out, ",\n{inside}\"Shard\": {shard},\n{inside}\"Explain\": ");
                out.push_str(&indented(lines, &inside));
            }
        }
        let _ = write!(out, "\n{}}}", "  ".repeat(depth));
    }

    fn xml(&self, depth: usize, out: &mut String) {
        let (outside, inside) = ("  ".repeat(depth), "  ".repeat(depth + 1));
        let _ = writeln!(out, "{outside}<Plan>");
        match self {
            Self::Node { title, properties, parts } => {
                let _ = writeln!(out, "{inside}<Node-Type>{}</Node-Type>", escaped(title));
                for (name, value) in properties {
                    let tag = name.replace(' ', "-");
                    let _ = writeln!(out, "{inside}<{tag}>{}</{tag}>", escaped(value));
                }
                if !parts.is_empty() {
                    let _ = writeln!(out, "{inside}<Plans>");
                    parts.iter().for_each(|part| part.xml(depth + 2, out));
                    let _ = writeln!(out, "{inside}</Plans>");
                }
            }
            Self::Shard { shard, lines } => {
                let _ = writeln!(out, "{inside}<Node-Type>Shard</Node-Type>");
                let _ = writeln!(out, "{inside}<Shard>{shard}</Shard>");
                let _ = writeln!(out, "{inside}{}", indented(lines, &inside));
            }
        }
        let _ = writeln!(out, "{outside}</Plan>");
    }

    fn yaml(&self, depth: usize, out: &mut String) {
        let inside = "  ".repeat(depth);
        match self {
            Self::Node { title, properties, parts } => {
                let _ = write!(out, "\n{inside}Node Type: {}", quoted(title));
                for (name, value) in properties {
                    let _ = write!(out, "\n{inside}{name}: {}", quoted(value));
                }
                if !parts.is_empty() {
                    let _ = write!(out, "\n{inside}Plans: ");
                    for part in parts {
                        let _ = write!(out, "\n{inside}  - Plan: ");
                        part.yaml(depth + 3, out);
                    }
                }
            }
            Self::Shard { shard, lines } => {
                let _ = write!(out, "\n{inside}Node Type: \"Shard\"\n{inside}Shard: {shard}");
                let within = format!("{inside}  ");
                let _ = write!(out, "\n{inside}Explain: \n{within}{}", indented(lines, &within));
            }
        }
    }
}

/// Lines with white space before all but the first.
fn indented(lines: &[String], indent: &str) -> String {
    let all: Vec<&str> = lines.iter().flat_map(|it| it.lines()).collect();
    all.join(&format!("\n{indent}"))
}

/// A string of JSON, which is one of YAML too.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for it in text.chars() {
        match it {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            it if it < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(it));
            }
            it => out.push(it),
        }
    }
    out.push('"');
    out
}

pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part() -> Part {
        let mut part =
            Part::node("Merge of rows from shards 0, 1").with("Query", "SELECT \"a\" < 1");
        let mut inner = Part::node("Gather");
        inner.add(Part::Shard { shard: 1, lines: vec!["- x\n  y".to_owned()] });
        part.add(inner);
        part
    }

    #[test]
    fn text_is_indented() {
        assert_eq!(
            Format::Text.rows(&part()),
            [
                "Merge of rows from shards 0, 1",
                "  Query: SELECT \"a\" < 1",
                "  ->  Gather",
                "        ->  Shard 1",
                "              - x\n  y",
            ]
        );
    }

    #[test]
    fn json_is_nested() {
        let rows = Format::Json.rows(&part());
        assert_eq!(
            rows[0],
            "[\n  {\n    \"Plan\": {\n      \"Node Type\": \"Merge of rows from shards 0, 1\",\n      \
             \"Query\": \"SELECT \\\"a\\\" < 1\",\n      \"Plans\": [\n        {\n          \
             \"Node Type\": \"Gather\",\n          \"Plans\": [\n            {\n              \
             \"Node Type\": \"Shard\",\n              \"Shard\": 1,\n              \"Explain\": - x\n\
             \x20               y\n            }\n          ]\n        }\n      ]\n    }\n  }\n]"
        );
    }

    #[test]
    fn xml_and_yaml_are_nested() {
        let xml = &Format::Xml.rows(&part())[0];
        assert!(xml.contains("<Query>SELECT \"a\" &lt; 1</Query>"), "{xml}");
        let yaml = &Format::Yaml.rows(&part())[0];
        assert_eq!(
            yaml,
            "- Plan: \n    Node Type: \"Merge of rows from shards 0, 1\"\n    \
             Query: \"SELECT \\\"a\\\" < 1\"\n    Plans: \n      - Plan: \n          \
             Node Type: \"Gather\"\n          Plans: \n            - Plan: \n                \
             Node Type: \"Shard\"\n                Shard: 1\n                Explain: \n\
             \x20                 - x\n                    y"
        );
    }
}
