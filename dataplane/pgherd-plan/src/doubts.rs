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

#[cfg(test)]
mod tests {
    use crate::{Catalog, ColumnRow, Rules, TableRow};

    fn row(table: &str, kind: &str, name: &str, value: &str) -> TableRow {
        let [schema, table, kind] = ["public", table, kind].map(str::to_owned);
        TableRow { schema, table, kind, name: name.to_owned(), value: value.to_owned() }
    }

    #[test]
    fn what_no_shard_can_keep_is_named() {
        let column = |table: &str, column: &str, type_oid| ColumnRow {
            schema: "public".to_owned(),
            table: table.to_owned(),
            relation_kind: "r".to_owned(),
            column: column.to_owned(),
            type_oid,
            type_kind: "b".to_owned(),
            deterministic: true,
            ..ColumnRow::default()
        };
        let columns = vec![
            column("users", "id", 20),
            column("users", "email", 25),
            column("orders", "id", 20),
            column("orders", "user_id", 23),
            column("texts", "user_id", 25),
            column("countries", "code", 25),
        ];
        let rules = Rules {
            sharded: vec![(Some("users".into()), "id".into()), (None, "user_id".into())],
            placements: vec![0, 0],
            reference: vec!["countries".into()],
            shards: 2,
            ..Rules::default()
        };
        let mut catalog = Catalog::new(columns, Vec::new(), &rules);
        let foreign = |table: &str, name: &str, words: [&str; 4]| {
            row(table, "foreign", name, &words.join("\u{1f}"))
        };
        catalog.add_tables(vec![
            row("users", "unique", "users_pkey", "id"),
            row("users", "unique", "users_email", "email"),
            row("orders", "unique", "orders_pkey", "user_id"),
            row("orders", "unique", "orders_pkey", "id"),
            row("countries", "unique", "countries_pkey", "code"),
            foreign("orders", "of_user", ["public", "users", "user_id", "id"]),
            foreign("orders", "of_other", ["public", "users", "id", "id"]),
            foreign("orders", "of_country", ["public", "countries", "id", "code"]),
            foreign("texts", "of_text", ["public", "users", "user_id", "id"]),
        ]);
        catalog.refuse("public", "countries", "nobody knows".to_owned());
        let expected = [
            "public.countries is refused: its rule cannot be followed: nobody knows",
            "public.orders: of_country refers to rows of public.countries on the same shard only",
            "public.orders: of_other refers to rows of public.users on the same shard only",
            "public.texts: of_text refers to rows of public.users on the same shard only",
            "public.users: users_email is unique on each shard only: it does not have the sharding \
             key id among its columns",
        ];
        assert_eq!(catalog.doubts(), expected);
    }
}
