//! What a cluster with several shards must say, and what it cannot be.

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::check;

/// Changes to a cluster with two shards and a sharded table.
#[track_caller]
fn check_two(changes: Value, expected: Expect) {
    let mut cluster = json!({
        "sharded_tables": [{"column": "user_id", "type": "bigint"}],
        "shards": [{"instances": [{"host": "a"}]}, {"instances": [{"host": "b"}]}],
    });
    for (key, value) in changes.as_object().unwrap() {
        cluster[key] = value.clone();
    }
    check(cluster, expected);
}

#[test]
fn several_shards_say_what_is_where() {
    check_two(json!({}), expect!["valid"]);
    check_two(
        json!({"sharded_tables": []}),
        expect![
            "/shards [nothing_placed] the cluster has 2 shards: say in `sharded_tables`, `sharded_schemas` or `reference_tables` what is where"
        ],
    );
    check_two(json!({"sharded_tables": [], "reference_tables": ["t"]}), expect!["valid"]);
    let schemas = json!([{"schema": "one", "shard": 1}]);
    check_two(json!({"sharded_tables": [], "sharded_schemas": schemas}), expect!["valid"]);
}

#[test]
fn several_shards_work_in_transaction_and_session_mode() {
    check_two(json!({"pool_mode": "session"}), expect!["valid"]);
    check_two(
        json!({"pool_mode": "statement"}),
        expect![[
            r#"/pool_mode [statement_mode_with_shards] several shards need pool_mode = "transaction" or "session""#
        ]],
    );
    let users = json!([{"name": "u", "password": "secret", "pool_mode": "statement"}]);
    check_two(
        json!({"users": users}),
        expect![[
            r#"/users/0/pool_mode [statement_mode_with_shards] several shards need pool_mode = "transaction" or "session""#
        ]],
    );
}

#[test]
fn a_cluster_for_every_name_has_one_shard() {
    check_two(
        json!({"name": "*"}),
        expect![
            "/name [shards_for_every_name] a cluster for every name has one shard: give each sharded database a cluster of its own"
        ],
    );
}

#[test]
fn shards_are_different_databases() {
    let shards = |one: &str, other: Option<&str>| {
        let mut shards = json!([
            {"instances": [{"host": "a", "database": one}]},
            {"instances": [{"host": "A"}]},
        ]);
        if let Some(other) = other {
            shards[1]["instances"][0]["database"] = other.into();
        }
        json!({"shards": shards})
    };
    check_two(shards("app_0", Some("app_1")), expect!["valid"]);
    check_two(shards("app_0", None), expect!["valid"]);
    check_two(
        shards("app_0", Some("app_0")),
        expect![
            "/shards/1/instances/0 [database_of_other_shard] A:5432 has the database `app_0` of shard 0 already"
        ],
    );
    check_two(
        shards("app", None),
        expect![
            "/shards/1/instances/0 [database_of_other_shard] A:5432 has the database `app` of shard 0 already"
        ],
    );
}

#[test]
fn a_table_is_placed_by_one_rule() {
    let rule = |table: Option<&str>, column: &str| match table {
        Some(table) => json!({"table": table, "column": column, "type": "bigint"}),
        None => json!({"column": column, "type": "bigint"}),
    };
    let tables = json!([rule(None, "user_id"), rule(None, "tenant"), rule(Some("users"), "id")]);
    check_two(json!({"sharded_tables": tables}), expect!["valid"]);
    let tables = json!([rule(None, "user_id"), rule(None, "user_id")]);
    check_two(
        json!({"sharded_tables": tables}),
        expect![
            "/sharded_tables/1/column [duplicate] column `user_id` is already defined at clusters[0].sharded_tables[0]"
        ],
    );
    let tables = json!([rule(Some("users"), "id"), rule(Some("users"), "name")]);
    check_two(
        json!({"sharded_tables": tables}),
        expect![
            "/sharded_tables/1/table [duplicate] table `users` is already defined at clusters[0].sharded_tables[0]"
        ],
    );
    let tables = json!([rule(Some("a.b.c"), "id")]);
    check_two(
        json!({"sharded_tables": tables, "reference_tables": ["", "x.", "t", "t"]}),
        expect![[r#"
        /reference_tables/3 [duplicate] table `t` is already defined at clusters[0].reference_tables[2]
        /reference_tables/0 [bad_table] `` is not of the form table or schema.table
        /reference_tables/1 [bad_table] `x.` is not of the form table or schema.table
        /sharded_tables/0/table [bad_table] `a.b.c` is not of the form table or schema.table"#]],
    );
    let tables = json!([rule(Some("users"), "id")]);
    check_two(
        json!({"sharded_tables": tables, "reference_tables": ["users"]}),
        expect![
            "/sharded_tables/0/table [reference_and_sharded] `users` is a reference table: it cannot be sharded as well"
        ],
    );
}

#[test]
fn keys_name_shards_that_there_are() {
    let keyed = json!([{"shard": 1, "from": 10}, {"shard": 2, "to": 10}]);
    let tables = json!([{"column": "id", "type": "bigint", "algorithm": "range", "shards": keyed}]);
    check_two(
        json!({"sharded_tables": tables}),
        expect![
            "/sharded_tables/0/shards/1/shard [unknown_shard] there is no shard 2: the cluster has 2, counted from 0"
        ],
    );
    check_two(
        json!({"sharded_schemas": [{"schema": "a", "shard": 2}]}),
        expect![
            "/sharded_schemas/0/shard [unknown_shard] there is no shard 2: the cluster has 2, counted from 0"
        ],
    );
}

#[test]
fn the_gather_limit_is_a_size() {
    check_two(json!({"gather_limit": "1GB"}), expect!["valid"]);
    check_two(
        json!({"gather_limit": "64B"}),
        expect![
            "/gather_limit [out_of_range] must be at least 64kB: less would hold no rows worth gathering"
        ],
    );
}
