//! Definitions of what is in schemas that are on one shard: they go to that shard only.

use pgherd_parser::{List, Node, constants as c};

use super::{Names, shard_of, shard_of_path};
use crate::outline::{Context, Shape};
use crate::plan::Refusal;
use crate::walk::{text, texts};

/// The shape of a statement that defines something in such schemas. `None` when it is about what
/// all shards have.
pub fn outline(
    node: Node<'_>,
    names: &Names,
    context: &Context<'_>,
) -> Option<Result<Shape, Refusal>> {
    let targets = Targets::of(node, context);
    let mut shards: Vec<Option<usize>> = targets.shards;
    shards.sort_unstable();
    shards.dedup();
    match shards.as_slice() {
        [] | [None] if names.shards.is_empty() => None,
        // They are not there on the other shards.
        [] | [None] => Some(Err(Refusal::new(
            "a definition for all shards that names what is on one of them",
            "Put it into the schema of that shard.",
        ))),
        [Some(shard)] => Some(on(*shard, node, names, context)),
        _ => Some(Err(Refusal::new(
            "a command about what is on several shards",
            "Give a command of its own to the schemas of each shard.",
        ))),
    }
}

fn on(
    shard: usize,
    node: Node<'_>,
    names: &Names,
    context: &Context<'_>,
) -> Result<Shape, Refusal> {
    let is_temporary = |it: Option<Node<'_>>| match it {
        Some(Node::RangeVar(it)) => it.relpersistence() == b't',
        _ => false,
    };
    let relation = match node {
        Node::CreateStmt(it) => it.relation(),
        Node::ViewStmt(it) => it.view(),
        Node::CreateSeqStmt(it) => it.sequence(),
        Node::CreateTableAsStmt(it) => into(it.into()),
        _ => None,
    };
    if is_temporary(relation) {
        let hint = "It would stay on the connection to one shard.";
        return Err(Refusal::new("a temporary table, view or sequence", hint));
    }
    let others = names.shards.iter().any(|it| *it != shard);
    let computes = matches!(node, Node::CreateTableAsStmt(_) | Node::RefreshMatViewStmt(_));
    // A row elsewhere is seen by no view and no foreign key.
    let reads_anything = computes
        && (names.opaque_calls || matches!(node, Node::RefreshMatViewStmt(_)))
        && context.catalog.has_sharded_tables();
    if others || names.spread || reads_anything {
        return Err(Refusal::new(
            "a definition in a schema of one shard that names what is on others",
            "Name tables of schemas of the same shard, and reference tables.",
        ));
    }
    if computes && names.state {
        return Err(Refusal::over_shards("a sequence of all shards in CREATE TABLE AS"));
    }
    Ok(Shape::On(shard))
}

/// The shards of what a statement defines or changes; `None` for what is on all of them.
#[derive(Default)]
struct Targets {
    shards: Vec<Option<usize>>,
}

impl Targets {
    fn of(node: Node<'_>, context: &Context<'_>) -> Self {
        let mut targets = Self::default();
        targets.add(node, context);
        targets
    }

    fn schema(&mut self, name: &str, context: &Context<'_>) {
        self.shards.push(context.catalog.schemas().place(name));
    }

    /// Something new goes into the first schema of the path.
    fn created(&mut self, names: &[&str], context: &Context<'_>) {
        match names {
            [schema, _] => self.schema(schema, context),
            _ => {
                let first = context.search_path.first();
                self.shards.push(first.and_then(|it| context.catalog.schemas().place(it)));
            }
        }
    }

    fn there(&mut self, names: &[&str], context: &Context<'_>) {
        let [.., _] = names else { return };
        let known = match names {
            [name] => {
                let catalog = context.catalog;
                let spread = catalog.table(None, name, context.search_path).is_some();
                // What is not there at all is an error of the schemas that are looked at.
                let missing = || if spread { None } else { shard_of_path(context) };
                shard_of(names, context).or_else(missing)
            }
            _ => shard_of(names, context),
        };
        self.shards.push(known);
    }

    fn relation(&mut self, relation: Option<Node<'_>>, is_new: bool, context: &Context<'_>) {
        let Some(Node::RangeVar(it)) = relation else { return };
        let names: Vec<&str> =
            it.schemaname().into_iter().chain(it.relname()).map(|it| text(Some(it))).collect();
        if is_new { self.created(&names, context) } else { self.there(&names, context) }
    }

    /// An object of COMMENT, DROP, ALTER … OWNER and the like.
    fn object(&mut self, kind: u32, node: Node<'_>, context: &Context<'_>) {
        match (kind, node) {
            (c::OBJECT_SCHEMA, Node::String(it)) => self.schema(text(it.sval()), context),
            (_, Node::ObjectWithArgs(it)) => self.there(&texts(it.objname()), context),
            (_, Node::TypeName(it)) => self.there(&texts(it.names()), context),
            (_, Node::RangeVar(_)) => self.relation(Some(node), false, context),
            (
                c::OBJECT_COLUMN
                | c::OBJECT_TRIGGER
                | c::OBJECT_POLICY
                | c::OBJECT_RULE
                | c::OBJECT_TABCONSTRAINT,
                Node::List(it),
            ) => {
                // The last one is what is of the table.
                let names = texts(it);
                let table = names.split_last().map(|(_, table)| table).unwrap_or_default();
                self.there(table, context);
            }
            (
                c::OBJECT_TABLE
                | c::OBJECT_VIEW
                | c::OBJECT_MATVIEW
                | c::OBJECT_INDEX
                | c::OBJECT_SEQUENCE
                | c::OBJECT_FOREIGN_TABLE
                | c::OBJECT_COLLATION
                | c::OBJECT_CONVERSION
                | c::OBJECT_STATISTIC_EXT
                | c::OBJECT_TSCONFIGURATION
                | c::OBJECT_TSDICTIONARY
                | c::OBJECT_TSPARSER
                | c::OBJECT_TSTEMPLATE,
                Node::List(it),
            ) => self.there(&texts(it), context),
            _ => {}
        }
    }

    fn objects(&mut self, kind: u32, list: List<'_>, context: &Context<'_>) {
        list.iter().for_each(|it| self.object(kind, it, context));
    }

    fn add(&mut self, node: Node<'_>, context: &Context<'_>) {
        match node {
            Node::CreateSchemaStmt(it) => {
                let owner = match it.authrole() {
                    Some(Node::RoleSpec(it)) => it.rolename(),
                    _ => None,
                };
                self.schema(text(it.schemaname().or(owner)), context);
            }
            Node::CreateStmt(it) => self.relation(it.relation(), true, context),
            Node::CreateForeignTableStmt(it) => self.relation(it.base().relation(), true, context),
            Node::ViewStmt(it) => self.relation(it.view(), true, context),
            Node::CreateSeqStmt(it) => self.relation(it.sequence(), true, context),
            Node::CreateTableAsStmt(it) => self.relation(into(it.into()), true, context),
            Node::CompositeTypeStmt(it) => self.relation(it.typevar(), true, context),
            Node::CreateFunctionStmt(it) => self.created(&texts(it.funcname()), context),
            Node::CreateEnumStmt(it) => self.created(&texts(it.type_name()), context),
            Node::CreateRangeStmt(it) => self.created(&texts(it.type_name()), context),
            Node::CreateDomainStmt(it) => self.created(&texts(it.domainname()), context),
            Node::DefineStmt(it) => self.created(&texts(it.defnames()), context),
            Node::CreateStatsStmt(it) => {
                it.relations().iter().for_each(|it| self.relation(Some(it), false, context));
            }
            Node::IndexStmt(it) => self.relation(it.relation(), false, context),
            Node::AlterTableStmt(it) => self.relation(it.relation(), false, context),
            Node::CreateTrigStmt(it) => self.relation(it.relation(), false, context),
            Node::RuleStmt(it) => self.relation(it.relation(), false, context),
            Node::CreatePolicyStmt(it) => self.relation(it.table(), false, context),
            Node::AlterPolicyStmt(it) => self.relation(it.table(), false, context),
            Node::AlterSeqStmt(it) => self.relation(it.sequence(), false, context),
            Node::RefreshMatViewStmt(it) => self.relation(it.relation(), false, context),
            Node::ClusterStmt(it) => self.relation(it.relation(), false, context),
            Node::ReindexStmt(it) => match (it.relation(), it.name()) {
                (None, Some(name)) if it.kind() == c::REINDEX_OBJECT_SCHEMA => {
                    self.schema(text(Some(name)), context);
                }
                (relation, _) => self.relation(relation, false, context),
            },
            Node::VacuumStmt(it) => it.rels().iter().for_each(|it| {
                if let Node::VacuumRelation(it) = it {
                    self.relation(it.relation(), false, context);
                }
            }),
            Node::TruncateStmt(it) => {
                it.relations().iter().for_each(|it| self.relation(Some(it), false, context));
            }
            Node::LockStmt(it) => {
                it.relations().iter().for_each(|it| self.relation(Some(it), false, context));
            }
            Node::AlterFunctionStmt(it) => {
                it.func().into_iter().for_each(|func| self.object(it.objtype(), func, context));
            }
            Node::AlterDomainStmt(it) => self.there(&texts(it.type_name()), context),
            Node::AlterEnumStmt(it) => self.there(&texts(it.type_name()), context),
            Node::AlterTypeStmt(it) => self.there(&texts(it.type_name()), context),
            Node::AlterStatsStmt(it) => self.there(&texts(it.defnames()), context),
            Node::DropStmt(it) => self.objects(it.remove_type(), it.objects(), context),
            Node::CommentStmt(it) => {
                it.object().into_iter().for_each(|on| self.object(it.objtype(), on, context));
            }
            Node::SecLabelStmt(it) => {
                it.object().into_iter().for_each(|on| self.object(it.objtype(), on, context));
            }
            Node::AlterOwnerStmt(it) => {
                let on = it.relation().or(it.object());
                on.into_iter().for_each(|on| self.object(it.object_type(), on, context));
            }
            Node::GrantStmt(it) => match it.targtype() {
                c::ACL_TARGET_ALL_IN_SCHEMA => {
                    self.objects(c::OBJECT_SCHEMA, it.objects(), context);
                }
                _ => self.objects(it.objtype(), it.objects(), context),
            },
            Node::AlterDefaultPrivilegesStmt(it) => it.options().iter().for_each(|it| {
                if let Node::DefElem(it) = it
                    && text(it.defname()) == "schemas"
                    && let Some(Node::List(schemas)) = it.arg()
                {
                    self.objects(c::OBJECT_SCHEMA, schemas, context);
                }
            }),
            Node::RenameStmt(it) => {
                if it.rename_type() == c::OBJECT_SCHEMA {
                    self.schema(text(it.subname()), context);
                    self.schema(text(it.newname()), context);
                } else if let Some(on) = it.relation().or(it.object()) {
                    self.object(it.rename_type(), on, context);
                }
            }
            Node::AlterObjectSchemaStmt(it) => {
                if let Some(on) = it.relation().or(it.object()) {
                    self.object(it.object_type(), on, context);
                }
                self.schema(text(it.newschema()), context);
            }
            _ => {}
        }
    }
}

/// The table of CREATE TABLE AS.
fn into(node: Option<Node<'_>>) -> Option<Node<'_>> {
    match node {
        Some(Node::IntoClause(it)) => it.rel(),
        _ => None,
    }
}
