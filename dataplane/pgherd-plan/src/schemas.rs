//! Schemas that are on one shard each: where statements go that name what is in them.
//!
//! A statement all of whose names are found on one shard goes there as it is, whatever it does. To
//! be sure of that, every name is looked up: tables, sequences, functions and types.

mod definitions;

use std::collections::{BTreeSet, HashSet};

use pgherd_parser::{FuncCall, Node, RangeVar};
use pgherd_sharding::SchemaPlacement;
use pgherd_sql::builtin;

use crate::catalog::{Catalog, Kind, Table};
use crate::functions::{Volatility, objection};
use crate::outline::{Context, Shape};
use crate::plan::Refusal;
use crate::walk::{text, texts};

/// Names of what is in schemas that are on one shard, beside their tables: the schema and the name
/// of sequences, indexes, types, functions. To be run with `search_path = pg_catalog`.
pub const OBJECTS_QUERY: &str = "SELECT n.nspname, o.name FROM pg_namespace n JOIN ( \
     SELECT relnamespace, relname FROM pg_class \
     UNION SELECT typnamespace, typname FROM pg_type \
     UNION SELECT pronamespace, proname FROM pg_proc \
     UNION SELECT collnamespace, collname FROM pg_collation \
     UNION SELECT stxnamespace, stxname FROM pg_statistic_ext) AS o(schema, name) \
     ON o.schema = n.oid WHERE n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'";

/// Where all that a statement names is to be found together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Home {
    /// On every shard.
    #[default]
    Any,
    On(usize),
    Nowhere,
}

/// What a statement names.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// Shards of schemas that something is of.
    pub(crate) shards: BTreeSet<usize>,
    /// Tables whose rows are spread over the shards, or of which nobody has said where they are.
    pub(crate) spread: bool,
    /// Tables that are not known.
    unknown: bool,
    unknown_names: Vec<String>,
    /// Tables are written that all shards have.
    writes_everywhere: bool,
    /// Functions of the database that may read or write any table.
    opaque_calls: bool,
    /// A parameter names a sequence, or a table as `regclass`.
    pub(crate) hides_names: bool,
    hides_sequence: bool,
    /// Built-in functions that change state, sequences that are everybody's.
    state: bool,
}

// === impl Names ===

impl Names {
    pub(crate) fn of(node: Node<'_>, context: &Context<'_>) -> Self {
        let mut names = Self::default();
        let mut with = HashSet::new();
        let mut stack = vec![node];
        while let Some(node) = stack.pop() {
            match node {
                // What it names are names of FROM.
                Node::LockingClause(_) => continue,
                Node::CommonTableExpr(it) => {
                    with.insert(text(it.ctename()).to_owned());
                }
                Node::RangeVar(it) => names.table(it, context),
                Node::FuncCall(it) => names.call(it, context),
                Node::TypeName(it) => names.thing(&texts(it.names()), context),
                Node::CollateClause(it) => names.thing(&texts(it.collname()), context),
                Node::A_Expr(it) => {
                    if let [schema, _] = texts(it.name()).as_slice() {
                        names.shards.extend(context.catalog.schemas().place(schema));
                    }
                }
                Node::TypeCast(it) => names.reference(it.arg(), it.type_name(), context),
                Node::InsertStmt(it) => names.target(it.relation(), context),
                Node::UpdateStmt(it) => names.target(it.relation(), context),
                Node::DeleteStmt(it) => names.target(it.relation(), context),
                Node::MergeStmt(it) => names.target(it.relation(), context),
                _ => {}
            }
            node.push_children(&mut stack);
        }
        names.unknown = names.unknown_names.iter().any(|it| !with.contains(it));
        names
    }

    /// A name of a WITH query counts as the table of that name, which it may stand for within it.
    fn table(&mut self, range: RangeVar<'_>, context: &Context<'_>) {
        let schema = range.schemaname().map(|it| text(Some(it)));
        let name = text(range.relname());
        match context.catalog.table(schema, name, context.search_path).map(|it| it.kind) {
            Some(Kind::SchemaSharded { shard }) => {
                self.shards.insert(shard);
            }
            Some(Kind::Reference | Kind::View { parted: false, .. }) => {}
            Some(_) => self.spread = true,
            None => {
                let shard = match schema {
                    Some(schema) => context.catalog.schemas().place(schema),
                    None => shard_of(&[name], context),
                };
                self.shards.extend(shard);
                let of_system = match schema {
                    Some(schema) => ["pg_catalog", "information_schema"].contains(&schema),
                    None => name.starts_with("pg_"),
                };
                if shard.is_none() && !of_system {
                    self.unknown_names.push(schema.map_or(name, |_| "").to_owned());
                }
            }
        }
    }

    fn target(&mut self, relation: Option<Node<'_>>, context: &Context<'_>) {
        let Some(Node::RangeVar(range)) = relation else { return };
        let schema = range.schemaname().map(|it| text(Some(it)));
        let name = text(range.relname());
        let Some(table) = context.catalog.table(schema, name, context.search_path) else { return };
        self.writes_everywhere |= table.kind == Kind::Reference;
        self.state |= draws_elsewhere(table, context.catalog);
    }

    /// A type, collation or the like.
    fn thing(&mut self, names: &[&str], context: &Context<'_>) {
        self.shards.extend(shard_of(names, context));
    }

    /// `'tenant_1.orders'::regclass`
    fn reference(&mut self, value: Option<Node<'_>>, of: Option<Node<'_>>, context: &Context<'_>) {
        let Some(Node::TypeName(of)) = of else { return };
        if !texts(of.names()).last().is_some_and(|it| it.starts_with("reg")) {
            return;
        }
        match value.and_then(string) {
            Some(name) => {
                let names = parts(name);
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                self.thing(&names, context);
            }
            None => self.hides_names = true,
        }
    }

    fn call(&mut self, call: FuncCall<'_>, context: &Context<'_>) {
        let names = texts(call.funcname());
        if let Some(shard) = shard_of(&names, context) {
            self.shards.insert(shard);
            self.opaque_calls = true;
            return;
        }
        let Some(name) = names.last() else { return };
        let is_builtin = matches!(names.as_slice(), [_] | ["pg_catalog", _]);
        if is_builtin && ["nextval", "setval", "currval"].contains(name) {
            let sequence = call.args().first().and_then(|it| match it {
                Node::TypeCast(cast) => cast.arg().and_then(string),
                other => string(other),
            });
            self.hides_sequence |= sequence.is_none();
            self.hides_names |= sequence.is_none();
            let names = sequence.map(parts).unwrap_or_default();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            match shard_of(&names, context) {
                Some(shard) => {
                    self.shards.insert(shard);
                }
                // Those that are not of such a schema are on the first shard.
                None => self.state = true,
            }
            return;
        }
        let own = context.catalog.function(name);
        match own.filter(|_| names.as_slice() != ["pg_catalog", *name]) {
            Some(immutable) if builtin(name).is_none() => self.opaque_calls |= !immutable,
            _ => self.state |= objection(call, context.catalog, false).is_some(),
        }
    }

    /// Where all of it is.
    pub(crate) fn home(&self, context: &Context<'_>) -> Home {
        let mut shards = self.shards.iter();
        match (shards.next(), shards.next()) {
            (Some(shard), None) => Home::On(*shard),
            (Some(_), Some(_)) => Home::Nowhere,
            (None, _) => shard_of_path(context).map_or(Home::Any, Home::On),
        }
    }

    /// The shard that can do all of it alone, as one Postgres would.
    fn alone(&self, context: &Context<'_>) -> Option<usize> {
        let reads_anything = self.opaque_calls && context.catalog.has_sharded_tables();
        let others = self.spread || self.unknown || self.writes_everywhere || self.state;
        match self.home(context) {
            Home::On(shard) if !others && !reads_anything => Some(shard),
            _ => None,
        }
    }
}

/// The shape of a statement that is for the shard of a schema alone. `None` where what it names is
/// elsewhere as well, or on all shards.
pub(crate) fn outline(
    node: Node<'_>,
    names: &Names,
    context: &Context<'_>,
) -> Option<Result<Shape, Refusal>> {
    if names.hides_sequence {
        let hint = "Name it by a constant: sequences of schemas are on the shards of these.";
        return Some(Err(Refusal::new("a sequence that is not named by a constant", hint)));
    }
    match node {
        Node::SelectStmt(select) if select.into_clause().is_some() => None,
        Node::SelectStmt(_)
        | Node::InsertStmt(_)
        | Node::UpdateStmt(_)
        | Node::DeleteStmt(_)
        | Node::MergeStmt(_) => names.alone(context).map(|shard| Ok(Shape::On(shard))),
        // Their data is taken apart by others.
        Node::CopyStmt(_)
        | Node::ExplainStmt(_)
        | Node::DeclareCursorStmt(_)
        | Node::PrepareStmt(_)
        | Node::ExecuteStmt(_)
        | Node::TransactionStmt(_)
        | Node::VariableSetStmt(_)
        | Node::VariableShowStmt(_)
        | Node::DiscardStmt(_)
        | Node::DeallocateStmt(_) => None,
        // A block may do anything, which is all on one shard where no tables are spread.
        Node::DoStmt(_) | Node::CallStmt(_) => {
            let shard = names.alone(context).filter(|_| !context.catalog.has_sharded_tables());
            shard.map(|shard| Ok(Shape::On(shard)))
        }
        other => definitions::outline(other, names, context),
    }
}

/// Whether a query over the tables of one schema's shard sees all there is, as a view's.
pub(crate) fn is_on(node: Node<'_>, shard: usize, context: &Context<'_>) -> bool {
    let names = Names::of(node, context);
    let opaque = names.opaque_calls && context.catalog.has_sharded_tables();
    !names.spread && !names.unknown && !opaque && names.shards.iter().all(|it| *it == shard)
}

/// Whether a table's defaults draw from sequences that are everybody's.
pub(crate) fn draws_elsewhere(table: &Table, catalog: &Catalog) -> bool {
    let Kind::SchemaSharded { shard } = table.kind else { return false };
    let own = |sql: &str| {
        // `nextval('tenant_1.orders_id_seq'::regclass)`
        let name = sql.split('\'').nth(1).map(parts).unwrap_or_default();
        match name.as_slice() {
            [schema, _] => catalog.schemas().place(schema) == Some(shard),
            _ => false,
        }
    };
    let defaults = table.facts.iter().flat_map(|it| &it.defaults);
    let mut drawing = defaults.filter(|(_, it)| it.volatility == Volatility::Sequence);
    drawing.any(|(_, it)| !own(&it.sql))
}

/// The shard of something by its name; `None` when it is in no schema that is on one shard.
pub(crate) fn shard_of(names: &[&str], context: &Context<'_>) -> Option<usize> {
    let schemas = context.catalog.schemas();
    match names {
        [schema, _] => schemas.place(schema),
        [name] => {
            let found = |schema: &&&str| {
                context.catalog.has_object(schema, name)
                    || context.catalog.table(Some(schema), name, &[]).is_some()
            };
            schemas.place(context.search_path.iter().find(found)?)
        }
        _ => None,
    }
}

/// The one shard of the schemas of the search path that are on one shard.
pub(crate) fn shard_of_path(context: &Context<'_>) -> Option<usize> {
    one_shard_of(context.catalog.schemas(), context.search_path.iter().copied())
}

/// The one shard of those of some schemas that are on one.
pub fn one_shard_of<'s>(
    schemas: &SchemaPlacement,
    path: impl Iterator<Item = &'s str>,
) -> Option<usize> {
    let mut shards = path.filter_map(|it| schemas.place(it));
    let first = shards.next()?;
    shards.all(|it| it == first).then_some(first)
}

/// The schemas and names of a written name, in lower case unless they are quoted.
fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut quoted = false;
    let mut rest = name.chars().peekable();
    while let Some(it) = rest.next() {
        let Some(part) = parts.last_mut() else { break };
        match it {
            '"' if quoted && rest.peek() == Some(&'"') => {
                rest.next();
                part.push('"');
            }
            '"' => quoted = !quoted,
            '.' if !quoted => parts.push(String::new()),
            it if quoted => part.push(it),
            it => part.extend(it.to_lowercase()),
        }
    }
    parts
}

/// A constant text.
fn string<'t>(node: Node<'t>) -> Option<&'t str> {
    let Node::A_Const(constant) = node else { return None };
    match constant.val() {
        Some(Node::String(it)) => Some(text(it.sval())),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
