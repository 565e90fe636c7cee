//! Plans by statement, without a server: the oracle in `tests/sharding` judges their answers.

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use pgherd_parser::{StringSyntax, Tree};

use crate::{
    Catalog, Column, ColumnRow, Context, FunctionRow, Parameter, Placement, Plan, Rules, Table,
    outline,
};

const SHARDS: usize = 4;

/// The shard is the key's remainder.
struct Remainder;

impl Placement for Remainder {
    fn shard(&self, _: &Table, _: &Column, key: &Parameter<'_>) -> Option<usize> {
        let text = std::str::from_utf8(key.value?).ok()?;
        Some(text.parse::<usize>().ok()? % SHARDS)
    }
}

fn catalog() -> Catalog {
    let columns = [
        ("users", "id", 20, "bigint"),
        ("users", "name", 25, "text"),
        ("orders", "id", 20, "bigint"),
        ("orders", "user_id", 20, "bigint"),
        ("orders", "total", 1700, "numeric(10,2)"),
        ("countries", "code", 25, "text"),
        ("logs", "line", 25, "text"),
    ];
    let columns = columns.map(|(table, column, type_oid, sql_type)| ColumnRow {
        schema: "public".to_owned(),
        table: table.to_owned(),
        relation_kind: "r".to_owned(),
        column: column.to_owned(),
        type_oid,
        sql_type: sql_type.to_owned(),
        plain_type: sql_type.split('(').next().unwrap_or_default().to_owned(),
        deterministic: true,
        type_kind: "b".to_owned(),
        ..ColumnRow::default()
    });
    let function = |name: &str, immutable| FunctionRow {
        schema: "public".to_owned(),
        name: name.to_owned(),
        immutable,
        plain: true,
    };
    let rules = Rules {
        sharded: vec![(Some("users".into()), "id".into()), (None, "user_id".into())],
        reference: vec!["countries".into()],
        shards: SHARDS,
        ..Rules::default()
    };
    Catalog::new(columns.into(), vec![function("twice", true), function("spy", false)], &rules)
}

#[track_caller]
fn check(sql: &str, parameters: &[&str], expected: Expect) {
    let tree = Tree::parse(sql, StringSyntax::Standard).expect("valid SQL");
    let catalog = catalog();
    let context = Context { catalog: &catalog, search_path: &["public"], shards: SHARDS };
    let statement = tree.statements().next().expect("a statement");
    let parameters: Vec<_> = parameters
        .iter()
        .map(|it| Parameter { type_oid: 20, value: Some(it.as_bytes()), binary: false })
        .collect();
    let outline = outline(statement, sql, &context);
    let plan = outline.plan(&parameters, &Remainder);
    if let Some(shard) = outline.single(&parameters, &Remainder) {
        assert_eq!(plan, Plan::Single(shard), "the shard that is found without a plan");
    }
    let mut shown = String::new();
    if let Plan::Merge(merge) = &plan {
        let (shards, query) = (&merge.shards, &merge.query);
        let keys = merge.keys.iter().map(|it| it.column).collect::<Vec<_>>();
        let (hidden, limit, offset) = (merge.hidden, merge.limit, merge.offset);
        writeln!(
            shown,
            "merged {shards:?} {query} | by {keys:?}, {hidden} hidden, {limit:?} from {offset}"
        )
        .expect("strings grow");
    }
    match plan {
        Plan::Merge(_) => {}
        Plan::Finish(finish) => {
            for gather in &finish.gathers {
                writeln!(shown, "{:?} {}", gather.shards, gather.query).expect("strings grow");
            }
            shown.push_str(&finish.query);
        }
        Plan::Refuse(refusal) => shown = refusal.to_string(),
        Plan::Write(write) => {
            for (shard, text) in write.texts {
                writeln!(shown, "[{shard}] {text}").expect("strings grow");
            }
        }
        other => shown = format!("{other:?}"),
    }
    expected.assert_eq(&shown);
}

#[test]
fn keys_are_found_in_their_own_scope() {
    check("SELECT * FROM users WHERE id = 6", &[], expect!["Single(2)"]);
    check("SELECT * FROM users WHERE id = $1 OR id = 9", &["5"], expect!["Single(1)"]);
    check(
        "SELECT * FROM users u JOIN orders o ON o.user_id = u.id WHERE u.id = 7",
        &[],
        expect!["Single(3)"],
    );
    check(
        "SELECT (SELECT sum(total) FROM orders WHERE user_id = users.id) FROM users WHERE id = 7",
        &[],
        expect!["Single(3)"],
    );
    check(
        "SELECT u.id, o.id FROM users u LEFT JOIN orders o ON o.user_id = u.id AND u.id = 7",
        &[],
        expect![[r#"
            merged [0, 1, 2, 3] SELECT u.id, o.id FROM users u LEFT JOIN orders o ON o.user_id = u.id AND u.id = 7 | by [], 0 hidden, None from 0
        "#]],
    );
    check(
        "SELECT 1 FROM users WHERE EXISTS (SELECT FROM orders WHERE user_id = 3)",
        &[],
        expect![[r#"
            [0, 1, 2, 3] SELECT "id" FROM "public"."users"
            [3] SELECT "user_id" FROM "public"."orders" WHERE ("user_id" = (3))
            SELECT 1 FROM (SELECT c0::bigint AS "id" FROM ROWS FROM (pg_catalog.unnest($1::bigint[])) AS g(c0)) AS "users" WHERE EXISTS (SELECT FROM (SELECT c0::bigint AS "user_id" FROM ROWS FROM (pg_catalog.unnest($2::bigint[])) AS g(c0)) AS "orders" WHERE user_id = 3)"#]],
    );
}

#[test]
fn rows_are_gathered_as_little_as_possible() {
    check(
        "SELECT count(*) FROM orders WHERE total > 5 AND id IN (1, 2)",
        &[],
        expect![[r#"
            [0, 1, 2, 3] SELECT pg_catalog.count(*) AS "pgherd 0" FROM orders WHERE total > 5 AND id IN (1, 2)
            SELECT (pg_catalog.sum("pgherd"."pgherd 0")::pg_catalog.int8) AS "count" FROM (SELECT c0::bigint AS "pgherd 0" FROM ROWS FROM (pg_catalog.unnest($1::bigint[])) AS g(c0)) AS "pgherd""#]],
    );
    check(
        "TABLE users",
        &[],
        expect![[r#"
            merged [0, 1, 2, 3] TABLE users | by [], 0 hidden, None from 0
        "#]],
    );
    check(
        "SELECT o.total FROM public.orders o WHERE o.total > 'now'",
        &[],
        expect![[r#"
        [0, 1, 2, 3] SELECT "total" FROM "public"."orders"
        SELECT o.total FROM (SELECT c0::numeric(10,2) AS "total" FROM ROWS FROM (pg_catalog.unnest($1::numeric[])) AS g(c0)) o WHERE o.total > 'now'"#]],
    );
}

#[test]
fn what_cannot_be_exact_is_refused() {
    check(
        "SELECT spy() FROM users WHERE id = 1",
        &[],
        expect![
            "the function spy(), which may read or write tables, cannot be answered over shards"
        ],
    );
    check("SELECT twice(1)", &[], expect!["Any"]);
    check(
        "SELECT * FROM logs",
        &[],
        expect!["the undeclared table logs cannot be answered over shards"],
    );
    check(
        "SELECT users FROM users",
        &[],
        expect![[r#"
        merged [0, 1, 2, 3] SELECT users FROM users | by [], 0 hidden, None from 0
    "#]],
    );
    check(
        "COPY users TO STDOUT",
        &[],
        expect![[
            r#"Copy(To(CopyTo { shards: [0, 1, 2, 3], text: "COPY users TO STDOUT", options: CopyOptions { format: Text, header: false, matches_header: false, delimiter: 9, null: [92, 78], quote: 34, escape: 34, encoding: None, force_null: [], force_not_null: [], force_quote: [], default: None, skips_errors: false } }))"#
        ]],
    );
    check(
        "UPDATE orders SET user_id = 3 WHERE user_id = 2",
        &[],
        expect![
            "a change of the sharding key of orders, which is not known enough, cannot be answered over shards"
        ],
    );
}

#[test]
fn rows_of_an_insert_are_split_by_key() {
    check(
        "INSERT INTO users (name, id) VALUES ('a), (', 1), ('b', 2), ('c', 5) RETURNING id",
        &[],
        expect![[r#"
            [1] INSERT INTO users (name, id) VALUES ('a), (', 1), ('c', 5) RETURNING id
            [2] INSERT INTO users (name, id) VALUES ('b', 2) RETURNING id
        "#]],
    );
    check("INSERT INTO users VALUES (1, 'a'), ($1, 'b')", &["9"], expect!["Single(1)"]);
    check(
        "INSERT INTO users VALUES (1, 'a'), (2, 'b'); SELECT 1",
        &[],
        expect![[r#"
            [1] INSERT INTO users VALUES (1, 'a')
            [2] INSERT INTO users VALUES (2, 'b')
        "#]],
    );
    check("DELETE FROM users", &[], expect!["Broadcast([0, 1, 2, 3])"]);
}

#[test]
fn long_statements_take_no_long_time() {
    let many = |piece: &str, between: &str| vec![piece; 5000].join(between);
    let statements = [
        format!("SELECT id FROM users WHERE {}", many("id = 5", " OR ")),
        format!("SELECT id FROM users WHERE {}", many("users.id = id", " AND ")),
        format!("SELECT {} FROM users", many("id", " + ")),
        format!("SELECT {} FROM users", many("id", ", ")),
        format!("SELECT sum({}) FROM users GROUP BY {}", many("id", "*"), many("name", ", ")),
        format!("SELECT count(*) FROM users GROUP BY {}", many("lower(name)", ", ")),
        format!("SELECT id FROM users ORDER BY {} LIMIT 3", many("id", ", ")),
        format!("SELECT {}id{} FROM users", "abs(".repeat(900), ")".repeat(900)),
        format!("SELECT id FROM users WHERE id IN ({})", many("7", ", ")),
        format!("SELECT 1 FROM {}", vec!["users"; 90].join(" NATURAL JOIN ")),
    ];
    let catalog = catalog();
    let context = Context { catalog: &catalog, search_path: &["public"], shards: SHARDS };
    for sql in statements {
        let tree = Tree::parse(&sql, StringSyntax::Standard).expect("valid SQL");
        let statement = tree.statements().next().expect("a statement");
        let begun = std::time::Instant::now();
        let plan = outline(statement, &sql, &context).plan(&[], &Remainder);
        let elapsed = begun.elapsed();
        assert!(elapsed.as_secs() < 5, "{elapsed:?} for {sql:.60}: {plan:.60?}");
    }
}
