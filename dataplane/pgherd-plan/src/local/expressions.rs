//! Expressions that give on each shard what they would give over all rows.

use pgherd_parser::{FuncCall, Node, SubLink, constants as c};

use super::{Analysis, Env, Found, Keys, Rows};
use crate::functions::{Call, call};
use crate::push::tells_the_time;
use crate::walk::{column, operator, text, texts, type_name};

/// What expressions of one query have in them.
#[derive(Debug, Default)]
pub struct Uses<'t> {
    pub aggregate: bool,
    pub window: bool,
    /// The definitions behind OVER.
    pub windows: Vec<Node<'t>>,
    /// Subqueries that are asked on the shard of the row.
    pub dependent: bool,
    /// Aggregates whose value depends on the order in which rows are found.
    pub unsteady: bool,
}

/// Aggregates that do not ask in which order rows come.
const STEADY: &[&str] =
    &["count", "min", "max", "bool_and", "bool_or", "every", "bit_and", "bit_or", "bit_xor"];

/// Columns that each shard has its own values of.
const SYSTEM_COLUMNS: &[&str] = &["ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"];

impl<'c, 't> Analysis<'c, 't> {
    /// `None` when it may not be asked on the shards.
    pub fn expression(
        &mut self,
        node: Node<'t>,
        scope: usize,
        env: &Env<'_>,
        keys: &Keys,
        uses: &mut Uses<'t>,
    ) -> Option<()> {
        let mut stack = vec![node];
        while let Some(node) = stack.pop() {
            match node {
                Node::SubLink(link) => {
                    stack.extend(link.testexpr());
                    let Some(Node::SelectStmt(query)) = link.subselect() else { return None };
                    match self.query(query, env, Some(scope), keys, false)?.rows {
                        Rows::Everywhere => {}
                        Rows::Dependent => uses.dependent = true,
                        Rows::Parted => return None,
                    }
                    continue;
                }
                Node::FuncCall(it) => self.call(it, scope, uses)?,
                Node::ColumnRef(it)
                    if texts(it.fields()).last().is_some_and(|it| SYSTEM_COLUMNS.contains(it)) =>
                {
                    return None;
                }
                Node::ColumnRef(_) => self.note(node, scope),
                Node::A_Const(it) => {
                    if let Some(Node::String(literal)) = it.val()
                        && tells_the_time(text(literal.sval()))
                    {
                        return None;
                    }
                }
                // Names of servers' own things, which OIDs may stand for.
                Node::TypeCast(it) => {
                    let name = it.type_name().and_then(type_name).unwrap_or_default();
                    if name.starts_with("reg") {
                        return None;
                    }
                }
                Node::GroupingFunc(_) => uses.aggregate = true,
                Node::SQLValueFunction(_)
                | Node::Unknown(_)
                | Node::SelectStmt(_)
                | Node::RangeVar(_)
                | Node::CurrentOfExpr(_)
                | Node::SetToDefault(_)
                | Node::MergeSupportFunc(_)
                | Node::JsonObjectAgg(_)
                | Node::JsonArrayAgg(_)
                | Node::JsonAggConstructor(_)
                | Node::JsonTable(_)
                | Node::XmlExpr(_) => return None,
                _ => {}
            }
            node.push_children(&mut stack);
        }
        Some(())
    }

    /// Notes a name that is not surely a column of the query or of one around it.
    fn note(&mut self, node: Node<'t>, scope: usize) {
        // `t.*` as an argument is refused elsewhere; a star as a target is of this query.
        let Some((qualifier, name)) = column(node) else { return };
        let found = matches!(self.resolve(scope, qualifier, name), (Found::Column(_), _));
        let is_label = qualifier.is_none() && self.labels.iter().any(|it| it == name);
        self.unresolved |= !found && !is_label;
    }

    fn call(&self, it: FuncCall<'t>, scope: usize, uses: &mut Uses<'t>) -> Option<()> {
        match call(it, self.catalog) {
            Call::Unknown => return None,
            _ if it.over().is_some() => {
                uses.window = true;
                uses.windows.extend(it.over());
            }
            Call::Plain => {}
            Call::Aggregate(name) => {
                self.is_of_level(it, scope)?;
                uses.aggregate = true;
                let steady = STEADY.contains(&name);
                uses.unsteady |= !steady && it.agg_order().is_empty();
            }
        }
        Some(())
    }

    /// An aggregate over columns of an outer query only is that query's.
    fn is_of_level(&self, it: FuncCall<'t>, scope: usize) -> Option<()> {
        let mut stack: Vec<Node<'t>> = it.args().iter().chain(it.agg_filter()).collect();
        stack.extend(it.agg_order().iter());
        let mut columns = 0;
        while let Some(node) = stack.pop() {
            if let Node::ColumnRef(_) = node {
                columns += 1;
                if let Some((qualifier, name)) = column(node)
                    && let (Found::Column(_), at) = self.resolve(scope, qualifier, name)
                    && at == scope
                {
                    return Some(());
                }
            }
            node.push_children(&mut stack);
        }
        // At the top there is no outer query.
        (columns == 0 || self.scopes[scope].parent.is_none()).then_some(())
    }

    /// `key IN (SELECT key ...)` that must hold: what is on other shards does not match.
    pub fn is_semijoin(
        &mut self,
        node: Node<'t>,
        scope: usize,
        env: &Env<'_>,
        keys: &Keys,
        uses: &mut Uses<'t>,
    ) -> Option<bool> {
        let Node::SubLink(link) = node else { return Some(false) };
        if !is_in(link) {
            return Some(false);
        }
        let (Some(test), Some(Node::SelectStmt(query))) = (link.testexpr(), link.subselect())
        else {
            return Some(false);
        };
        let tests: Vec<Node<'t>> = match test {
            Node::RowExpr(row) => row.args().iter().collect(),
            test => vec![test],
        };
        let spread = self.query(query, env, Some(scope), keys, false)?;
        match spread.rows {
            Rows::Everywhere => {}
            Rows::Dependent => uses.dependent = true,
            Rows::Parted => {
                let outputs = spread.outputs?;
                let meets = |(test, output): (&Node<'t>, &super::Output)| {
                    let place = self.place(*test, scope)?;
                    let (_, key) = keys.iter().find(|(it, _)| *it == place)?;
                    (output.key?.kind == key.kind).then_some(())
                };
                if tests.len() != outputs.len()
                    || !tests.iter().zip(&outputs).any(|it| meets(it).is_some())
                {
                    return None;
                }
            }
        }
        for test in tests {
            self.expression(test, scope, env, keys, uses)?;
        }
        Some(true)
    }
}

fn is_in(link: SubLink<'_>) -> bool {
    let equal = link.oper_name().is_empty() || operator(link.oper_name()) == Some("=");
    link.sub_link_type() == c::ANY_SUBLINK && equal
}
