//! MERGE from rows that the statement gives itself, or from a table that is placed otherwise: each
//! row of the source goes where the key is that it is compared with.

use std::collections::BTreeMap;
use std::ops::Range;

use pgherd_parser::{List, MergeStmt, Node, RawStmt, SelectStmt, constants as c};

use crate::catalog::Table;
use crate::edit::{Edit, Tokens, edited};
use crate::key::{Key, Parameter, Placement, family, is_key_type, shards_of};
use crate::once::{self, Once};
use crate::outline::Context;
use crate::plan::{Plan, Refusal, Replies, Write};
use crate::push::{conjuncts, key};
use crate::walk::{column, operator, text, texts};
use crate::walker::Walker;
use crate::write::statement_range;

/// The rows of the source, each with its key.
#[derive(Debug, Clone)]
pub struct SourceRows {
    table: Table,
    keys: Vec<Key>,
    sql: String,
    /// The statement in it.
    piece: Range<usize>,
    /// Where the rows stand, if they can be told apart, and each of them.
    within: Option<Range<usize>>,
    rows: Vec<String>,
    once: Vec<Once>,
    first_parameter: usize,
}

/// `None` when the source is not of this kind.
pub fn rows(
    statement: RawStmt<'_>,
    merge: MergeStmt<'_>,
    walker: &Walker<'_, '_>,
    target: (usize, usize),
    sql: &str,
    context: &Context<'_>,
) -> Option<Result<SourceRows, Refusal>> {
    let Some(Node::RangeSubselect(source)) = merge.source_relation() else { return None };
    let Some(Node::SelectStmt(select)) = source.subquery() else { return None };
    let Some(Node::Alias(alias)) = source.alias() else { return None };
    let plain = select.from_clause().is_empty()
        && select.where_clause().is_none()
        && select.with_clause().is_none()
        && select.sort_clause().is_empty()
        && select.limit_count().is_none()
        && select.limit_offset().is_none()
        && select.op() == c::SETOP_NONE
        && merge.with_clause().is_none();
    let alone = walker.scopes.occurrences.len() == 1 && !walker.reads_system && !walker.writes;
    if !plain || !alone {
        return None;
    }
    let names: Vec<&str> = match alias.colnames() {
        list if list.is_empty() => select.target_list().iter().map(name_of).collect(),
        list => texts(list),
    };
    let table = walker.scopes.occurrences[target.0].table;
    let of = table.columns.get(target.1).filter(|it| is_key_type(it))?;
    let source = text(alias.aliasname());
    let written = match merge.relation() {
        Some(Node::RangeVar(it)) => match it.alias() {
            Some(Node::Alias(alias)) => text(alias.aliasname()).to_owned(),
            _ => table.name.clone(),
        },
        _ => return None,
    };
    let place = compared(merge.join_condition()?, &written, &of.name, source, &names)?;
    let same_key = merge.merge_when_clauses().iter().all(|it| match it {
        Node::MergeWhenClause(it) if it.match_kind() == c::MERGE_WHEN_NOT_MATCHED_BY_SOURCE => {
            false
        }
        Node::MergeWhenClause(it) if it.command_type() == c::CMD_INSERT => {
            inserted(it.target_list(), it.values(), target.1, &of.name)
                .and_then(column)
                .is_some_and(|it| it.1 == names[place] && it.0.is_none_or(|it| it == source))
        }
        _ => true,
    });
    if !same_key {
        return None;
    }
    let cells = cells(select);
    let keys = cells.iter().map(|row| key(*row.get(place)?, family(of.type_oid)));
    let keys: Vec<Key> = keys.collect::<Option<_>>()?;
    let rows = SourceRows {
        table: table.clone(),
        keys,
        sql: sql.to_owned(),
        piece: 0..0,
        within: None,
        rows: Vec::new(),
        once: Vec::new(),
        first_parameter: walker.last_parameter + 1,
    };
    Some(split(rows, statement, merge, select, &cells, context))
}

fn name_of<'t>(target: Node<'t>) -> &'t str {
    match target {
        Node::ResTarget(it) => match it.name() {
            Some(name) => text(Some(name)),
            None => it.val().and_then(column).map_or("", |it| it.1),
        },
        _ => "",
    }
}

/// The rows of the source, value by value.
fn cells<'t>(select: SelectStmt<'t>) -> Vec<Vec<Node<'t>>> {
    let value = |node: Node<'t>| match node {
        Node::ResTarget(it) => it.val(),
        _ => None,
    };
    if select.values_lists().is_empty() {
        return vec![select.target_list().iter().filter_map(value).collect()];
    }
    let row = |node: Node<'t>| match node {
        Node::List(row) => row.iter().collect(),
        _ => Vec::new(),
    };
    select.values_lists().iter().map(row).collect()
}

/// Which column of the source the target's key is compared with in every match.
fn compared(
    condition: Node<'_>,
    written: &str,
    key: &str,
    source: &str,
    names: &[&str],
) -> Option<usize> {
    let is_key = |node: Node<'_>| column(node) == Some((Some(written), key));
    let of_source = |node: Node<'_>| match column(node) {
        Some((Some(qualifier), name)) if qualifier == source => {
            let mut places = names.iter().enumerate().filter(|it| *it.1 == name);
            places.next().map(|it| it.0).filter(|_| places.next().is_none())
        }
        _ => None,
    };
    conjuncts(condition).into_iter().find_map(|it| {
        let Node::A_Expr(it) = it else { return None };
        if it.kind() != c::AEXPR_OP || operator(it.name()) != Some("=") {
            return None;
        }
        match (it.lexpr()?, it.rexpr()?) {
            (left, right) if is_key(left) => of_source(right),
            (left, right) if is_key(right) => of_source(left),
            _ => None,
        }
    })
}

/// The value of the key in an INSERT.
fn inserted<'t>(targets: List<'t>, values: List<'t>, place: usize, key: &str) -> Option<Node<'t>> {
    let place = match targets.is_empty() {
        true => place,
        false => targets.iter().position(|it| match it {
            Node::ResTarget(it) => text(it.name()) == key,
            _ => false,
        })?,
    };
    values.iter().nth(place)
}

/// What decides the type of a column of VALUES: it must not depend on which rows there are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Integer,
    Text,
    /// A cast, by the text of its type.
    Cast(usize),
}

fn classes_agree(cells: &[Vec<Node<'_>>]) -> bool {
    let Some(first) = cells.first().filter(|_| cells.len() > 1) else { return true };
    let mut casts: Vec<String> = Vec::new();
    let mut class = |node: Node<'_>| match node {
        Node::A_Const(it) if it.isnull() => Some(Class::Text),
        Node::A_Const(it) => match it.val()? {
            Node::Integer(_) => Some(Class::Integer),
            Node::String(_) => Some(Class::Text),
            _ => None,
        },
        Node::TypeCast(it) => {
            let name = crate::walk::type_name(it.type_name()?)?.to_owned();
            let index = casts.iter().position(|it| *it == name).unwrap_or_else(|| {
                casts.push(name);
                casts.len() - 1
            });
            Some(Class::Cast(index))
        }
        _ => None,
    };
    (0..first.len()).all(|place| {
        let mut column = cells.iter().map(|row| row.get(place).and_then(|it| class(*it)));
        let one = column.next().flatten();
        one.is_some() && column.all(|it| it == one)
    })
}

/// Finds the rows in the text.
fn split(
    mut found: SourceRows,
    statement: RawStmt<'_>,
    merge: MergeStmt<'_>,
    select: SelectStmt<'_>,
    cells: &[Vec<Node<'_>>],
    context: &Context<'_>,
) -> Result<SourceRows, Refusal> {
    let odd = || Refusal::over_shards("a MERGE written like this");
    let sql = found.sql.clone();
    let tokens = Tokens::new(&sql)?;
    let (piece, range) = statement_range(statement, &sql, &tokens)?;
    found.piece = piece;
    if select.values_lists().is_empty() {
        // One row: all of it goes to one shard, as it is.
        return Ok(found);
    }
    if !classes_agree(cells) {
        let hint = "Cast the values of all rows.";
        return Err(Refusal::new("MERGE from VALUES whose types depend on all rows", hint));
    }
    found.once = once::find([Node::MergeStmt(merge)], &tokens, context.catalog)?;
    if !found.once.is_empty() {
        crate::write::named_by_itself(merge.returning_clause(), context)?;
    }
    let word = range.clone().find(|it| tokens.text(*it).eq_ignore_ascii_case("values"));
    let mut at = word.ok_or_else(odd)? + 1;
    let first = at;
    loop {
        let close = Some(at).filter(|it| tokens.text(*it) == "(");
        let close = close.and_then(|it| tokens.closing(it)).ok_or_else(odd)?;
        found.rows.push(tokens.between(at, close).ok_or_else(odd)?.to_owned());
        at = close + 1;
        if tokens.text(at) != "," {
            break;
        }
        at += 1;
    }
    let (start, end) = (tokens.range(first), tokens.range(at - 1));
    let within = start.zip(end).map(|(one, other)| one.start..other.end).ok_or_else(odd)?;
    let inside = |it: &Once| it.range.start < within.end && it.range.end > within.start;
    if found.rows.len() != cells.len() || found.once.iter().any(inside) {
        return Err(odd());
    }
    found.within = Some(within);
    Ok(found)
}

// === impl SourceRows ===

impl SourceRows {
    /// `None` when the shard of a row is not known.
    pub fn plan(&self, parameters: &[Parameter<'_>], placement: &dyn Placement) -> Option<Plan> {
        let column = self.table.key().and_then(|it| self.table.columns.get(it))?;
        let mut of_shard: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
        for (index, key) in self.keys.iter().enumerate() {
            let key = std::slice::from_ref(key);
            let shards = shards_of(key, &self.table, column, parameters, placement)?;
            let [shard] = shards.as_slice() else { return None };
            let row = self.rows.get(index).map_or("", String::as_str);
            of_shard.entry(*shard).or_default().push(row);
        }
        if of_shard.len() == 1 {
            return of_shard.keys().next().map(|shard| Plan::Single(*shard));
        }
        let within = self.within.as_ref()?;
        let text = |rows: &[&str]| {
            let values = self.once.iter().enumerate();
            let mut edits: Vec<Edit> =
                values.map(|(index, it)| it.replaced(self.first_parameter + index)).collect();
            edits.push(Edit { range: within.clone(), text: rows.join(", ") });
            edited(&self.sql, self.piece.clone(), edits)
        };
        let texts = of_shard.iter().map(|(shard, rows)| Some((*shard, text(rows)?)));
        let texts: Vec<(usize, String)> = texts.collect::<Option<_>>()?;
        let first = texts.first().map_or(0, |it| it.0);
        let gathers = match self.once.is_empty() {
            true => Vec::new(),
            false => vec![once::gather(&self.once, first)],
        };
        let (first_parameter, replies) = (self.first_parameter, Replies::Added);
        Some(Plan::Write(Write { gathers, first_parameter, texts, replies }))
    }
}
