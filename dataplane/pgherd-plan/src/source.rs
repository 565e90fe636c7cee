//! What an INSERT inserts: the walk over it, and where the key of its rows comes from.

use pgherd_parser::{InsertStmt, Node, SelectStmt, constants as c};

use crate::key::{Key, family, is_key_type};
use crate::plan::Refusal;
use crate::push::key;
use crate::walk::{column, text, texts};
use crate::walker::{Env, Walker};
use crate::write::target;

/// What a walk over INSERT finds.
pub struct Inserted<'t> {
    pub target: usize,
    pub select: Option<SelectStmt<'t>>,
    /// Where in a row the key stands; `None` when it is left out.
    pub position: Option<usize>,
    /// Of VALUES: the key of each row.
    pub keys: Option<Vec<Key>>,
    /// How many columns the source has, when that is known.
    pub width: Option<usize>,
    /// The scope of the source's own FROM.
    pub source_scope: usize,
    /// A column of a table that is the key of each row of SELECT.
    pub key_place: Option<(usize, usize)>,
    /// The occurrences in the source, WITH included, and its calls.
    pub source: std::ops::Range<usize>,
    pub source_calls: std::ops::Range<usize>,
}

pub fn insert_in<'t>(
    walker: &mut Walker<'_, 't>,
    insert: InsertStmt<'t>,
    env: &Env<'_>,
    depth: usize,
) -> Result<Inserted<'t>, Refusal> {
    let scope = walker.scopes.open(None);
    let target = target(walker, insert.relation(), scope)?;
    let table = walker.scopes.occurrences[target].table;
    let (first, first_call) = (walker.scopes.occurrences.len(), walker.calls.len());
    let mut inner = env.inner();
    walker.with(insert.with_clause(), &mut inner, None, depth)?;
    let select = match insert.select_stmt() {
        Some(Node::SelectStmt(select)) => Some(select),
        Some(_) => return Err(Refusal::over_shards("this INSERT")),
        None => None,
    };
    let key_column = table.key().and_then(|it| table.columns.get(it));
    let position = table.key().and_then(|column| match insert.cols().is_empty() {
        true => Some(column).filter(|_| select.is_some()),
        false => insert.cols().iter().position(|it| match it {
            Node::ResTarget(it) => text(it.name()) == table.columns[column].name,
            _ => false,
        }),
    });
    let mut found = Inserted {
        target,
        select,
        position,
        keys: None,
        width: None,
        source_scope: 0,
        key_place: None,
        source: first..first,
        source_calls: first_call..first_call,
    };
    if let Some(select) = select {
        walker.query(select, &inner, None, depth + 1)?;
        found.source_scope = walker.last_scope;
        found.width = width(walker, select, found.source_scope);
        if let Some(column) = key_column.filter(|it| is_key_type(it)) {
            let place = (target, table.key().unwrap_or_default());
            match select.values_lists().is_empty() {
                false => found.keys = keys_of(select, position, family(column.type_oid)),
                true => key_of_select(walker, select, place, family(column.type_oid), &mut found),
            }
            if let Some(keys) = found.keys.clone() {
                walker.scopes.add_fact(place, keys);
            }
        }
    }
    found.source.end = walker.scopes.occurrences.len();
    found.source_calls.end = walker.calls.len();
    for node in insert.returning_clause().into_iter().chain(insert.on_conflict_clause()) {
        walker.expressions(node, scope, &Env::EMPTY, depth)?;
    }
    Ok(found)
}

/// How many columns a query has.
fn width(walker: &Walker<'_, '_>, select: SelectStmt<'_>, scope: usize) -> Option<usize> {
    if let Some(Node::List(row)) = select.values_lists().first() {
        return Some(row.len());
    }
    if select.op() != c::SETOP_NONE {
        let mut arm = select;
        while let Some(Node::SelectStmt(left)) = arm.larg() {
            arm = left;
        }
        let stars = arm.target_list().iter().any(is_star_target);
        return match arm.values_lists().first() {
            Some(Node::List(row)) => Some(row.len()),
            _ => (!stars).then(|| arm.target_list().len()),
        };
    }
    let tables = &walker.scopes.scopes.get(scope)?.tables;
    let columns = |it: usize| walker.scopes.occurrences[it].table.columns.len();
    let mut sum = 0;
    for target in select.target_list().iter() {
        if !is_star_target(target) {
            sum += 1;
            continue;
        }
        let Node::ResTarget(target) = target else { return None };
        let Some(Node::ColumnRef(reference)) = target.val() else { return None };
        match texts(reference.fields()).as_slice() {
            [] => {
                let from = select.from_clause();
                let plain = from.iter().all(|it| matches!(it, Node::RangeVar(_)));
                if !plain || tables.len() != from.len() {
                    return None;
                }
                sum += tables.iter().map(|(it, _)| columns(*it)).sum::<usize>();
            }
            [name] => {
                let of = |it: &&(usize, bool)| walker.scopes.occurrences[it.0].reference == *name;
                sum += columns(tables.iter().find(of)?.0);
            }
            _ => return None,
        }
    }
    Some(sum)
}

fn is_star_target(target: Node<'_>) -> bool {
    match target {
        Node::ResTarget(it) => it.val().is_some_and(crate::walker::is_star),
        _ => true,
    }
}

/// What the column of SELECT that becomes the key is, if it is as plain as a column or value.
fn key_of_select(
    walker: &mut Walker<'_, '_>,
    select: SelectStmt<'_>,
    target: (usize, usize),
    of: crate::key::Family,
    found: &mut Inserted<'_>,
) {
    let stars = select.target_list().iter().any(is_star_target);
    if select.op() != c::SETOP_NONE || !select.group_clause().is_empty() {
        return;
    }
    if stars {
        star_of_select(walker, select, target, found);
        return;
    }
    let item = found.position.and_then(|it| select.target_list().iter().nth(it));
    let Some(Node::ResTarget(item)) = item else { return };
    let Some(value) = item.val() else { return };
    if let Some(constant) = key(value, of).filter(|_| !matches!(value, Node::ColumnRef(_))) {
        found.keys = Some(vec![constant]);
        return;
    }
    let Some((qualifier, name)) = column(value) else { return };
    let Some(place) = walker.scopes.resolve(found.source_scope, qualifier, name) else { return };
    key_is(walker, place, target, found);
}

/// `SELECT * FROM t`: the columns of the one table.
fn star_of_select(
    walker: &mut Walker<'_, '_>,
    select: SelectStmt<'_>,
    target: (usize, usize),
    found: &mut Inserted<'_>,
) {
    let tables = &walker.scopes.scopes[found.source_scope].tables;
    let one = select.target_list().len() == 1 && select.from_clause().len() == 1;
    if let (true, [(table, false)], Some(position)) = (one, tables.as_slice(), found.position)
        && matches!(select.from_clause().first(), Some(Node::RangeVar(_)))
    {
        key_is(walker, (*table, position), target, found);
    }
}

fn key_is(
    walker: &mut Walker<'_, '_>,
    place: (usize, usize),
    target: (usize, usize),
    found: &mut Inserted<'_>,
) {
    let tables = &walker.scopes.scopes[found.source_scope].tables;
    let known = walker.scopes.occurrences[place.0].table.columns.get(place.1).is_some();
    // Not one that an outer join may have made NULL.
    if known && tables.contains(&(place.0, false)) {
        walker.scopes.add_edge(place, target);
        found.key_place = Some(place);
    }
}

fn keys_of(
    select: SelectStmt<'_>,
    position: Option<usize>,
    of: crate::key::Family,
) -> Option<Vec<Key>> {
    let row = |row: Node<'_>| match row {
        Node::List(values) => key(values.iter().nth(position?)?, of),
        _ => None,
    };
    select.values_lists().iter().map(row).collect()
}
