//! `FOR UPDATE` and its kin: which rows are locked where, so that sessions exclude each other as on
//! one Postgres.
//!
//! Every shard locks the rows that it gives, one shard after the other in their order, as writes go.
//! Copies of reference tables are locked on all shards; where a query locks rows of sharded tables
//! with them, those of one shard are enough for a shared lock, since whoever wants another one asks
//! all shards.

use std::ops::Range;

use pgherd_parser::{LockingClause, Node, SelectStmt, StringSyntax, Tree, constants as c};

use crate::catalog::Kind;
use crate::clauses::words;
use crate::edit::Tokens;
use crate::merging::{Count, count};
use crate::outline::{Context, Placed, Shape};
use crate::partial::{Partial, partial};
use crate::plan::Refusal;
use crate::scope::Occurrence;
use crate::walk::text;
use crate::walker::Walker;

/// All that depends on nothing but the text.
pub(crate) fn locking(
    walker: &Walker<'_, '_>,
    select: SelectStmt<'_>,
    tables: Vec<Placed>,
    (source, piece): (&str, Range<usize>),
    context: &Context<'_>,
) -> Result<Shape, Refusal> {
    let occurrences = &walker.scopes.occurrences;
    let copies = || occurrences.iter().filter(|it| it.table.kind == Kind::Reference);
    let first_parameter = walker.last_parameter + 1;
    let clauses = || {
        select.locking_clause().iter().filter_map(|it| match it {
            Node::LockingClause(it) => Some(it),
            _ => None,
        })
    };
    let is_limited = select.limit_count().is_some() || select.limit_offset().is_some();
    if tables.is_empty() {
        if copies().next().is_none() {
            return Ok(Shape::Read {
                tables,
                merge: None,
                partial: None,
                blocks: None,
                finish: Err(Refusal::over_shards("FOR UPDATE or SHARE")),
            });
        }
        // The same rows on all shards: not those that come first, or that are free.
        if is_limited || walker.picks || clauses().any(|it| skips(it)) {
            return Err(Refusal::new(
                "FOR UPDATE or SHARE of a reference table with LIMIT, DISTINCT or SKIP LOCKED",
                "Its rows are locked on all shards: say by their key which.",
            ));
        }
        let text = source.get(piece).unwrap_or(source).to_owned();
        return Ok(Shape::LockCopies { text, first_parameter });
    }
    // Which of them are locked is plain when all stand in FROM by their names.
    let flat = select.from_clause().iter().all(is_flat);
    let of_top: Vec<usize> = match walker.scopes.scopes.get(walker.last_scope) {
        Some(scope) if flat => scope.tables.iter().map(|(index, _)| *index).collect(),
        _ => (0..occurrences.len()).collect(),
    };
    let locked = |clause: LockingClause<'_>, it: &Occurrence<'_>| {
        let names = clause.locked_rels();
        names.is_empty()
            || names.iter().any(|name| match name {
                Node::RangeVar(name) => text(name.relname()) == it.reference || !flat,
                _ => true,
            })
    };
    let top = || of_top.iter().filter_map(|it| occurrences.get(*it));
    for clause in clauses().filter(|it| is_exclusive(*it)) {
        if top().any(|it| it.table.kind == Kind::Reference && locked(clause, it)) {
            return Err(Refusal::new(
                "FOR UPDATE of a reference table together with other tables",
                "Name the other tables behind OF.",
            ));
        }
    }
    let is_view = |it: &Occurrence<'_>| matches!(it.table.kind, Kind::View { .. });
    let several = if clauses().any(|clause| top().any(|it| is_view(it) && locked(clause, it))) {
        Err(Refusal::over_shards("FOR UPDATE or SHARE of a view"))
    } else if is_limited && !is_any_so_many(select) {
        // Which rows come first is not known before some are locked.
        Err(Refusal::new(
            "FOR UPDATE or SHARE with OFFSET, or with LIMIT and ORDER BY",
            "Leave ORDER BY out, or compare the sharding key with one value.",
        ))
    } else {
        let piece = source.get(piece).unwrap_or(source);
        let begun = several(piece, context, count(select.limit_count()), first_parameter);
        begun.map(Box::new).ok_or_else(|| {
            Refusal::over_shards("FOR UPDATE or SHARE of rows that no shard can find alone")
        })
    };
    Ok(Shape::Lock { tables, several })
}

/// LIMIT alone: whichever rows are found first.
fn is_any_so_many(select: SelectStmt<'_>) -> bool {
    select.limit_offset().is_none()
        && select.sort_clause().is_empty()
        && select.limit_option() == c::LIMIT_OPTION_COUNT
        && count(select.limit_count()).is_some()
}

/// Rows of several shards, locked as they are gathered.
fn several(
    text: &str,
    context: &Context<'_>,
    limit: Option<Count>,
    first_parameter: usize,
) -> Option<Partial> {
    let tokens = Tokens::new(text).ok()?;
    let words = words(&tokens, 0..tokens.len())?;
    let find = |wanted: &[&str]| {
        words.iter().find(|(word, _)| wanted.contains(&word.as_str())).map(|(_, at)| *at)
    };
    // They may come in both orders.
    let (locks, limits) = (find(&["for"])?, find(&["limit", "fetch"]));
    let start = tokens.range(limits.map_or(locks, |it| it.min(locks)))?.start;
    let end = match limits.filter(|it| *it > locks) {
        Some(limits) => tokens.range(limits)?.start,
        None => text.len(),
    };
    let (query, clause) = (text.get(..start)?, text.get(tokens.range(locks)?.start..end)?);
    let tree = Tree::parse(query, StringSyntax::Standard).ok()?;
    let Some(Node::SelectStmt(select)) = tree.statements().next()?.stmt() else { return None };
    if select.op() != c::SETOP_NONE || !select.locking_clause().is_empty() {
        return None;
    }
    let grouped = !select.group_clause().is_empty()
        || !select.distinct_clause().is_empty()
        || select.having_clause().is_some();
    let begun = partial(select, query, 0..query.len(), context, first_parameter)?;
    let clause = clause.trim().trim_end_matches(';');
    // What would end the shards' text early.
    let is_plain = !clause.contains("--");
    (!grouped && is_plain).then(|| begun.locking(clause, limit.unwrap_or(Count::None)))
}

fn is_flat(item: Node<'_>) -> bool {
    let mut stack = vec![item];
    while let Some(item) = stack.pop() {
        match item {
            Node::RangeVar(_) => {}
            Node::JoinExpr(join) if join.alias().is_none() => {
                stack.extend(join.larg());
                stack.extend(join.rarg());
            }
            _ => return false,
        }
    }
    true
}

/// It excludes others of its kind.
fn is_exclusive(clause: LockingClause<'_>) -> bool {
    [c::LCS_FORUPDATE, c::LCS_FORNOKEYUPDATE].contains(&clause.strength())
}

fn skips(clause: LockingClause<'_>) -> bool {
    clause.wait_policy() == c::LOCKWAITSKIP
}
