//! What the tables promise and no shard can keep: for whoever runs the cluster.

use crate::catalog::{Catalog, Kind, Table};

impl Catalog {
    /// A sentence for each constraint that holds on each shard, but not over all of them.
    pub fn doubts(&self) -> Vec<String> {
        let mut all: Vec<String> = self.tables.values().flat_map(|it| self.doubts_of(it)).collect();
        all.sort_unstable();
        all
    }

    fn doubts_of(&self, table: &Table) -> Vec<String> {
        let name = format!("{}.{}", table.schema, table.name);
        let mut doubts = Vec::new();
        if let Some(problem) = &table.problem {
            doubts.push(format!("{name} is refused: its rule cannot be followed: {problem}"));
        }
        let (Some(facts), Some(key)) = (&table.facts, table.key()) else { return doubts };
        let Some(key) = table.columns.get(key).map(|it| &it.name) else { return doubts };
        for (index, _) in facts.unique.iter().filter(|(_, columns)| !columns.contains(key)) {
            doubts.push(format!(
                "{name}: {index} is unique on each shard only: it does not have the sharding key \
                 {key} among its columns"
            ));
        }
        for foreign in &facts.foreign {
            let to = self.table(Some(&foreign.schema), &foreign.table, &[]);
            let holds = to.is_some_and(|to| match to.kind {
                Kind::Reference => true,
                Kind::Sharded { .. } => {
                    let other = to.key().and_then(|it| to.columns.get(it)).map(|it| &it.name);
                    let mut pairs = foreign.columns.iter();
                    let joined = pairs.any(|(own, it)| own == key && Some(it) == other);
                    joined && crate::write::same_placement(table, to)
                }
                _ => false,
            });
            if !holds {
                doubts.push(format!(
                    "{name}: {} refers to rows of {}.{} on the same shard only",
                    foreign.name, foreign.schema, foreign.table
                ));
            }
        }
        doubts
    }
}
