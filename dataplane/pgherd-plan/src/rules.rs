//! How the configuration places tables.

use pgherd_config::{Cluster, ShardedTable};
use pgherd_sharding::SchemaPlacement;

use crate::catalog::{Kind, Table};

/// How the configuration places tables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// Table (with or without schema) or none for all tables, and column.
    pub sharded: Vec<(Option<String>, String)>,
    /// For each of `sharded` (or none: all the same) a number; with one number, equal keys have one
    /// shard.
    pub placements: Vec<usize>,
    /// With or without schema.
    pub reference: Vec<String>,
    /// These go before all other rules.
    pub schemas: SchemaPlacement,
    pub shards: usize,
}

// === impl Rules ===

impl Rules {
    pub fn of(cluster: &Cluster) -> Self {
        let sharded =
            cluster.sharded_tables.iter().map(|rule| (rule.table.clone(), rule.column.clone()));
        let rules = &cluster.sharded_tables;
        let alike = |rule: &ShardedTable| {
            let same =
                |it: &ShardedTable| it.algorithm == rule.algorithm && it.shards == rule.shards;
            rules.iter().position(same).unwrap_or_default()
        };
        Self {
            sharded: sharded.collect(),
            placements: rules.iter().map(alike).collect(),
            reference: cluster.reference_tables.clone(),
            schemas: SchemaPlacement::new(&cluster.sharded_schemas, cluster.shards.len()),
            shards: cluster.shards.len(),
        }
    }

    fn names(pattern: &str, table: &Table) -> bool {
        match pattern.split_once('.') {
            Some((schema, name)) => schema == table.schema && name == table.name,
            None => pattern == table.name,
        }
    }

    /// Rules that name the table go before those that name only a column.
    pub(crate) fn kind(&self, table: &Table) -> (Kind, usize) {
        if let Some(shard) = self.schemas.place(&table.schema) {
            return (Kind::SchemaSharded { shard }, 0);
        }
        if self.reference.iter().any(|it| Self::names(it, table)) {
            return (Kind::Reference, 0);
        }
        let position = |column: &str| table.columns.iter().position(|it| it.name == column);
        let rules = || self.sharded.iter().enumerate();
        let of_table = rules().find_map(|(rule, (name, column))| {
            let named = name.as_ref().filter(|it| Self::names(it, table));
            named.and_then(|_| Some((position(column)?, rule)))
        });
        let of_column = || {
            rules().find_map(|(rule, (name, column))| {
                name.is_none().then(|| Some((position(column)?, rule))).flatten()
            })
        };
        match of_table.or_else(of_column) {
            Some((column, rule)) => {
                let placement = self.placements.get(rule).copied().unwrap_or_default();
                (Kind::Sharded { column }, placement)
            }
            None => (Kind::Undeclared, 0),
        }
    }
}
