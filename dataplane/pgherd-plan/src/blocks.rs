//! Queries within a query that the shards can begin by themselves: what they give is gathered
//! instead of the tables that they read.

use std::collections::HashSet;
use std::ops::Range;

use pgherd_parser::{Node, SelectStmt, StringSyntax, Tree, constants as c};

use crate::clauses::{closing, words};
use crate::edit::{Edit, Tokens, edited};
use crate::gathering::{Gathering, check_references, gathering};
use crate::local::{Analysis, Rows};
use crate::merging::count;
use crate::outline::{Context, Placed, check_calls, placed};
use crate::partial::{Partial, partial};
use crate::walk::text;
use crate::walker::{Env, Walker};

/// Each is looked at by itself.
const MOST: usize = 50;

/// A statement of which some queries are begun by the shards, and the rest is gathered by table.
#[derive(Debug, Clone)]
pub(crate) struct Blocks {
    pub begun: Vec<(Partial, Vec<Placed>)>,
    pub tables: Vec<Placed>,
    pub rest: Gathering,
}

/// A query and where it lies.
type Block<'t> = (SelectStmt<'t>, Range<usize>);

/// `None` when there is no query within that the shards can begin.
pub(crate) fn blocks(
    select: SelectStmt<'_>,
    source: &str,
    piece: Range<usize>,
    context: &Context<'_>,
    first_parameter: usize,
) -> Option<Blocks> {
    let tokens = Tokens::new(source).ok()?;
    let names = names_of_with(select);
    let (mut begun, mut edits, mut next) = (Vec::new(), Vec::new(), first_parameter);
    let mut queue = inner(select, &tokens, &piece);
    while let Some((block, range)) = queue.pop() {
        if begun.len() >= MOST {
            return None;
        }
        match begin(block, source, range.clone(), context, &names, next) {
            Some((partial, tables)) => {
                next = partial.next_parameter();
                edits.push(Edit { range, text: partial.query().to_owned() });
                begun.push((partial, tables));
            }
            None => queue.extend(inner(block, &tokens, &range)),
        }
    }
    if begun.is_empty() {
        return None;
    }
    let text = edited(source, piece, edits)?;
    let tree = Tree::parse(&text, StringSyntax::Standard).ok()?;
    let statement = tree.statements().next()?;
    let Some(Node::SelectStmt(select)) = statement.stmt() else { return None };
    let mut walker = Walker::new(context.catalog, context.search_path);
    walker.star_args = Some(HashSet::new());
    walker.query(select, &Env::EMPTY, None, 0).ok()?;
    check_calls(&mut walker, context).ok()?;
    check_references(&mut walker);
    if walker.not_gathered.is_some() || walker.last_parameter + 1 != next {
        return None;
    }
    let rest = gathering(&walker, statement, &text).ok()?;
    Some(Blocks { begun, tables: placed(&walker), rest })
}

/// A query that stands for itself, begun by the shards.
fn begin(
    select: SelectStmt<'_>,
    source: &str,
    range: Range<usize>,
    context: &Context<'_>,
    names: &[String],
    first_parameter: usize,
) -> Option<(Partial, Vec<Placed>)> {
    let limits = [select.limit_count(), select.limit_offset()];
    if select.op() != c::SETOP_NONE
        || !limits.into_iter().all(|it| count(it).is_some())
        || reads_any_of(select, names)
    {
        return None;
    }
    let mut analysis = Analysis::new(context.catalog, context.search_path);
    analysis.statement(select)?;
    if analysis.unresolved || analysis.top.as_ref().is_none_or(|it| it.rows != Rows::Parted) {
        return None;
    }
    let partial = partial(select, source, range, context, first_parameter)?;
    let mut walker = Walker::new(context.catalog, context.search_path);
    walker.query(select, &Env::EMPTY, None, 0).ok()?;
    Some((partial, placed(&walker)))
}

/// Names of WITH queries, wherever they are visible.
fn names_of_with(select: SelectStmt<'_>) -> Vec<String> {
    let mut names = Vec::new();
    let mut stack = vec![Node::SelectStmt(select)];
    while let Some(node) = stack.pop() {
        if let Node::CommonTableExpr(it) = node {
            names.push(text(it.ctename()).to_owned());
        }
        node.push_children(&mut stack);
    }
    names
}

fn reads_any_of(select: SelectStmt<'_>, names: &[String]) -> bool {
    let mut stack = vec![Node::SelectStmt(select)];
    while let Some(node) = stack.pop() {
        if let Node::RangeVar(range) = node
            && range.schemaname().is_none()
            && names.iter().any(|it| it == text(range.relname()))
        {
            return true;
        }
        node.push_children(&mut stack);
    }
    false
}

/// The queries right within one, with their places where those are plain.
fn inner<'t>(select: SelectStmt<'t>, tokens: &Tokens<'_>, piece: &Range<usize>) -> Vec<Block<'t>> {
    let mut found = Vec::new();
    if select.op() != c::SETOP_NONE {
        found.extend(arms(select, tokens, piece));
    }
    let mut stack = Vec::new();
    Node::SelectStmt(select).push_children(&mut stack);
    while let Some(node) = stack.pop() {
        match node {
            // An arm without parentheses has its own place; what is within it is looked at then.
            Node::SelectStmt(query) => match parenthesized(query, tokens) {
                Some(range) if piece.start < range.start => found.push((query, range)),
                _ if found.iter().any(|(it, _)| same(*it, query)) => {}
                _ => node.push_children(&mut stack),
            },
            node => node.push_children(&mut stack),
        }
    }
    found
}

/// Whether two queries are one: by where their first targets stand.
fn same(one: SelectStmt<'_>, other: SelectStmt<'_>) -> bool {
    first_target(one).is_some() && first_target(one) == first_target(other)
}

fn first_target(select: SelectStmt<'_>) -> Option<usize> {
    match select.target_list().first()? {
        Node::ResTarget(target) => usize::try_from(target.location()).ok(),
        _ => None,
    }
}

/// The text within the parentheses around a query.
fn parenthesized(select: SelectStmt<'_>, tokens: &Tokens<'_>) -> Option<Range<usize>> {
    let mut first = select;
    while let Some(Node::SelectStmt(left)) = first.larg() {
        first = left;
    }
    let mut at = tokens.at(first_target(first)?);
    let mut depth = 0usize;
    let open = loop {
        at = at.checked_sub(1)?;
        match tokens.text(at) {
            ")" | "]" => depth += 1,
            "(" | "[" if depth == 0 => break at,
            "(" | "[" => depth -= 1,
            _ => {}
        }
    };
    let first = tokens.text(open + 1);
    if !["select", "with"].iter().any(|it| first.eq_ignore_ascii_case(it)) {
        return None;
    }
    let close = closing(tokens, open)?;
    Some(tokens.range(open + 1)?.start..tokens.range(close.checked_sub(1)?)?.end)
}

/// The arms of set operations that stand without parentheses, if all of them do.
fn arms<'t>(select: SelectStmt<'t>, tokens: &Tokens<'_>, piece: &Range<usize>) -> Vec<Block<'t>> {
    let mut leaves = Vec::new();
    let mut stack = vec![select];
    while let Some(it) = stack.pop() {
        if it.op() == c::SETOP_NONE {
            leaves.push(it);
            continue;
        }
        for arm in [it.rarg(), it.larg()] {
            if let Some(Node::SelectStmt(arm)) = arm {
                stack.push(arm);
            }
        }
    }
    let within = tokens.within(piece.clone());
    let Some(words) = words(tokens, within.clone()) else { return Vec::new() };
    let ends = ["union", "intersect", "except", "order", "limit", "offset", "fetch", "for"];
    let starts: Vec<usize> =
        words.iter().filter(|(word, _)| word == "select").map(|(_, at)| *at).collect();
    if starts.len() != leaves.len() {
        return Vec::new();
    }
    let end = |start: usize| {
        let mut behind = words.iter().filter(|(word, at)| *at > start && ends.contains(&&**word));
        behind.next().map_or(within.end, |(_, at)| *at)
    };
    let place = |start: usize| {
        let last = end(start).checked_sub(1)?;
        Some(tokens.range(start)?.start..tokens.range(last)?.end)
    };
    leaves.into_iter().zip(starts).filter_map(|(it, at)| Some((it, place(at)?))).collect()
}
