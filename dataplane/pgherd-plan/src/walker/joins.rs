//! Joins: which side's rows a condition removes, and what USING makes equal.

use pgherd_parser::{JoinExpr, constants as c};

use super::{Env, Tables, Walker, alias_name};
use crate::plan::Refusal;
use crate::walk::texts;

impl<'c, 't> Walker<'c, 't> {
    pub(super) fn join(
        &mut self,
        join: JoinExpr<'t>,
        scope: usize,
        env: &Env<'_>,
        hidden: bool,
        depth: usize,
    ) -> Result<Tables, Refusal> {
        let (Some(left), Some(right)) = (join.larg(), join.rarg()) else {
            return Err(Refusal::over_shards("this join"));
        };
        // Its alias hides what is within.
        let alias = alias_name(join.alias());
        let hidden = hidden || alias.is_some();
        // `AS j(a, b)` counts columns, and `j` may be a whole row.
        self.uses_all |= alias.is_some();
        if let Some(alias) = alias.or(alias_name(join.join_using_alias())) {
            self.scopes.add_other(scope, Some(alias));
        }
        let mut left = self.joined(left, scope, env, hidden, depth + 1)?;
        let mut right = self.joined(right, scope, env, hidden, depth + 1)?;
        self.uses_all |= join.is_natural();
        self.scopes.scopes[scope].natural |= join.is_natural();
        let kind = join.jointype();
        // The sides whose rows a failed condition removes, instead of filling them up with NULLs.
        let (of_left, of_right) = match kind {
            c::JOIN_INNER => (true, true),
            c::JOIN_LEFT => (false, true),
            c::JOIN_RIGHT => (true, false),
            _ => (false, false),
        };
        let chosen =
            |tables: &Tables, chosen: bool| if chosen { tables.clone() } else { Vec::new() };
        let mut targets = chosen(&left, of_left);
        targets.extend(chosen(&right, of_right));
        for name in texts(join.using_clause()) {
            self.used.insert(name);
            self.using(name, scope, (&left, of_left), (&right, of_right), hidden);
        }
        if let Some(condition) = join.quals() {
            if !hidden {
                self.condition(condition, scope, &targets);
            }
            self.expressions(condition, scope, env, depth)?;
        }
        left.iter_mut().for_each(|it| it.1 |= kind == c::JOIN_RIGHT || kind == c::JOIN_FULL);
        right.iter_mut().for_each(|it| it.1 |= kind == c::JOIN_LEFT || kind == c::JOIN_FULL);
        left.extend(right);
        Ok(left)
    }

    fn using(
        &mut self,
        name: &str,
        scope: usize,
        (left, of_left): (&Tables, bool),
        (right, of_right): (&Tables, bool),
        hidden: bool,
    ) {
        let only = |tables: &Tables| {
            let mut found = tables.iter().filter_map(|(index, _)| {
                let occurrence = &self.scopes.occurrences[*index];
                occurrence.table.position(name).map(|column| (*index, column))
            });
            found.next().filter(|_| found.next().is_none())
        };
        // A side that has more than one table may have merged columns before.
        let simple = left.len() == 1 && right.len() == 1 && !hidden;
        let pair = only(left).zip(only(right)).filter(|_| simple);
        let before = self.scopes.scopes[scope].merged.contains_key(name);
        let known = pair.map(|(it, _)| it).filter(|_| of_right && !before);
        self.scopes.scopes[scope].merged.insert(name.to_owned(), known);
        if let Some((left, right)) = pair.filter(|_| !before) {
            if of_right {
                self.scopes.add_edge(left, right);
            }
            if of_left {
                self.scopes.add_edge(right, left);
            }
        }
    }
}
