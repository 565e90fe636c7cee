//! INSERT: to one shard as it is, its rows split by key, or computed first and then sent.

use pgherd_parser::{InsertStmt, List, Node, RawStmt, constants as c};

use crate::catalog::{Kind, Table};
use crate::edit::Tokens;
use crate::facts::Default;
use crate::functions::{Volatility, volatility};
use crate::key::{Key, Parameter, Placement, is_key_type, shards_of};
use crate::once;
use crate::outline::{Context, Placed, Shape};
use crate::plan::{Plan, Refusal, Replies, Write};
use crate::scatter::{self, Scattered};
use crate::source::{Inserted, insert_in};
use crate::walk::text;
use crate::walker::{Env, Walker};
use crate::write::{Several, Spread, placed, several, shared_shard, statement_range};

#[derive(Debug, Clone)]
pub struct Insert {
    /// The target is the first, unless it is on all shards.
    tables: Vec<Placed>,
    /// One shard may get the client's text as it is.
    single: bool,
    rows: Option<Rows>,
    /// One text for several shards: each has what it inserts.
    together: Option<Several>,
    scattered: Result<Scattered, Refusal>,
}

/// The rows of VALUES with the keys that place them.
#[derive(Debug, Clone)]
struct Rows {
    table: Table,
    keys: Vec<Key>,
    /// The text before the rows, each row, and what is behind them.
    head: String,
    rows: Vec<String>,
    tail: String,
}

/// The parts of an INSERT, as numbers of tokens.
pub struct Layout<'s> {
    pub tokens: Tokens<'s>,
    /// In front: WITH, if there is one.
    pub with: Option<(usize, usize)>,
    /// First token of VALUES or the query, and the last.
    pub source: Option<(usize, usize)>,
    /// For each row of VALUES its parentheses.
    pub rows: Vec<(usize, usize)>,
    /// ON CONFLICT and RETURNING.
    pub tail: Option<(usize, usize)>,
    pub end: usize,
}

pub fn insert(
    statement: RawStmt<'_>,
    insert: InsertStmt<'_>,
    sql: &str,
    context: &Context<'_>,
) -> Result<Shape, Refusal> {
    let mut walker = Walker::new(context.catalog, context.search_path);
    let found = insert_in(&mut walker, insert, &Env::EMPTY, 0)?;
    let table = walker.scopes.occurrences[found.target].table;
    let worst = once::worst(&walker, context.catalog)?;
    let key = table.key().and_then(|it| table.columns.get(it));
    if let Some(key) = key
        && found.position.is_none()
        && default_of(table, &key.name).is_none()
    {
        let construct =
            format!("an INSERT into {} without its sharding key {}", table.name, key.name);
        return Err(Refusal::new(construct, "Name the column and give it a value."));
    }
    if let (Some(key), Some(conflict)) = (key, insert.on_conflict_clause()) {
        on_conflict(conflict, table, &key.name)?;
    }
    if walker.scopes.occurrences.len() > found.source.end {
        return Err(Refusal::over_shards("a subquery in ON CONFLICT or RETURNING"));
    }
    let missing = left_out(table, insert, &found)?;
    let layout = layout(statement, insert, &found, sql);
    let spread = missing.iter().map(|it| it.1.volatility).max().unwrap_or(Volatility::Everywhere);
    let draws_elsewhere = crate::schemas::draws_elsewhere(table, context.catalog);
    let local = matches!(table.kind, Kind::SchemaSharded { .. }) && !draws_elsewhere;
    let one = |limit: Volatility| worst <= limit && spread <= limit;
    let single = match table.kind {
        Kind::Reference => false,
        _ if local => true,
        _ => spread <= Volatility::OfSession && worst != Volatility::Sequence,
    };
    let mut rows = None;
    let mut together = None;
    let splits = one(Volatility::Independent) && !walker.writes;
    if let (true, Ok(layout)) = (splits, &layout)
        && once::find([Node::InsertStmt(insert)], &layout.tokens, context.catalog).is_ok()
    {
        rows = Rows::of(table, &found, layout, &walker);
    }
    let spreads = match table.kind {
        Kind::Reference => {
            spread == Volatility::Everywhere
                && found.select.is_none_or(|it| !it.values_lists().is_empty())
                && found.source.is_empty()
        }
        Kind::SchemaSharded { .. } => local,
        _ => spread <= Volatility::Independent && co_located(&walker, &found),
    };
    let apart = match table.kind {
        Kind::SchemaSharded { .. } => crate::write::apart(&walker, found.target),
        _ => Vec::new(),
    };
    if spreads {
        let spread = Spread {
            statement,
            sql,
            target: found.target,
            apart,
            nodes: vec![Node::InsertStmt(insert)],
            returning: insert.returning_clause(),
        };
        together = several(&walker, spread, context).ok();
    }
    let scattered = match (&layout, walker.writes) {
        (_, true) => Err(Refusal::over_shards("a data-modifying statement in WITH")),
        (Err(refusal), _) => Err(refusal.clone()),
        (Ok(layout), _) => scatter::scattered(insert, &found, &walker, layout, context),
    };
    let tables = placed(&walker);
    Ok(Shape::Insert(Box::new(Insert { tables, single, rows, together, scattered })))
}

pub fn default_of<'t>(table: &'t Table, column: &str) -> Option<&'t Default> {
    table.facts.as_ref()?.default(column)
}

/// The most volatile default that SET takes by name.
pub fn worst_default(table: &Table, targets: List<'_>) -> Volatility {
    let of = |it: Node<'_>| match it {
        Node::ResTarget(it) if matches!(it.val(), Some(Node::SetToDefault(_))) => {
            default_of(table, text(it.name())).map(|it| it.volatility)
        }
        _ => None,
    };
    targets.iter().filter_map(of).max().unwrap_or(Volatility::Everywhere)
}

/// The most volatile default of columns that are left out, or DEFAULT in some row.
pub fn worst_left_out(
    table: &Table,
    insert: InsertStmt<'_>,
    found: &Inserted<'_>,
) -> Result<Volatility, Refusal> {
    let all = left_out(table, insert, found)?;
    Ok(all.iter().map(|it| it.1.volatility).max().unwrap_or(Volatility::Everywhere))
}

/// The columns that are left out, or DEFAULT in some row, and have defaults.
fn left_out<'c>(
    table: &'c Table,
    insert: InsertStmt<'_>,
    found: &Inserted<'_>,
) -> Result<Vec<(usize, &'c Default)>, Refusal> {
    let mut given = scatter::given(table, insert, found);
    if given.len() < table.columns.len() && table.facts.is_none() {
        return Err(Refusal::over_shards("an INSERT into a table whose defaults are not known"));
    }
    let rows = found.select.map_or(List::EMPTY, |it| it.values_lists());
    for row in rows.iter() {
        let Node::List(values) = row else { continue };
        for (index, value) in values.iter().enumerate() {
            if matches!(value, Node::SetToDefault(_))
                && let Some(column) = given.get_mut(index)
            {
                *column = usize::MAX;
            }
        }
    }
    let columns = (0..table.columns.len()).filter(|it| !given.contains(it));
    let of = |it: usize| Some((it, default_of(table, &table.columns.get(it)?.name)?));
    Ok(columns.filter_map(of).collect())
}

/// Conflicts are found on one shard only: the unique index must have the key among its columns.
fn on_conflict(conflict: Node<'_>, table: &Table, key: &str) -> Result<(), Refusal> {
    let Node::OnConflictClause(conflict) = conflict else { return Ok(()) };
    let names_key = |list: List<'_>| {
        list.iter().any(|it| match it {
            Node::IndexElem(it) => text(it.name()) == key,
            Node::ResTarget(it) => text(it.name()) == key,
            _ => false,
        })
    };
    let facts = table.facts.as_ref();
    let has_key = match conflict.infer() {
        Some(Node::InferClause(infer)) => match infer.conname() {
            Some(name) => facts.is_some_and(|it| {
                let mut indexes = it.unique.iter();
                indexes.any(|(it, columns)| {
                    it == text(Some(name)) && columns.iter().any(|it| it == key)
                })
            }),
            None => names_key(infer.index_elems()),
        },
        _ => facts.is_some_and(|it| it.all_unique_over_shards(key)),
    };
    if !has_key {
        return Err(Refusal::new(
            "ON CONFLICT without the sharding key",
            "Only unique indexes that have it among their columns hold over all shards.",
        ));
    }
    if worst_default(table, conflict.target_list()) > Volatility::Independent {
        let construct = "SET to a default of the time or a sequence in ON CONFLICT";
        return Err(Refusal::new(construct, "Give the column a value."));
    }
    if names_key(conflict.target_list()) {
        return Err(Refusal::over_shards("a change of the sharding key in ON CONFLICT"));
    }
    Ok(())
}

/// INSERT ... SELECT whose rows are where they go, each shard's by itself.
fn co_located(walker: &Walker<'_, '_>, found: &Inserted<'_>) -> bool {
    let (Some(place), Some(select)) = (found.key_place, found.select) else { return false };
    let scopes = &walker.scopes;
    let target = scopes.occurrences[found.target].table;
    let near = scopes.following(place);
    let here = |index: usize| {
        let table = scopes.occurrences[index].table;
        match table.kind {
            Kind::Sharded { column } => {
                near.contains(&(index, column)) && crate::write::same_placement(table, target)
            }
            Kind::Reference => true,
            _ => false,
        }
    };
    let of_key = scopes.occurrences[place.0].table.key() == Some(place.1);
    let plain = select.op() == c::SETOP_NONE
        && select.group_clause().is_empty()
        && select.window_clause().is_empty()
        && select.with_clause().is_none()
        && !walker.picks
        && !walker.reads_system
        && walker.not_gathered.is_none();
    of_key && plain && found.source.clone().all(here)
}

pub fn layout<'s>(
    statement: RawStmt<'_>,
    insert: InsertStmt<'_>,
    found: &Inserted<'_>,
    sql: &'s str,
) -> Result<Layout<'s>, Refusal> {
    let tokens = Tokens::new(sql)?;
    let (_, range) = statement_range(statement, sql, &tokens)?;
    parts(insert, found, &tokens, range)
        .map(|(with, source, rows, tail, end)| Layout { tokens, with, source, rows, tail, end })
        .ok_or_else(|| Refusal::over_shards("an INSERT written like this"))
}

type Pair = (usize, usize);
/// All of a [`Layout`] but the tokens.
type Parts = (Option<Pair>, Option<Pair>, Vec<Pair>, Option<Pair>, usize);

fn parts(
    insert: InsertStmt<'_>,
    found: &Inserted<'_>,
    tokens: &Tokens<'_>,
    range: std::ops::Range<usize>,
) -> Option<Parts> {
    let is = |index: usize, word: &str| tokens.text(index).eq_ignore_ascii_case(word);
    let end = range.end.checked_sub(1)?;
    let Some(Node::RangeVar(relation)) = insert.relation() else { return None };
    let mut at = tokens.at(usize::try_from(relation.location()).ok()?);
    // `INSERT INTO` stands before it.
    let begin = at.checked_sub(2).filter(|it| is(*it, "insert"))?;
    let with = (begin > range.start).then(|| (range.start, begin - 1));
    while tokens.text(at + 1) == "." {
        at += 2;
    }
    at += 1;
    if is(at, "as") {
        at += 2;
    }
    if tokens.text(at) == "(" && !insert.cols().is_empty() {
        at = tokens.closing(at)? + 1;
    }
    if is(at, "overriding") {
        at += 3;
    }
    let mut tail = end + 1;
    if let Some(Node::OnConflictClause(conflict)) = insert.on_conflict_clause() {
        tail = tokens.at(usize::try_from(conflict.location()).ok()?);
        // The location is that of ON.
        (is(tail, "on") && is(tail + 1, "conflict")).then_some(())?;
    } else if let Some(Node::ReturningClause(returning)) = insert.returning_clause() {
        let Some(Node::ResTarget(first)) = returning.exprs().first() else { return None };
        tail = tokens.at(usize::try_from(first.location()).ok()?);
        while tail > at && !is(tail, "returning") {
            tail -= 1;
        }
    }
    let tail_range = (tail <= end).then_some((tail, end));
    let Some(select) = found.select else { return Some((with, None, Vec::new(), tail_range, end)) };
    let source = (at, tail.checked_sub(1)?);
    let mut rows = Vec::new();
    let plain = select.sort_clause().is_empty()
        && select.limit_count().is_none()
        && select.limit_offset().is_none()
        && select.with_clause().is_none()
        && with.is_none();
    if !select.values_lists().is_empty() && plain {
        is(at, "values").then_some(())?;
        at += 1;
        loop {
            let close =
                Some(at).filter(|it| tokens.text(*it) == "(").and_then(|it| tokens.closing(it))?;
            rows.push((at, close));
            if close == source.1 {
                break;
            }
            (tokens.text(close + 1) == ",").then_some(())?;
            at = close + 2;
        }
        (rows.len() == select.values_lists().len()).then_some(())?;
    }
    Some((with, Some(source), rows, tail_range, end))
}

// === impl Insert ===

impl Insert {
    pub fn tables(&self) -> &[Placed] {
        &self.tables
    }

    /// See [`crate::Outline::stand_in`].
    pub fn stand_in(&self) -> Option<(Option<usize>, &str, usize)> {
        self.together.as_ref()?.stand_in(&self.tables.first()?.table)
    }

    pub fn plan(
        &self,
        of_tables: &[Vec<usize>],
        shards: usize,
        parameters: &[Parameter<'_>],
        placement: &dyn Placement,
    ) -> Plan {
        let known = self.tables.first().is_some_and(|it| {
            it.keys.is_some() || matches!(it.table.kind, Kind::SchemaSharded { .. })
        });
        if self.single
            && known
            && let Some(shard) = shared_shard(of_tables)
        {
            return Plan::Single(shard);
        }
        if let Some(rows) = &self.rows
            && let Some(plan) = rows.plan(parameters, placement)
        {
            return plan;
        }
        if let Some(together) = &self.together {
            let all: Vec<usize> = (0..shards).collect();
            let on = if together.same { &all } else { of_tables.first().unwrap_or(&all) };
            return together.plan(on, of_tables);
        }
        match &self.scattered {
            Ok(scattered) => scattered.plan(parameters, placement),
            Err(refusal) => Plan::Refuse(refusal.clone()),
        }
    }
}

// === impl Rows ===

impl Rows {
    fn of(
        table: &Table,
        found: &Inserted<'_>,
        layout: &Layout<'_>,
        walker: &Walker<'_, '_>,
    ) -> Option<Self> {
        let key = table.key().and_then(|it| table.columns.get(it))?;
        let keys = found.keys.clone().filter(|_| is_key_type(key))?;
        let values = !found.select?.values_lists().is_empty();
        // Subqueries would be asked on several shards.
        let plain = values && found.source.is_empty() && !walker.picks && !walker.reads_system;
        let (first, last) = (*layout.rows.first()?, *layout.rows.last()?);
        let head = layout.tokens.between(layout.with.map_or(0, |it| it.0), first.0 - 1);
        let tail = match layout.tail {
            Some((from, to)) => format!(" {}", layout.tokens.between(from, to)?),
            None => String::new(),
        };
        let rows = layout.rows.iter().map(|(from, to)| layout.tokens.between(*from, *to));
        let rows = rows.map(|it| it.map(str::to_owned)).collect::<Option<Vec<_>>>()?;
        let whole = last.1 <= layout.end && rows.len() == keys.len() && layout.first_is_ours();
        (plain && whole).then(|| head.map(str::to_owned)).flatten().map(|head| Self {
            table: table.clone(),
            keys,
            head: format!("{head} "),
            rows,
            tail,
        })
    }

    fn plan(&self, parameters: &[Parameter<'_>], placement: &dyn Placement) -> Option<Plan> {
        let column = self.table.key().and_then(|key| self.table.columns.get(key))?;
        let mut of_shard: Vec<(usize, Vec<&str>)> = Vec::new();
        let mut order = Vec::new();
        for (key, row) in self.keys.iter().zip(&self.rows) {
            let key = std::slice::from_ref(key);
            let shards = shards_of(key, &self.table, column, parameters, placement)?;
            let [shard] = shards.as_slice() else { return None };
            match of_shard.iter_mut().find(|(it, _)| it == shard) {
                Some((_, rows)) => rows.push(row),
                None => of_shard.push((*shard, vec![row])),
            }
            order.push(*shard);
        }
        of_shard.sort_by_key(|(shard, _)| *shard);
        let index = |shard: &usize| of_shard.iter().position(|(it, _)| it == shard);
        Some(Plan::Write(Write {
            gathers: Vec::new(),
            first_parameter: 1,
            replies: Replies::InOrder(order.iter().filter_map(index).collect()),
            texts: of_shard.iter().map(|(shard, rows)| (*shard, self.text(rows))).collect(),
        }))
    }

    fn text(&self, rows: &[&str]) -> String {
        format!("{}{}{}", self.head, rows.join(", "), self.tail)
    }
}

impl Layout<'_> {
    /// The statement is the first of its text.
    fn first_is_ours(&self) -> bool {
        (0..self.end).all(|it| self.tokens.text(it) != ";")
    }
}

/// The worst of some calls.
pub fn worst_of<'t>(
    calls: impl Iterator<Item = pgherd_parser::FuncCall<'t>>,
    context: &Context<'_>,
) -> Volatility {
    calls.map(|it| volatility(it, context.catalog)).max().unwrap_or(Volatility::Everywhere)
}
