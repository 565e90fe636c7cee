//! INSERT whose rows one query computes, before they go to their shards.

use pgherd_parser::{InsertStmt, Node, StringSyntax, Tree, constants as c};

use crate::catalog::{Column, Kind, Table};
use crate::edit::edited;
use crate::functions::Volatility;
use crate::insert::{Layout, default_of, worst_of};
use crate::key::{Parameter, Placement};
use crate::once::{self, Once};
use crate::outline::{Context, Outline, is_placed, outline};
use crate::plan::{GatheredColumn, Plan, Refusal, Scatter, To};
use crate::quote;
use crate::source::Inserted;
use crate::walk::text;
use crate::walker::Walker;

/// The shard whose sequences are everybody's.
const HOME: usize = 0;

/// All of a scatter but the plan of its rows.
#[derive(Debug, Clone)]
pub struct Scattered {
    /// `None`: any shard can compute them.
    outline: Option<Outline>,
    scatter: Scatter,
}

/// The target's columns that the source gives, by their place in a row.
pub fn given(table: &Table, insert: InsertStmt<'_>, found: &Inserted<'_>) -> Vec<usize> {
    if insert.cols().is_empty() {
        let all = if found.select.is_some() { table.columns.len() } else { 0 };
        return (0..found.width.unwrap_or(all)).collect();
    }
    let names = insert.cols().iter().filter_map(|it| match it {
        Node::ResTarget(it) => Some(text(it.name())),
        _ => None,
    });
    names.map(|it| table.position(it).unwrap_or(usize::MAX)).collect()
}

/// A column of the computed rows.
struct Out<'c> {
    column: &'c Column,
    /// Its name in the inner query.
    name: String,
}

struct Builder<'a, 'c, 't> {
    table: &'c Table,
    insert: InsertStmt<'t>,
    found: &'a Inserted<'t>,
    layout: &'a Layout<'a>,
    /// What the source gives.
    given: Vec<Out<'c>>,
    /// Where in the source each of them is.
    places: Vec<usize>,
    /// Defaults that are computed with the rows, and those that come afterwards.
    defaults: Vec<(Out<'c>, String)>,
    supplied: Vec<(Out<'c>, String)>,
    sequences: bool,
    /// Of a table on one shard: from sequences of the first one.
    draws_elsewhere: bool,
}

pub fn scattered<'t>(
    insert: InsertStmt<'t>,
    found: &Inserted<'t>,
    walker: &Walker<'_, 't>,
    layout: &Layout<'_>,
    context: &Context<'_>,
) -> Result<Scattered, Refusal> {
    let table = walker.scopes.occurrences[found.target].table;
    let occurrences = walker.scopes.occurrences.get(found.source.clone()).unwrap_or_default();
    let reads = occurrences.iter().any(is_placed);
    let source_calls = walker.calls.get(found.source_calls.clone()).unwrap_or_default();
    let worst = worst_of(source_calls.iter().copied(), context);
    if worst == Volatility::Unknown || worst == Volatility::Sequence && reads {
        let construct = "a function that reads tables or sequences in an INSERT over shards";
        return Err(Refusal::over_shards(construct));
    }
    let (once, tail) = tail(insert, walker, found, layout, table, context)?;
    let mut builder = Builder {
        table,
        insert,
        found,
        layout,
        given: Vec::new(),
        places: Vec::new(),
        defaults: Vec::new(),
        supplied: Vec::new(),
        sequences: worst == Volatility::Sequence,
        draws_elsewhere: crate::schemas::draws_elsewhere(table, context.catalog),
    };
    builder.columns(reads)?;
    let first_parameter = walker.last_parameter + 1;
    let (rows, extra) = builder.rows(&once)?;
    let sequences = builder.sequences;
    let outline = match reads {
        false if !walker.reads_system => None,
        _ => {
            let tree = Tree::parse(&rows, StringSyntax::Standard);
            let tree = tree.map_err(|_| Refusal::over_shards("an INSERT written like this"))?;
            let statement = tree.statements().next();
            statement.map(|it| outline(it, &rows, context))
        }
    };
    let supply = (!builder.supplied.is_empty()).then(|| builder.supply());
    let on = (sequences || supply.is_some()).then_some(HOME);
    let to = match table.kind {
        Kind::SchemaSharded { shard } => To::One(shard),
        Kind::Sharded { .. } => To::Key { table: Box::new(table.clone()), at: builder.key(extra)? },
        _ => To::All,
    };
    let (insert, columns) = builder.statement(extra, &once, first_parameter, &tail)?;
    let plan = Box::new(Plan::Any);
    let scatter = Scatter { rows, plan, on, supply, insert, first_parameter, columns, to };
    Ok(Scattered { outline, scatter })
}

/// The first and last token of ON CONFLICT and RETURNING.
type Tail = Option<(usize, usize)>;

/// ON CONFLICT and RETURNING, with values that must be said once as parameters `$?`, which are
/// numbered later; here only found.
fn tail(
    insert: InsertStmt<'_>,
    walker: &Walker<'_, '_>,
    found: &Inserted<'_>,
    layout: &Layout<'_>,
    table: &Table,
    context: &Context<'_>,
) -> Result<(Vec<Once>, Tail), Refusal> {
    let calls = walker.calls.get(found.source_calls.end..).unwrap_or_default();
    let worst = worst_of(calls.iter().copied(), context);
    let repeated = worst == Volatility::Independent && table.kind == Kind::Reference;
    if worst > Volatility::OfSession || repeated {
        return Err(Refusal::over_shards("a VOLATILE function in ON CONFLICT or RETURNING"));
    }
    let nodes = insert.on_conflict_clause().into_iter().chain(insert.returning_clause());
    let once = once::find(nodes, &layout.tokens, context.catalog)?;
    crate::write::named_by_itself(insert.returning_clause(), context)?;
    Ok((once, layout.tail))
}

impl<'c> Builder<'_, 'c, '_> {
    fn refused(&self, why: &str) -> Refusal {
        Refusal::over_shards(format!("an INSERT into {}, which {why},", self.table.name))
    }

    /// Which columns are computed, and from what.
    fn columns(&mut self, reads: bool) -> Result<(), Refusal> {
        let table = self.table;
        let facts = table.facts.as_ref();
        let facts = facts.ok_or_else(|| self.refused("is not known enough"))?;
        let parts = self.insert.cols().iter().any(|it| match it {
            Node::ResTarget(it) => !it.indirection().is_empty(),
            _ => false,
        });
        if parts {
            return Err(self.refused("names parts of columns"));
        }
        if self.found.select.is_some() && self.found.width.is_none() {
            return Err(self.refused("takes all columns of something unknown"));
        }
        let overridden = self.insert.override_() == c::OVERRIDING_USER_VALUE;
        for (place, column) in given(table, self.insert, self.found).into_iter().enumerate() {
            let column =
                table.columns.get(column).ok_or_else(|| self.refused("has no such column"))?;
            let identity = facts.identity.contains(&column.name);
            if facts.generated.contains(&column.name) || overridden && identity {
                continue;
            }
            self.given.push(Out { column, name: format!("c{place}") });
            self.places.push(place);
        }
        let key = table.key();
        let least = match table.kind {
            Kind::Reference => Volatility::Everywhere,
            Kind::SchemaSharded { .. } if !self.draws_elsewhere => Volatility::Unknown,
            _ => Volatility::Independent,
        };
        for (index, column) in table.columns.iter().enumerate() {
            let is_given = self.given.iter().any(|it| it.column.name == column.name);
            let Some(default) = default_of(table, &column.name).filter(|_| !is_given) else {
                continue;
            };
            if default.volatility == Volatility::Unknown && least != Volatility::Unknown {
                let why = format!("has a default for {} that may read anything", column.name);
                return Err(self.refused(&why));
            }
            if default.volatility <= least && key != Some(index) {
                continue;
            }
            let out = Out { column, name: format!("d{index}") };
            let sql = format!("({}){}", default.sql, column.to_plain());
            if default.volatility == Volatility::Sequence {
                self.sequences |= !reads;
                if reads {
                    self.supplied.push((out, sql));
                    continue;
                }
            }
            self.defaults.push((out, sql));
        }
        let mut all = self.given.iter().chain(self.defaults.iter().map(|it| &it.0));
        match all.find(|it| it.column.transport.is_none()) {
            Some(out) => {
                Err(self.refused(&format!("has a column of type {}", out.column.sql_type)))
            }
            None => Ok(()),
        }
    }

    /// The query for the rows, and whether it ends with the key once more, with its modifiers.
    fn rows(&mut self, once: &[Once]) -> Result<(String, bool), Refusal> {
        let (inner, names) = self.source()?;
        let defaults: String =
            self.defaults.iter().map(|(out, sql)| format!(", {sql} AS {}", out.name)).collect();
        let given: Vec<String> = self
            .given
            .iter()
            .map(|it| format!("s.{0}{1} AS {0}", it.name, it.column.to_plain()))
            .collect();
        let head = match given.is_empty() {
            true => defaults.trim_start_matches(", ").to_owned(),
            false => format!("{}{defaults}", given.join(", ")),
        };
        let from = match inner.is_empty() {
            true => String::new(),
            false => format!(" FROM ({inner}) AS s({names})"),
        };
        let all = || self.given.iter().chain(self.defaults.iter().map(|it| &it.0));
        let mut outputs: Vec<String> =
            all().map(|it| format!("r.{}{}", it.name, it.column.to_transport())).collect();
        let key = self.table.key().and_then(|it| self.table.columns.get(it));
        let key = key.and_then(|key| all().find(|it| it.column.name == key.name));
        let extra = key.filter(|it| it.column.sql_type.contains('('));
        let has_extra = extra.is_some();
        outputs.extend(extra.map(|it| format!("r.{}::{}", it.name, it.column.sql_type)));
        outputs.extend(once.iter().map(|it| format!("({})::pg_catalog.{}", it.sql, it.sql_type)));
        // The order of the source is that of its rows, which a merge of shards would not keep.
        let sorted = self.found.select.is_some_and(|it| !it.sort_clause().is_empty());
        let order = if sorted { " ORDER BY pg_catalog.row_number() OVER ()" } else { "" };
        let sql = format!("SELECT {} FROM (SELECT {head}{from}) AS r{order}", outputs.join(", "));
        Ok((sql, has_extra))
    }

    /// The source as a query, and the names of its columns.
    fn source(&mut self) -> Result<(String, String), Refusal> {
        let odd = || Refusal::over_shards("an INSERT written like this");
        let tokens = &self.layout.tokens;
        let Some((first, last)) = self.layout.source else {
            return Ok((String::new(), String::new()));
        };
        let width = self.found.width.unwrap_or_default();
        let names: Vec<String> = (0..width).map(|it| format!("c{it}")).collect();
        let mut sql = String::new();
        if let Some((from, to)) = self.layout.with {
            sql.push_str(tokens.between(from, to).ok_or_else(odd)?);
            sql.push(' ');
        }
        if self.layout.rows.is_empty() {
            let source = tokens.between(first, last).ok_or_else(odd)?;
            sql.push_str(&if self.layout.with.is_some() {
                format!("({source})")
            } else {
                source.to_owned()
            });
            return Ok((sql, names.join(", ")));
        }
        let mut rows = Vec::new();
        for row in self.layout.rows.clone() {
            rows.push(format!("({})", self.cells(row).ok_or_else(odd)??.join(", ")));
        }
        Ok((format!("VALUES {}", rows.join(", ")), names.join(", ")))
    }

    /// The values of a row of VALUES, each of its column's type.
    fn cells(&mut self, (open, close): (usize, usize)) -> Option<Result<Vec<String>, Refusal>> {
        let tokens = &self.layout.tokens;
        let (mut cells, mut at) = (Vec::new(), open + 1);
        let mut from = at;
        while at <= close {
            match tokens.text(at) {
                "(" | "[" if at < close => at = self.skip(at)?,
                "," | ")" => {
                    let place = cells.len();
                    let cell = tokens.between(from, at.checked_sub(1)?)?;
                    match self.cell(cell, place) {
                        Ok(cell) => cells.push(cell),
                        Err(refusal) => return Some(Err(refusal)),
                    }
                    from = at + 1;
                }
                _ => {}
            }
            at += 1;
        }
        Some(Ok(cells))
    }

    /// The token that closes a parenthesis or bracket.
    fn skip(&self, open: usize) -> Option<usize> {
        let tokens = &self.layout.tokens;
        let mut depth = 0usize;
        for index in open..tokens.len() {
            match tokens.text(index) {
                "(" | "[" => depth += 1,
                ")" | "]" => depth = depth.checked_sub(1)?,
                _ => {}
            }
            if depth == 0 {
                return Some(index);
            }
        }
        None
    }

    fn cell(&mut self, cell: &str, place: usize) -> Result<String, Refusal> {
        let index = self.places.iter().position(|it| *it == place);
        let Some(out) = index.and_then(|it| self.given.get(it)) else {
            return Ok("NULL".to_owned());
        };
        if !cell.eq_ignore_ascii_case("default") {
            return Ok(format!("({cell}){}", out.column.to_plain()));
        }
        let column = out.column;
        match default_of(self.table, &column.name) {
            None => Ok(format!("NULL{}", column.to_plain())),
            Some(default) if default.volatility == Volatility::Unknown => {
                let why = format!("has a default for {} that may read anything", column.name);
                Err(self.refused(&why))
            }
            Some(default) => {
                self.sequences |= default.volatility == Volatility::Sequence;
                Ok(format!("({}){}", default.sql, column.to_plain()))
            }
        }
    }

    fn supply(&self) -> String {
        let outputs =
            self.supplied.iter().map(|(out, sql)| format!("{sql}{}", out.column.to_transport()));
        let outputs: Vec<String> = outputs.collect();
        format!(
            "SELECT {} FROM pg_catalog.generate_series(1, $1::pg_catalog.int8)",
            outputs.join(", ")
        )
    }

    /// Which of all columns is the key.
    fn key(&self, extra: bool) -> Result<usize, Refusal> {
        let key = self.table.key().and_then(|it| self.table.columns.get(it));
        let key = key.ok_or_else(|| self.refused("has no key"))?;
        let computed = self.given.len() + self.defaults.len();
        if extra {
            return Ok(computed);
        }
        let rows = self.given.iter().chain(self.defaults.iter().map(|it| &it.0));
        let mut all = rows.chain(self.supplied.iter().map(|it| &it.0));
        let at = all.position(|it| it.column.name == key.name);
        at.ok_or_else(|| self.refused("has no value for its sharding key"))
    }

    /// What each shard gets.
    fn statement(
        &self,
        extra: bool,
        once: &[Once],
        first: usize,
        tail: &Option<(usize, usize)>,
    ) -> Result<(String, Vec<GatheredColumn>), Refusal> {
        let (mut names, mut outputs, mut arrays, mut columns) = (vec![], vec![], vec![], vec![]);
        let mut array = |sql_type: &str, type_oid: u32| {
            let number = arrays.len();
            arrays.push(format!("pg_catalog.unnest(${}::{sql_type}[])", first + number));
            columns.push(GatheredColumn { type_oid });
            number
        };
        let mut row = |out: &Out<'_>| {
            let transport = out.column.transport.as_ref()?;
            let number = array(&transport.sql_type, transport.oid);
            names.push(quote::name(&out.column.name));
            outputs.push(format!("g.c{number}{}", out.column.of_transport()));
            Some(())
        };
        let computed = self.given.iter().chain(self.defaults.iter().map(|it| &it.0));
        let odd = || self.refused("has a column of an unknown type");
        computed.into_iter().try_for_each(&mut row).ok_or_else(odd)?;
        // Those that are not inserted stand between the rows' columns and the supplied ones.
        let key = self.table.key().and_then(|it| self.table.columns.get(it));
        let key = key.and_then(|it| it.transport.as_ref()).filter(|_| extra);
        let mut more = Vec::new();
        more.extend(key.map(|it| (it.sql_type.clone(), it.oid)));
        more.extend(once.iter().map(|it| (format!("pg_catalog.{}", it.sql_type), it.oid)));
        let first_once = first + self.given.len() + self.defaults.len() + usize::from(extra);
        for (sql_type, oid) in more {
            array(&sql_type, oid);
        }
        for (out, _) in &self.supplied {
            let transport = out.column.transport.as_ref().ok_or_else(odd)?;
            let number = array(&transport.sql_type, transport.oid);
            names.push(quote::name(&out.column.name));
            outputs.push(format!("g.c{number}{}", out.column.of_transport()));
        }
        let aliases: Vec<String> = (0..arrays.len()).map(|it| format!("c{it}")).collect();
        let alias = match self.insert.relation() {
            Some(Node::RangeVar(it)) => match it.alias() {
                Some(Node::Alias(it)) => format!(" AS {}", quote::name(text(it.aliasname()))),
                _ => String::new(),
            },
            _ => String::new(),
        };
        let tail = match tail {
            None => String::new(),
            Some((from, to)) => {
                let tokens = &self.layout.tokens;
                let range = tokens.range(*from).zip(tokens.range(*to));
                let range = range.map(|(from, to)| from.start..to.end).ok_or_else(odd)?;
                let edits =
                    once.iter().enumerate().map(|(it, once)| once.replaced(first_once + it));
                let text = edited(tokens.whole(), range, edits.collect()).ok_or_else(odd)?;
                format!(" {text}")
            }
        };
        let target =
            format!("{}.{}", quote::name(&self.table.schema), quote::name(&self.table.name));
        let sql = format!(
            "INSERT INTO {target}{alias} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM ROWS FROM ({}) \
             AS g({}){tail}",
            names.join(", "),
            outputs.join(", "),
            arrays.join(", "),
            aliases.join(", ")
        );
        Ok((sql, columns))
    }
}

// === impl Scattered ===

impl Scattered {
    pub fn plan(&self, parameters: &[Parameter<'_>], placement: &dyn Placement) -> Plan {
        let plan = match &self.outline {
            Some(outline) => outline.plan(parameters, placement),
            None => Plan::Any,
        };
        match plan {
            refused @ Plan::Refuse(_) => refused,
            plan => {
                Plan::Scatter(Box::new(Scatter { plan: Box::new(plan), ..self.scatter.clone() }))
            }
        }
    }
}
