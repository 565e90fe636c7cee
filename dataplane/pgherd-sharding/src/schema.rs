//! Schemas that are on one shard each, with all their tables.

use pgherd_config::ShardedSchema;
use pgherd_types::{Type, Value};

use crate::hash::partition_hash;

/// Where the tables of schemas are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SchemaPlacement {
    rules: Vec<ShardedSchema>,
    shards: usize,
}

// === impl SchemaPlacement ===

impl SchemaPlacement {
    /// From the settings of a cluster that passed validation.
    pub fn new(schemas: &[ShardedSchema], shards: usize) -> Self {
        // A cluster with one shard has all of them there.
        let rules = if shards > 1 { schemas.to_vec() } else { Vec::new() };
        Self { rules, shards }
    }

    /// The shard of a schema's tables; `None` for a schema that is no shard's own.
    pub fn place(&self, schema: &str) -> Option<usize> {
        let fitting = self.rules.iter().filter_map(|it| Some((it.fits(schema)?, it)));
        let (_, rule) = fitting.max_by_key(|(length, _)| *length)?;
        rule.shard.or_else(|| self.hashed(schema))
    }

    /// As `PARTITION BY HASH (name text)` places it.
    fn hashed(&self, schema: &str) -> Option<usize> {
        let text = Value::Text(schema.as_bytes().to_vec().into());
        let hash = partition_hash(&Type::named("text")?, Some(&text))?;
        usize::try_from(hash.checked_rem(u64::try_from(self.shards).ok()?)?).ok()
    }

    /// Whether no schema has a shard of its own.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(schema: &str, shard: Option<usize>) -> ShardedSchema {
        ShardedSchema { schema: schema.to_owned(), shard }
    }

    #[test]
    fn the_rule_that_says_most_of_a_name_places_it() {
        let rules = [rule("t*", Some(0)), rule("tenant_*", None), rule("tenant_big", Some(2))];
        let schemas = SchemaPlacement::new(&rules, 3);
        assert_eq!(schemas.place("tenant_big"), Some(2));
        assert_eq!(schemas.place("test"), Some(0));
        assert_eq!((schemas.place("public"), schemas.place("pg_temp_1")), (None, None));
        assert!(SchemaPlacement::new(&rules, 1).place("test").is_none());
        let hashed: Vec<_> = (1..=9).map(|it| schemas.place(&format!("tenant_{it}"))).collect();
        assert!(hashed.iter().all(|it| it.is_some_and(|it| it < 3)));
        assert!((0..3).all(|shard| hashed.contains(&Some(shard))));
    }
}
