//! What is known of a statement before its parameters have values, and the plan with them.

use std::collections::HashSet;
use std::ops::Range;

use pgherd_parser::{Node, RawStmt, SelectStmt};

use crate::catalog::{Catalog, Column, Kind, Table};
use crate::chain::{Chained, chained};
use crate::copy;
use crate::ddl;
use crate::edit::{Tokens, edited};
use crate::functions::{Volatility, objection};
use crate::insert::{self, Insert};
use crate::key::{Key, Parameter, Placement, is_key_type, shard_of, shards_of};
use crate::merge;
use crate::merging::{Merging, merging, tells_the_time};
use crate::modify::{self, Modify};
use crate::once;
use crate::partial::{Partial, partial};
use crate::plan::{Everywhere, Finish, Gather, GatheredColumn, Plan, Refusal};
use crate::quote;
use crate::schemas::{self, Home};
use crate::scope::Occurrence;
use crate::walk::texts;
use crate::walker::{Env, Walker};

/// What a statement is planned against.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    pub catalog: &'a Catalog,
    /// Schemas that exist, the user's own where `"$user"` stands.
    pub search_path: &'a [&'a str],
    pub shards: usize,
}

/// All of a plan that does not depend on parameters' values. Good for one text under one catalog,
/// search path and number of shards.
#[derive(Debug, Clone)]
pub struct Outline {
    shape: Shape,
    shards: usize,
    home: Home,
    hides_names: bool,
}

#[derive(Debug, Clone)]
pub(crate) enum Shape {
    Elsewhere,
    Refused(Refusal),
    Read {
        tables: Vec<Placed>,
        merge: Option<Box<Merging>>,
        partial: Option<Box<Partial>>,
        finish: Result<Gathering, Refusal>,
    },
    /// UPDATE and DELETE.
    Modify(Box<Modify>),
    Insert(Box<Insert>),
    Everywhere(Everywhere),
    Copy(copy::Outlined),
    /// As it is, to this shard.
    On(usize),
    /// As a whole where one shard has all of it, else in parts.
    Chain {
        whole: Box<Outline>,
        parts: Result<Box<Chained>, Refusal>,
    },
}

/// A table of the statement whose rows are not on all shards.
#[derive(Debug, Clone)]
pub(crate) struct Placed {
    pub table: Table,
    pub keys: Option<Vec<Key>>,
}

/// How the rows are gathered: for each of the placed tables, in their order.
#[derive(Debug, Clone)]
pub(crate) struct Gathering {
    gathers: Vec<Gather>,
    query: String,
    first_parameter: usize,
}

/// Columns that every table has.
pub(crate) const SYSTEM_COLUMNS: &[&str] = &["ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"];

/// Outlines one statement of `text`, as parsed from it.
pub fn outline(statement: RawStmt<'_>, text: &str, context: &Context<'_>) -> Outline {
    let (mut home, mut hides_names) = (Home::Any, false);
    if !context.catalog.schemas().is_empty()
        && let Some(node) = statement.stmt()
    {
        let names = schemas::Names::of(node, context);
        home = names.home(context);
        hides_names = names.hides_names;
        if let Some(shape) = schemas::outline(node, &names, context) {
            let shape = shape.unwrap_or_else(Shape::Refused);
            if let Shape::On(shard) = shape {
                home = Home::On(shard);
            }
            return Outline { shape, shards: context.shards, home, hides_names };
        }
    }
    let shape = match statement.stmt() {
        Some(Node::SelectStmt(select)) => read(statement, select, text, context)
            .or_else(|refusal| draws(select, context).ok_or(refusal)),
        Some(Node::InsertStmt(insert)) => insert::insert(statement, insert, text, context),
        Some(Node::UpdateStmt(update)) => modify::update(statement, update, text, context),
        Some(Node::DeleteStmt(delete)) => modify::delete(statement, delete, text, context),
        Some(Node::MergeStmt(merge)) => merge::merge(statement, merge, text, context),
        Some(Node::CopyStmt(it)) => copy::copy(statement, it, text, context),
        Some(Node::ExplainStmt(_)) => Err(Refusal::over_shards("EXPLAIN")),
        Some(Node::DeclareCursorStmt(_)) => Err(Refusal::over_shards("DECLARE CURSOR")),
        Some(Node::PrepareStmt(_) | Node::ExecuteStmt(_)) => {
            Err(Refusal::over_shards("PREPARE and EXECUTE"))
        }
        Some(
            Node::TransactionStmt(_)
            | Node::VariableSetStmt(_)
            | Node::VariableShowStmt(_)
            | Node::DiscardStmt(_)
            | Node::DeallocateStmt(_),
        )
        | None => Ok(Shape::Elsewhere),
        Some(other) => ddl::outline(other, context),
    };
    let shards = context.shards;
    let whole = Outline { shape: shape.unwrap_or_else(Shape::Refused), shards, home, hides_names };
    match chained(statement, text, context) {
        None => whole,
        Some(parts) => {
            let parts = parts.map(Box::new);
            let shape = Shape::Chain { whole: Box::new(whole), parts };
            Outline { shape, shards, home, hides_names }
        }
    }
}

fn read(
    statement: RawStmt<'_>,
    select: SelectStmt<'_>,
    text: &str,
    context: &Context<'_>,
) -> Result<Shape, Refusal> {
    let mut walker = Walker::new(context.catalog, context.search_path);
    walker.query(select, &Env::EMPTY, None, 0)?;
    check_calls(&mut walker, context)?;
    let tables = placed(&walker);
    if !tables.is_empty() {
        if walker.reads_of_shard {
            return Err(Refusal::over_shards("a join with what the system tells of one shard"));
        }
        check_references(&mut walker);
    }
    let finish = match walker.not_gathered.take() {
        Some(refusal) => Err(refusal),
        None => gathering(&walker, statement, text),
    };
    let (mut merge, mut begun) = (None, None);
    let of_schema = |it: &Placed| matches!(it.table.kind, Kind::SchemaSharded { .. });
    if !tables.is_empty() && !tables.iter().any(of_schema) {
        let piece = piece(statement, text);
        merge = merging(select, text, piece.clone(), context).map(Box::new);
        let first_parameter = walker.last_parameter + 1;
        begun = partial(select, text, piece, context, first_parameter).map(Box::new);
    }
    Ok(Shape::Read { tables, merge, partial: begun, finish })
}

/// A query that draws from sequences and reads nothing but what all shards have: sequences are on
/// the first shard.
fn draws(select: SelectStmt<'_>, context: &Context<'_>) -> Option<Shape> {
    let mut walker = Walker::new(context.catalog, context.search_path);
    walker.query(select, &Env::EMPTY, None, 0).ok()?;
    let worst = once::worst(&walker, context.catalog).unwrap_or(Volatility::Unknown);
    let alone = placed(&walker).is_empty() && !walker.writes && !walker.reads_system;
    (alone && worst == Volatility::Sequence).then_some(Shape::On(0))
}

/// Functions that no shard may call are refused; those that tell of a shard are not gathered.
pub(crate) fn check_calls(
    walker: &mut Walker<'_, '_>,
    context: &Context<'_>,
) -> Result<(), Refusal> {
    for call in &walker.calls {
        if let Some(refusal) = objection(*call, context.catalog, false) {
            return Err(refusal);
        }
        if let Some(refusal) = objection(*call, context.catalog, true) {
            walker.not_gathered.get_or_insert(refusal);
        }
    }
    Ok(())
}

pub(crate) fn is_placed(occurrence: &Occurrence<'_>) -> bool {
    matches!(
        occurrence.table.kind,
        Kind::Sharded { .. } | Kind::SchemaSharded { .. } | Kind::View { parted: true, .. }
    )
}

pub(crate) fn placed(walker: &Walker<'_, '_>) -> Vec<Placed> {
    let scopes = &walker.scopes;
    let occurrences = scopes.occurrences.iter().enumerate().filter(|(_, it)| is_placed(it));
    occurrences
        .map(|(index, occurrence)| {
            let key = occurrence.table.key();
            let keys = key
                .filter(|&key| is_key_type(&occurrence.table.columns[key]))
                .and_then(|key| scopes.keys((index, key)));
            Placed { table: occurrence.table.clone(), keys }
        })
        .collect()
}

/// References to what gathered rows do not have: whole rows, system columns, schemas.
fn check_references(walker: &mut Walker<'_, '_>) {
    let all = &walker.scopes.occurrences;
    let placed: Vec<&Occurrence<'_>> = all.iter().filter(|it| is_placed(it)).collect();
    let mut found = None;
    for reference in &walker.columns {
        let names = texts(reference.fields());
        let star = names.len() != reference.fields().len();
        let construct = match names.as_slice() {
            [name] if !star && placed.iter().any(|it| it.reference == *name) => "a whole row",
            [name] if !star && SYSTEM_COLUMNS.contains(name) => "a system column",
            [_, name] if !star && SYSTEM_COLUMNS.contains(name) => "a system column",
            [qualifier, name] if !star => {
                let mut tables =
                    placed.iter().filter(|it| it.reference == *qualifier && !it.renamed);
                if tables.any(|it| it.table.position(name).is_none()) {
                    "a column that the table does not have"
                } else {
                    continue;
                }
            }
            [_, _, ..] if names.len() > 2 || star && names.len() > 1 => {
                "a column's name with its schema"
            }
            _ => continue,
        };
        found.get_or_insert(construct);
    }
    if let Some(construct) = found {
        walker.object(construct);
    }
}

fn gathering(
    walker: &Walker<'_, '_>,
    statement: RawStmt<'_>,
    text: &str,
) -> Result<Gathering, Refusal> {
    let tokens = Tokens::new(text)?;
    let first_parameter = walker.last_parameter + 1;
    let mut next = first_parameter;
    let mut gathers = Vec::new();
    let mut edits = Vec::new();
    for occurrence in walker.scopes.occurrences.iter().filter(|it| is_placed(it)) {
        let (gather, subquery) = gather(occurrence, &walker.used, walker.uses_all, next)?;
        next += gather.columns.len();
        gathers.push(gather);
        edits.push(tokens.replace(occurrence, &subquery)?);
    }
    let query = edited(text, piece(statement, text), edits)
        .ok_or_else(|| Refusal::over_shards("a text of this form"))?;
    Ok(Gathering { gathers, query, first_parameter })
}

/// The text of one statement.
fn piece(statement: RawStmt<'_>, text: &str) -> Range<usize> {
    let start = usize::try_from(statement.stmt_location()).unwrap_or(0);
    let end = match usize::try_from(statement.stmt_len()) {
        Ok(0) | Err(_) => text.len(),
        Ok(length) => start + length,
    };
    start..end
}

/// The query for a table's rows, and the subquery that takes the table's place.
pub(crate) fn gather(
    occurrence: &Occurrence<'_>,
    used: &HashSet<&str>,
    uses_all: bool,
    first_parameter: usize,
) -> Result<(Gather, String), Refusal> {
    let table = occurrence.table;
    let mut columns: Vec<&Column> =
        table.columns.iter().filter(|it| uses_all || used.contains(it.name.as_str())).collect();
    if columns.is_empty() {
        // Only the number of rows matters.
        columns.extend(table.columns.iter().find(|it| it.transport.is_some()));
    }
    if columns.is_empty() {
        return Err(Refusal::over_shards("a table without columns"));
    }
    let mut gathered = Vec::new();
    let (mut asked, mut arrays, mut names, mut outputs) = (vec![], vec![], vec![], vec![]);
    for (index, column) in columns.iter().enumerate() {
        let Some(transport) = &column.transport else {
            let construct = format!("the column {} of type {}", column.name, column.sql_type);
            return Err(Refusal::over_shards(construct));
        };
        let name = quote::name(&column.name);
        let same = transport.oid == column.type_oid;
        asked.push(if same { name.clone() } else { format!("{name}::{}", transport.sql_type) });
        arrays.push(format!(
            "pg_catalog.unnest(${}::{}[])",
            first_parameter + index,
            transport.sql_type
        ));
        names.push(format!("c{index}"));
        let collation = column.collation.as_ref().map(|it| format!(" COLLATE {it}"));
        let collation = collation.unwrap_or_default();
        outputs.push(format!("c{index}::{}{collation} AS {name}", column.sql_type));
        gathered.push(GatheredColumn { type_oid: transport.oid });
    }
    let filter = match occurrence.filters.as_slice() {
        [] => String::new(),
        filters => format!(" WHERE {}", filters.join(" AND ")),
    };
    let (schema, name) = (quote::name(&table.schema), quote::name(&table.name));
    let query = format!("SELECT {} FROM {schema}.{name}{filter}", asked.join(", "));
    let subquery = format!(
        "SELECT {} FROM ROWS FROM ({}) AS g({})",
        outputs.join(", "),
        arrays.join(", "),
        names.join(", ")
    );
    let uses_parameters = filter.contains('$');
    Ok((Gather { shards: Vec::new(), query, uses_parameters, columns: gathered }, subquery))
}

// === impl Outline ===

impl Outline {
    /// The one shard that answers, where that is found without a plan; it is that of [`Self::plan`].
    pub fn single(&self, parameters: &[Parameter<'_>], placement: &dyn Placement) -> Option<usize> {
        let Shape::Read { tables, .. } = &self.shape else { return None };
        if self.hides_names {
            return None;
        }
        let mut only = None;
        for placed in tables {
            let shard = match placed.table.kind {
                Kind::SchemaSharded { shard } => shard,
                _ => {
                    let [key] = placed.keys.as_deref()? else { return None };
                    let column = placed.table.columns.get(placed.table.key()?)?;
                    shard_of(key, &placed.table, column, parameters, placement)?
                }
            };
            if shard >= self.shards || only.is_some_and(|it| it != shard) {
                return None;
            }
            only = Some(shard);
        }
        only
    }

    /// Where a server can judge the statement: its names are all there.
    pub fn home(&self) -> Home {
        self.home
    }

    /// Whether parameters say what is named: with others it may be of another shard's schema.
    pub fn hides_names(&self) -> bool {
        self.hides_names
    }

    /// Why it is refused, whatever its parameters are.
    pub fn refusal(&self) -> Option<&Refusal> {
        match &self.shape {
            Shape::Refused(refusal) => Some(refusal),
            Shape::Read { finish: Err(refusal), .. } => Some(refusal),
            _ => None,
        }
    }

    /// What a server can judge in the place of a statement that is at home nowhere: its columns and
    /// parameters are the same, with others behind these, whose first number is given.
    pub fn stand_in(&self) -> Option<(Option<usize>, &str, usize)> {
        match &self.shape {
            Shape::Read { finish: Ok(it), .. } => Some((None, &it.query, it.first_parameter)),
            Shape::Modify(it) => it.stand_in(),
            Shape::Insert(it) => it.stand_in(),
            _ => None,
        }
    }

    /// The plan of one execution.
    pub fn plan(&self, parameters: &[Parameter<'_>], placement: &dyn Placement) -> Plan {
        match &self.shape {
            Shape::Elsewhere => Plan::Elsewhere,
            Shape::Refused(refusal) => Plan::Refuse(refusal.clone()),
            Shape::Read { tables, merge, partial, finish } => {
                let shards = self.shards_of(tables, parameters, placement);
                if tables.is_empty() {
                    return Plan::Any;
                }
                if let Some(shard) = only(&shards) {
                    return Plan::Single(shard);
                }
                let mut all: Vec<usize> = shards.iter().flatten().copied().collect();
                all.sort_unstable();
                all.dedup();
                let timeless = !parameters.iter().any(tells_the_time);
                let finished = || match (partial, finish) {
                    (Some(partial), _) if timeless => {
                        Plan::Finish(partial.with(all.clone(), parameters))
                    }
                    (_, Ok(gathering)) => Plan::Finish(gathering.with(&shards)),
                    (_, Err(refusal)) => Plan::Refuse(refusal.clone()),
                };
                if let Some(merging) = merge.as_ref().filter(|_| timeless)
                    && let Some(merge) = merging.with(all.clone(), parameters, finished)
                {
                    return Plan::Merge(merge);
                }
                finished()
            }
            Shape::Everywhere(it) => Plan::Everywhere(*it),
            Shape::Copy(copy) => copy.plan(parameters, placement),
            Shape::On(shard) => Plan::Single(*shard),
            Shape::Chain { whole, parts } => match (whole.plan(parameters, placement), parts) {
                (Plan::Refuse(_), Ok(parts)) => parts.plan(parameters, placement),
                (Plan::Refuse(_), Err(refusal)) => Plan::Refuse(refusal.clone()),
                (plan, _) => plan,
            },
            Shape::Modify(modify) => {
                let of_tables = self.shards_of(modify.tables(), parameters, placement);
                modify.plan(&of_tables, self.shards, parameters, placement)
            }
            Shape::Insert(insert) => {
                let of_tables = self.shards_of(insert.tables(), parameters, placement);
                insert.plan(&of_tables, self.shards, parameters, placement)
            }
        }
    }

    /// For each table the shards whose rows matter.
    fn shards_of(
        &self,
        tables: &[Placed],
        parameters: &[Parameter<'_>],
        placement: &dyn Placement,
    ) -> Vec<Vec<usize>> {
        let of = |placed: &Placed| {
            if let Kind::SchemaSharded { shard } = placed.table.kind {
                return vec![shard];
            }
            let column = placed.table.key().and_then(|key| placed.table.columns.get(key));
            placed
                .keys
                .as_ref()
                .zip(column)
                .and_then(|(keys, column)| {
                    shards_of(keys, &placed.table, column, parameters, placement)
                })
                .filter(|shards| shards.iter().all(|it| *it < self.shards))
                .unwrap_or_else(|| (0..self.shards).collect())
        };
        tables.iter().map(of).collect()
    }
}

/// The one shard that all of these are, if they are.
pub(crate) fn only(shards: &[Vec<usize>]) -> Option<usize> {
    match shards.first()?.as_slice() {
        [shard] if shards.iter().all(|it| it.as_slice() == [*shard]) => Some(*shard),
        _ => None,
    }
}

impl Gathering {
    fn with(&self, shards: &[Vec<usize>]) -> Finish {
        let gathers = self.gathers.iter().zip(shards.iter().cloned());
        Finish {
            gathers: gathers.map(|(gather, shards)| Gather { shards, ..gather.clone() }).collect(),
            query: self.query.clone(),
            first_parameter: self.first_parameter,
        }
    }
}
