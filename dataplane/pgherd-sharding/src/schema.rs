//! Schemas that are on one shard each, with all their tables.

use std::collections::HashMap;

use pgherd_config::ShardedSchema;

/// Where the tables of schemas are.
#[derive(Clone, Debug, Default)]
pub struct SchemaPlacement {
    shards: HashMap<Box<str>, usize>,
}

// === impl SchemaPlacement ===

impl SchemaPlacement {
    /// From the settings of a cluster that passed validation.
    pub fn new(schemas: &[ShardedSchema]) -> Self {
        let pairs = schemas.iter().map(|it| (it.schema.as_str().into(), it.shard));
        Self { shards: pairs.collect() }
    }

    /// The shard of a schema's tables; `None` for a schema that is no shard's own.
    pub fn place(&self, schema: &str) -> Option<usize> {
        self.shards.get(schema).copied()
    }

    /// Whether any schema has a shard of its own.
    pub fn is_empty(&self) -> bool {
        self.shards.is_empty()
    }
}
