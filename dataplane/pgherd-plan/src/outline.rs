//! What is known of a statement before its parameters have values, and the plan with them.

use std::collections::HashSet;
use std::ops::Range;

use pgherd_parser::{Node, RawStmt, SelectStmt, StringSyntax, Tree};

use crate::blocks::{Blocks, blocks};
use crate::catalog::{Catalog, Kind, Table};
use crate::chain::{Chained, chained};
use crate::copy;
use crate::ddl;
use crate::expand::expanded;
use crate::functions::{Volatility, objection};
use crate::gathering::{Gathering, check_references, gathering};
use crate::insert::{self, Insert};
use crate::key::{Key, Parameter, Placement, is_key_type, shard_of, shards_of};
use crate::locking::locking;
use crate::merge;
use crate::merging::{Merging, merging, tells_the_time};
use crate::modify::{self, Modify};
use crate::moment::{Moment, moment};
use crate::once;
use crate::partial::{Partial, partial};
use crate::plan::{Everywhere, Finish, Plan, Refusal, Replies, Write};
use crate::schemas::{self, Home};
use crate::scope::Occurrence;
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
    rights: Option<String>,
    moment: Option<Moment>,
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
        blocks: Option<Box<Blocks>>,
        finish: Result<Gathering, Refusal>,
    },
    /// Of one shard as it is, of several in their order.
    Lock {
        tables: Vec<Placed>,
        several: Result<Box<Partial>, Refusal>,
    },
    /// As it is, on all shards, which have the same rows.
    LockCopies {
        text: String,
        first_parameter: usize,
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

/// Columns that every table has.
pub(crate) const SYSTEM_COLUMNS: &[&str] = &["ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"];

/// Outlines one statement of `text`, as parsed from it.
pub fn outline(statement: RawStmt<'_>, text: &str, context: &Context<'_>) -> Outline {
    let own = text.get(piece(statement, text)).unwrap_or(text);
    if let Some(Node::SelectStmt(_)) = statement.stmt() {
        match expanded(own, context) {
            Ok(None) => {}
            Ok(Some(it)) => {
                let tree = Tree::parse(&it.text, StringSyntax::Standard);
                if let Ok(tree) = tree
                    && let Some(statement) = tree.statements().next()
                {
                    let outline = without_views(statement, &it.text, context);
                    return Outline { rights: Some(it.rights), ..outline };
                }
            }
            Err(refusal) => {
                let shape = Shape::Refused(refusal);
                return Outline::of(shape, context);
            }
        }
    }
    without_views(statement, text, context)
}

fn without_views(statement: RawStmt<'_>, text: &str, context: &Context<'_>) -> Outline {
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
            return Outline { home, hides_names, ..Outline::of(shape, context) };
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
    let mut whole = Outline::of(shape.unwrap_or_else(Shape::Refused), context);
    (whole.home, whole.hides_names) = (home, hides_names);
    if let Shape::Read { tables, merge: None, partial: None, finish: Ok(_), .. } = &whole.shape
        && !tables.is_empty()
    {
        whole.moment = moment(statement, text, context);
    }
    match chained(statement, text, context) {
        None => whole,
        Some(parts) => {
            let shape = Shape::Chain { whole: Box::new(whole), parts: parts.map(Box::new) };
            Outline { home, hides_names, ..Outline::of(shape, context) }
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
    walker.star_args = Some(HashSet::new());
    walker.query(select, &Env::EMPTY, None, 0)?;
    check_calls(&mut walker, context)?;
    let tables = placed(&walker);
    if !tables.is_empty() {
        if walker.reads_of_shard {
            return Err(Refusal::over_shards("a join with what the system tells of one shard"));
        }
        check_references(&mut walker);
    }
    if !select.locking_clause().is_empty() {
        let piece = piece(statement, text);
        return locking(&walker, select, tables, (text, piece), context);
    }
    let finish = match walker.not_gathered.take() {
        Some(refusal) => Err(refusal),
        None => gathering(&walker, statement, text),
    };
    let (mut merge, mut begun, mut within) = (None, None, None);
    let of_schema = |it: &Placed| matches!(it.table.kind, Kind::SchemaSharded { .. });
    if !tables.is_empty() && !tables.iter().any(of_schema) {
        let piece = piece(statement, text);
        merge = merging(select, text, piece.clone(), context).map(Box::new);
        let first_parameter = walker.last_parameter + 1;
        begun = partial(select, text, piece.clone(), context, first_parameter).map(Box::new);
        if begun.is_none() && finish.is_ok() {
            within = blocks(select, text, piece, context, first_parameter).map(Box::new);
        }
    }
    Ok(Shape::Read { tables, merge, partial: begun, blocks: within, finish })
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

/// The text of one statement.
pub(crate) fn piece(statement: RawStmt<'_>, text: &str) -> Range<usize> {
    let start = usize::try_from(statement.stmt_location()).unwrap_or(0);
    let end = match usize::try_from(statement.stmt_len()) {
        Ok(0) | Err(_) => text.len(),
        Ok(length) => start + length,
    };
    start..end
}

// === impl Outline ===

impl Outline {
    fn of(shape: Shape, context: &Context<'_>) -> Self {
        Self {
            shape,
            shards: context.shards,
            rights: None,
            moment: None,
            home: Home::Any,
            hides_names: false,
        }
    }

    /// For a [`Plan::Finish`]: with what this asks for as constants, another text may have a better
    /// plan.
    pub fn moment(&self) -> Option<&Moment> {
        self.moment.as_ref()
    }

    /// Where views were replaced by their queries: what to ask a shard before a plan is carried out
    /// that is not the client's own text. Unless the answer is true, the user may not read what is
    /// behind them, or sees other rows there than their owners.
    pub fn rights(&self) -> Option<&str> {
        match &self.shape {
            Shape::Copy(copy) => copy.rights(),
            Shape::Chain { whole, parts } => {
                whole.rights().or_else(|| parts.as_ref().ok().and_then(|it| it.rights()))
            }
            _ => self.rights.as_deref(),
        }
    }

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
            Shape::Lock { tables, several } => {
                let shards = self.shards_of(tables, parameters, placement);
                match (only(&shards), several) {
                    (Some(shard), _) => Plan::Single(shard),
                    (None, Ok(partial)) => match partial.locks(parameters) {
                        Some(locks) => {
                            let finish = partial.with(all(&shards), parameters);
                            Plan::Finish(Finish { locks, ..finish })
                        }
                        None => Plan::Refuse(Refusal::over_shards("this LIMIT")),
                    },
                    (None, Err(refusal)) => Plan::Refuse(refusal.clone()),
                }
            }
            Shape::LockCopies { text, first_parameter } => Plan::Write(Write {
                gathers: Vec::new(),
                first_parameter: *first_parameter,
                texts: (0..self.shards).map(|shard| (shard, text.clone())).collect(),
                replies: Replies::Same,
            }),
            Shape::Read { tables, merge, partial, blocks, finish } => {
                let shards = self.shards_of(tables, parameters, placement);
                if tables.is_empty() {
                    return Plan::Any;
                }
                if let Some(shard) = only(&shards) {
                    return Plan::Single(shard);
                }
                let all = all(&shards);
                let timeless = !parameters.iter().any(tells_the_time);
                let finished = || match (partial, finish) {
                    (Some(partial), _) if timeless => {
                        Plan::Finish(partial.with(all.clone(), parameters))
                    }
                    (None, Ok(_)) if let Some(blocks) = blocks.as_ref().filter(|_| timeless) => {
                        Plan::Finish(self.of_blocks(blocks, parameters, placement))
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

    fn of_blocks(
        &self,
        blocks: &Blocks,
        parameters: &[Parameter<'_>],
        placement: &dyn Placement,
    ) -> Finish {
        let mut finish = blocks.rest.with(&self.shards_of(&blocks.tables, parameters, placement));
        let mut gathers = Vec::new();
        for (partial, tables) in &blocks.begun {
            let shards = all(&self.shards_of(tables, parameters, placement));
            gathers.append(&mut partial.with(shards, parameters).gathers);
            finish.first_parameter = finish.first_parameter.min(partial.first_parameter());
        }
        gathers.append(&mut finish.gathers);
        Finish { gathers, ..finish }
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

/// All of these, each once.
fn all(shards: &[Vec<usize>]) -> Vec<usize> {
    let mut all: Vec<usize> = shards.iter().flatten().copied().collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// The one shard that all of these are, if they are.
pub(crate) fn only(shards: &[Vec<usize>]) -> Option<usize> {
    match shards.first()?.as_slice() {
        [shard] if shards.iter().all(|it| it.as_slice() == [*shard]) => Some(*shard),
        _ => None,
    }
}
