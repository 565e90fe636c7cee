//! The walk over a statement: its scopes, its tables, and whatever stands in the way of a plan.

mod joins;

use std::collections::HashSet;

use pgherd_parser::{ColumnRef, FuncCall, List, Node, RangeVar, SelectStmt, constants as c};

use crate::catalog::{Catalog, Kind};
use crate::plan::Refusal;
use crate::push::{Conditions, conjuncts};
use crate::scope::{Occurrence, Scopes};
use crate::walk::{text, texts};

/// Queries within queries, joins within joins.
const DEEPEST: usize = 100;

/// Names of WITH queries that are visible.
#[derive(Debug)]
pub struct Env<'e> {
    pub(crate) names: Vec<&'e str>,
    outer: Option<&'e Env<'e>>,
}

/// A table within a part of FROM, and whether that part may make its columns NULL.
type Tables = Vec<(usize, bool)>;

pub struct Walker<'c, 't> {
    catalog: &'c Catalog,
    search_path: &'c [&'c str],
    pub scopes: Scopes<'c>,
    pub calls: Vec<FuncCall<'t>>,
    pub columns: Vec<ColumnRef<'t>>,
    /// Names of columns wherever they occur.
    pub used: HashSet<&'t str>,
    /// Stars and natural joins.
    pub uses_all: bool,
    pub last_parameter: usize,
    /// Tables of the system, which tell of the shard.
    pub reads_system: bool,
    /// Such as statistics and locks, which are a shard's own.
    pub reads_of_shard: bool,
    /// `current_timestamp`, `current_user` and their kin.
    pub tells_of_session: bool,
    /// A subquery takes some of its rows: which, depends on their order.
    pub picks: bool,
    /// The scope of the query that was walked last.
    pub last_scope: usize,
    /// Data-modifying statements in WITH.
    pub writes: bool,
    /// What the shards can answer one by one, but not a query over gathered rows.
    pub not_gathered: Option<Refusal>,
    /// Views whose queries are to take their place, when they are looked for.
    pub views: Option<Vec<Occurrence<'c>>>,
    /// Where `t.*` is an argument of a function, when that is looked for: a whole row.
    pub star_args: Option<HashSet<i32>>,
}

impl<'e> Env<'e> {
    pub const EMPTY: Env<'static> = Env { names: Vec::new(), outer: None };

    /// One with more names to come.
    pub fn inner(&self) -> Env<'_> {
        Env { names: Vec::new(), outer: Some(self) }
    }

    fn has(&self, name: &str) -> bool {
        self.names.contains(&name) || self.outer.is_some_and(|it| it.has(name))
    }
}

impl<'c, 't> Walker<'c, 't> {
    pub fn new(catalog: &'c Catalog, search_path: &'c [&'c str]) -> Self {
        Self {
            catalog,
            search_path,
            scopes: Scopes::default(),
            calls: Vec::new(),
            columns: Vec::new(),
            used: HashSet::new(),
            uses_all: false,
            last_parameter: 0,
            reads_system: false,
            reads_of_shard: false,
            tells_of_session: false,
            picks: false,
            last_scope: 0,
            writes: false,
            not_gathered: None,
            views: None,
            star_args: None,
        }
    }

    pub fn object(&mut self, construct: &'static str) {
        self.not_gathered.get_or_insert_with(|| Refusal::over_shards(construct));
    }

    pub fn query(
        &mut self,
        select: SelectStmt<'t>,
        env: &Env<'_>,
        parent: Option<usize>,
        depth: usize,
    ) -> Result<(), Refusal> {
        if depth > DEEPEST {
            return Err(Refusal::over_shards("a query nested this deeply"));
        }
        if select.into_clause().is_some() {
            return Err(Refusal::over_shards("SELECT INTO"));
        }
        if !select.locking_clause().is_empty() {
            self.object("FOR UPDATE or SHARE");
        }
        self.picks |= select.limit_count().is_some()
            || select.limit_offset().is_some()
            || select.distinct_clause().first().is_some();
        let mut inner = Env { names: Vec::new(), outer: Some(env) };
        self.with(select.with_clause(), &mut inner, parent, depth)?;
        let scope = self.scopes.open(parent);
        if select.op() != c::SETOP_NONE {
            for arm in [select.larg(), select.rarg()] {
                let Some(Node::SelectStmt(arm)) = arm else {
                    return Err(Refusal::over_shards("this set operation"));
                };
                self.query(arm, &inner, parent, depth + 1)?;
            }
            // Only the names of the output columns are to be seen.
            self.scopes.add_other(scope, None);
        }
        self.from(select.from_clause(), scope, &inner, depth)?;
        if let Some(condition) = select.where_clause() {
            self.filter(condition, scope);
            self.expressions(condition, scope, &inner, depth)?;
        }
        let lists = [
            select.distinct_clause(),
            select.target_list(),
            select.group_clause(),
            select.window_clause(),
            select.values_lists(),
            select.sort_clause(),
        ];
        let nodes = [select.having_clause(), select.limit_offset(), select.limit_count()];
        for node in lists.into_iter().flat_map(List::iter).chain(nodes.into_iter().flatten()) {
            self.expressions(node, scope, &inner, depth)?;
        }
        self.last_scope = scope;
        Ok(())
    }

    /// FROM: all its parts are joined.
    pub fn from(
        &mut self,
        list: List<'t>,
        scope: usize,
        env: &Env<'_>,
        depth: usize,
    ) -> Result<(), Refusal> {
        let mut tables = Tables::new();
        for item in list.iter() {
            tables.extend(self.joined(item, scope, env, false, depth + 1)?);
        }
        self.scopes.scopes[scope].tables.extend(tables);
        Ok(())
    }

    /// USING of MERGE.
    pub fn source(
        &mut self,
        item: Option<Node<'t>>,
        scope: usize,
        env: &Env<'_>,
    ) -> Result<(), Refusal> {
        let Some(item) = item else { return Ok(()) };
        let tables = self.joined(item, scope, env, false, 1)?;
        self.scopes.scopes[scope].tables.extend(tables);
        Ok(())
    }

    fn joined(
        &mut self,
        item: Node<'t>,
        scope: usize,
        env: &Env<'_>,
        hidden: bool,
        depth: usize,
    ) -> Result<Tables, Refusal> {
        if depth > DEEPEST {
            return Err(Refusal::over_shards("a join nested this deeply"));
        }
        match item {
            Node::RangeVar(range) => {
                let table = self.table(range, scope, env, hidden)?;
                Ok(table.map(|it| (it, false)).into_iter().collect())
            }
            Node::RangeTableSample(sample) => {
                self.object("TABLESAMPLE");
                for arg in sample.args().iter().chain(sample.repeatable()) {
                    self.expressions(arg, scope, env, depth)?;
                }
                match sample.relation() {
                    Some(relation) => self.joined(relation, scope, env, hidden, depth + 1),
                    None => Ok(Tables::new()),
                }
            }
            Node::RangeSubselect(subselect) => {
                let alias = alias_name(subselect.alias());
                self.scopes.add_other(scope, alias.filter(|_| !hidden));
                let Some(Node::SelectStmt(query)) = subselect.subquery() else {
                    return Err(Refusal::over_shards("this subquery in FROM"));
                };
                let outer = self.scopes.scopes[scope].parent;
                let parent = if subselect.lateral() { Some(scope) } else { outer };
                self.query(query, env, parent, depth + 1)?;
                Ok(Tables::new())
            }
            Node::JoinExpr(join) => self.join(join, scope, env, hidden, depth),
            Node::RangeFunction(_) | Node::RangeTableFunc(_) | Node::JsonTable(_) => {
                let alias = match item {
                    Node::RangeFunction(it) => it.alias(),
                    Node::RangeTableFunc(it) => it.alias(),
                    Node::JsonTable(it) => it.alias(),
                    _ => None,
                };
                self.scopes.add_other(scope, alias_name(alias));
                let mut children = Vec::new();
                item.push_children(&mut children);
                children.into_iter().try_for_each(|it| self.expressions(it, scope, env, depth))?;
                Ok(Tables::new())
            }
            _ => Err(Refusal::over_shards("this item of FROM")),
        }
    }

    /// A name in FROM; none when it is not a table of the catalog.
    pub fn table(
        &mut self,
        range: RangeVar<'t>,
        scope: usize,
        env: &Env<'_>,
        hidden: bool,
    ) -> Result<Option<usize>, Refusal> {
        let schema = range.schemaname().map(|it| text(Some(it)));
        let name = text(range.relname());
        let alias = alias_name(range.alias());
        let reference = alias.unwrap_or(name);
        if schema.is_none() && env.has(name) {
            self.scopes.add_other(scope, Some(reference).filter(|_| !hidden));
            return Ok(None);
        }
        let Some(table) = self.catalog.table(schema, name, self.search_path) else {
            let of_system = match schema {
                Some(schema) => schema == "pg_catalog" || schema == "information_schema",
                None => name.starts_with("pg_"),
            };
            if of_system {
                self.reads_system = true;
                let own = ["stat", "lock", "pg_cursors", "pg_prepared", "replication", "relation"];
                self.reads_of_shard |= own.iter().any(|it| name.contains(it));
                self.scopes.add_other(scope, Some(reference).filter(|_| !hidden));
                return Ok(None);
            }
            let construct = format!("the relation {name}, which is not known,");
            return Err(Refusal::new(construct, "If it was just created, try again."));
        };
        match table.kind {
            Kind::Undeclared => return Err(table.undeclared()),
            Kind::Opaque if self.views.is_some() && self.catalog.definition(table).is_some() => {
                self.scopes.add_other(scope, Some(reference).filter(|_| !hidden));
                let view = Occurrence {
                    table,
                    location: usize::try_from(range.location()).unwrap_or(0),
                    has_alias: alias.is_some(),
                    reference: reference.to_owned(),
                    renamed: has_columns(range.alias()),
                    filters: Vec::new(),
                };
                if !range.inh() {
                    self.object("ONLY");
                }
                self.views.get_or_insert_default().push(view);
                return Ok(None);
            }
            Kind::Opaque if self.catalog.is_materialized(table) => {
                let why = "whose rows each shard has computed from its own ones";
                let construct = format!("the materialized view {name}, {why},");
                let hint = "Read its query, or keep its rows in a table.";
                return Err(Refusal::new(construct, hint));
            }
            Kind::Opaque => {
                let construct = format!("{name}, which is a view or foreign table,");
                return Err(Refusal::new(construct, "Write its query in its place."));
            }
            Kind::Sharded { .. }
            | Kind::Reference
            | Kind::SchemaSharded { .. }
            | Kind::View { .. } => {}
        }
        let renamed = has_columns(range.alias());
        self.uses_all |= renamed;
        if !range.inh() {
            self.object("ONLY");
        }
        let occurrence = Occurrence {
            table,
            location: usize::try_from(range.location()).unwrap_or(0),
            has_alias: alias.is_some(),
            reference: reference.to_owned(),
            renamed,
            filters: Vec::new(),
        };
        Ok(Some(self.scopes.add_table(scope, hidden, occurrence)))
    }

    /// A condition that rows of these tables must meet; it goes down to those that no outer join
    /// fills up.
    pub fn condition(&mut self, condition: Node<'t>, scope: usize, targets: &Tables) {
        let is_target = |index: usize| targets.iter().any(|(it, _)| *it == index);
        for conjunct in conjuncts(condition) {
            let conditions = Conditions { scopes: &self.scopes, scope };
            let pushed = conditions.pushed(conjunct);
            let facts = conditions.facts(conjunct, 0);
            let equalities = conditions.equalities(conjunct);
            if let Some((index, sql)) = pushed
                && targets.contains(&(index, false))
            {
                self.scopes.occurrences[index].filters.push(sql);
            }
            for (place, keys) in facts {
                if is_target(place.0) {
                    self.scopes.add_fact(place, keys);
                }
            }
            for (left, right) in equalities {
                for (from, to) in [(left, right), (right, left)] {
                    // From an outer query inwards, or within one scope.
                    if is_target(to.0) {
                        self.scopes.add_edge(from, to);
                    }
                }
            }
        }
    }

    /// The condition of WHERE.
    pub fn filter(&mut self, condition: Node<'t>, scope: usize) {
        let targets = self.scopes.scopes[scope].tables.clone();
        self.condition(condition, scope, &targets);
    }

    pub fn expressions(
        &mut self,
        node: Node<'t>,
        scope: usize,
        env: &Env<'_>,
        depth: usize,
    ) -> Result<(), Refusal> {
        let mut stack = vec![node];
        while let Some(node) = stack.pop() {
            match node {
                Node::SubLink(link) => {
                    stack.extend(link.testexpr());
                    let Some(Node::SelectStmt(query)) = link.subselect() else {
                        return Err(Refusal::over_shards("this subquery"));
                    };
                    self.query(query, env, Some(scope), depth + 1)?;
                    continue;
                }
                Node::ResTarget(target) if target.val().is_some_and(is_star) => {
                    self.uses_all = true;
                    if let Some(Node::ColumnRef(reference)) = target.val() {
                        self.columns.push(reference);
                    }
                    continue;
                }
                Node::ColumnRef(reference) => {
                    self.columns.push(reference);
                    self.used.extend(texts(reference.fields()));
                    // As an argument it is the row as one value.
                    let known = self.star_args.as_ref();
                    if is_star(node) && known.is_none_or(|it| !it.contains(&reference.location())) {
                        self.uses_all = true;
                        self.object("a whole row");
                    }
                    continue;
                }
                Node::FuncCall(call) => {
                    self.picks |= crate::once::depends_on_order(call);
                    if let Some(known) = &mut self.star_args {
                        known.extend(call.args().iter().filter_map(|it| match it {
                            Node::ColumnRef(of) if is_star(it) => Some(of.location()),
                            _ => None,
                        }));
                    }
                    self.calls.push(call);
                }
                Node::SQLValueFunction(_) => self.tells_of_session = true,
                Node::ParamRef(parameter) => {
                    let number = usize::try_from(parameter.number()).unwrap_or(0);
                    self.last_parameter = self.last_parameter.max(number);
                }
                Node::Unknown(_)
                | Node::SelectStmt(_)
                | Node::InsertStmt(_)
                | Node::UpdateStmt(_)
                | Node::DeleteStmt(_)
                | Node::MergeStmt(_)
                | Node::RangeVar(_)
                | Node::CurrentOfExpr(_) => {
                    return Err(Refusal::over_shards("an expression of this kind"));
                }
                _ => {}
            }
            node.push_children(&mut stack);
        }
        Ok(())
    }
}

/// `AS t(a, b)`
fn has_columns(alias: Option<Node<'_>>) -> bool {
    matches!(alias, Some(Node::Alias(alias)) if !alias.colnames().is_empty())
}

fn alias_name<'t>(alias: Option<Node<'t>>) -> Option<&'t str> {
    match alias {
        Some(Node::Alias(alias)) => Some(text(alias.aliasname())),
        _ => None,
    }
}

pub fn is_star(node: Node<'_>) -> bool {
    match node {
        Node::ColumnRef(it) => it.fields().iter().any(|it| matches!(it, Node::A_Star(_))),
        _ => false,
    }
}
