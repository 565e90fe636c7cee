//! From the values of sharding keys, as statements and parameters give them, to shards.

use std::collections::HashMap;

use bytes::Bytes;
use pgherd_config::{Cluster, ShardedTable};
use pgherd_plan::{Catalog, Column, Kind, Parameter, Placement, Table, family};
use pgherd_types::{Collation, Format, Settings, Type, Value};

/// The placements of all sharded tables of a database.
#[derive(Debug, Default)]
pub(crate) struct Places {
    /// By schema, then by table.
    tables: HashMap<String, HashMap<String, pgherd_sharding::Placement>>,
    /// Of the first rule: what `SET SHARDING KEY` means.
    any: Option<pgherd_sharding::Placement>,
}

// === impl Places ===

impl Places {
    pub(crate) fn new(catalog: &Catalog, tables: &[(String, String)], cluster: &Cluster) -> Self {
        let mut places = Self::default();
        for (schema, name) in tables {
            let Some(table) = catalog.table(Some(schema), name, &[]) else { continue };
            let Kind::Sharded { column } = table.kind else { continue };
            let Some(column) = table.columns.get(column) else { continue };
            let Some(rule) = rule_of(cluster, table, column) else { continue };
            let placement = Type::builtin(column.type_oid)
                .and_then(|it| placement(rule, cluster.shards.len(), &it, column.deterministic));
            match placement {
                Some(placement) => {
                    let of_schema = places.tables.entry(schema.clone()).or_default();
                    of_schema.insert(name.clone(), placement);
                }
                None => tracing::warn!(
                    cluster = cluster.name,
                    table = format!("{schema}.{name}"),
                    "the sharding rule cannot be followed for this column"
                ),
            }
        }
        places.any = cluster.sharded_tables.first().and_then(|rule| {
            let data_type = Type::named(&rule.column_type)?;
            placement(rule, cluster.shards.len(), &data_type, true)
        });
        places
    }

    /// The shard of a key given by itself, under the first rule.
    pub(crate) fn of_key(&self, key: &str) -> Option<usize> {
        let placement = self.any.as_ref()?;
        let bytes = Bytes::copy_from_slice(key.as_bytes());
        let value =
            placement.data_type().decode(Format::Text, &bytes, &Settings::default()).ok()?;
        placement.place(Some(&value)).ok()
    }

    fn placement(&self, table: &Table) -> Option<&pgherd_sharding::Placement> {
        self.tables.get(&table.schema)?.get(&table.name)
    }
}

impl Placement for Places {
    fn shard(&self, table: &Table, _: &Column, key: &Parameter<'_>) -> Option<usize> {
        let placement = self.placement(table)?;
        if key.value.is_none() {
            return placement.place(None).ok();
        }
        let read_as = match key.binary {
            true => Type::builtin(key.type_oid)?,
            false => placement.data_type().clone(),
        };
        let format = if key.binary { Format::Binary } else { Format::Text };
        let bytes = Bytes::copy_from_slice(key.value?);
        let value = read_as.decode(format, &bytes, &Settings::default()).ok()?;
        placement.place(Some(&converted(value, placement.data_type())?)).ok()
    }

    fn shards(&self, table: &Table, column: &Column, keys: &Parameter<'_>) -> Option<Vec<usize>> {
        let placement = self.placement(table)?;
        let format = if keys.binary { Format::Binary } else { Format::Text };
        let bytes = Bytes::copy_from_slice(keys.value?);
        let array = Type::builtin(keys.type_oid)?;
        // `= ANY(numeric[])` compares numbers: 7.0 has the hash of a numeric, the row that of a bigint.
        let pgherd_types::Kind::Array(element, _) = array.kind() else { return None };
        if family(element.oid()) != family(column.type_oid) {
            return None;
        }
        let Value::Array(array) = array.decode(format, &bytes, &Settings::default()).ok()? else {
            return None;
        };
        // NULL equals nothing.
        let elements = array.elements.iter().flatten();
        let place = |value: &Value| {
            placement.place(Some(&converted(value.clone(), placement.data_type())?)).ok()
        };
        elements.map(place).collect()
    }
}

fn placement(
    rule: &ShardedTable,
    shards: usize,
    data_type: &Type,
    deterministic: bool,
) -> Option<pgherd_sharding::Placement> {
    let collation = match deterministic {
        true => Collation::Bytes,
        false => Collation::Unknown { name: "nondeterministic".into(), deterministic: false },
    };
    pgherd_sharding::Placement::new(rule, shards, data_type, &collation).ok()
}

/// Rules that name the table go before those that name only a column.
fn rule_of<'c>(cluster: &'c Cluster, table: &Table, column: &Column) -> Option<&'c ShardedTable> {
    let names = |pattern: &str| match pattern.split_once('.') {
        Some((schema, name)) => schema == table.schema && name == table.name,
        None => pattern == table.name,
    };
    let mut rules = cluster.sharded_tables.iter().filter(|it| it.column == column.name);
    let of_table = rules.clone().find(|it| it.table.as_deref().is_some_and(names));
    of_table.or_else(|| rules.find(|it| it.table.is_none()))
}

/// A key of another integer's type, as the column's own.
fn converted(value: Value, wanted: &Type) -> Option<Value> {
    use pgherd_types::Kind;
    let number = match value {
        Value::Int2(it) => i64::from(it),
        Value::Int4(it) => i64::from(it),
        Value::Int8(it) => it,
        other => return Some(other),
    };
    Some(match wanted.base().kind() {
        Kind::Int2 => Value::Int2(number.try_into().ok()?),
        Kind::Int4 => Value::Int4(number.try_into().ok()?),
        Kind::Int8 => Value::Int8(number),
        _ => return None,
    })
}
