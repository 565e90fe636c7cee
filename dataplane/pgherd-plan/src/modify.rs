//! UPDATE and DELETE: by key to one shard, or to several, with rows of other shards as they need.

use pgherd_parser::{DeleteStmt, Node, RawStmt, UpdateStmt};

use crate::catalog::{Kind, Table};
use crate::edit::Tokens;
use crate::functions::Volatility;
use crate::insert::worst_default;
use crate::key::{Key, Parameter, Placement, family, is_key_type, shards_of};
use crate::merge_rows::SourceRows;
use crate::once;
use crate::outline::{Context, Placed, Shape};
use crate::plan::{GatheredColumn, Move, Plan, Refusal};
use crate::push::key;
use crate::quote;
use crate::walk::text;
use crate::walker::{Env, Walker};
use crate::write::{Parts, Several, Spread, apart, placed, several, shared_shard, statement_range};

/// A write to rows that are there.
#[derive(Debug, Clone)]
pub struct Modify {
    tables: Vec<Placed>,
    /// Which of `tables` is written; none when it is on all shards.
    target: Option<usize>,
    written: Table,
    several: Result<Several, Refusal>,
    moving: Option<Moving>,
    /// Of MERGE: the rows of its source, each for its shard.
    rows: Option<SourceRows>,
}

/// SET of the key.
#[derive(Debug, Clone)]
struct Moving {
    table: Table,
    /// When it is a plain value.
    new: Option<Vec<Key>>,
    /// Behind the statement, with what comes first when the statement returns nothing itself.
    returning: Result<Texts, Refusal>,
}

#[derive(Debug, Clone)]
struct Texts {
    returning: String,
    delete: String,
    insert: String,
    columns: Vec<GatheredColumn>,
}

pub fn update(
    statement: RawStmt<'_>,
    update: UpdateStmt<'_>,
    sql: &str,
    context: &Context<'_>,
) -> Result<Shape, Refusal> {
    let parts = Parts::of_update(update);
    let mut modify = modify(statement, &parts, sql, context)?;
    let table = modify.written.clone();
    match worst_default(&table, update.target_list()) {
        Volatility::Everywhere | Volatility::Independent => {}
        Volatility::OfSession => {
            let construct = "SET to a default that tells the time, on several shards";
            modify.several = Err(Refusal::new(construct, "Give the column a value."));
        }
        Volatility::Sequence | Volatility::Unknown => {
            let construct = "SET to a default that draws from a sequence or reads anything";
            return Err(Refusal::new(construct, "Give the column a value."));
        }
    }
    if let Some(table) = changed_key(&modify, &parts) {
        modify.moving = Some(Moving::of(update, table, sql, statement)?);
    }
    Ok(Shape::Modify(Box::new(modify)))
}

pub fn delete(
    statement: RawStmt<'_>,
    delete: DeleteStmt<'_>,
    sql: &str,
    context: &Context<'_>,
) -> Result<Shape, Refusal> {
    let modify = modify(statement, &Parts::of_delete(delete), sql, context)?;
    Ok(Shape::Modify(Box::new(modify)))
}

fn changed_key(modify: &Modify, parts: &Parts<'_>) -> Option<Table> {
    let table = &modify.tables.get(modify.target?)?.table;
    let key = table.columns.get(table.key()?)?;
    parts.changed.contains(&key.name.as_str()).then(|| table.clone())
}

fn modify(
    statement: RawStmt<'_>,
    parts: &Parts<'_>,
    sql: &str,
    context: &Context<'_>,
) -> Result<Modify, Refusal> {
    let mut walker = Walker::new(context.catalog, context.search_path);
    let target = parts.walk(&mut walker, &Env::EMPTY, 0)?;
    let written = walker.scopes.occurrences[target].table.clone();
    let kind = written.kind;
    if once::worst(&walker, context.catalog)? == Volatility::Sequence {
        return Err(Refusal::over_shards("nextval() in UPDATE or DELETE"));
    }
    let nodes = parts.outputs.iter().copied().chain(parts.filter).chain(parts.with);
    let nodes = nodes.chain(parts.from.iter()).collect();
    let apart = apart(&walker, target);
    let spread = Spread { statement, sql, target, apart, nodes, returning: parts.returning };
    let mut several = several(&walker, spread, context);
    let ambiguous = kind == Kind::Reference && !parts.changed.is_empty() && !parts.from.is_empty();
    if ambiguous {
        let construct = "UPDATE ... FROM of a table that is on all shards";
        let hint = "Which of several rows is taken is not the same on all; use a subquery.";
        several = Err(Refusal::new(construct, hint));
    }
    let target = match kind {
        Kind::Reference => None,
        _ => Some(0),
    };
    let tables = placed(&walker);
    Ok(Modify { tables, target, written, several, moving: None, rows: None })
}

// === impl Modify ===

impl Modify {
    /// A MERGE into a sharded table, the first of the walk; `more` are the keys of new rows.
    pub fn merged(
        walker: &Walker<'_, '_>,
        several: Result<Several, Refusal>,
        more: Vec<Placed>,
        rows: Option<SourceRows>,
    ) -> Self {
        let mut tables = placed(walker);
        let written = walker.scopes.occurrences[0].table.clone();
        tables.extend(more);
        Self { tables, target: Some(0), written, several, moving: None, rows }
    }

    pub fn tables(&self) -> &[Placed] {
        &self.tables
    }

    /// See [`crate::Outline::stand_in`].
    pub fn stand_in(&self) -> Option<(Option<usize>, &str, usize)> {
        let several = self.several.as_ref().ok()?;
        several.stand_in(&self.tables.get(self.target?)?.table)
    }

    /// `of_tables`: the shards of each of the tables.
    pub fn plan(
        &self,
        of_tables: &[Vec<usize>],
        shards: usize,
        parameters: &[Parameter<'_>],
        placement: &dyn Placement,
    ) -> Plan {
        let all = (0..shards).collect();
        let on = match self.target {
            Some(target) => of_tables.get(target).cloned().unwrap_or(all),
            None => all,
        };
        let one = self.target.and_then(|_| shared_shard(of_tables));
        match (one, &self.moving) {
            (Some(shard), None) => return Plan::Single(shard),
            (Some(shard), Some(moving)) if moving.stays(shard, parameters, placement) => {
                return Plan::Single(shard);
            }
            _ => {}
        }
        if let Some(rows) = &self.rows
            && let Some(plan) = rows.plan(parameters, placement)
        {
            return plan;
        }
        match (&self.several, &self.moving) {
            (Err(refusal), _) => Plan::Refuse(refusal.clone()),
            (Ok(several), None) => several.plan(&on, of_tables),
            (Ok(several), Some(moving)) => match &moving.returning {
                Err(refusal) => Plan::Refuse(refusal.clone()),
                Ok(texts) => Plan::Move(Box::new(Move {
                    gathers: several.gathers(&on, of_tables),
                    first_parameter: several.first_parameter,
                    update: format!("{}{}", several.text, texts.returning),
                    shards: on,
                    delete: texts.delete.clone(),
                    insert: texts.insert.clone(),
                    columns: texts.columns.clone(),
                    table: moving.table.clone(),
                })),
            },
        }
    }
}

// === impl Moving ===

impl Moving {
    fn of(
        update: UpdateStmt<'_>,
        table: Table,
        sql: &str,
        statement: RawStmt<'_>,
    ) -> Result<Self, Refusal> {
        let column = table.key().and_then(|it| table.columns.get(it));
        let column = column.ok_or_else(|| Refusal::over_shards("this write"))?;
        let value = update.target_list().iter().find_map(|it| match it {
            Node::ResTarget(it) if text(it.name()) == column.name => it.val(),
            _ => None,
        });
        let new = value.filter(|_| is_key_type(column));
        let new = new.and_then(|it| key(it, family(column.type_oid))).map(|it| vec![it]);
        // Only to see that the text can be taken apart.
        statement_range(statement, sql, &Tokens::new(sql)?)?;
        let Some(Node::RangeVar(relation)) = update.relation() else {
            return Err(Refusal::over_shards("this write"));
        };
        let reference = match relation.alias() {
            Some(Node::Alias(alias)) => text(alias.aliasname()).to_owned(),
            _ => table.name.clone(),
        };
        let returning = texts(&table, &reference, update.returning_clause().is_some());
        Ok(Self { table, new, returning })
    }

    /// The new key is on the shard of the old one.
    fn stays(&self, shard: usize, parameters: &[Parameter<'_>], placement: &dyn Placement) -> bool {
        let column = self.table.key().and_then(|it| self.table.columns.get(it));
        let shards =
            self.new.as_ref().zip(column).and_then(|(new, column)| {
                shards_of(new, &self.table, column, parameters, placement)
            });
        shards.as_deref() == Some(&[shard])
    }
}

fn texts(table: &Table, reference: &str, returns: bool) -> Result<Texts, Refusal> {
    let refused = |why: &str| {
        let construct = format!("a change of the sharding key of {}, which {why},", table.name);
        Refusal::new(construct, "Delete the row and insert it with its new key.")
    };
    let Some(facts) = &table.facts else { return Err(refused("is not known enough")) };
    let key = table.key().and_then(|it| table.columns.get(it));
    let key = key.ok_or_else(|| refused("has no key"))?;
    if facts.fires_on_move() {
        return Err(refused("has triggers for INSERT or DELETE"));
    }
    if facts.referenced {
        return Err(refused("foreign keys point to"));
    }
    if facts.references.contains(&key.name) {
        return Err(refused("has it in a foreign key"));
    }
    let of = quote::name(reference);
    let mut returned = vec![format!("{of}.ctid"), format!("{of}.{}", quote::name(&key.name))];
    let (mut names, mut arrays, mut outputs, mut columns) = (vec![], vec![], vec![], vec![]);
    for column in table.columns.iter().filter(|it| !facts.generated.contains(&it.name)) {
        let Some(transport) = &column.transport else {
            return Err(refused(&format!("has a column of type {}", column.sql_type)));
        };
        let (name, number) = (quote::name(&column.name), columns.len());
        returned.push(format!("{of}.{name}{}", column.to_transport()));
        arrays.push(format!("pg_catalog.unnest(${}::{}[])", number + 1, transport.sql_type));
        outputs.push(format!("c{number}{}", column.of_transport()));
        names.push(name);
        columns.push(GatheredColumn { type_oid: transport.oid });
    }
    let target = format!("{}.{}", quote::name(&table.schema), quote::name(&table.name));
    let aliases: Vec<String> = (0..columns.len()).map(|it| format!("c{it}")).collect();
    let before = if returns { ", " } else { " RETURNING " };
    Ok(Texts {
        returning: format!("{before}{}", returned.join(", ")),
        delete: format!("DELETE FROM {target} WHERE ctid = ANY ($1::pg_catalog.tid[])"),
        insert: format!(
            "INSERT INTO {target} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM ROWS FROM ({}) AS \
             g({})",
            names.join(", "),
            outputs.join(", "),
            arrays.join(", "),
            aliases.join(", ")
        ),
        columns,
    })
}
