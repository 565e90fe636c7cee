//! Statements that define things, on all shards; and those that no cluster can carry out.

use pgherd_parser::{
    AlterTableCmd, AlterTableStmt, ColumnDef, Constraint, CreateStmt, IndexStmt, List, Node,
    RangeVar, RenameStmt, constants as c,
};

use crate::catalog::{Kind, Table};
use crate::facts::judge_node;
use crate::functions::Volatility;
use crate::outline::{Context, Shape};
use crate::plan::{Block, Everywhere, Refusal};
use crate::walk::{text, texts};

const DDL: Everywhere = Everywhere { block: Block::Allowed, ddl: true };
const FORBIDDEN: Everywhere = Everywhere { block: Block::Forbidden, ddl: true };
const PLAIN: Everywhere = Everywhere { block: Block::Allowed, ddl: false };
const NEEDED: Everywhere = Everywhere { block: Block::Needed, ddl: false };

/// The plan of a statement that is neither a query nor a write of rows.
///
/// # Errors
/// What would not be the same as on one Postgres.
pub fn outline(statement: Node<'_>, context: &Context<'_>) -> Result<Shape, Refusal> {
    let everywhere = |it: Everywhere| Ok(Shape::Everywhere(it));
    match statement {
        Node::CreateStmt(it) => create_table(it, context).map(|()| Shape::Everywhere(DDL)),
        Node::AlterTableStmt(it) => alter_table(it, context),
        Node::IndexStmt(it) => {
            index(it, context)?;
            everywhere(if it.concurrent() { FORBIDDEN } else { DDL })
        }
        Node::RenameStmt(it) => rename(it, context).map(|()| Shape::Everywhere(DDL)),
        Node::DropStmt(it) => everywhere(if it.concurrent() { FORBIDDEN } else { DDL }),
        Node::TruncateStmt(it) => tables(it.relations(), context, PLAIN),
        Node::LockStmt(it) => tables(it.relations(), context, NEEDED),
        Node::ConstraintsSetStmt(_) => everywhere(NEEDED),
        Node::VacuumStmt(it) => everywhere(match it.is_vacuumcmd() {
            true => Everywhere { ddl: false, ..FORBIDDEN },
            false => PLAIN,
        }),
        Node::ClusterStmt(it) => everywhere(match it.relation() {
            Some(_) => PLAIN,
            None => Everywhere { ddl: false, ..FORBIDDEN },
        }),
        Node::ReindexStmt(it) => {
            let concurrently = it.params().iter().any(|it| match it {
                Node::DefElem(it) => text(it.defname()) == "concurrently",
                _ => false,
            });
            let one = [c::REINDEX_OBJECT_INDEX, c::REINDEX_OBJECT_TABLE].contains(&it.kind());
            everywhere(match one && !concurrently {
                true => PLAIN,
                false => Everywhere { ddl: false, ..FORBIDDEN },
            })
        }
        Node::CommentStmt(it) => of_object(it.objtype()),
        Node::AlterOwnerStmt(it) => of_object(it.object_type()),
        Node::GrantStmt(it) => of_object(it.objtype()),
        Node::SecLabelStmt(it) => of_object(it.objtype()),
        Node::CreateTableAsStmt(_) => Err(Refusal::new(
            "CREATE TABLE AS or CREATE MATERIALIZED VIEW",
            "Create the table, then INSERT ... SELECT into it.",
        )),
        Node::CreatedbStmt(_)
        | Node::DropdbStmt(_)
        | Node::AlterDatabaseStmt(_)
        | Node::AlterDatabaseSetStmt(_)
        | Node::AlterDatabaseRefreshCollStmt(_) => Err(whole_server("a command about a database")),
        Node::CreateRoleStmt(_)
        | Node::AlterRoleStmt(_)
        | Node::AlterRoleSetStmt(_)
        | Node::DropRoleStmt(_)
        | Node::GrantRoleStmt(_)
        | Node::DropOwnedStmt(_)
        | Node::ReassignOwnedStmt(_) => Err(whole_server("a command about roles")),
        Node::CreateTableSpaceStmt(_)
        | Node::DropTableSpaceStmt(_)
        | Node::AlterTableSpaceOptionsStmt(_)
        | Node::AlterTableMoveAllStmt(_) => Err(whole_server("a command about tablespaces")),
        Node::AlterSystemStmt(_) | Node::CheckPointStmt(_) | Node::LoadStmt(_) => {
            Err(whole_server("a command about a whole server"))
        }
        Node::CreateSubscriptionStmt(_)
        | Node::AlterSubscriptionStmt(_)
        | Node::DropSubscriptionStmt(_) => Err(whole_server("a subscription")),
        Node::DoStmt(_) => Err(one_shard("DO")),
        Node::CallStmt(_) => Err(one_shard("CALL")),
        Node::ListenStmt(_) | Node::NotifyStmt(_) => Err(Refusal::new(
            "LISTEN or NOTIFY",
            "Channels belong to one database; connect to one of the shards for them.",
        )),
        // Nothing can be listened to.
        Node::UnlistenStmt(_) => Ok(Shape::Elsewhere),
        Node::AlterCollationStmt(_)
        | Node::AlterDefaultPrivilegesStmt(_)
        | Node::AlterDomainStmt(_)
        | Node::AlterEnumStmt(_)
        | Node::AlterEventTrigStmt(_)
        | Node::AlterExtensionContentsStmt(_)
        | Node::AlterExtensionStmt(_)
        | Node::AlterFdwStmt(_)
        | Node::AlterForeignServerStmt(_)
        | Node::AlterFunctionStmt(_)
        | Node::AlterObjectDependsStmt(_)
        | Node::AlterObjectSchemaStmt(_)
        | Node::AlterOpFamilyStmt(_)
        | Node::AlterOperatorStmt(_)
        | Node::AlterPolicyStmt(_)
        | Node::AlterPublicationStmt(_)
        | Node::AlterSeqStmt(_)
        | Node::AlterStatsStmt(_)
        | Node::AlterTSConfigurationStmt(_)
        | Node::AlterTSDictionaryStmt(_)
        | Node::AlterTypeStmt(_)
        | Node::AlterUserMappingStmt(_)
        | Node::CompositeTypeStmt(_)
        | Node::CreateAmStmt(_)
        | Node::CreateCastStmt(_)
        | Node::CreateConversionStmt(_)
        | Node::CreateDomainStmt(_)
        | Node::CreateEnumStmt(_)
        | Node::CreateEventTrigStmt(_)
        | Node::CreateExtensionStmt(_)
        | Node::CreateFdwStmt(_)
        | Node::CreateForeignServerStmt(_)
        | Node::CreateForeignTableStmt(_)
        | Node::CreateFunctionStmt(_)
        | Node::CreateOpClassStmt(_)
        | Node::CreateOpFamilyStmt(_)
        | Node::CreatePLangStmt(_)
        | Node::CreatePolicyStmt(_)
        | Node::CreatePublicationStmt(_)
        | Node::CreateRangeStmt(_)
        | Node::CreateSchemaStmt(_)
        | Node::CreateStatsStmt(_)
        | Node::CreateTransformStmt(_)
        | Node::CreateTrigStmt(_)
        | Node::CreateUserMappingStmt(_)
        | Node::DefineStmt(_)
        | Node::DropUserMappingStmt(_)
        | Node::ImportForeignSchemaStmt(_)
        | Node::RuleStmt(_) => schema_elements(statement, context),
        Node::CreateSeqStmt(it) => match it.sequence() {
            Some(it) => not_temporary(it).map(|()| Shape::Everywhere(DDL)),
            None => everywhere(DDL),
        },
        Node::ViewStmt(it) => match it.view() {
            Some(it) => not_temporary(it).map(|()| Shape::Everywhere(DDL)),
            None => everywhere(DDL),
        },
        Node::RefreshMatViewStmt(_) => Err(one_shard("REFRESH MATERIALIZED VIEW")),
        _ => Err(Refusal::over_shards("this command")),
    }
}

/// CREATE SCHEMA has tables within.
fn schema_elements(statement: Node<'_>, context: &Context<'_>) -> Result<Shape, Refusal> {
    if let Node::CreateSchemaStmt(it) = statement {
        it.schema_elts().iter().try_for_each(|it| outline(it, context).map(|_| ()))?;
    }
    Ok(Shape::Everywhere(DDL))
}

fn whole_server(construct: &'static str) -> Refusal {
    let hint = "It concerns a whole server; run it on the servers of the shards themselves.";
    Refusal::new(construct, hint)
}

fn one_shard(construct: &'static str) -> Refusal {
    Refusal::new(construct, "It may do anything; choose a shard with SET pgherd.shard.")
}

fn of_object(kind: u32) -> Result<Shape, Refusal> {
    match kind {
        c::OBJECT_DATABASE => Err(whole_server("a command about a database")),
        c::OBJECT_ROLE => Err(whole_server("a command about roles")),
        c::OBJECT_TABLESPACE => Err(whole_server("a command about tablespaces")),
        c::OBJECT_PARAMETER_ACL => Err(whole_server("a command about a whole server")),
        _ => Ok(Shape::Everywhere(DDL)),
    }
}

fn not_temporary(relation: Node<'_>) -> Result<(), Refusal> {
    match relation {
        Node::RangeVar(it) if it.relpersistence() == b't' => {
            let hint = "It would stay on the connection to one shard.";
            Err(Refusal::new("a temporary table, view or sequence", hint))
        }
        _ => Ok(()),
    }
}

/// Statements about tables that are there.
fn tables(list: List<'_>, context: &Context<'_>, how: Everywhere) -> Result<Shape, Refusal> {
    let mut shards = Vec::new();
    for relation in list.iter() {
        let Node::RangeVar(relation) = relation else { continue };
        let Some(table) = known(relation, context) else { continue };
        match table.kind {
            Kind::Undeclared => return Err(undeclared(&table.name)),
            Kind::SchemaSharded { shard } => shards.push(Some(shard)),
            _ => shards.push(None),
        }
    }
    shards.dedup();
    match shards.as_slice() {
        [Some(shard)] => Ok(Shape::On(*shard)),
        _ if shards.iter().any(Option::is_some) => {
            Err(Refusal::over_shards("tables of several shards in one command"))
        }
        _ => Ok(Shape::Everywhere(how)),
    }
}

fn known<'c>(relation: RangeVar<'_>, context: &Context<'c>) -> Option<&'c Table> {
    let schema = relation.schemaname().map(|it| text(Some(it)));
    context.catalog.table(schema, text(relation.relname()), context.search_path)
}

fn undeclared(name: &str) -> Refusal {
    let hint = format!(
        "Declare it in the cluster's settings first: \"{name}\" in reference_tables, or its \
         sharding key in sharded_tables."
    );
    Refusal::new(format!("the undeclared table {name}"), hint)
}

/// A table that is to be created must be declared beforehand.
fn create_table(create: CreateStmt<'_>, context: &Context<'_>) -> Result<(), Refusal> {
    let Some(relation) = create.relation() else { return Ok(()) };
    not_temporary(relation)?;
    let Node::RangeVar(relation) = relation else { return Ok(()) };
    let mut columns = Vec::new();
    for element in create.table_elts().iter() {
        match element {
            Node::ColumnDef(it) => columns.push(text(it.colname()).to_owned()),
            Node::TableLikeClause(it) => columns.extend(columns_of(it.relation(), context)),
            _ => {}
        }
    }
    for parent in create.inh_relations().iter() {
        columns.extend(columns_of(Some(parent), context));
    }
    let schema = relation.schemaname().map(|it| text(Some(it)));
    let schema = schema.or(context.search_path.first().copied()).unwrap_or("public");
    let name = text(relation.relname());
    let kind = context.catalog.kind_of(schema, name, &columns);
    let key = match kind {
        Kind::Undeclared => return Err(undeclared(name)),
        Kind::Sharded { column } => columns.get(column).cloned(),
        _ => None,
    };
    let of_columns = create.table_elts().iter().filter_map(|it| match it {
        Node::ColumnDef(it) => Some(it),
        _ => None,
    });
    for column in of_columns {
        for constraint in column.constraints().iter() {
            constraints(constraint, Some(column), name, key.as_deref(), context)?;
        }
    }
    let rest = create.table_elts().iter().chain(create.constraints().iter());
    rest.into_iter().try_for_each(|it| constraints(it, None, name, key.as_deref(), context))
}

fn columns_of(relation: Option<Node<'_>>, context: &Context<'_>) -> Vec<String> {
    let Some(Node::RangeVar(relation)) = relation else { return Vec::new() };
    let table = known(relation, context);
    table.map(|it| it.columns.iter().map(|it| it.name.clone()).collect()).unwrap_or_default()
}

/// What holds on each shard must hold over all of them.
fn constraints(
    constraint: Node<'_>,
    column: Option<ColumnDef<'_>>,
    table: &str,
    key: Option<&str>,
    context: &Context<'_>,
) -> Result<(), Refusal> {
    let Node::Constraint(constraint) = constraint else { return Ok(()) };
    let own = column.map(|it| text(it.colname()));
    match constraint.contype() {
        c::CONSTR_PRIMARY | c::CONSTR_UNIQUE if constraint.indexname().is_none() => {
            let mut names = texts(constraint.keys());
            names.extend(own);
            unique(&names, table, key)
        }
        c::CONSTR_EXCLUSION => match key {
            Some(_) => Err(not_over_shards("an exclusion constraint", table)),
            None => Ok(()),
        },
        c::CONSTR_FOREIGN => foreign(constraint, own, table, key, context),
        _ => Ok(()),
    }
}

fn not_over_shards(what: &str, table: &str) -> Refusal {
    let hint = "It could hold on each shard only; have the sharding key among its columns.";
    Refusal::new(format!("{what} of {table} without its sharding key"), hint)
}

/// As for a partitioned table, whose unique indexes must have all columns of its partition key.
fn unique(columns: &[&str], table: &str, key: Option<&str>) -> Result<(), Refusal> {
    match key {
        Some(key) if !columns.contains(&key) => {
            Err(not_over_shards("a unique constraint", table))
        }
        _ => Ok(()),
    }
}

/// The row that is referred to must be where the referring row is.
fn foreign(
    constraint: Constraint<'_>,
    own: Option<&str>,
    table: &str,
    key: Option<&str>,
    context: &Context<'_>,
) -> Result<(), Refusal> {
    let Some(Node::RangeVar(to)) = constraint.pktable() else { return Ok(()) };
    let name = text(to.relname());
    let mut from = texts(constraint.fk_attrs());
    from.extend(own);
    let other = known(to, context);
    let (other_key, is_reference) = match other {
        Some(other) if other.kind == Kind::Reference => (None, true),
        Some(other) => (other.key().and_then(|it| other.columns.get(it)), false),
        // Itself.
        None if name == table => return unique(&from, table, key),
        None => return Ok(()),
    };
    if is_reference {
        return Ok(());
    }
    let refused = || {
        let construct = format!("a foreign key of {table} to {name}, whose rows are elsewhere,");
        let hint = "Both tables must be sharded by columns that the foreign key makes equal, or \
                    the other one be in reference_tables.";
        Err(Refusal::new(construct, hint))
    };
    let (Some(key), Some(other_key)) = (key, other_key) else { return refused() };
    let to = texts(constraint.pk_attrs());
    let pairs = match to.is_empty() {
        // The primary key, which has the other key among its columns.
        true if from.len() == 1 => from == [key],
        true => from.contains(&key),
        false => from.iter().zip(&to).any(|(one, other)| *one == key && *other == other_key.name),
    };
    if pairs { Ok(()) } else { refused() }
}

fn index(index: IndexStmt<'_>, context: &Context<'_>) -> Result<(), Refusal> {
    let Some(Node::RangeVar(relation)) = index.relation() else { return Ok(()) };
    let Some(table) = known(relation, context).filter(|_| index.unique()) else { return Ok(()) };
    let columns: Vec<&str> = index
        .index_params()
        .iter()
        .filter_map(|it| match it {
            Node::IndexElem(it) => it.name().map(|it| text(Some(it))),
            _ => None,
        })
        .collect();
    unique(&columns, &table.name, key_name(table))
}

fn key_name(table: &Table) -> Option<&str> {
    Some(table.columns.get(table.key()?)?.name.as_str())
}

fn alter_table(alter: AlterTableStmt<'_>, context: &Context<'_>) -> Result<Shape, Refusal> {
    let Some(Node::RangeVar(relation)) = alter.relation() else {
        return Ok(Shape::Everywhere(DDL));
    };
    let mut how = DDL;
    let table = known(relation, context);
    for command in alter.cmds().iter() {
        let Node::AlterTableCmd(command) = command else { continue };
        if let Some(Node::PartitionCmd(it)) = command.def()
            && it.concurrent()
        {
            how = FORBIDDEN;
        }
        if let Some(table) = table {
            alter_command(command, table, context)?;
        }
    }
    match table.map(|it| it.kind) {
        Some(Kind::SchemaSharded { shard }) => Ok(Shape::On(shard)),
        _ => Ok(Shape::Everywhere(how)),
    }
}

fn alter_command(
    command: AlterTableCmd<'_>,
    table: &Table,
    context: &Context<'_>,
) -> Result<(), Refusal> {
    let key = key_name(table);
    let name = text(command.name());
    match (command.subtype(), command.def()) {
        (c::AT_DROPCOLUMN | c::AT_ALTERCOLUMNTYPE, _) if key == Some(name) => {
            Err(of_key(table, name))
        }
        (c::AT_ADDCONSTRAINT, Some(constraint)) => {
            constraints(constraint, None, &table.name, key, context)
        }
        (c::AT_ADDCOLUMN, Some(Node::ColumnDef(column))) => {
            for constraint in column.constraints().iter() {
                constraints(constraint, Some(column), &table.name, key, context)?;
                if let Node::Constraint(it) = constraint {
                    filled(it, table, context)?;
                }
            }
            let serial = match column.type_name() {
                Some(Node::TypeName(it)) => {
                    texts(it.names()).last().is_some_and(|it| it.contains("serial"))
                }
                _ => false,
            };
            if serial { Err(differently_filled(table)) } else { Ok(()) }
        }
        _ => Ok(()),
    }
}

fn of_key(table: &Table, name: &str) -> Refusal {
    let hint = "The cluster's settings place its rows by it.";
    Refusal::new(format!("a change of {name}, the sharding key of {},", table.name), hint)
}

fn differently_filled(table: &Table) -> Refusal {
    let construct = format!("a new column of {} with a default that differs by shard", table.name);
    Refusal::new(construct, "Add the column without it, UPDATE it, then SET DEFAULT.")
}

/// A new column's default fills the rows that are there.
fn filled(
    constraint: Constraint<'_>,
    table: &Table,
    context: &Context<'_>,
) -> Result<(), Refusal> {
    let volatility = match (constraint.contype(), constraint.raw_expr()) {
        (c::CONSTR_IDENTITY, _) => Volatility::Sequence,
        (c::CONSTR_DEFAULT, Some(default)) => judge_node(default, context.catalog),
        _ => Volatility::Everywhere,
    };
    let harmless = match table.kind {
        Kind::Sharded { .. } => Volatility::Independent,
        Kind::Reference => Volatility::Everywhere,
        _ => Volatility::Unknown,
    };
    if volatility <= harmless { Ok(()) } else { Err(differently_filled(table)) }
}

fn rename(rename: RenameStmt<'_>, context: &Context<'_>) -> Result<(), Refusal> {
    if [c::OBJECT_DATABASE, c::OBJECT_ROLE, c::OBJECT_TABLESPACE].contains(&rename.rename_type()) {
        return Err(whole_server("a command about a whole server"));
    }
    let Some(Node::RangeVar(relation)) = rename.relation() else { return Ok(()) };
    let Some(table) = known(relation, context) else { return Ok(()) };
    let old = text(rename.subname());
    if rename.rename_type() == c::OBJECT_COLUMN && key_name(table) == Some(old) {
        return Err(of_key(table, old));
    }
    if rename.rename_type() == c::OBJECT_TABLE {
        let columns: Vec<String> = table.columns.iter().map(|it| it.name.clone()).collect();
        let name = text(rename.newname());
        let new = context.catalog.kind_of(&table.schema, name, &columns);
        let matters = !matches!(table.kind, Kind::Undeclared | Kind::Opaque | Kind::View { .. });
        if matters && new != table.kind && !matches!(table.kind, Kind::SchemaSharded { .. }) {
            return Err(undeclared(name));
        }
    }
    Ok(())
}
