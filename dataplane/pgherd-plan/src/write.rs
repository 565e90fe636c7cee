//! INSERT, UPDATE and DELETE: by key to one shard, split by key, or to all.

use pgherd_parser::{DeleteStmt, InsertStmt, List, Node, SelectStmt, UpdateStmt, constants as c};

use crate::catalog::{Kind, Table};
use crate::edit::Tokens;
use crate::functions::is_immutable;
use crate::key::{Key, Parameter, Placement, family, is_key_type, shards_of};
use crate::outline::{Context, Shape, check_calls, placed};
use crate::plan::{Plan, Refusal};
use crate::push::key;
use crate::walk::text;
use crate::walker::{Env, Walker};

/// The rows of an INSERT with the keys that place them.
#[derive(Debug, Clone)]
pub struct Rows {
    table: Table,
    keys: Vec<Key>,
    /// The text before the rows, each row, and what is behind them.
    head: String,
    rows: Vec<String>,
    tail: String,
    /// Why the rows may not go to several shards, if so.
    split: Result<(), Refusal>,
}

pub fn update(update: UpdateStmt<'_>, context: &Context<'_>) -> Result<Shape, Refusal> {
    let mut names = Vec::new();
    for target in update.target_list().iter() {
        if let Node::ResTarget(target) = target {
            names.push(text(target.name()));
        }
    }
    let returned = update.returning_clause();
    let outputs: Vec<_> = update.target_list().iter().chain(returned).collect();
    let parts = Parts {
        relation: update.relation(),
        with: update.with_clause(),
        from: update.from_clause(),
        filter: update.where_clause(),
    };
    modify(&parts, &outputs, &names, context)
}

pub fn delete(delete: DeleteStmt<'_>, context: &Context<'_>) -> Result<Shape, Refusal> {
    let parts = Parts {
        relation: delete.relation(),
        with: delete.with_clause(),
        from: delete.using_clause(),
        filter: delete.where_clause(),
    };
    let outputs: Vec<_> = delete.returning_clause().into_iter().collect();
    modify(&parts, &outputs, &[], context)
}

struct Parts<'t> {
    relation: Option<Node<'t>>,
    with: Option<Node<'t>>,
    from: List<'t>,
    filter: Option<Node<'t>>,
}

fn modify<'t>(
    parts: &Parts<'t>,
    outputs: &[Node<'t>],
    changed: &[&str],
    context: &Context<'_>,
) -> Result<Shape, Refusal> {
    let Some(Node::RangeVar(relation)) = parts.relation else {
        return Err(Refusal::over_shards("this write"));
    };
    if parts.with.is_some() {
        return Err(Refusal::over_shards("WITH in front of a write"));
    }
    let mut walker = Walker::new(context.catalog, context.search_path);
    let scope = walker.scopes.open(None);
    let Some(target) = walker.table(relation, scope, &Env::EMPTY, false)? else {
        return Err(Refusal::over_shards("a write to a table of the system"));
    };
    let table = walker.scopes.occurrences[target].table;
    let Kind::Sharded { column } = table.kind else {
        return Err(Refusal::over_shards("a write to a table that is not sharded"));
    };
    if changed.contains(&table.columns[column].name.as_str()) {
        return Err(Refusal::over_shards("a change of the sharding key"));
    }
    walker.scopes.scopes[scope].tables.push((target, false));
    walker.from(parts.from, scope, &Env::EMPTY, 0)?;
    if let Some(filter) = parts.filter {
        walker.filter(filter, scope);
        walker.expressions(filter, scope, &Env::EMPTY, 0)?;
    }
    for node in outputs {
        walker.expressions(*node, scope, &Env::EMPTY, 0)?;
    }
    check_calls(&mut walker, context)?;
    let tables = placed(&walker);
    let objection = several(&walker, context).or_else(|| {
        (tables.len() > 1 || walker.reads_system)
            .then(|| Refusal::over_shards("a write that reads other rows of sharded tables"))
    });
    Ok(Shape::Modify { tables, broadcast: objection.map_or(Ok(()), Err) })
}

/// Why a write cannot be done by several shards, each by itself.
fn several(walker: &Walker<'_, '_>, context: &Context<'_>) -> Option<Refusal> {
    if walker.tells_of_session {
        let construct = "the time or the session in a write to several shards";
        return Some(Refusal::over_shards(construct));
    }
    let mut calls = walker.calls.iter();
    calls.any(|call| !is_immutable(*call, context.catalog)).then(|| {
        Refusal::over_shards("a function that is not IMMUTABLE in a write to several shards")
    })
}

pub fn insert(insert: InsertStmt<'_>, sql: &str, context: &Context<'_>) -> Result<Shape, Refusal> {
    let Some(Node::RangeVar(relation)) = insert.relation() else {
        return Err(Refusal::over_shards("this write"));
    };
    if insert.with_clause().is_some() {
        return Err(Refusal::over_shards("WITH in front of a write"));
    }
    let Some(Node::SelectStmt(select)) = insert.select_stmt() else {
        return Err(Refusal::over_shards("INSERT ... DEFAULT VALUES"));
    };
    if select.values_lists().is_empty() || select.op() != c::SETOP_NONE {
        return Err(Refusal::over_shards("INSERT ... SELECT"));
    }
    let mut walker = Walker::new(context.catalog, context.search_path);
    let scope = walker.scopes.open(None);
    let Some(target) = walker.table(relation, scope, &Env::EMPTY, false)? else {
        return Err(Refusal::over_shards("a write to a table of the system"));
    };
    let table = walker.scopes.occurrences[target].table;
    let Kind::Sharded { column } = table.kind else {
        return Err(Refusal::over_shards("a write to a table that is not sharded"));
    };
    let key_column = &table.columns[column];
    if !is_key_type(key_column) {
        return Err(Refusal::over_shards("a sharding key of this type"));
    }
    walker.query(select, &Env::EMPTY, None, 0)?;
    if let Some(node) = insert.returning_clause() {
        walker.expressions(node, scope, &Env::EMPTY, 0)?;
    }
    if let Some(conflict) = insert.on_conflict_clause() {
        on_conflict(conflict, &key_column.name)?;
        let mut children = Vec::new();
        conflict.push_children(&mut children);
        for node in children {
            walker.expressions(node, scope, &Env::EMPTY, 0)?;
        }
    }
    check_calls(&mut walker, context)?;
    if placed(&walker).len() > 1 {
        return Err(Refusal::over_shards("a subquery in INSERT"));
    }
    let position = match insert.cols().is_empty() {
        true => Some(column),
        false => insert.cols().iter().position(|it| match it {
            Node::ResTarget(it) => text(it.name()) == key_column.name,
            _ => false,
        }),
    };
    let keys = keys_of(select, position, family(key_column.type_oid));
    let keys = keys.ok_or_else(|| {
        Refusal::new(
            "an INSERT without a plain value of the sharding key",
            "Write it as a value or parameter.",
        )
    })?;
    let split = several(&walker, context).map_or(Ok(()), Err);
    let (head, rows, tail) = pieces(select, sql, keys.len())
        .ok_or_else(|| Refusal::over_shards("VALUES written like this"))?;
    Ok(Shape::Insert(Rows { table: table.clone(), keys, head, rows, tail, split }))
}

/// Conflicts are found on one shard only: they must be about the key.
fn on_conflict(conflict: Node<'_>, key: &str) -> Result<(), Refusal> {
    let Node::OnConflictClause(conflict) = conflict else { return Ok(()) };
    let names_key = |list: List<'_>| {
        list.iter().any(|it| match it {
            Node::IndexElem(it) => text(it.name()) == key,
            Node::ResTarget(it) => text(it.name()) == key,
            _ => false,
        })
    };
    let has_key = match conflict.infer() {
        Some(Node::InferClause(infer)) => names_key(infer.index_elems()),
        _ => false,
    };
    if !has_key {
        return Err(Refusal::over_shards("ON CONFLICT without the sharding key"));
    }
    if names_key(conflict.target_list()) {
        return Err(Refusal::over_shards("a change of the sharding key"));
    }
    Ok(())
}

fn keys_of(
    select: SelectStmt<'_>,
    position: Option<usize>,
    family: crate::key::Family,
) -> Option<Vec<Key>> {
    let row = |row: Node<'_>| match row {
        Node::List(values) => key(values.iter().nth(position?)?, family),
        _ => None,
    };
    select.values_lists().iter().map(row).collect()
}

/// The text around and of the rows.
fn pieces(
    select: SelectStmt<'_>,
    sql: &str,
    expected: usize,
) -> Option<(String, Vec<String>, String)> {
    let plain = select.sort_clause().is_empty()
        && select.limit_count().is_none()
        && select.limit_offset().is_none()
        && select.with_clause().is_none();
    if !plain {
        return None;
    }
    let tokens = Tokens::new(sql).ok()?;
    // Several statements in one text are not split.
    if (0..tokens.len()).any(|it| tokens.text(it) == ";" && it + 1 < tokens.len()) {
        return None;
    }
    // VALUES is reserved: outside of parentheses only the one before the rows.
    let mut depth = 0usize;
    let mut values = None;
    for index in 0..tokens.len() {
        match tokens.text(index) {
            "(" => depth += 1,
            ")" => depth = depth.checked_sub(1)?,
            word if depth == 0 && word.eq_ignore_ascii_case("values") => {
                values = Some(index);
                break;
            }
            _ => {}
        }
    }
    let mut at = values? + 1;
    let start = tokens.range(at)?.start;
    let mut rows = Vec::new();
    loop {
        let from = tokens.range(at).filter(|_| tokens.text(at) == "(")?.start;
        let mut depth = 0usize;
        loop {
            match tokens.text(at) {
                "(" => depth += 1,
                ")" => depth -= 1,
                _ => {}
            }
            at += 1;
            if depth == 0 {
                break;
            }
            tokens.range(at)?;
        }
        let end = tokens.range(at - 1)?.end;
        rows.push(sql.get(from..end)?.to_owned());
        if tokens.text(at) != "," {
            let tail = sql.get(end..)?.to_owned();
            let whole = rows.len() == expected;
            return whole.then(|| (sql.get(..start).unwrap_or_default().to_owned(), rows, tail));
        }
        at += 1;
    }
}

// === impl Rows ===

impl Rows {
    pub fn plan(&self, parameters: &[Parameter<'_>], placement: &dyn Placement) -> Plan {
        let column = self.table.key().and_then(|key| self.table.columns.get(key));
        let mut of_shard: Vec<(usize, Vec<&str>)> = Vec::new();
        for (key, row) in self.keys.iter().zip(&self.rows) {
            let key = std::slice::from_ref(key);
            let shards =
                column.and_then(|it| shards_of(key, &self.table, it, parameters, placement));
            let Some([shard]) = shards.as_deref() else {
                let hint = "Give a value of the column's type.";
                return Plan::Refuse(Refusal::new("a sharding key that has no shard", hint));
            };
            match of_shard.iter_mut().find(|(it, _)| it == shard) {
                Some((_, rows)) => rows.push(row),
                None => of_shard.push((*shard, vec![row])),
            }
        }
        of_shard.sort_by_key(|(shard, _)| *shard);
        match (of_shard.as_slice(), &self.split) {
            ([(shard, _)], _) => Plan::Single(*shard),
            (_, Err(refusal)) => Plan::Refuse(refusal.clone()),
            (_, Ok(())) => Plan::Split(
                of_shard.iter().map(|(shard, rows)| (*shard, self.text(rows))).collect(),
            ),
        }
    }

    fn text(&self, rows: &[&str]) -> String {
        format!("{}{}{}", self.head, rows.join(", "), self.tail)
    }
}
