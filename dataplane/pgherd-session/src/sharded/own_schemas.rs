//! What the shards say of schemas that are on one of them: the word of that one counts.

use std::collections::BTreeSet;

use pgherd_plan::{ColumnRow, FunctionRow, Rules, TableRow, ViewRow};

use super::catalog::Reading;

/// What is in such schemas, as their own shards say.
#[derive(Debug, Default)]
pub(super) struct OfSchemas {
    pub(super) columns: Vec<ColumnRow>,
    pub(super) functions: Vec<FunctionRow>,
    pub(super) tables: Vec<TableRow>,
    pub(super) views: Vec<ViewRow>,
    /// By shard.
    pub(super) objects: Vec<Vec<(String, String)>>,
}

impl OfSchemas {
    /// Takes it out of what is compared between the shards.
    pub(super) fn take(readings: &mut [Reading], rules: &Rules) -> Self {
        let mut all = Self::default();
        if rules.schemas.is_empty() {
            return all;
        }
        let mut strays = BTreeSet::new();
        for (shard, reading) in readings.iter_mut().enumerate() {
            let of = |schema: &str| rules.schemas.place(schema);
            let columns = split(&mut reading.columns, |it| of(&it.schema));
            for (place, row) in columns {
                if place == shard {
                    all.columns.push(row);
                } else {
                    strays.insert((row.schema, row.table, shard, place));
                }
            }
            let own = |(place, _): &(usize, _)| *place == shard;
            let functions = split(&mut reading.functions, |it| of(&it.schema));
            all.functions.extend(functions.into_iter().filter(own).map(|it| it.1));
            let own = |(place, _): &(usize, _)| *place == shard;
            let tables = split(&mut reading.tables, |it| of(&it.schema));
            all.tables.extend(tables.into_iter().filter(own).map(|it| it.1));
            let own = |(place, _): &(usize, _)| *place == shard;
            let views = split(&mut reading.views, |it| of(&it.schema));
            all.views.extend(views.into_iter().filter(own).map(|it| it.1));
            all.objects.push(std::mem::take(&mut reading.objects));
        }
        for (schema, table, shard, place) in strays {
            tracing::warn!(
                shard,
                "table {schema}.{table} is not used: the schema {schema} is on shard {place}"
            );
        }
        all
    }
}

/// Takes out what has a place.
fn split<T>(rows: &mut Vec<T>, place: impl Fn(&T) -> Option<usize>) -> Vec<(usize, T)> {
    let mut taken = Vec::new();
    let mut kept = Vec::new();
    for row in rows.drain(..) {
        match place(&row) {
            Some(place) => taken.push((place, row)),
            None => kept.push(row),
        }
    }
    *rows = kept;
    taken
}
