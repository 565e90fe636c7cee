//! From the values of sharding keys, as statements and parameters give them, to shards.

use ahash::AHashMap;
use bytes::Bytes;
use pgherd_config::{Cluster, ShardedTable, ShardingAlgorithm};
use pgherd_plan::{Catalog, Column, KeyType, Kind, Parameter, Placement, Table, family};
use pgherd_sharding::PlacementError;
use pgherd_types::{Collation, Format, Settings, Type, Value};

/// The placements of all sharded tables of a database.
#[derive(Debug, Default)]
pub(crate) struct Places {
    /// By schema, then by table.
    tables: AHashMap<String, AHashMap<String, pgherd_sharding::Placement>>,
    /// Of the first rule: what `SET SHARDING KEY` means.
    any: Option<pgherd_sharding::Placement>,
}

// === impl Places ===

impl Places {
    /// Tables whose rules cannot be followed are refused from then on.
    pub(crate) fn new(
        catalog: &mut Catalog,
        tables: &[(String, String)],
        cluster: &Cluster,
    ) -> Self {
        let mut places = Self::default();
        for (schema, name) in tables {
            let Some(table) = catalog.table(Some(schema), name, &[]) else { continue };
            let Kind::Sharded { column } = table.kind else { continue };
            let Some(column) = table.columns.get(column) else { continue };
            let Some(rule) = rule_of(cluster, table, column) else { continue };
            match placement_of(rule, cluster.shards.len(), table, column) {
                Ok(placement) => {
                    let of_schema = places.tables.entry(schema.clone()).or_default();
                    of_schema.insert(name.clone(), placement);
                }
                Err(problem) => catalog.refuse(schema, name, problem),
            }
        }
        places.any = cluster.sharded_tables.first().and_then(|rule| {
            let data_type = Type::named(&rule.column_type)?;
            placement(rule, cluster.shards.len(), &data_type, true).ok()
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
            // A type of the database's own comes as what it is placed as.
            true => Type::builtin(key.type_oid).unwrap_or_else(|| placement.data_type().clone()),
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
) -> Result<pgherd_sharding::Placement, PlacementError> {
    let collation = match deterministic {
        true => Collation::Bytes,
        false => Collation::Unknown { name: "nondeterministic".into(), deterministic: false },
    };
    pgherd_sharding::Placement::new(rule, shards, data_type, &collation)
}

/// The placement of a table, or why there is none.
fn placement_of(
    rule: &ShardedTable,
    shards: usize,
    table: &Table,
    column: &Column,
) -> Result<pgherd_sharding::Placement, String> {
    let hashes = rule.algorithm == ShardingAlgorithm::Hash;
    let data_type = match table.key_type {
        KeyType::Own => Type::builtin(column.type_oid),
        KeyType::Domain(base) => Type::builtin(base),
        KeyType::Enum if hashes => {
            let type_name = column.sql_type.clone().into();
            return Err(PlacementError::HashOfEnum { type_name }.to_string());
        }
        KeyType::Enum if rule.algorithm == ShardingAlgorithm::Range => {
            let name = &column.sql_type;
            return Err(format!("keys of enum {name} have no order of their own; use a list"));
        }
        KeyType::Enum => Type::named("text"),
    };
    let Some(data_type) = data_type else {
        let type_name = column.sql_type.clone().into();
        return Err(PlacementError::NotHashable { type_name }.to_string());
    };
    placement(rule, shards, &data_type, column.deterministic).map_err(|it| it.to_string())
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
