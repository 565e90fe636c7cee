//! COPY: which shards, in which format, and where in a row its key is.

mod binary;
mod csv;
mod lines;
mod options;
mod rows;
mod split;
mod supply;
mod text;

#[cfg(test)]
mod tests;

use pgherd_parser::{CopyStmt, Node, RawStmt, StringSyntax, Tree};

use crate::catalog::{Kind, Table};
use crate::edit::Tokens;
use crate::facts::judge_node;
use crate::functions::Volatility;
use crate::key::{Parameter, Placement};
use crate::outline::{Context, Outline, Shape, outline};
use crate::plan::{Merge, Plan, Refusal};
use crate::walk::{text, texts};
use crate::write::statement_range;
use supply::supply;

pub use lines::Lines;
pub use options::{CopyFormat, CopyOptions};
pub use rows::Rows;
pub use split::{CopyError, Field, Piece, Splitter};
pub use supply::Supply;

/// COPY FROM STDIN or TO STDOUT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Copy {
    From(CopyFrom),
    To(CopyTo),
    Query(CopyQuery),
}

/// COPY FROM STDIN: the client's text to each shard, and the data as [`Splitter`] takes it apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyFrom {
    pub table: Table,
    /// Where in a row the key is; `None`: all rows to all of `shards`, unless it is supplied.
    pub key: Option<usize>,
    pub shards: Vec<usize>,
    pub options: CopyOptions,
    /// What the first shard computes for all rows.
    pub supply: Option<Supply>,
}

/// COPY TO STDOUT: this text to each of the shards, the data one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyTo {
    pub shards: Vec<usize>,
    pub text: String,
    pub options: CopyOptions,
}

/// COPY of a query that shards do not answer one after the other: its rows are put into the format
/// as they come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyQuery {
    pub query: String,
    /// Characters of the client's text before the query.
    pub offset: usize,
    pub plan: Box<Plan>,
    /// The same COPY without any rows: a shard judges its options, and gives what is before and
    /// behind the rows.
    pub probe: String,
    pub options: CopyOptions,
}

/// What is known of a COPY before it is executed.
#[derive(Debug, Clone)]
pub(crate) enum Outlined {
    From(Box<CopyFrom>),
    /// Of a table.
    To(CopyTo),
    /// Of a query, whose plan says more; text before it and behind it.
    Query {
        outline: Box<Outline>,
        whole: String,
        before: String,
        behind: String,
        query: String,
        offset: usize,
        options: CopyOptions,
    },
}

pub(crate) fn copy(
    statement: RawStmt<'_>,
    copy: CopyStmt<'_>,
    sql: &str,
    context: &Context<'_>,
) -> Result<Shape, Refusal> {
    if copy.filename().is_some() || copy.is_program() {
        let hint = "Use COPY FROM STDIN or COPY TO STDOUT.";
        return Err(Refusal::new("COPY with a file or program of the server", hint));
    }
    let options = CopyOptions::read(copy.options())?;
    if let Some(query) = copy.query() {
        return of_query(statement, query, sql, options, context);
    }
    let Some(Node::RangeVar(relation)) = copy.relation() else {
        return Err(Refusal::over_shards("this COPY"));
    };
    let schema = relation.schemaname().map(|it| text(Some(it)));
    let name = text(relation.relname());
    let table = context.catalog.table(schema, name, context.search_path);
    let Some(table) = table else {
        let hint = "If it was just created, try again.";
        return Err(Refusal::new(format!("the relation {name}, which is not known,"), hint));
    };
    let all: Vec<usize> = (0..context.shards).collect();
    let shards = match table.kind {
        Kind::Sharded { .. } => all,
        Kind::SchemaSharded { shard } => vec![shard],
        Kind::Reference if copy.is_from() => all,
        Kind::Reference => vec![0],
        Kind::Undeclared => return Err(table.undeclared()),
        Kind::View { .. } | Kind::Opaque => {
            return Err(Refusal::over_shards("COPY of a view or foreign table"));
        }
    };
    if !copy.is_from() {
        let text = whole(statement, sql)?.to_owned();
        return Ok(Shape::Copy(Outlined::To(CopyTo { shards, text, options })));
    }
    let whole = whole(statement, sql)?;
    let (key, supply) = from(copy, table, &options, context, whole)?;
    let from = CopyFrom { table: table.clone(), key, shards, options, supply };
    Ok(Shape::Copy(Outlined::From(Box::new(from))))
}

fn whole<'s>(statement: RawStmt<'_>, sql: &'s str) -> Result<&'s str, Refusal> {
    let tokens = Tokens::new(sql)?;
    let (range, _) = statement_range(statement, sql, &tokens)?;
    sql.get(range).ok_or_else(|| Refusal::over_shards("a text of this form"))
}

/// Where the key is in the rows that come, and what is supplied to them.
fn from(
    copy: CopyStmt<'_>,
    table: &Table,
    options: &CopyOptions,
    context: &Context<'_>,
    whole: &str,
) -> Result<(Option<usize>, Option<Supply>), Refusal> {
    let Some(facts) = &table.facts else {
        return Err(Refusal::over_shards("COPY into a table whose defaults are not known"));
    };
    if options.skips_errors {
        return Err(Refusal::over_shards("COPY that skips rows with errors"));
    }
    if let Some(condition) = copy.where_clause()
        && judge_node(condition, context.catalog) > Volatility::Everywhere
    {
        return Err(Refusal::over_shards("COPY with a condition that is not IMMUTABLE"));
    }
    let listed = texts(copy.attlist());
    let columns: Vec<&str> = match listed.is_empty() {
        false => listed,
        true => {
            let all = table.columns.iter().map(|it| it.name.as_str());
            all.filter(|it| !facts.generated.iter().any(|other| other == it)).collect()
        }
    };
    let supply = supply(copy, table, &columns, options, whole)?;
    let Some(key) = table.key().and_then(|it| table.columns.get(it)) else {
        return Ok((None, supply));
    };
    let place = columns.iter().position(|it| *it == key.name);
    if place.is_none() && !supply.as_ref().is_some_and(|it| it.has_key) {
        let construct = format!("COPY into {} without its sharding key {}", table.name, key.name);
        return Err(Refusal::new(construct, "Have the column in the data."));
    }
    Ok((place, supply))
}

/// COPY (query) TO STDOUT
fn of_query(
    statement: RawStmt<'_>,
    query: Node<'_>,
    sql: &str,
    options: CopyOptions,
    context: &Context<'_>,
) -> Result<Shape, Refusal> {
    let odd = || Refusal::over_shards("a COPY written like this");
    if !matches!(query, Node::SelectStmt(_)) {
        return Err(Refusal::over_shards("COPY of a statement that writes"));
    }
    let tokens = Tokens::new(sql)?;
    let (_, range) = statement_range(statement, sql, &tokens)?;
    let open = (range.start..range.end).find(|it| tokens.text(*it) == "(").ok_or_else(odd)?;
    let close = tokens.closing(open).ok_or_else(odd)?;
    let inner = tokens.between(open + 1, close - 1).ok_or_else(odd)?;
    let tree = Tree::parse(inner, StringSyntax::Standard).map_err(|_| odd())?;
    let outlined = tree.statements().next().map(|it| outline(it, inner, context));
    let (before, behind) = (
        tokens.between(range.start, open).ok_or_else(odd)?.to_owned(),
        tokens.between(close, range.end - 1).ok_or_else(odd)?.to_owned(),
    );
    let outline = Box::new(outlined.ok_or_else(odd)?);
    let whole = whole(statement, sql)?.to_owned();
    let start = tokens.range(open + 1).ok_or_else(odd)?.start;
    let offset = sql.get(..start).ok_or_else(odd)?.chars().count();
    let query = inner.to_owned();
    Ok(Shape::Copy(Outlined::Query { outline, whole, before, behind, query, offset, options }))
}

// === impl CopyFrom ===

impl CopyFrom {
    /// Whether all shards get all rows.
    pub fn is_copied(&self) -> bool {
        self.key.is_none() && !self.supply.as_ref().is_some_and(|it| it.has_key)
    }
}

// === impl Outlined ===

impl Outlined {
    /// As [`Outline::rights`].
    pub fn rights(&self) -> Option<&str> {
        match self {
            Self::Query { outline, .. } => outline.rights(),
            Self::From(_) | Self::To(_) => None,
        }
    }

    pub fn plan(&self, parameters: &[Parameter<'_>], placement: &dyn Placement) -> Plan {
        let to = |shards, text: &str, options: &CopyOptions| {
            let to = CopyTo { shards, text: text.to_owned(), options: options.clone() };
            Plan::Copy(Box::new(Copy::To(to)))
        };
        match self {
            Self::From(from) => Plan::Copy(Box::new(Copy::From((**from).clone()))),
            Self::To(it) => Plan::Copy(Box::new(Copy::To(it.clone()))),
            Self::Query { outline, whole, before, behind, query, offset, options } => {
                match outline.plan(parameters, placement) {
                    Plan::Single(shard) => to(vec![shard], whole, options),
                    Plan::Any => to(vec![0], whole, options),
                    Plan::Merge(merge) if is_concatenation(&merge) => {
                        let text = format!("{before}{}{behind}", merge.query);
                        to(merge.shards, &text, options)
                    }
                    refused @ Plan::Refuse(_) => refused,
                    plan => Plan::Copy(Box::new(Copy::Query(CopyQuery {
                        query: query.clone(),
                        offset: *offset,
                        plan: Box::new(plan),
                        probe: format!("{before}SELECT * FROM ({query}) AS q WHERE false{behind}"),
                        options: options.clone(),
                    }))),
                }
            }
        }
    }
}

fn is_concatenation(merge: &Merge) -> bool {
    merge.keys.is_empty() && merge.hidden == 0 && merge.limit.is_none() && merge.offset == 0
}
