//! Groups and aggregates: what the shards begin of them, and how the final query goes on.

use std::ops::Range;

use pgherd_parser::{FuncCall, Node};

use super::{Rewriter, named};
use crate::catalog::Column;
use crate::clauses::{closing, without_alias};
use crate::edit::Edit;
use crate::functions::{Call, call};
use crate::local::Found;
use crate::local::types::{self, aggregated};
use crate::merging::shown;
use crate::walk::{column, texts};

impl<'t> Rewriter<'_, 't> {
    /// Whether only columns of GROUP BY stand outside of aggregates: others depend on a primary key,
    /// which gathered rows do not have.
    pub(super) fn is_grouped(&self) -> bool {
        let mut grouped = Vec::new();
        for (item, piece) in self.select.group_clause().iter().zip(&self.clauses.group) {
            let Some((node, _)) = self.meant(item, piece.clone()) else { return true };
            match self.analysis.place(node, self.scope) {
                Some(place) => grouped.push(place),
                // Columns may stand within such an expression.
                None => return true,
            }
        }
        let mut stack: Vec<Node<'t>> = self.select.target_list().iter().collect();
        stack.extend(self.select.having_clause());
        while let Some(node) = stack.pop() {
            match node {
                Node::FuncCall(it)
                    if it.over().is_none()
                        && matches!(call(it, self.analysis.catalog), Call::Aggregate(_)) => {}
                Node::ColumnRef(_) => {
                    let place = self.analysis.place(node, self.scope);
                    if place.is_some_and(|it| !grouped.contains(&it)) {
                        return false;
                    }
                }
                _ => node.push_children(&mut stack),
            }
        }
        true
    }

    /// One group, as the shards tell them apart.
    pub(super) fn group(&mut self, index: usize, item: Node<'t>) -> Option<()> {
        if let Node::GroupingSet(_) = item {
            return self.grouping_set(item);
        }
        let piece = self.clauses.group.get(index)?.clone();
        let (node, piece) = self.meant(item, piece)?;
        let of = self.analysis.type_of(node, self.scope)?;
        let number = self.ask(self.tokens.piece(piece.clone())?.to_owned(), of)?;
        match self.analysis.place(node, self.scope) {
            Some(place) => self.places.push((place, number)),
            None => {
                // Kept in step with the number of the column.
                self.groups.resize(number, 0..0);
                self.groups.push(piece);
            }
        }
        Some(())
    }

    /// Columns of ROLLUP and its kin: the shards tell all of them apart.
    fn grouping_set(&mut self, item: Node<'t>) -> Option<()> {
        let mut stack = vec![item];
        while let Some(node) = stack.pop() {
            match node {
                Node::GroupingSet(_) | Node::RowExpr(_) | Node::List(_) => {
                    node.push_children(&mut stack);
                }
                Node::ColumnRef(reference) => {
                    let place = self.analysis.place(node, self.scope)?;
                    if self.places.iter().any(|(it, _)| *it == place) {
                        continue;
                    }
                    let at = self.tokens.at(usize::try_from(reference.location()).ok()?);
                    let last = at + 2 * (texts(reference.fields()).len() - 1);
                    let of = self.analysis.type_of(node, self.scope)?;
                    let number = self.ask(self.tokens.piece(at..last + 1)?.to_owned(), of)?;
                    self.places.push((place, number));
                }
                _ => return None,
            }
        }
        Some(())
    }

    /// Whether the shards' groups are finer than those of the statement.
    pub(super) fn is_finer(&self) -> bool {
        let mut stack: Vec<Node<'t>> = self.select.target_list().iter().collect();
        stack.extend(self.select.having_clause());
        stack.extend(self.select.sort_clause().iter());
        while let Some(node) = stack.pop() {
            if matches!(node, Node::FuncCall(it) if it.agg_distinct()) {
                return true;
            }
            node.push_children(&mut stack);
        }
        self.has_sets()
    }

    pub(super) fn has_sets(&self) -> bool {
        self.select.group_clause().iter().any(|it| matches!(it, Node::GroupingSet(_)))
    }

    /// The expression of an item of GROUP BY: its own, or that of the target which it names.
    pub(super) fn meant(
        &self,
        item: Node<'t>,
        piece: Range<usize>,
    ) -> Option<(Node<'t>, Range<usize>)> {
        let position = match (item, column(item)) {
            (Node::A_Const(_), _) => shown(item, self.spread.outputs.as_deref()?)??,
            (_, Some((None, name))) => match self.analysis.resolve(self.scope, None, name) {
                (Found::Column(_), at) if at == self.scope => return Some((item, piece)),
                (Found::Nothing, _) => shown(item, self.spread.outputs.as_deref()?)??,
                _ => return None,
            },
            _ => return Some((item, piece)),
        };
        if self.clauses.targets.len() != self.spread.outputs.as_ref()?.len() {
            return None;
        }
        let target = self.select.target_list().iter().nth(position)?;
        let Node::ResTarget(of) = target else { return None };
        let piece = without_alias(target, self.clauses.targets.get(position)?, self.tokens);
        Some((of.val()?, piece))
    }

    /// Where groups that are no columns occur: as a whole, or calls anywhere.
    pub(super) fn grouped(&self, within: &Range<usize>) -> Vec<(Range<usize>, usize)> {
        let mut found: Vec<(Range<usize>, usize)> = Vec::new();
        for (number, group) in self.groups.iter().enumerate().filter(|(_, it)| !it.is_empty()) {
            if self.tokens.are_equal(group, within) {
                return vec![(within.clone(), number)];
            }
            let is_call = self.tokens.text(group.start + 1) == "("
                && closing(self.tokens, group.start + 1) == Some(group.end - 1);
            if !is_call {
                continue;
            }
            let mut at = within.start;
            while at + group.len() <= within.end {
                let here = at..at + group.len();
                let qualified = at.checked_sub(1).is_some_and(|it| self.tokens.text(it) == ".");
                let free = found.iter().all(|(it, _)| !it.contains(&at));
                if free && !qualified && self.tokens.are_equal(group, &here) {
                    found.push((here, number));
                    at += group.len();
                } else {
                    at += 1;
                }
            }
        }
        found
    }

    /// An aggregate that the shards begin.
    pub(super) fn aggregate(&mut self, it: FuncCall<'t>, name: &str) -> Option<()> {
        let plain = it.agg_order().is_empty() && !it.agg_within_group() && !it.func_variadic();
        if !plain {
            return None;
        }
        if it.agg_distinct() {
            return self.distinct(it, name);
        }
        let at = self.tokens.at(usize::try_from(it.location()).ok()?);
        let open = at + 2 * (texts(it.funcname()).len() - 1) + 1;
        let close = closing(self.tokens, open)?;
        let inside = self.tokens.piece(open..close + 1)?;
        let mut end = close + 1;
        let mut filter = String::new();
        if it.agg_filter().is_some() {
            let close = closing(self.tokens, end + 1)?;
            filter = format!(" {}", self.tokens.piece(end..close + 1)?);
            end = close + 1;
        }
        let arg = it.args().iter().next().filter(|_| it.args().len() == 1);
        let of = arg.and_then(|it| self.analysis.type_of(it, self.scope));
        let mut asked = |name: &str, of: Column| {
            self.ask(format!("pg_catalog.{name}{inside}{filter}"), of).map(named)
        };
        let text = if name == "count" {
            let column = asked("count", types::plain(types::INT8)?)?;
            match self.finer {
                // There may be no group at all.
                true => format!("coalesce(pg_catalog.sum({column})::pg_catalog.int8, 0)"),
                false => format!("(pg_catalog.sum({column})::pg_catalog.int8)"),
            }
        } else {
            let of = of?;
            let given = aggregated(name, &of)?;
            match (name, of.type_oid) {
                ("sum", types::INT2 | types::INT4) => {
                    let column = asked("sum", given)?;
                    format!("(pg_catalog.sum({column})::pg_catalog.int8)")
                }
                ("sum", types::INT8 | types::NUMERIC) => {
                    let column = asked("sum", given)?;
                    format!("pg_catalog.sum({column})")
                }
                ("avg", types::INT2 | types::INT4 | types::INT8 | types::NUMERIC) => {
                    let sum = asked("sum", aggregated("sum", &of)?)?;
                    let column = asked("count", types::plain(types::INT8)?)?;
                    // As Postgres divides: numeric by numeric.
                    format!(
                        "(pg_catalog.sum({sum})::pg_catalog.numeric \
                         / nullif(pg_catalog.sum({column}), 0))"
                    )
                }
                (
                    "min" | "max" | "bool_and" | "bool_or" | "every" | "bit_and" | "bit_or"
                    | "bit_xor",
                    _,
                ) => {
                    let column = asked(name, given)?;
                    format!("pg_catalog.{name}({column})")
                }
                // Floats give other sums in another order.
                _ => return None,
            }
        };
        let range = self.tokens.range(at)?.start..self.tokens.range(end - 1)?.end;
        self.edits.push(Edit { range, text });
        Some(())
    }

    /// An aggregate of distinct values: the shards give each value once for each group.
    fn distinct(&mut self, it: FuncCall<'t>, name: &str) -> Option<()> {
        let arg = it.args().iter().next().filter(|_| it.args().len() == 1)?;
        let of = self.analysis.type_of(arg, self.scope)?;
        let numbers = [types::INT2, types::INT4, types::INT8, types::NUMERIC];
        let fits = match name {
            "count" | "min" | "max" => true,
            "sum" | "avg" => numbers.contains(&of.type_oid),
            _ => false,
        };
        let at = self.tokens.at(usize::try_from(it.location()).ok()?);
        let open = at + 2 * (texts(it.funcname()).len() - 1) + 1;
        if !fits || !self.tokens.text(open + 1).eq_ignore_ascii_case("distinct") {
            return None;
        }
        let close = closing(self.tokens, open)?;
        let mut value = self.tokens.piece(open + 2..close)?.to_owned();
        let mut end = close + 1;
        if it.agg_filter().is_some() {
            let close = closing(self.tokens, end + 1)?;
            // Behind FILTER (WHERE; these aggregates leave NULLs out.
            let condition = self.tokens.piece(end + 3..close)?;
            value = format!("CASE WHEN {condition} THEN {value} END");
            end = close + 1;
        }
        let number = self.ask(value, of)?;
        self.distincts.push(number);
        let range = self.tokens.range(at)?.start..self.tokens.range(end - 1)?.end;
        let text = format!("pg_catalog.{name}(DISTINCT {})", named(number));
        self.edits.push(Edit { range, text });
        Some(())
    }
}
