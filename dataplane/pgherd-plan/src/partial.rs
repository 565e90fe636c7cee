//! Finishing a query over what the shards have begun: groups counted and added up by each shard,
//! or the columns that are still needed of the rows that FROM and WHERE leave.

mod groups;

use std::ops::Range;

use pgherd_parser::{Node, SelectStmt, constants as c};

use crate::catalog::Column;
use crate::clauses::{Clauses, clauses, without_alias, without_direction};
use crate::edit::{Edit, Tokens, edited};
use crate::functions::{Call, call, may_give_sets};
use crate::key::Parameter;
use crate::local::{Analysis, Found, Place, Rows, Spread, figure_name};
use crate::merging::{Count, count, shown};
use crate::outline::Context;
use crate::plan::{Finish, Gather, GatheredColumn, Locks};
use crate::quote;
use crate::walk::{asks, column, texts};

/// The table that the final query reads.
const TABLE: &str = "\"pgherd\"";

const MOST_GROUPS: usize = 50;

/// A column of it: by a name that no client gives.
fn named(number: usize) -> String {
    format!("{TABLE}.\"pgherd {number}\"")
}

/// One gather and the final query.
#[derive(Debug, Clone)]
pub struct Partial {
    gather: Gather,
    query: String,
    first_parameter: usize,
    /// The first rows of each shard are enough: LIMIT, OFFSET, and WITH TIES.
    first: Option<(Count, Count, bool)>,
    /// The gather locks so many rows.
    locks: Option<Count>,
}

struct Rewriter<'a, 't> {
    analysis: &'a Analysis<'a, 't>,
    select: SelectStmt<'t>,
    scope: usize,
    spread: &'a Spread,
    source: &'a str,
    tokens: &'a Tokens<'a>,
    clauses: &'a Clauses,
    /// The shards' columns: expression, and what it gives.
    asked: Vec<(String, Column)>,
    edits: Vec<Edit>,
    /// Groups: their tokens, for those that are no plain columns.
    groups: Vec<Range<usize>>,
    places: Vec<(Place, usize)>,
    /// Whether aggregates are begun by the shards.
    partial: bool,
    /// Columns of which aggregates take distinct values: more groups for the shards.
    distincts: Vec<usize>,
    finer: bool,
}

/// `None` when the shards' rows of FROM and WHERE are not those of the statement, or its text is not
/// understood.
pub fn partial(
    select: SelectStmt<'_>,
    source: &str,
    piece: Range<usize>,
    context: &Context<'_>,
    first_parameter: usize,
) -> Option<Partial> {
    let mut analysis = Analysis::new(context.catalog, context.search_path);
    let spread = analysis.statement(select)?;
    let core = analysis.top.take().filter(|it| it.rows == Rows::Parted)?;
    let tokens = Tokens::new(source).ok()?;
    let clauses = clauses(&tokens, tokens.within(piece.clone()), select)?;
    let attempt = |partial: bool| {
        let rewriter = Rewriter {
            analysis: &analysis,
            select,
            scope: core.scope,
            spread: &spread,
            source,
            tokens: &tokens,
            clauses: &clauses,
            asked: Vec::new(),
            edits: Vec::new(),
            groups: Vec::new(),
            places: Vec::new(),
            partial,
            distincts: Vec::new(),
            finer: false,
        };
        rewriter.run(piece.clone(), first_parameter, core.aggregated, core.windows)
    };
    let begun = if core.aggregated { attempt(true) } else { None };
    begun.or_else(|| attempt(false))
}

impl<'t> Rewriter<'_, 't> {
    fn run(
        mut self,
        piece: Range<usize>,
        first_parameter: usize,
        aggregated: bool,
        windows: bool,
    ) -> Option<Partial> {
        let distinct = self.select.distinct_clause();
        let distinct_on = distinct.iter().next().is_some();
        if self.partial && distinct_on {
            return None;
        }
        // Each is looked for in all of the text.
        if self.select.group_clause().len() > MOST_GROUPS {
            return None;
        }
        self.finer = self.partial && self.is_finer();
        if self.partial {
            for (index, item) in self.select.group_clause().iter().enumerate() {
                self.group(index, item)?;
            }
        }
        let groups = self.asked.len();
        for (index, target) in self.select.target_list().iter().enumerate() {
            let Node::ResTarget(it) = target else { return None };
            let piece = self.clauses.targets.get(index)?.clone();
            if let Node::ColumnRef(reference) = it.val()?
                && texts(reference.fields()).len() != reference.fields().len()
            {
                self.star(it.val()?, &piece)?;
                continue;
            }
            self.rewrite(it.val()?, without_alias(target, &piece, self.tokens), false)?;
            if it.name().is_none() {
                let at = self.tokens.range(piece.end.checked_sub(1)?)?.end;
                let name = format!(" AS {}", quote::name(&figure_name(it.val()?)));
                self.edits.push(Edit { range: at..at, text: name });
            }
        }
        let rest = self.clauses.rest.clone();
        if let Some(node) = self.select.having_clause() {
            self.rewrite(node, rest.clone(), false)?;
        }
        for node in self.select.window_clause().iter() {
            self.rewrite(node, rest.clone(), false)?;
        }
        for (index, node) in self.select.sort_clause().iter().enumerate() {
            let Node::SortBy(item) = node else { return None };
            if shown(item.node()?, self.spread.outputs.as_deref()?)?.is_none() {
                let piece = without_direction(node, self.clauses.order.get(index)?);
                self.rewrite(item.node()?, piece, true)?;
            }
        }
        let mut group_by = String::new();
        if self.partial && self.has_sets() {
            for (index, node) in self.select.group_clause().iter().enumerate() {
                let piece = self.clauses.group.get(index)?.clone();
                self.rewrite(node, piece, true)?;
            }
            let (first, last) = (self.clauses.group.first()?, self.clauses.group.last()?);
            group_by = format!(" GROUP BY {}", self.edited(first.start..last.end)?);
        } else if !self.partial {
            for node in distinct.iter() {
                self.rewrite(node, self.clauses.select..self.clauses.targets.first()?.start, true)?;
            }
            for (index, node) in self.select.group_clause().iter().enumerate() {
                let piece = self.clauses.group.get(index)?.clone();
                self.rewrite(node, piece, true)?;
            }
            if let (Some(first), Some(last)) =
                (self.clauses.group.first(), self.clauses.group.last())
            {
                group_by = format!(" GROUP BY {}", self.edited(first.start..last.end)?);
            }
        } else if groups > 0 {
            let keys = (0..groups).map(named);
            group_by = format!(" GROUP BY {}", keys.collect::<Vec<_>>().join(", "));
        }
        if self.asked.is_empty() || !self.partial && aggregated && !self.is_grouped() {
            return None;
        }
        let from = self.clauses.from.clone()?;
        let with = self.source.get(piece.start..self.tokens.range(self.clauses.select)?.start)?;
        let mut gather = format!("{with}SELECT {} {}", self.targets(), self.tokens.piece(from)?);
        let mut positions: Vec<usize> = (0..groups).chain(self.distincts.clone()).collect();
        positions.sort_unstable();
        positions.dedup();
        if self.partial && !positions.is_empty() {
            let positions = positions.iter().map(|it| (it + 1).to_string()).collect::<Vec<_>>();
            gather.push_str(&format!(" GROUP BY {}", positions.join(", ")));
        }
        let mut first = None;
        let limit = (self.select.limit_count(), self.select.limit_offset());
        if [limit.0, limit.1].into_iter().flatten().any(asks) {
            return None;
        }
        // A function that gives no row for some would need more rows.
        let plain = !aggregated && !windows && distinct.is_empty() && !self.gives_sets();
        if plain
            && limit.0.is_some()
            && let (Some(count), Some(offset)) = (count(limit.0), count(limit.1))
        {
            let ties = self.select.limit_option() == c::LIMIT_OPTION_WITH_TIES;
            if let Some(order) = self.order() {
                gather.push_str(&order);
                first = Some((count, offset, ties));
            }
        }
        let head = self.edited(self.clauses.select..self.clauses.targets.last()?.end)?;
        let rest = if rest.is_empty() { String::new() } else { self.edited(rest)? };
        let limit = match self.clauses.limit.is_empty() {
            true => "",
            false => self.tokens.piece(self.clauses.limit.clone())?,
        };
        let input = self.input(first_parameter);
        let mut query = format!("{head} FROM ({input}) AS {TABLE}{group_by}");
        for clause in [rest.as_str(), limit].into_iter().filter(|it| !it.is_empty()) {
            query.push(' ');
            query.push_str(clause);
        }
        let columns = self.asked.iter().filter_map(|(_, it)| it.transport.as_ref());
        let columns = columns.map(|it| GatheredColumn { type_oid: it.oid }).collect();
        let uses_parameters = gather.contains('$');
        let gather = Gather { shards: Vec::new(), query: gather, uses_parameters, columns };
        Some(Partial { gather, query, first_parameter, first, locks: None })
    }

    /// A column of the shards' queries.
    fn ask(&mut self, expression: String, of: Column) -> Option<usize> {
        let transport = of.transport.as_ref()?;
        if of.type_oid == 0 {
            return None;
        }
        let same = transport.oid == of.type_oid;
        let expression = match same {
            true => expression,
            false => format!("({expression})::{}", transport.sql_type),
        };
        if let Some(known) = self.asked.iter().position(|(it, _)| *it == expression) {
            return Some(known);
        }
        self.asked.push((expression, of));
        Some(self.asked.len() - 1)
    }

    /// Puts the shards' columns in the place of what they stand for within an expression.
    fn rewrite(&mut self, node: Node<'t>, within: Range<usize>, names: bool) -> Option<()> {
        let taken = self.grouped(&within);
        for (range, number) in &taken {
            self.replace(range.clone(), *number);
        }
        if taken.iter().any(|(it, _)| *it == within) {
            return Some(());
        }
        let mut stack = vec![node];
        while let Some(node) = stack.pop() {
            match node {
                Node::SubLink(_) => return None,
                Node::FuncCall(it) if self.partial && it.over().is_none() => {
                    if let Call::Aggregate(name) = call(it, self.analysis.catalog) {
                        self.aggregate(it, name)?;
                        continue;
                    }
                }
                Node::GroupingFunc(_) if self.partial && !self.has_sets() => return None,
                Node::ColumnRef(reference) => {
                    let at = self.tokens.at(usize::try_from(reference.location()).ok()?);
                    if taken.iter().any(|(it, _)| it.contains(&at)) {
                        continue;
                    }
                    let (qualifier, name) = column(node)?;
                    let place = match self.analysis.resolve(self.scope, qualifier, name) {
                        (Found::Column(place), of) if of == self.scope => place,
                        // A name of a target in GROUP BY and ORDER BY.
                        (Found::Nothing, _)
                            if names && qualifier.is_none() && self.is_output(name) =>
                        {
                            continue;
                        }
                        _ => return None,
                    };
                    let known = self.places.iter().find(|(it, _)| *it == place);
                    let number = match (known, self.partial) {
                        (Some((_, number)), _) => *number,
                        (None, true) => return None,
                        (None, false) => {
                            let last = at + 2 * (texts(reference.fields()).len() - 1);
                            let expression = self.tokens.piece(at..last + 1)?.to_owned();
                            let of = self.analysis.output(place)?.column.clone()?;
                            let number = self.ask(expression, of)?;
                            self.places.push((place, number));
                            number
                        }
                    };
                    let last = at + 2 * (texts(reference.fields()).len() - 1);
                    self.replace(at..last + 1, number);
                    continue;
                }
                _ => {}
            }
            node.push_children(&mut stack);
        }
        Some(())
    }

    fn is_output(&self, name: &str) -> bool {
        self.spread.outputs.iter().flatten().any(|it| it.name == name)
    }

    /// `*` and `t.*`, written out.
    fn star(&mut self, node: Node<'t>, piece: &Range<usize>) -> Option<()> {
        let Node::ColumnRef(reference) = node else { return None };
        let names = texts(reference.fields());
        let scope = self.analysis.scopes.get(self.scope)?;
        if self.partial || names.len() > 1 || !scope.merged.is_empty() {
            return None;
        }
        let mut shown = Vec::new();
        for source in scope.sources.clone() {
            let of = self.analysis.sources.get(source)?;
            let reference = of.reference.clone()?;
            if names.first().is_some_and(|it| **it != *reference) {
                continue;
            }
            for (index, output) in of.outputs.as_ref()?.iter().enumerate() {
                let name = quote::name(&output.name);
                let expression = format!("{}.{name}", quote::name(&reference));
                let number = self.ask(expression, output.column.clone()?)?;
                self.places.push(((source, index), number));
                shown.push(format!("{} AS {name}", named(number)));
            }
        }
        let start = self.tokens.range(piece.start)?.start;
        let range = start..self.tokens.range(piece.end.checked_sub(1)?)?.end;
        self.edits.push(Edit { range, text: shown.join(", ") });
        Some(())
    }

    fn replace(&mut self, tokens: Range<usize>, number: usize) {
        let ends = self.tokens.range(tokens.start).zip(self.tokens.range(tokens.end - 1));
        if let Some((start, end)) = ends {
            let text = named(number);
            self.edits.push(Edit { range: start.start..end.end, text });
        }
    }

    fn gives_sets(&self) -> bool {
        let sorts = self.select.sort_clause();
        let mut stack: Vec<Node<'t>> =
            self.select.target_list().iter().chain(sorts.iter()).collect();
        while let Some(node) = stack.pop() {
            if let Node::FuncCall(it) = node
                && may_give_sets(it, self.analysis.catalog)
            {
                return true;
            }
            node.push_children(&mut stack);
        }
        false
    }

    /// ORDER BY of the shards' queries.
    fn order(&self) -> Option<String> {
        let mut items = Vec::new();
        for (index, node) in self.select.sort_clause().iter().enumerate() {
            let Node::SortBy(item) = node else { return None };
            let whole = self.clauses.order.get(index)?.clone();
            let own = without_direction(node, &whole);
            let outputs = self.spread.outputs.as_deref()?;
            let piece = match shown(item.node()?, outputs)? {
                None => own.clone(),
                Some(_) if self.clauses.targets.len() != outputs.len() => return None,
                Some(position) => {
                    let target = self.select.target_list().iter().nth(position)?;
                    let Node::ResTarget(value) = target else { return None };
                    // By itself it would be a position; as a value it orders nothing.
                    if let Some(Node::A_Const(_)) = value.val() {
                        continue;
                    }
                    without_alias(target, self.clauses.targets.get(position)?, self.tokens)
                }
            };
            if !item.use_op().is_empty() {
                return None;
            }
            let direction = match own.end == whole.end {
                true => "",
                false => self.tokens.piece(own.end..whole.end)?,
            };
            items.push(format!("({}) {direction}", self.tokens.piece(piece)?));
        }
        match items.is_empty() {
            true => Some(String::new()),
            false => Some(format!(" ORDER BY {}", items.join(", "))),
        }
    }

    fn targets(&self) -> String {
        let named =
            self.asked.iter().enumerate().map(|(it, (sql, _))| format!("{sql} AS \"pgherd {it}\""));
        named.collect::<Vec<_>>().join(", ")
    }

    /// The gathered rows as a subquery.
    fn input(&self, first_parameter: usize) -> String {
        let (mut outputs, mut arrays, mut names) = (vec![], vec![], vec![]);
        for (index, (_, column)) in self.asked.iter().enumerate() {
            let transport = column.transport.as_ref().map_or("", |it| it.sql_type.as_str());
            let number = first_parameter + index;
            arrays.push(format!("pg_catalog.unnest(${number}::{transport}[])"));
            let collation = column.collation.as_ref().map(|it| format!(" COLLATE {it}"));
            let collation = collation.unwrap_or_default();
            let of = &column.sql_type;
            outputs.push(format!("c{index}::{of}{collation} AS \"pgherd {index}\""));
            names.push(format!("c{index}"));
        }
        let (outputs, arrays, names) = (outputs.join(", "), arrays.join(", "), names.join(", "));
        format!("SELECT {outputs} FROM ROWS FROM ({arrays}) AS g({names})")
    }

    fn edited(&self, tokens: Range<usize>) -> Option<String> {
        let start = self.tokens.range(tokens.start)?.start;
        let end = self.tokens.range(tokens.end.checked_sub(1)?)?.end;
        let within = |it: &&Edit| start <= it.range.start && it.range.end <= end;
        let mut edits: Vec<Edit> = self.edits.iter().filter(within).cloned().collect();
        edits.sort_by_key(|it| (it.range.start, it.range.end));
        edits.dedup();
        edited(self.source, start..end, edits)
    }
}

// === impl Partial ===

impl Partial {
    /// The plan over these shards.
    pub fn with(&self, shards: Vec<usize>, parameters: &[Parameter<'_>]) -> Finish {
        let gather = Gather { shards, query: self.text(parameters), ..self.gather.clone() };
        let (query, first_parameter) = (self.query.clone(), self.first_parameter);
        Finish { gathers: vec![gather], query, first_parameter, locks: None }
    }

    /// The same with a locking clause for the shards, which give so many rows together.
    pub fn locking(mut self, clause: &str, limit: Count) -> Self {
        self.gather.query.push(' ');
        self.gather.query.push_str(clause);
        self.locks = Some(limit);
        self
    }

    /// How rows are locked, if they are; `None` when Postgres itself must judge the number.
    pub fn locks(&self, parameters: &[Parameter<'_>]) -> Option<Option<Locks>> {
        match self.locks {
            Some(count) => Some(Some(Locks { limit: count.value(parameters)? })),
            None => Some(None),
        }
    }

    pub fn query(&self) -> &str {
        &self.query
    }

    pub fn first_parameter(&self) -> usize {
        self.first_parameter
    }

    /// The first parameter behind those of the gathered columns.
    pub fn next_parameter(&self) -> usize {
        self.first_parameter + self.gather.columns.len()
    }

    /// The gather's text, with the number of rows that each shard needs to give at most.
    fn text(&self, parameters: &[Parameter<'_>]) -> String {
        let mut query = self.gather.query.clone();
        let Some((limit, offset, ties)) = self.first else { return query };
        let all = limit.value(parameters).zip(offset.value(parameters)).and_then(|(l, o)| {
            l?.checked_add(o.unwrap_or(0)).filter(|it| i64::try_from(*it).is_ok())
        });
        match all {
            Some(all) if ties => query.push_str(&format!(" FETCH FIRST {all} ROWS WITH TIES")),
            Some(all) => query.push_str(&format!(" LIMIT {all}")),
            None => {}
        }
        query
    }
}
