//! Queries: WITH, set operations, groups, sets and windows over what FROM gives.

use pgherd_parser::{Node, SelectStmt, constants as c};

use super::expressions::Uses;
use super::figure_name;
use super::from::{Joined, unify};
use super::{Analysis, Core, DEEPEST, Env, KeyColumn, Keys, Output, Place, Rows, Spread};
use crate::push::conjuncts;
use crate::walk::{asks, text, texts};

impl<'c, 't> Analysis<'c, 't> {
    /// A query within the scope of `parent`. `outer` are columns of outer queries with keys: the
    /// query is asked on the shard of the outer row. `top`: its ORDER BY and LIMIT are the caller's
    /// business, and a core that is not what FROM and WHERE are is still described.
    pub fn query(
        &mut self,
        select: SelectStmt<'t>,
        env: &Env<'_>,
        parent: Option<usize>,
        outer: &[(Place, KeyColumn)],
        top: bool,
    ) -> Option<Spread> {
        self.depth += 1;
        let spread = match self.depth > DEEPEST {
            true => None,
            false => self.with(select, env, parent, outer, top),
        };
        self.depth -= 1;
        let limited = select.limit_count().is_some() || select.limit_offset().is_some();
        // The shards' rows, one after the other, have no order; array_agg() and its kin, and
        // row_number(), are often given one by a query within.
        let sorted = !select.sort_clause().is_empty() && select.distinct_clause().is_empty();
        let spread = spread.filter(|it| top || !sorted || it.rows != Rows::Parted);
        spread.filter(|it| !limited || top || it.rows == Rows::Dependent)
    }

    fn with(
        &mut self,
        select: SelectStmt<'t>,
        env: &Env<'_>,
        parent: Option<usize>,
        outer: &[(Place, KeyColumn)],
        top: bool,
    ) -> Option<Spread> {
        if select.into_clause().is_some() || !select.locking_clause().is_empty() {
            return None;
        }
        let mut inner = Env { names: Vec::new(), outer: Some(env) };
        if let Some(Node::WithClause(with)) = select.with_clause() {
            if with.recursive() {
                // A name stands for itself only where the query is the same everywhere.
                return self.recursive(select, &inner, parent, top);
            }
            for cte in with.ctes().iter() {
                let Node::CommonTableExpr(it) = cte else { return None };
                let Some(Node::SelectStmt(query)) = it.ctequery() else { return None };
                let mut spread = self.query(query, &inner, parent, outer, false);
                for (index, name) in texts(it.aliascolnames()).into_iter().enumerate() {
                    if let Some(outputs) = spread.as_mut().and_then(|it| it.outputs.as_mut()) {
                        outputs.get_mut(index)?.name = name.to_owned();
                    }
                }
                inner.names.push((text(it.ctename()).to_owned(), spread));
            }
        }
        match select.op() {
            c::SETOP_NONE => self.core(select, &inner, parent, outer, top),
            _ => self.set_operation(select, &inner, parent, outer),
        }
    }

    /// WITH RECURSIVE: only over tables that are the same everywhere.
    fn recursive(
        &mut self,
        select: SelectStmt<'t>,
        env: &Env<'_>,
        parent: Option<usize>,
        top: bool,
    ) -> Option<Spread> {
        let Some(Node::WithClause(with)) = select.with_clause() else { return None };
        let everywhere = || Some(Spread { rows: Rows::Everywhere, outputs: None });
        let mut inner = Env { names: Vec::new(), outer: Some(env) };
        for cte in with.ctes().iter() {
            let Node::CommonTableExpr(it) = cte else { return None };
            inner.names.push((text(it.ctename()).to_owned(), everywhere()));
        }
        for cte in with.ctes().iter() {
            let Node::CommonTableExpr(it) = cte else { return None };
            let Some(Node::SelectStmt(query)) = it.ctequery() else { return None };
            let spread = self.query(query, &inner, parent, &[], false)?;
            if spread.rows != Rows::Everywhere {
                return None;
            }
        }
        match select.op() {
            c::SETOP_NONE => self.core(select, &inner, parent, &[], top),
            _ => self.set_operation(select, &inner, parent, &[]),
        }
    }

    fn set_operation(
        &mut self,
        select: SelectStmt<'t>,
        env: &Env<'_>,
        parent: Option<usize>,
        outer: &[(Place, KeyColumn)],
    ) -> Option<Spread> {
        let (Some(Node::SelectStmt(left)), Some(Node::SelectStmt(right))) =
            (select.larg(), select.rarg())
        else {
            return None;
        };
        if [select.limit_count(), select.limit_offset()].into_iter().flatten().any(asks) {
            return None;
        }
        let left = self.query(left, env, parent, outer, false)?;
        let right = self.query(right, env, parent, outer, false)?;
        let (mut outputs, others) = (left.outputs?, right.outputs?);
        if outputs.len() != others.len() {
            return None;
        }
        let mut told_apart = false;
        for (output, other) in outputs.iter_mut().zip(&others) {
            output.key = match (output.key, other.key) {
                (Some(a), Some(b)) if a.kind == b.kind => {
                    told_apart |= !a.filled && !b.filled;
                    Some(KeyColumn { filled: a.filled || b.filled, ..a })
                }
                _ => None,
            };
            if output.column.as_ref().map(|it| (&it.sql_type, &it.collation))
                != other.column.as_ref().map(|it| (&it.sql_type, &it.collation))
            {
                output.column = None;
            }
        }
        let all_of_all = select.op() == c::SETOP_UNION && select.all();
        let rows = match (left.rows, right.rows) {
            (Rows::Parted, Rows::Parted) if all_of_all || told_apart => Rows::Parted,
            (Rows::Parted, _) | (_, Rows::Parted) => return None,
            (Rows::Everywhere, Rows::Everywhere) => Rows::Everywhere,
            _ => Rows::Dependent,
        };
        Some(Spread { rows, outputs: Some(outputs) })
    }

    fn core(
        &mut self,
        select: SelectStmt<'t>,
        env: &Env<'_>,
        parent: Option<usize>,
        outer: &[(Place, KeyColumn)],
        top: bool,
    ) -> Option<Spread> {
        let scope = self.open(parent);
        let mut joined = self.from(select.from_clause(), scope, env, outer)?;
        if let Some(condition) = select.where_clause() {
            let equalities = self.equalities(condition, scope);
            joined.equalities.extend(equalities);
        }
        let (mut rows, keys) = rows_of(&mut joined, outer)?;
        let mut uses = Uses::default();
        for node in joined.expressions {
            self.expression(node, scope, env, &keys, &mut uses)?;
        }
        if let Some(condition) = select.where_clause() {
            for conjunct in conjuncts(condition) {
                if !self.is_semijoin(conjunct, scope, env, &keys, &mut uses)? {
                    self.expression(conjunct, scope, env, &keys, &mut uses)?;
                }
            }
        }
        if uses.aggregate || uses.window {
            return None;
        }
        for node in select.target_list().iter() {
            self.expression(node, scope, env, &keys, &mut uses)?;
        }
        self.labels = labels(select);
        for node in select.distinct_clause().iter().chain(select.group_clause().iter()) {
            self.expression(node, scope, env, &keys, &mut uses)?;
        }
        self.labels.clear();
        for node in select.values_lists().iter().chain(select.having_clause()) {
            self.expression(node, scope, env, &keys, &mut uses)?;
        }
        for node in select.window_clause().iter() {
            self.expression(node, scope, env, &keys, &mut uses)?;
        }
        self.labels = labels(select);
        let limits = [select.limit_count(), select.limit_offset()];
        for node in select.sort_clause().iter().chain(limits.into_iter().flatten()) {
            self.expression(node, scope, env, &keys, &mut uses)?;
        }
        self.labels.clear();
        let outputs = self.outputs(select, scope, &keys);
        let aggregated =
            uses.aggregate || !select.group_clause().is_empty() || select.having_clause().is_some();
        if uses.dependent && rows == Rows::Everywhere {
            rows = Rows::Dependent;
        }
        let whole = match rows {
            Rows::Dependent => true,
            Rows::Everywhere => !uses.window && !uses.unsteady && is_plain(select),
            Rows::Parted => {
                self.groups_are_parted(select, scope, &keys, aggregated)
                    && self.sets_are_parted(select, scope, &keys, outputs.as_deref())
                    && (!uses.window || self.windows_are_parted(select, &uses, scope, &keys))
            }
        };
        if top {
            let windows = uses.window;
            self.top = Some(Core { scope, rows, aggregated, windows, broken: !whole });
        }
        (whole || top).then_some(Spread { rows, outputs })
    }

    /// The columns of the result, if all are known.
    fn outputs(&self, select: SelectStmt<'t>, scope: usize, keys: &Keys) -> Option<Vec<Output>> {
        let mut outputs = Vec::new();
        if let Some(Node::List(row)) = select.values_lists().first() {
            let names = (1..=row.len()).map(|it| format!("column{it}"));
            let plain = |name| Output { name, column: None, key: None };
            return Some(names.map(plain).collect());
        }
        for target in select.target_list().iter() {
            let Node::ResTarget(target) = target else { return None };
            let value = target.val()?;
            let shown = |place: Place, name: Option<&str>| {
                let output = self.output(place)?;
                let key = keys.iter().find(|(it, _)| *it == place).map(|(_, key)| *key);
                let name = name.unwrap_or(&output.name).to_owned();
                Some(Output { name, column: output.column.clone(), key })
            };
            if let Node::ColumnRef(reference) = value
                && texts(reference.fields()).len() != reference.fields().len()
            {
                let names = texts(reference.fields());
                // Merged columns come first, once.
                if !self.scopes[scope].merged.is_empty() || names.len() > 1 {
                    return None;
                }
                let named = |it: &&usize| {
                    names.is_empty()
                        || self.sources[**it].reference.as_deref() == names.first().copied()
                };
                let sources: Vec<usize> =
                    self.scopes[scope].sources.iter().filter(named).copied().collect();
                if sources.is_empty() || !names.is_empty() && sources.len() > 1 {
                    return None;
                }
                for source in sources {
                    for column in 0..self.sources[source].outputs.as_ref()?.len() {
                        outputs.push(shown((source, column), None)?);
                    }
                }
                continue;
            }
            let name = target.name().map(|it| text(Some(it)).to_owned());
            match self.place(value, scope).and_then(|it| shown(it, name.as_deref())) {
                Some(output) => outputs.push(output),
                None => {
                    let name = name.unwrap_or_else(|| figure_name(value));
                    let column = self.type_of(value, scope);
                    outputs.push(Output { name, column, key: None });
                }
            }
        }
        Some(outputs)
    }

    fn tells_apart(&self, node: Node<'t>, scope: usize, keys: &Keys) -> bool {
        let place = self.place(node, scope);
        place.is_some_and(|it| keys.iter().any(|(key, of)| *key == it && !of.filled))
    }

    /// The expression that an item of GROUP BY or the like means: itself, or that of a target.
    pub fn meant(&self, select: SelectStmt<'t>, item: Node<'t>) -> Option<Node<'t>> {
        let Node::A_Const(constant) = item else { return Some(item) };
        let Some(Node::Integer(position)) = constant.val() else { return None };
        let mut targets = select.target_list().iter();
        let position = usize::try_from(position.ival()).ok()?.checked_sub(1)?;
        let is_star = |it: &Node<'t>| match it {
            Node::ResTarget(target) => match target.val() {
                Some(Node::ColumnRef(it)) => texts(it.fields()).len() != it.fields().len(),
                _ => false,
            },
            _ => true,
        };
        if select.target_list().iter().any(|it| is_star(&it)) {
            return None;
        }
        match targets.nth(position)? {
            Node::ResTarget(target) => target.val(),
            _ => None,
        }
    }

    /// Whether rows of one group are on one shard.
    fn groups_are_parted(
        &self,
        select: SelectStmt<'t>,
        scope: usize,
        keys: &Keys,
        aggregated: bool,
    ) -> bool {
        let sets = select.group_clause().iter().any(|it| matches!(it, Node::GroupingSet(_)));
        let key =
            |item| self.meant(select, item).is_some_and(|it| self.tells_apart(it, scope, keys));
        !aggregated || !sets && select.group_clause().iter().any(key)
    }

    /// Whether rows that DISTINCT makes one are on one shard.
    fn sets_are_parted(
        &self,
        select: SelectStmt<'t>,
        scope: usize,
        keys: &Keys,
        outputs: Option<&[Output]>,
    ) -> bool {
        let list = select.distinct_clause();
        if list.is_empty() {
            return true;
        }
        if list.iter().next().is_none() {
            let apart = |it: &Output| it.key.is_some_and(|it| !it.filled);
            return outputs.is_some_and(|it| it.iter().any(apart));
        }
        // A bare name is that of a target, if one has it.
        let shadowed = |node: Node<'t>| match crate::walk::column(node) {
            Some((None, name)) => select.target_list().iter().any(|it| match it {
                Node::ResTarget(it) => match (it.name(), it.val()) {
                    (Some(alias), _) => text(Some(alias)) == name,
                    (None, Some(value)) => {
                        figure_name(value) == name
                            && self.place(value, scope) != self.place(node, scope)
                    }
                    _ => false,
                },
                _ => false,
            }),
            _ => false,
        };
        list.iter().any(|item| {
            !shadowed(item)
                && self.meant(select, item).is_some_and(|it| self.tells_apart(it, scope, keys))
        })
    }

    fn windows_are_parted(
        &self,
        select: SelectStmt<'t>,
        uses: &Uses<'t>,
        scope: usize,
        keys: &Keys,
    ) -> bool {
        let named = |name: &str| {
            select.window_clause().iter().find_map(|it| match it {
                Node::WindowDef(it) if text(it.name()) == name => Some(it),
                _ => None,
            })
        };
        uses.windows.iter().all(|window| {
            let Node::WindowDef(window) = *window else { return false };
            let mut window = Some(window);
            // `OVER w` names another one; so may its definition.
            for _ in 0..10 {
                let Some(it) = window else { return false };
                if it.partition_clause().iter().any(|it| self.tells_apart(it, scope, keys)) {
                    return true;
                }
                window = match it.name().filter(|_| it.partition_clause().is_empty()) {
                    Some(name) if it.refname().is_none() && it.order_clause().is_empty() => {
                        named(text(Some(name)))
                    }
                    _ => it.refname().and_then(|it| named(text(Some(it)))),
                };
            }
            false
        })
    }
}

/// By which names its targets can be meant.
fn labels(select: SelectStmt<'_>) -> Vec<String> {
    let label = |target: Node<'_>| match target {
        Node::ResTarget(it) => match it.name() {
            Some(name) => Some(text(Some(name)).to_owned()),
            None => it.val().map(figure_name),
        },
        _ => None,
    };
    select.target_list().iter().filter_map(label).collect()
}

/// Where the rows of FROM and WHERE are.
fn rows_of(joined: &mut Joined<'_>, outer: &[(Place, KeyColumn)]) -> Option<(Rows, Keys)> {
    let parted = joined.components.iter().any(|it| it.parted);
    if !outer.is_empty()
        && let Some(one) = unify(joined.components.clone(), &joined.equalities, outer)
    {
        let rows = if parted || joined.dependent { Rows::Dependent } else { Rows::Everywhere };
        return Some((rows, one.keys));
    }
    let one = unify(std::mem::take(&mut joined.components), &joined.equalities, &[])?;
    let rows = match (one.parted, joined.dependent) {
        (true, _) => Rows::Parted,
        (false, true) => Rows::Dependent,
        (false, false) => Rows::Everywhere,
    };
    Some((rows, one.keys))
}

/// Nothing whose answer depends on the order in which rows are found.
fn is_plain(select: SelectStmt<'_>) -> bool {
    select.distinct_clause().iter().next().is_none()
}
