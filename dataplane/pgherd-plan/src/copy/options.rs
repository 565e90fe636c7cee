//! The options of COPY, as far as they say how rows look.

use pgherd_parser::{List, Node};

use crate::plan::Refusal;
use crate::walk::{text, texts};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyFormat {
    Text,
    Csv,
    Binary,
}

/// With the defaults of the format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyOptions {
    pub format: CopyFormat,
    pub header: bool,
    /// The header must have the columns' names.
    pub matches_header: bool,
    pub delimiter: u8,
    pub null: Vec<u8>,
    pub quote: u8,
    pub escape: u8,
    /// Of the data, when it is not the client's.
    pub encoding: Option<String>,
    /// Of CSV: NULL in quotes is NULL, and NULL without quotes is none. `*` is all columns.
    pub force_null: Vec<String>,
    pub force_not_null: Vec<String>,
    /// Of CSV that is written: columns whose values are in quotes.
    pub force_quote: Vec<String>,
    /// What stands for a column's default.
    pub default: Option<Vec<u8>>,
    pub skips_errors: bool,
}

// === impl CopyOptions ===

impl CopyOptions {
    pub(crate) fn read(list: List<'_>) -> Result<Self, Refusal> {
        let find = |name: &str| {
            list.iter().find_map(|it| match it {
                Node::DefElem(it) if text(it.defname()).eq_ignore_ascii_case(name) => {
                    Some(it.arg())
                }
                _ => None,
            })
        };
        let string = |name: &str| match find(name) {
            Some(Some(Node::String(it))) => Some(text(it.sval()).to_owned()),
            _ => None,
        };
        let names = |name: &str| match find(name) {
            Some(Some(Node::List(it))) => texts(it).iter().map(|it| (*it).to_owned()).collect(),
            Some(Some(Node::A_Star(_))) => vec!["*".to_owned()],
            _ => Vec::new(),
        };
        let format = match string("format").as_deref() {
            None | Some("text") => CopyFormat::Text,
            Some("csv") => CopyFormat::Csv,
            Some("binary") => CopyFormat::Binary,
            Some(_) => return Err(Refusal::over_shards("COPY in this format")),
        };
        let mut matches_header = false;
        let header = match find("header") {
            None => false,
            Some(None) => true,
            Some(Some(Node::String(it))) => {
                let word = text(it.sval()).to_ascii_lowercase();
                matches_header = word == "match";
                !matches!(word.as_str(), "false" | "off" | "0" | "no")
            }
            Some(Some(Node::Boolean(it))) => it.boolval(),
            Some(Some(Node::Integer(it))) => it.ival() != 0,
            Some(Some(_)) => return Err(Refusal::over_shards("HEADER written like this")),
        };
        let csv = format == CopyFormat::Csv;
        let one = |name: &str, default: u8| match string(name) {
            None => Ok(default),
            Some(it) => match it.as_bytes() {
                [byte] => Ok(*byte),
                // Postgres says why not.
                _ => Err(Refusal::over_shards(format!("this {name} of COPY"))),
            },
        };
        let quote = one("quote", b'"')?;
        let null = string("null").unwrap_or_else(|| if csv { "" } else { "\\N" }.to_owned());
        Ok(Self {
            format,
            header,
            matches_header,
            delimiter: one("delimiter", if csv { b',' } else { b'\t' })?,
            null: null.into_bytes(),
            quote,
            escape: one("escape", quote)?,
            encoding: string("encoding"),
            force_null: names("force_null"),
            force_not_null: names("force_not_null"),
            force_quote: names("force_quote"),
            default: string("default").map(String::into_bytes),
            skips_errors: string("on_error").is_some_and(|it| it != "stop"),
        })
    }
}
