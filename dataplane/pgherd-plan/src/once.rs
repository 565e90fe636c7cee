//! The time and the session's names in a write: one session must say them for all shards.

use std::ops::Range;

use pgherd_parser::{FuncCall, Node};

use crate::edit::{Edit, Tokens};
use crate::functions::{Volatility, volatility};
use crate::plan::{Gather, GatheredColumn, Refusal};
use crate::walk::texts;
use crate::walker::Walker;
use crate::catalog::Catalog;

/// A value that is the same for a whole statement, where it stands in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Once {
    pub range: Range<usize>,
    /// How it is asked for.
    pub sql: String,
    pub sql_type: &'static str,
    pub oid: u32,
}

const TIMESTAMPTZ: (&str, u32) = ("timestamptz", 1184);
const NAME: (&str, u32) = ("name", 19);

/// The type of what a word of Postgres's grammar or a function without arguments gives.
fn type_of(word: &str) -> Option<(&'static str, u32)> {
    Some(match word {
        "now" | "transaction_timestamp" | "statement_timestamp" | "current_timestamp" => {
            TIMESTAMPTZ
        }
        "current_date" => ("date", 1082),
        "current_time" => ("timetz", 1266),
        "localtime" => ("time", 1083),
        "localtimestamp" => ("timestamp", 1114),
        "current_user" | "session_user" | "user" | "current_role" | "current_catalog"
        | "current_schema" | "current_database" | "getpgusername" => NAME,
        _ => return None,
    })
}

/// All such values below these nodes.
///
/// # Errors
/// When one is written in a way that is not understood.
pub fn find<'t>(
    nodes: impl IntoIterator<Item = Node<'t>>,
    tokens: &Tokens<'_>,
    catalog: &Catalog,
) -> Result<Vec<Once>, Refusal> {
    let mut stack: Vec<Node<'t>> = nodes.into_iter().collect();
    let mut found: Vec<Once> = Vec::new();
    while let Some(node) = stack.pop() {
        let location = match node {
            Node::SQLValueFunction(it) => Some(it.location()),
            Node::FuncCall(it) if volatility(it, catalog) == Volatility::OfSession => {
                Some(it.location())
            }
            Node::A_Const(constant) => {
                if let Some(Node::String(it)) = constant.val()
                    && names_a_moment(crate::walk::text(it.sval()))
                {
                    return Err(Refusal::over_shards("the word 'now' or its kin as a value"));
                }
                None
            }
            _ => None,
        };
        if let Some(location) = location {
            let once = usize::try_from(location).ok().and_then(|it| at(tokens, it));
            let odd = || Refusal::over_shards("the time or the session in a write to several shards");
            found.push(once.ok_or_else(odd)?);
        }
        node.push_children(&mut stack);
    }
    found.sort_by_key(|it| it.range.start);
    Ok(found)
}

/// Reads `now()`, `pg_catalog.now()`, `current_timestamp(3)`.
fn at(tokens: &Tokens<'_>, location: usize) -> Option<Once> {
    let first = tokens.at(location);
    let mut word = first;
    if tokens.text(first).eq_ignore_ascii_case("pg_catalog") && tokens.text(first + 1) == "." {
        word += 2;
    }
    let name = tokens.text(word).to_ascii_lowercase();
    let (sql_type, oid) = type_of(&name)?;
    let mut last = word;
    if tokens.text(word + 1) == "(" {
        last = match tokens.text(word + 2) {
            ")" => word + 2,
            digits if digits.bytes().all(|it| it.is_ascii_digit()) && tokens.text(word + 3) == ")" => {
                word + 3
            }
            _ => return None,
        };
    }
    let range = tokens.range(first)?.start..tokens.range(last)?.end;
    let sql = (first..=last).map(|it| tokens.text(it)).collect();
    Some(Once { range, sql, sql_type, oid })
}

/// A literal that means another moment in each session, if it becomes a date or time.
fn names_a_moment(literal: &str) -> bool {
    let literal = literal.trim().to_ascii_lowercase();
    let (word, rest) = literal.split_once(' ').unwrap_or((&literal, ""));
    let words = ["now", "today", "tomorrow", "yesterday"];
    let time = |it: &str| it.is_empty() || it == "allballs" || it.as_bytes()[0].is_ascii_digit();
    words.contains(&word) && time(rest.trim_start())
}

impl Once {
    /// What takes its place: the first element of a parameter.
    pub fn replaced(&self, parameter: usize) -> Edit {
        let text = format!("((${parameter}::pg_catalog.{}[])[1])", self.sql_type);
        Edit { range: self.range.clone(), text }
    }

    pub fn column(&self) -> GatheredColumn {
        GatheredColumn { type_oid: self.oid }
    }
}

/// One row of all of them, from one shard.
pub fn gather(values: &[Once], shard: usize) -> Gather {
    let sql: Vec<&str> = values.iter().map(|it| it.sql.as_str()).collect();
    Gather {
        shards: vec![shard],
        query: format!("SELECT {}", sql.join(", ")),
        uses_parameters: false,
        columns: values.iter().map(Once::column).collect(),
    }
}

/// How far the calls of a statement may be spread.
///
/// # Errors
/// When no shard may call one of them.
pub fn worst(walker: &Walker<'_, '_>, catalog: &Catalog) -> Result<Volatility, Refusal> {
    let mut worst = match walker.tells_of_session {
        true => Volatility::OfSession,
        false => Volatility::Everywhere,
    };
    for call in &walker.calls {
        let here = volatility(*call, catalog);
        if here == Volatility::Unknown
            && let Some(refusal) = crate::functions::objection(*call, catalog, false)
        {
            return Err(refusal);
        }
        worst = worst.max(here);
    }
    Ok(worst)
}

/// Aggregates whose result depends on the order of their input.
const ORDERED: &[&str] = &[
    "array_agg",
    "json_agg",
    "json_object_agg",
    "jsonb_agg",
    "jsonb_object_agg",
    "string_agg",
    "xmlagg",
];

pub fn depends_on_order(call: FuncCall<'_>) -> bool {
    call.over().is_some() || texts(call.funcname()).last().is_some_and(|it| ORDERED.contains(it))
}
