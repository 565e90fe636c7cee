//! Where the clauses of a query lie in its text.

use std::ops::Range;

use pgherd_parser::{Node, SelectStmt, constants as c};
use pgherd_sql::Token;

use crate::edit::Tokens;

/// Tokens of the clauses of a query that is no set operation, not in parentheses.
#[derive(Debug, Default)]
pub struct Clauses {
    /// The word SELECT.
    pub select: usize,
    /// Each target, with its alias.
    pub targets: Vec<Range<usize>>,
    /// From the word FROM up to the end of WHERE.
    pub from: Option<Range<usize>>,
    /// Items of GROUP BY; empty when it is not a plain list.
    pub group: Vec<Range<usize>>,
    /// From the word HAVING up to LIMIT or the end.
    pub rest: Range<usize>,
    /// Items of ORDER BY, with their directions.
    pub order: Vec<Range<usize>>,
    /// From LIMIT, OFFSET or FETCH on.
    pub limit: Range<usize>,
}

/// Words that begin a clause.
const WORDS: &[&str] = &[
    "select",
    "from",
    "where",
    "group",
    "having",
    "window",
    "order",
    "limit",
    "offset",
    "fetch",
    "for",
    "union",
    "intersect",
    "except",
    "values",
    "table",
    "into",
];

/// Words of clauses outside of all parentheses, with their tokens.
pub(crate) fn words<'s>(tokens: &Tokens<'s>, within: Range<usize>) -> Option<Vec<(String, usize)>> {
    let mut depth = 0usize;
    let mut found = Vec::new();
    for index in within {
        match tokens.text(index) {
            "(" | "[" => depth += 1,
            ")" | "]" => depth = depth.checked_sub(1)?,
            text if depth == 0 && tokens.kind(index) == Some(Token::Word) => {
                let before = index.checked_sub(1).map_or("", |it| tokens.text(it));
                let word = text.to_ascii_lowercase();
                let is = |it: &str| before.eq_ignore_ascii_case(it);
                let label = is("as") || before == ".";
                let other = word == "from" && is("distinct") && {
                    let earlier = index.checked_sub(2).map_or("", |it| tokens.text(it));
                    earlier.eq_ignore_ascii_case("is") || earlier.eq_ignore_ascii_case("not")
                };
                let within_group = word == "group" && is("within");
                if WORDS.contains(&word.as_str()) && !label && !other && !within_group {
                    found.push((word, index));
                }
            }
            _ => {}
        }
    }
    (depth == 0).then_some(found)
}

/// The parts between commas.
fn items(tokens: &Tokens<'_>, within: Range<usize>) -> Vec<Range<usize>> {
    let mut depth = 0usize;
    let mut start = within.start;
    let mut items = Vec::new();
    for index in within.clone() {
        match tokens.text(index) {
            "(" | "[" => depth += 1,
            ")" | "]" => depth = depth.saturating_sub(1),
            "," if depth == 0 => {
                items.push(start..index);
                start = index + 1;
            }
            _ => {}
        }
    }
    if !within.is_empty() {
        items.push(start..within.end);
    }
    items
}

/// Where the last LIMIT, OFFSET and FETCH begin; the end, if there is none. Also of set operations.
pub fn limit_of(tokens: &Tokens<'_>, within: Range<usize>) -> Option<usize> {
    let words = words(tokens, within.clone())?;
    let limits = ["limit", "offset", "fetch"];
    let first = words.iter().find(|(word, _)| limits.contains(&word.as_str()));
    Some(first.map_or(within.end, |(_, at)| *at))
}

/// The clauses of a query whose tokens are these; `None` when it is not written plainly.
pub fn clauses(
    tokens: &Tokens<'_>,
    within: Range<usize>,
    select: SelectStmt<'_>,
) -> Option<Clauses> {
    if select.op() != c::SETOP_NONE || select.target_list().is_empty() {
        return None;
    }
    // A name with UESCAPE is two tokens.
    if within.clone().any(|it| tokens.kind(it) == Some(Token::Unicode)) {
        return None;
    }
    let words = words(tokens, within.clone())?;
    let known = |word: &str| {
        !["union", "intersect", "except", "values", "table", "into", "for"].contains(&word)
    };
    if !words.iter().all(|(word, _)| known(word)) {
        return None;
    }
    let find = |wanted: &str| {
        let mut found = words.iter().filter(|(word, _)| word == wanted).map(|(_, at)| *at);
        (found.next(), found.next().is_none())
    };
    let (Some(at), true) = find("select") else { return None };
    for word in ["from", "where", "group", "having", "window", "order"] {
        if !find(word).1 {
            return None;
        }
    }
    let next =
        |from: usize| words.iter().map(|(_, at)| *at).find(|at| *at > from).unwrap_or(within.end);
    let mut first = at + 1;
    let is = |at: usize, word: &str| tokens.text(at).eq_ignore_ascii_case(word);
    if is(first, "all") {
        first += 1;
    } else if is(first, "distinct") {
        first += 1;
        if is(first, "on") {
            first = closing(tokens, first + 1)? + 1;
        }
    }
    let targets = items(tokens, first..next(at));
    let list = |word: &str| match find(word).0 {
        // Behind BY.
        Some(at) => items(tokens, at + 2..next(at)),
        None => Vec::new(),
    };
    let order = list("order");
    let group = if is(find("group").0.unwrap_or(within.end) + 2, "distinct") {
        return None;
    } else {
        list("group")
    };
    let limit = limit_of(tokens, within.clone())?;
    let behind = |from: &[&str]| {
        let at = words.iter().find(|(word, _)| from.contains(&word.as_str()));
        at.map_or(limit, |(_, at)| *at)
    };
    let from = find("from")
        .0
        .map(|it| it..behind(&["group", "having", "window", "order", "limit", "offset", "fetch"]));
    let located = targets.len() == select.target_list().len()
        && targets.iter().zip(select.target_list().iter()).all(|(piece, target)| {
            let Node::ResTarget(target) = target else { return false };
            let start = tokens.range(piece.start).map(|it| it.start);
            start == usize::try_from(target.location()).ok() && !piece.is_empty()
        });
    let whole = located
        && order.len() == select.sort_clause().len()
        && group.len() == select.group_clause().len()
        && from.is_some() != select.from_clause().is_empty();
    whole.then(|| Clauses {
        select: at,
        targets,
        from,
        group,
        rest: behind(&["having", "window", "order"])..limit,
        order,
        limit: limit..within.end,
    })
}

/// The parenthesis that closes the one at a token.
pub fn closing(tokens: &Tokens<'_>, open: usize) -> Option<usize> {
    let mut depth = 0usize;
    for index in open..tokens.len() {
        match tokens.text(index) {
            "(" => depth += 1,
            ")" => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(index);
                }
            }
            _ if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

/// A target without its alias.
pub fn without_alias(target: Node<'_>, piece: &Range<usize>, tokens: &Tokens<'_>) -> Range<usize> {
    let Node::ResTarget(target) = target else { return piece.clone() };
    if target.name().is_none() {
        return piece.clone();
    }
    let end = piece.end.saturating_sub(1);
    let as_word = end.checked_sub(1).is_some_and(|it| tokens.text(it).eq_ignore_ascii_case("as"));
    piece.start..if as_word { end - 1 } else { end }
}

/// An item of ORDER BY without its direction.
pub fn without_direction(item: Node<'_>, piece: &Range<usize>) -> Range<usize> {
    let Node::SortBy(item) = item else { return piece.clone() };
    let nulls = if item.sortby_nulls() == c::SORTBY_NULLS_DEFAULT { 0 } else { 2 };
    let direction = if item.sortby_dir() == c::SORTBY_DEFAULT { 0 } else { 1 };
    piece.start..piece.end.saturating_sub(nulls + direction)
}
