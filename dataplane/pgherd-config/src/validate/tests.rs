//! Each rule of a topology as a row: a change to a valid cluster and what is said about it.

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use crate::Topology;

mod several_shards;

const VERIFIER: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

fn cluster(changes: Value) -> Value {
    let mut cluster = json!({
        "name": "app",
        "users": [{"name": "u", "password": "secret"}],
        "shards": [{"instances": [{"host": "10.0.0.1"}]}],
    });
    for (key, value) in changes.as_object().unwrap() {
        cluster[key] = value.clone();
    }
    cluster
}

fn shown(topology: &Value) -> String {
    let topology = Topology::from_json(topology.to_string().as_bytes()).unwrap();
    let lines: Vec<String> = match topology.validate() {
        Ok(warnings) => warnings
            .iter()
            .map(|found| format!("warning {} [{}] {}", found.pointer, found.code, found.message))
            .collect(),
        Err(invalid) => invalid
            .iter()
            .map(|found| format!("{} [{}] {}", found.pointer, found.code, found.message))
            .collect(),
    };
    if lines.is_empty() { "valid".to_owned() } else { lines.join("\n") }
}

#[track_caller]
fn check(changes: Value, expected: Expect) {
    let text = shown(&json!({"clusters": [cluster(changes)]}));
    expected.assert_eq(&text.replace("/clusters/0", ""));
}

#[track_caller]
fn check_user(user: Value, expected: Expect) {
    check(json!({"users": [user]}), expected);
}

#[track_caller]
fn check_instances(instances: Value, expected: Expect) {
    check(json!({"shards": [{"instances": instances}]}), expected);
}

#[test]
fn an_ordinary_or_empty_topology_is_valid() {
    check(json!({}), expect!["valid"]);
    check(json!({"name": "*"}), expect!["valid"]);
    expect!["valid"].assert_eq(&shown(&json!({"clusters": []})));
}

#[test]
fn names() {
    check(json!({"name": ""}), expect!["/name [name_empty] a name is needed here"]);
    check(json!({"name": "x".repeat(63)}), expect!["valid"]);
    check(
        json!({"name": "ä".repeat(32)}),
        expect!["/name [name_too_long] the name has 64 bytes; Postgres cuts names at 63"],
    );
    check(
        json!({"name": "a\u{0}b"}),
        expect!["/name [name_malformed] the name contains control characters"],
    );
    check(
        json!({"name": "pgherd"}),
        expect!["/name [name_reserved] `pgherd` is the admin database; choose another name"],
    );
    check(
        json!({"name": "pgbouncer"}),
        expect!["/name [name_reserved] `pgbouncer` is the admin database; choose another name"],
    );
    expect!["/clusters/1/name [duplicate] cluster `app` is already defined at clusters[0].name"]
        .assert_eq(&shown(&json!({"clusters": [cluster(json!({})), cluster(json!({}))]})));
}

#[test]
fn pools() {
    check(
        json!({"pool_size": 0}),
        expect!["/pool_size [out_of_range] pool_size must be from 1 to 10000"],
    );
    check(json!({"pool_size": 10_000}), expect!["valid"]);
    check(
        json!({"pool_size": 10_001}),
        expect!["/pool_size [out_of_range] pool_size must be from 1 to 10000"],
    );
    check(
        json!({"pool_size": 5, "min_pool_size": 6}),
        expect![
            "/min_pool_size [min_pool_size_above_pool_size] min_pool_size 6 is more than the pool_size 5 of user `u`"
        ],
    );
    check(json!({"pool_mode": "session"}), expect!["valid"]);
    check(json!({"pool_mode": "statement"}), expect!["valid"]);
    check(
        json!({"reserve_pool_size": 10_001}),
        expect!["/reserve_pool_size [out_of_range] reserve_pool_size must be from 0 to 10000"],
    );
    check(json!({"connect_query": "SET work_mem = '8MB'"}), expect!["valid"]);
    check(
        json!({"connect_query": " "}),
        expect!["/connect_query [bad_statement] a statement is needed here"],
    );
    check(
        json!({"connect_query": "SELECT 1\u{0}; SELECT 2"}),
        expect![
            "/connect_query [bad_statement] the statement contains a zero byte, which Postgres takes for its end"
        ],
    );
    check(
        json!({"checkout_timeout": 0, "connect_timeout": "0s"}),
        expect![[r#"
        /checkout_timeout [out_of_range] must be longer than 0s: without a limit, clients would wait for ever
        /connect_timeout [out_of_range] must be longer than 0s: without a limit, clients would wait for ever"#]],
    );
}

#[test]
fn users() {
    check(
        json!({"users": []}),
        expect!["/users [no_users] the cluster has no users, so that nobody could log in"],
    );
    check(
        json!({"users": [{"name": "u", "password": "a"}, {"name": "u", "password": "b"}]}),
        expect![
            "/users/1/name [duplicate] user `u` is already defined at clusters[0].users[0].name"
        ],
    );
    check_user(
        json!({"name": "", "password": "", "server_user": ""}),
        expect![[r#"
        /users/0/name [name_empty] a name is needed here
        /users/0/server_user [name_empty] a name is needed here
        /users/0/password [password_empty] the password is empty; Postgres never accepts an empty one"#]],
    );
    check_user(
        json!({"name": "u", "password": "a", "pool_size": 0}),
        expect!["/users/0/pool_size [out_of_range] pool_size must be from 1 to 10000"],
    );
    check_user(
        json!({"name": "u", "password": "a", "pool_mode": "statement", "query_timeout": 0}),
        expect!["valid"],
    );
    check_user(
        json!({"name": "u", "password": "a", "checkout_timeout": 0}),
        expect![
            "/users/0/checkout_timeout [out_of_range] must be longer than 0s: without a limit, clients would wait for ever"
        ],
    );
    check(
        json!({"min_pool_size": 3, "users": [{"name": "u", "password": "a", "pool_size": 2}]}),
        expect![
            "/users/0/pool_size [min_pool_size_above_pool_size] min_pool_size 3 is more than the pool_size 2 of user `u`"
        ],
    );
}

#[test]
fn passwords_and_verifiers() {
    check_user(
        json!({"name": "u", "password": "***", "server_password": "***"}),
        expect![[r#"
        /users/0/password [password_masked] `***` stands for a secret that was not shown; write the password itself
        /users/0/server_password [password_masked] `***` stands for a secret that was not shown; write the password itself"#]],
    );
    check_user(
        json!({"name": "u", "password": VERIFIER, "server_password": "a"}),
        expect!["valid"],
    );
    check_user(
        json!({"name": "u", "password": VERIFIER}),
        expect![
            "/users/0 [server_password_missing] `server_password` is needed: `password` is a SCRAM verifier, which is enough to check clients but not to log in to an instance"
        ],
    );
    check_user(
        json!({"name": "u", "password": "a", "server_password": VERIFIER}),
        expect![
            "/users/0/server_password [server_password_is_verifier] a SCRAM verifier cannot log in to an instance; give the password itself"
        ],
    );
    check_user(
        json!({"name": "u", "password": "SCRAM-SHA-256$4096", "server_password": "a"}),
        expect![
            "/users/0/password [bad_verifier] looks like a SCRAM verifier, but is none: SCRAM-SHA-256$<iterations>:<salt>$<keys>"
        ],
    );
    check_user(
        json!({"name": "u", "password": "md5".to_owned() + &"0a".repeat(16)}),
        expect![
            "/users/0/password [md5_hash] an MD5 hash cannot serve here; give the password itself or a SCRAM verifier"
        ],
    );
    check_user(
        json!({"name": "u", "password": "a", "server_password": ""}),
        expect![
            "/users/0/server_password [password_empty] the password is empty; Postgres never accepts an empty one"
        ],
    );
}

#[test]
fn shards_and_instances() {
    check(
        json!({"shards": []}),
        expect![
            "/shards [no_shards] the cluster has no shards; one that is not sharded has exactly one"
        ],
    );
    check_instances(
        json!([]),
        expect!["/shards/0/instances [no_instances] the shard has no instances"],
    );
    check_instances(
        json!([{"host": "a", "role": "primary"}, {"host": "b", "role": "replica"}]),
        expect!["valid"],
    );
    check_instances(
        json!([{"host": "a", "role": "primary"}, {"host": "A", "role": "replica"}]),
        expect![
            "/shards/0/instances/1 [duplicate] instance `a:5432` is already defined at clusters[0].shards[0].instances[0]"
        ],
    );
    check_instances(
        json!([{"host": "a", "role": "primary"}, {"host": "b", "role": "primary"}]),
        expect![
            "/shards/0/instances/1/role [several_primaries] the shard already has a primary, `a:5432`; only one instance can be it"
        ],
    );
    check_instances(json!([{"host": "a"}, {"host": "b", "role": "replica"}]), expect!["valid"]);
    check_instances(
        json!([{"host": "a", "role": "replica"}, {"host": "b", "role": "replica"}]),
        expect![[
            r#"/shards/0/instances [primary_not_named] the shard has replicas only: name the primary, or let role = "auto" find it"#
        ]],
    );
    check_instances(
        json!([{"host": "a", "port": 0}]),
        expect!["/shards/0/instances/0/port [out_of_range] the port cannot be 0"],
    );
}

#[test]
fn hosts() {
    for host in ["db", "db.example.org", "10.0.0.1", "::1", "fe80::1%eth0", "/run/postgresql"] {
        check_instances(json!([{ "host": host }]), expect!["valid"]);
    }
    check_instances(
        json!([{"host": ""}]),
        expect![
            "/shards/0/instances/0/host [bad_host] a host name, an IP address or the directory of a Unix socket is needed here"
        ],
    );
    check_instances(
        json!([{"host": "a b"}]),
        expect![
            "/shards/0/instances/0/host [bad_host] `a b` is no host name, IP address or absolute directory"
        ],
    );
    check_instances(
        json!([{"host": "db:5432"}]),
        expect![
            "/shards/0/instances/0/host [bad_host] `db:5432` is no host: write the port into `port`"
        ],
    );
    check_instances(
        json!([{"host": "[::1]"}]),
        expect![
            "/shards/0/instances/0/host [bad_host] `[::1]`: write an IPv6 address without brackets"
        ],
    );
    check_instances(
        json!([{"host": "http://db"}]),
        expect![
            "/shards/0/instances/0/host [bad_host] `http://db` is no host name, IP address or absolute directory"
        ],
    );
    check_instances(
        json!([{"host": "/".repeat(100)}]),
        expect![
            "/shards/0/instances/0/host [socket_path_too_long] the path of the socket would be 114 bytes long; the system allows 107"
        ],
    );
}

#[test]
fn settings_without_effect_are_warned_of() {
    check(
        json!({
            "reads": "any",
            "load_balancing": "weighted",
            "stall_timeout": "1s",
            "ban_time": "1s",
            "reference_tables": ["t"],
            "sharded_tables": [{"column": "id", "type": "bigint"}],
            "sharded_schemas": [{"schema": "a", "shard": 0}],
        }),
        expect![[r#"
            warning /sharded_tables [no_effect] `sharded_tables` has no effect: the cluster has one shard
            warning /sharded_schemas [no_effect] `sharded_schemas` has no effect: the cluster has one shard
            warning /reference_tables [no_effect] `reference_tables` has no effect: the cluster has one shard"#]],
    );
    check(json!({"reads": "primary", "ban_time": "60s"}), expect!["valid"]);
}

#[test]
fn sizes_are_limited_and_errors_are_counted() {
    let clusters: Vec<Value> =
        (0..1_001).map(|n| cluster(json!({"name": n.to_string()}))).collect();
    expect!["/clusters [too_many] there are 1001 clusters; at most 1000 are allowed"]
        .assert_eq(&shown(&json!({ "clusters": clusters })));
    let user = |n: usize| json!({"name": n.to_string(), "password": "a"});
    let users: Vec<Value> = (0..10_001).map(user).collect();
    check(
        json!({ "users": users }),
        expect!["/users [too_many] there are 10001 users; at most 10000 are allowed"],
    );
    check(
        json!({"users": vec![json!({"name": "", "password": "a"}); 150]}),
        expect![[r#"
        /users/0/name [name_empty] a name is needed here
        /users/1/name [name_empty] a name is needed here
        /users/2/name [name_empty] a name is needed here
        /users/3/name [name_empty] a name is needed here
        /users/4/name [name_empty] a name is needed here
        /users/5/name [name_empty] a name is needed here
        /users/6/name [name_empty] a name is needed here
        /users/7/name [name_empty] a name is needed here
        /users/8/name [name_empty] a name is needed here
        /users/9/name [name_empty] a name is needed here
        /users/10/name [name_empty] a name is needed here
        /users/11/name [name_empty] a name is needed here
        /users/12/name [name_empty] a name is needed here
        /users/13/name [name_empty] a name is needed here
        /users/14/name [name_empty] a name is needed here
        /users/15/name [name_empty] a name is needed here
        /users/16/name [name_empty] a name is needed here
        /users/17/name [name_empty] a name is needed here
        /users/18/name [name_empty] a name is needed here
        /users/19/name [name_empty] a name is needed here
        /users/20/name [name_empty] a name is needed here
        /users/21/name [name_empty] a name is needed here
        /users/22/name [name_empty] a name is needed here
        /users/23/name [name_empty] a name is needed here
        /users/24/name [name_empty] a name is needed here
        /users/25/name [name_empty] a name is needed here
        /users/26/name [name_empty] a name is needed here
        /users/27/name [name_empty] a name is needed here
        /users/28/name [name_empty] a name is needed here
        /users/29/name [name_empty] a name is needed here
        /users/30/name [name_empty] a name is needed here
        /users/31/name [name_empty] a name is needed here
        /users/32/name [name_empty] a name is needed here
        /users/33/name [name_empty] a name is needed here
        /users/34/name [name_empty] a name is needed here
        /users/35/name [name_empty] a name is needed here
        /users/36/name [name_empty] a name is needed here
        /users/37/name [name_empty] a name is needed here
        /users/38/name [name_empty] a name is needed here
        /users/39/name [name_empty] a name is needed here
        /users/40/name [name_empty] a name is needed here
        /users/41/name [name_empty] a name is needed here
        /users/42/name [name_empty] a name is needed here
        /users/43/name [name_empty] a name is needed here
        /users/44/name [name_empty] a name is needed here
        /users/45/name [name_empty] a name is needed here
        /users/46/name [name_empty] a name is needed here
        /users/47/name [name_empty] a name is needed here
        /users/48/name [name_empty] a name is needed here
        /users/49/name [name_empty] a name is needed here
        /users/50/name [name_empty] a name is needed here
        /users/51/name [name_empty] a name is needed here
        /users/52/name [name_empty] a name is needed here
        /users/53/name [name_empty] a name is needed here
        /users/54/name [name_empty] a name is needed here
        /users/55/name [name_empty] a name is needed here
        /users/56/name [name_empty] a name is needed here
        /users/57/name [name_empty] a name is needed here
        /users/58/name [name_empty] a name is needed here
        /users/59/name [name_empty] a name is needed here
        /users/60/name [name_empty] a name is needed here
        /users/61/name [name_empty] a name is needed here
        /users/62/name [name_empty] a name is needed here
        /users/63/name [name_empty] a name is needed here
        /users/64/name [name_empty] a name is needed here
        /users/65/name [name_empty] a name is needed here
        /users/66/name [name_empty] a name is needed here
        /users/67/name [name_empty] a name is needed here
        /users/68/name [name_empty] a name is needed here
        /users/69/name [name_empty] a name is needed here
        /users/70/name [name_empty] a name is needed here
        /users/71/name [name_empty] a name is needed here
        /users/72/name [name_empty] a name is needed here
        /users/73/name [name_empty] a name is needed here
        /users/74/name [name_empty] a name is needed here
        /users/75/name [name_empty] a name is needed here
        /users/76/name [name_empty] a name is needed here
        /users/77/name [name_empty] a name is needed here
        /users/78/name [name_empty] a name is needed here
        /users/79/name [name_empty] a name is needed here
        /users/80/name [name_empty] a name is needed here
        /users/81/name [name_empty] a name is needed here
        /users/82/name [name_empty] a name is needed here
        /users/83/name [name_empty] a name is needed here
        /users/84/name [name_empty] a name is needed here
        /users/85/name [name_empty] a name is needed here
        /users/86/name [name_empty] a name is needed here
        /users/87/name [name_empty] a name is needed here
        /users/88/name [name_empty] a name is needed here
        /users/89/name [name_empty] a name is needed here
        /users/90/name [name_empty] a name is needed here
        /users/91/name [name_empty] a name is needed here
        /users/92/name [name_empty] a name is needed here
        /users/93/name [name_empty] a name is needed here
        /users/94/name [name_empty] a name is needed here
        /users/95/name [name_empty] a name is needed here
        /users/96/name [name_empty] a name is needed here
        /users/97/name [name_empty] a name is needed here
        /users/98/name [name_empty] a name is needed here
        /users/99/name [name_empty] a name is needed here
         [more] 50 more problems are not listed"#]],
    );
    let mut large =
        Topology::from_json(json!({"clusters": [cluster(json!({}))]}).to_string().as_bytes())
            .unwrap();
    large.clusters[0].users[0].password = crate::Secret::new("x".repeat(17 << 20));
    let invalid = large.validate().unwrap_err();
    assert_eq!((invalid.len(), invalid[0].code), (1, "document_too_large"));
}

#[track_caller]
fn check_rule(algorithm: &str, column_type: &str, shards: Value, expected: Expect) {
    let rule = json!({
        "column": "k", "type": column_type, "algorithm": algorithm, "shards": shards,
    });
    let text = shown(&json!({"clusters": [cluster(json!({"sharded_tables": [rule]}))]}));
    let text = text.replace("/clusters/0/sharded_tables/0", "");
    expected.assert_eq(text.split("warning ").next().unwrap_or_default());
}

#[test]
fn keys_of_shards_are_checked() {
    check_rule("list", "text", json!([{"shard": 0, "values": ["a", 1, true]}]), expect![""]);
    check_rule("list", "mood", json!([{"shard": 0, "values": ["ok"]}]), expect![""]);
    check_rule(
        "range",
        "bigint",
        json!([{"shard": 0, "to": 5}, {"shard": 0, "from": 5}]),
        expect![""],
    );
    check_rule(
        "range",
        "timestamptz",
        json!([{"shard": 0, "from": "2024-01-01 00:00:00+00"}, {"shard": 0, "default": true}]),
        expect![""],
    );
    check_rule(
        "hash",
        "bigint",
        json!([{"shard": 0, "default": true}]),
        expect![
            "/shards [keys_without_meaning] `hash` spreads keys over all shards: leave `shards` out, or choose `list` or `range`"
        ],
    );
    check_rule(
        "list",
        "bigint",
        json!([]),
        expect![
            "/shards [no_keys] keys are needed here: `values` for a list, `from` and `to` for a range, or `default`"
        ],
    );
    check_rule(
        "list",
        "bigint",
        json!([{"shard": 1, "values": [1]}]),
        expect![
            "/shards/0/shard [unknown_shard] there is no shard 1: the cluster has 1, counted from 0"
        ],
    );
    check_rule(
        "list",
        "bigint",
        json!([{"shard": 0}]),
        expect![
            "/shards/0 [no_keys] keys are needed here: `values` for a list, `from` and `to` for a range, or `default`"
        ],
    );
    check_rule(
        "list",
        "bigint",
        json!([{"shard": 0, "values": ["one"]}]),
        expect!["/shards/0 [bad_keys] `one` is no value of type bigint as Postgres writes them"],
    );
    check_rule(
        "list",
        "numeric",
        json!([{"shard": 0, "values": ["1.0"]}, {"shard": 0, "values": [1]}]),
        expect!["/shards/1 [bad_keys] the key `1` stands here twice"],
    );
    check_rule(
        "list",
        "bigint",
        json!([
            {"shard": 0, "nulls": true},
            {"shard": 0, "nulls": true, "default": true},
            {"shard": 0, "default": true, "from": 1},
        ]),
        expect![[r#"
            /shards/2/from [keys_without_meaning] `from` has no meaning for the algorithm `list`
            /shards/2 [keys_without_meaning] an entry is either the default or has `from` and `to`
            /shards/2 [bad_keys] entry 1 is the default already
            /shards/1 [bad_keys] NULL already goes to the shard of entry 0"#]],
    );
    check_rule(
        "range",
        "bigint",
        json!([
            {"shard": 0, "from": 1, "to": 10},
            {"shard": 0, "from": 9, "to": 12},
            {"shard": 0, "from": 20, "to": 20},
        ]),
        expect![[r#"
            /shards/2 [bad_keys] `from` must be less than `to`
            /shards/1 [bad_keys] the range overlaps with that of entry 0"#]],
    );
    check_rule(
        "range",
        "json",
        json!([{"shard": 0, "values": [1]}]),
        expect![[r#"
        /shards/0/values [keys_without_meaning] `values` has no meaning for the algorithm `range`
        /shards [bad_keys] values of type json cannot be compared"#]],
    );
}

#[test]
fn schemas_are_on_shards_that_exist() {
    let schemas = json!([
        {"schema": "a", "shard": 0}, {"schema": "a", "shard": 0}, {"schema": "", "shard": 7},
    ]);
    check(
        json!({"sharded_schemas": schemas}),
        expect![[r#"
        /sharded_schemas/1/schema [duplicate] schema `a` is already defined at clusters[0].sharded_schemas[0].schema
        /sharded_schemas/2/schema [name_empty] a name is needed here
        /sharded_schemas/2/shard [unknown_shard] there is no shard 7: the cluster has 1, counted from 0"#]],
    );
}

#[test]
fn schemas_are_named_or_called_alike() {
    let schemas = json!([
        {"schema": "tenant_*"}, {"schema": "tenant_1", "shard": 0}, {"schema": "*"},
        {"schema": "a*b"}, {"schema": "pg_*"}, {"schema": "pgherd"},
    ]);
    let tables = json!([{"table": "tenant_2.t", "column": "id", "type": "bigint"}]);
    check(
        json!({
            "sharded_schemas": schemas, "sharded_tables": tables,
            "reference_tables": ["tenant_1.countries", "public.countries"],
        }),
        expect![[r#"
            /reference_tables/0 [table_of_sharded_schema] `tenant_1.countries` is on one shard with all its schema: `sharded_schemas` has `tenant_*`
            /reference_tables/1 [table_of_sharded_schema] `public.countries` is on one shard with all its schema: `sharded_schemas` has `*`
            /sharded_tables/0/table [table_of_sharded_schema] `tenant_2.t` is on one shard with all its schema: `sharded_schemas` has `tenant_*`
            /sharded_schemas/2/schema [bad_schema] `*` is neither a schema's name nor the beginning of names with a `*` at the end
            /sharded_schemas/3/schema [bad_schema] `a*b` is neither a schema's name nor the beginning of names with a `*` at the end
            /sharded_schemas/4/schema [schema_reserved] `pg_*` stands for a schema of Postgres or pgherd, which is on all shards
            /sharded_schemas/5/schema [schema_reserved] `pgherd` stands for a schema of Postgres or pgherd, which is on all shards"#]],
    );
}
