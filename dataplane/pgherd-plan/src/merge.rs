//! MERGE: on one shard, or on each shard for its own rows.

use pgherd_parser::{MergeStmt, MergeWhenClause, Node, RawStmt, constants as c};

use crate::catalog::{Kind, Table};
use crate::functions::Volatility;
use crate::insert::{default_of, worst_default};
use crate::key::{family, is_key_type};
use crate::merge_rows;
use crate::modify::Modify;
use crate::once;
use crate::outline::{Context, Placed, Shape};
use crate::plan::Refusal;
use crate::push::{Conditions, conjuncts, key};
use crate::walk::{column, text};
use crate::walker::{Env, Walker};
use crate::write::{Spread, apart, same_placement, several, target};

pub fn merge(
    statement: RawStmt<'_>,
    merge: MergeStmt<'_>,
    sql: &str,
    context: &Context<'_>,
) -> Result<Shape, Refusal> {
    let mut walker = Walker::new(context.catalog, context.search_path);
    let scope = walker.scopes.open(None);
    let written = target(&mut walker, merge.relation(), scope)?;
    let table = walker.scopes.occurrences[written].table;
    let Kind::Sharded { column: at } = table.kind else {
        return Err(Refusal::over_shards("MERGE into a table that is not sharded"));
    };
    walker.scopes.scopes[scope].tables.push((written, false));
    let outer = Env::EMPTY;
    let mut env = outer.inner();
    walker.with(merge.with_clause(), &mut env, None, 0)?;
    walker.source(merge.source_relation(), scope, &env)?;
    // Rows of the source without a match matter as well, unless nothing is done with them.
    let mut inserts = false;
    let mut of_source = false;
    for clause in merge.merge_when_clauses().iter() {
        let Node::MergeWhenClause(clause) = clause else { continue };
        inserts |= clause.command_type() == c::CMD_INSERT;
        of_source |= clause.match_kind() == c::MERGE_WHEN_NOT_MATCHED_BY_SOURCE;
    }
    if let Some(condition) = merge.join_condition() {
        let all = walker.scopes.scopes[scope].tables.clone();
        let kept = all.iter().filter(|(it, _)| if *it == written { !of_source } else { !inserts });
        let kept = kept.copied().collect();
        walker.condition(condition, scope, &kept);
        walker.expressions(condition, scope, &env, 0)?;
    }
    let near = near(&walker, merge.join_condition(), scope, (written, at));
    let mut spread = Ok(());
    let mut constants = Vec::new();
    let mut nodes: Vec<Node<'_>> = Vec::new();
    let mut spread_of_defaults = Volatility::Everywhere;
    for clause in merge.merge_when_clauses().iter() {
        let Node::MergeWhenClause(clause) = clause else { continue };
        let targets = clause.target_list().iter();
        let set: Vec<&str> = targets
            .filter_map(|it| match it {
                Node::ResTarget(it) => Some(text(it.name())),
                _ => None,
            })
            .collect();
        let name = table.columns[at].name.as_str();
        spread_of_defaults = spread_of_defaults.max(defaults(table, clause, &set)?);
        if clause.command_type() == c::CMD_UPDATE && set.contains(&name) {
            return Err(Refusal::over_shards("a change of the sharding key in MERGE"));
        }
        if clause.command_type() == c::CMD_INSERT {
            let place = match set.is_empty() {
                true => Some(at),
                false => set.iter().position(|it| *it == name),
            };
            let value = place.and_then(|it| clause.values().iter().nth(it));
            spread =
                inserted(&walker, value, (written, at), scope, &near, &mut constants).and(spread);
        }
        let parts = clause.target_list().iter().chain(clause.values().iter());
        for node in parts.chain(clause.condition()) {
            walker.expressions(node, scope, &env, 0)?;
            nodes.push(node);
        }
    }
    if let Some(returning) = merge.returning_clause() {
        walker.expressions(returning, scope, &env, 0)?;
        nodes.push(returning);
    }
    nodes.extend(merge.join_condition());
    let timeless = |it: Volatility| it <= Volatility::Independent;
    if once::worst(&walker, context.catalog)? == Volatility::Sequence {
        return Err(Refusal::over_shards("nextval() in MERGE"));
    }
    if spread_of_defaults > Volatility::OfSession {
        let construct = format!("MERGE with defaults of {} that draw from sequences", table.name);
        return Err(Refusal::new(construct, "Give the columns values, or use INSERT."));
    }
    if !timeless(spread_of_defaults) {
        let construct = format!("MERGE with defaults of {} that tell the time", table.name);
        spread = Err(Refusal::new(construct, "Give the columns values."));
    }
    let apart: Vec<usize> = apart(&walker, written)
        .into_iter()
        .filter(|it| {
            let key = walker.scopes.occurrences[*it].table.key();
            key.is_none_or(|key| !near.contains(&(*it, key)))
        })
        .collect();
    let copied = !inserts && !of_source;
    let several = match spread {
        Err(refusal) => Err(refusal),
        Ok(()) if !apart.is_empty() || !co_located(&walker, written, &near) && !copied => {
            let hint = "Join it with the target by the sharding keys of both.";
            Err(Refusal::new("MERGE from a source that is not sharded as its target", hint))
        }
        Ok(()) => {
            let returning = merge.returning_clause();
            let spread = Spread { statement, sql, target: written, apart, nodes, returning };
            several(&walker, spread, context)
        }
    };
    let rows = match several.is_err() && timeless(spread_of_defaults) {
        true => merge_rows::rows(statement, merge, &walker, (written, at), sql, context),
        false => None,
    };
    let (several, rows) = match rows {
        Some(Err(refusal)) => (Err(refusal), None),
        Some(Ok(rows)) => (several, Some(rows)),
        None => (several, None),
    };
    Ok(Shape::Modify(Box::new(Modify::merged(&walker, several, constants, rows))))
}

/// The most volatile default that a clause uses.
fn defaults(
    table: &Table,
    clause: MergeWhenClause<'_>,
    set: &[&str],
) -> Result<Volatility, Refusal> {
    let mut worst = worst_default(table, clause.target_list());
    if clause.command_type() != c::CMD_INSERT {
        return Ok(worst);
    }
    if table.facts.is_none() {
        return Err(Refusal::over_shards("MERGE into a table whose defaults are not known"));
    }
    let width = clause.values().len();
    for (index, column) in table.columns.iter().enumerate() {
        let place = match set.is_empty() {
            true => (index < width).then_some(index),
            false => set.iter().position(|it| *it == column.name),
        };
        let value = place.and_then(|it| clause.values().iter().nth(it));
        let is_given = value.is_some_and(|it| !matches!(it, Node::SetToDefault(_)));
        if let Some(default) = default_of(table, &column.name).filter(|_| !is_given) {
            worst = worst.max(default.volatility);
        }
    }
    Ok(worst)
}

/// The columns that equal the target's key in each pair of rows that match.
fn near(
    walker: &Walker<'_, '_>,
    condition: Option<Node<'_>>,
    scope: usize,
    key: (usize, usize),
) -> Vec<(usize, usize)> {
    let conditions = Conditions { scopes: &walker.scopes, scope };
    let all = condition.map(conjuncts).unwrap_or_default();
    let pairs = all.into_iter().flat_map(|it| conditions.equalities(it));
    let others = pairs.flat_map(|(one, other)| match () {
        () if one == key => Some(other),
        () if other == key => Some(one),
        () => None,
    });
    let table = |place: (usize, usize)| walker.scopes.occurrences[place.0].table;
    let same = |place: &(usize, usize)| {
        let column = &table(*place).columns[place.1];
        family(column.type_oid) == family(table(key).columns[key.1].type_oid) && is_key_type(column)
    };
    // What follows from them may be the key of a table that is placed otherwise.
    let placed = |place: &(usize, usize)| match table(*place).kind {
        Kind::Sharded { .. } => same_placement(table(*place), table(key)),
        _ => true,
    };
    let following = others.filter(same).flat_map(|it| walker.scopes.following(it));
    following.filter(placed).collect()
}

/// Each shard has its own rows of the source: a sharded table at its top, joined by the key.
fn co_located(walker: &Walker<'_, '_>, written: usize, near: &[(usize, usize)]) -> bool {
    let sources = walker.scopes.scopes.first().map(|it| it.tables.clone()).unwrap_or_default();
    sources.iter().any(|(it, nullable)| {
        let key = walker.scopes.occurrences[*it].table.key();
        *it != written && !nullable && key.is_some_and(|key| near.contains(&(*it, key)))
    })
}

/// The key of new rows is a key of the source, or a value.
fn inserted(
    walker: &Walker<'_, '_>,
    value: Option<Node<'_>>,
    target: (usize, usize),
    scope: usize,
    near: &[(usize, usize)],
    constants: &mut Vec<Placed>,
) -> Result<(), Refusal> {
    let refused = || Err(Refusal::over_shards("MERGE that inserts a key of its own"));
    let of = &walker.scopes.occurrences[target.0].table.columns[target.1];
    let Some(value) = value.filter(|_| is_key_type(of)) else {
        let table = walker.scopes.occurrences[target.0].table.clone();
        constants.push(Placed { table, keys: None });
        return refused();
    };
    if let Some((qualifier, name)) = column(value) {
        return match walker.scopes.resolve(scope, qualifier, name) {
            Some(place) if place.0 != target.0 => {
                let table = walker.scopes.occurrences[target.0].table.clone();
                let is_key = walker.scopes.occurrences[place.0].table.key() == Some(place.1);
                let keys = walker.scopes.keys(place);
                constants.push(Placed { table, keys });
                if near.contains(&place) && is_key { Ok(()) } else { refused() }
            }
            _ => {
                let table = walker.scopes.occurrences[target.0].table.clone();
                constants.push(Placed { table, keys: None });
                refused()
            }
        };
    }
    match key(value, family(of.type_oid)) {
        Some(constant) => {
            let table = walker.scopes.occurrences[target.0].table.clone();
            constants.push(Placed { table, keys: Some(vec![constant]) });
            refused()
        }
        None => {
            // No shard is certain.
            let table = walker.scopes.occurrences[target.0].table.clone();
            constants.push(Placed { table, keys: None });
            refused()
        }
    }
}
