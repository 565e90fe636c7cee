//! Statements whose rows the shards give as they are to be sent: sorted, cut, or as they come.

use std::ops::Range;

use pgherd_parser::{Node, SelectStmt, constants as c};

use crate::catalog::Column;
use crate::clauses::{Clauses, clauses, limit_of, without_alias, without_direction};
use crate::edit::Tokens;
use crate::key::Parameter;
use crate::local::types::{self, is_text};
use crate::local::{Analysis, Output, Spread};
use crate::outline::Context;
use crate::plan::{Merge, MergeKey, Plan};
use crate::walk::column;

/// All of a [`Merge`] but what depends on parameters.
#[derive(Debug, Clone)]
pub struct Merging {
    /// Up to LIMIT.
    query: String,
    hidden: usize,
    keys: Vec<MergeKey>,
    limit: Count,
    offset: Count,
    with_ties: bool,
    limited: bool,
}

/// A number of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    None,
    Known(u64),
    Parameter(usize),
}

/// Their text has one form, whatever the settings are.
const VISIBLE: &[u32] = &[16, 20, 21, 23, 25, 26, 1042, 1043, 1700, 2950];
/// Their binary form has one order.
const SORTED: &[u32] = &[
    16, 17, 18, 19, 20, 21, 23, 25, 26, 700, 701, 774, 790, 829, 869, 1042, 1043, 1082, 1083, 1114,
    1184, 1186, 1266, 1560, 1562, 1700, 2950,
];

/// How the rows are ordered and cut.
#[derive(Debug)]
pub struct Order {
    pub keys: Vec<MergeKey>,
    /// Expressions to be added to the targets.
    pub hidden: Vec<String>,
}

/// `None` when the shards' rows are not the statement's.
pub fn merging(
    select: SelectStmt<'_>,
    text: &str,
    piece: Range<usize>,
    context: &Context<'_>,
) -> Option<Merging> {
    let mut analysis = Analysis::new(context.catalog, context.search_path);
    let spread = analysis.statement(select)?;
    let broken = analysis.top.as_ref().is_some_and(|it| it.broken);
    if spread.rows != crate::local::Rows::Parted || broken {
        return None;
    }
    let tokens = Tokens::new(text).ok()?;
    let within = tokens.within(piece.clone());
    let clauses = clauses(&tokens, within.clone(), select);
    let order = order(select, &analysis, &spread, &tokens, clauses.as_ref())?;
    let (limit, offset) = (count(select.limit_count())?, count(select.limit_offset())?);
    let limited = select.limit_count().is_some() || select.limit_offset().is_some();
    let with_ties = limited && select.limit_option() == c::LIMIT_OPTION_WITH_TIES;
    let end = match limited {
        true => limit_of(&tokens, within.clone()).filter(|it| *it < within.end)?,
        false => within.end,
    };
    let end = match end == within.end {
        true => piece.end,
        false => tokens.range(end)?.start,
    };
    let mut query = String::new();
    let mut start = piece.start;
    if let [_, ..] = order.hidden.as_slice() {
        // Behind the last target.
        let last = clauses?.targets.last()?.end.checked_sub(1)?;
        let place = tokens.range(last)?.end;
        query.push_str(text.get(start..place)?);
        for (index, hidden) in order.hidden.iter().enumerate() {
            query.push_str(&format!(", ({hidden}) AS \"pgherd {index}\""));
        }
        start = place;
    }
    query.push_str(text.get(start..end)?);
    Some(Merging {
        query,
        hidden: order.hidden.len(),
        keys: order.keys,
        limit,
        offset,
        with_ties,
        limited,
    })
}

/// A number of rows that is known before anything is read.
pub fn count(node: Option<Node<'_>>) -> Option<Count> {
    match node {
        None => Some(Count::None),
        Some(Node::A_Const(it)) if it.isnull() => Some(Count::None),
        Some(Node::A_Const(it)) => match it.val()? {
            Node::Integer(it) => Some(Count::Known(u64::try_from(it.ival()).ok()?)),
            _ => None,
        },
        Some(Node::ParamRef(it)) => Some(Count::Parameter(usize::try_from(it.number()).ok()?)),
        Some(_) => None,
    }
}

/// By which columns the merged rows are sorted.
fn order(
    select: SelectStmt<'_>,
    analysis: &Analysis<'_, '_>,
    spread: &Spread,
    tokens: &Tokens<'_>,
    clauses: Option<&Clauses>,
) -> Option<Order> {
    let mut order = Order { keys: Vec::new(), hidden: Vec::new() };
    if select.sort_clause().is_empty() {
        return Some(order);
    }
    let outputs = spread.outputs.as_deref()?;
    for (index, node) in select.sort_clause().iter().enumerate() {
        let Node::SortBy(item) = node else { return None };
        let descending = match item.sortby_dir() {
            c::SORTBY_DEFAULT | c::SORTBY_ASC => false,
            c::SORTBY_DESC => true,
            _ => return None,
        };
        let nulls_first = match item.sortby_nulls() {
            c::SORTBY_NULLS_DEFAULT => descending,
            it => it == c::SORTBY_NULLS_FIRST,
        };
        let expression = item.node()?;
        let shown = shown(expression, outputs)?;
        let of = match shown {
            Some(position) => outputs.get(position)?.column.clone(),
            None => analysis.type_of(expression, analysis.top.as_ref()?.scope),
        }?;
        let collation = sorted_by(&of, analysis)?;
        let column = match shown.filter(|_| VISIBLE.contains(&of.type_oid)) {
            Some(position) => position,
            None => {
                // Another column would make other rows distinct.
                let distinct = select.distinct_clause();
                if !distinct.is_empty() && distinct.iter().next().is_none() {
                    return None;
                }
                let clauses = clauses?;
                let piece = match shown {
                    // A star would have moved it.
                    Some(at) if clauses.targets.len() == outputs.len() => {
                        let target = select.target_list().iter().nth(at)?;
                        without_alias(target, clauses.targets.get(at)?, tokens)
                    }
                    Some(_) => return None,
                    None => without_direction(node, clauses.order.get(index)?),
                };
                order.hidden.push(tokens.piece(piece)?.to_owned());
                outputs.len() + order.hidden.len() - 1
            }
        };
        let type_oid = of.type_oid;
        order.keys.push(MergeKey { column, type_oid, collation, descending, nulls_first });
    }
    Some(order)
}

/// The output column that an item of ORDER BY means, if it means one; `None` when that is not sure.
pub fn shown(expression: Node<'_>, outputs: &[Output]) -> Option<Option<usize>> {
    if let Node::A_Const(it) = expression {
        let Some(Node::Integer(position)) = it.val() else { return None };
        let position = usize::try_from(position.ival()).ok()?.checked_sub(1)?;
        return (position < outputs.len()).then_some(Some(position));
    }
    let Some((None, name)) = column(expression) else { return Some(None) };
    let mut found = outputs.iter().enumerate().filter(|(_, it)| it.name == name);
    match (found.next(), found.next()) {
        (Some((position, _)), None) => Some(Some(position)),
        (Some(_), Some(_)) => None,
        (None, _) => Some(None),
    }
}

/// The collation by which the values are ordered, `None` for bytes and other types; nothing where
/// that is not an order that pgherd knows.
fn sorted_by(of: &Column, analysis: &Analysis<'_, '_>) -> Option<Option<Box<str>>> {
    if !SORTED.contains(&of.type_oid) {
        return None;
    }
    let (collation, name) = (of.collation.as_deref(), of.type_oid == 19);
    let by_bytes = match collation {
        _ if !is_text(of.type_oid) || name => return collation.is_none().then_some(None),
        Some(collation) => ["pg_catalog.\"C\"", "pg_catalog.\"POSIX\""].contains(&collation),
        None => analysis.catalog.default_is_by_bytes(),
    };
    if by_bytes {
        return Some(None);
    }
    let linguistic = analysis.catalog.linguistic(collation)?;
    Some(Some(linguistic.quoted.as_str().into()))
}

// === impl Merging ===

impl Merging {
    /// The plan over these shards; `None` when Postgres itself must judge the numbers of rows.
    pub fn with(
        &self,
        shards: Vec<usize>,
        parameters: &[Parameter<'_>],
        otherwise: impl FnOnce() -> Plan,
    ) -> Option<Merge> {
        let limit = self.limit.value(parameters)?;
        let offset = self.offset.value(parameters)?.unwrap_or(0);
        let mut query = self.query.clone();
        match limit.map(|it| it.checked_add(offset)) {
            None => {}
            Some(None) => return None,
            Some(Some(all)) if i64::try_from(all).is_err() => return None,
            Some(Some(all)) if self.with_ties => {
                query.push_str(&format!(" FETCH FIRST {all} ROWS WITH TIES"));
            }
            Some(Some(all)) => query.push_str(&format!(" LIMIT {all}")),
        }
        debug_assert!(self.limited || limit.is_none(), "a limit from nowhere");
        Some(Merge {
            shards,
            query,
            hidden: self.hidden,
            keys: self.keys.clone(),
            limit,
            offset,
            with_ties: self.with_ties,
            otherwise: Box::new(otherwise()),
        })
    }
}

/// A text such as `now` means another moment on each shard.
pub fn tells_the_time(parameter: &Parameter<'_>) -> bool {
    let text = parameter.value.filter(|it| !parameter.binary && it.len() <= 64);
    let of_time = [0, types::TEXT, types::VARCHAR];
    text.and_then(|it| std::str::from_utf8(it).ok())
        .is_some_and(|it| !of_time.contains(&parameter.type_oid) && crate::push::tells_the_time(it))
}

impl Count {
    /// `None` when it is not a number that pgherd reads, or a negative one.
    pub fn value(self, parameters: &[Parameter<'_>]) -> Option<Option<u64>> {
        let number = match self {
            Self::None => return Some(None),
            Self::Known(number) => return Some(Some(number)),
            Self::Parameter(number) => number,
        };
        let parameter = parameters.get(number.checked_sub(1)?)?;
        let Some(value) = parameter.value else { return Some(None) };
        let number = match (parameter.binary, parameter.type_oid) {
            (true, types::INT8) => i64::from_be_bytes(value.try_into().ok()?),
            (true, types::INT4) => i32::from_be_bytes(value.try_into().ok()?).into(),
            (false, types::INT8 | types::INT4) => {
                std::str::from_utf8(value).ok()?.trim().parse().ok()?
            }
            _ => return None,
        };
        u64::try_from(number).ok().map(Some)
    }
}
