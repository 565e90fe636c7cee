//! What is said about a configuration file, error by error.

use expect_test::{Expect, expect};

use crate::ProxyFile;

/// A file without errors, to whose end the tests add.
const CLUSTER: &str = r#"
[[clusters]]
name = "app"
users = [{ name = "app", password = "secret" }]
shards = [{ instances = [{ host = "10.0.0.1" }] }]
"#;

#[track_caller]
fn check(text: &str, expected: Expect) {
    let shown = match ProxyFile::from_toml(text) {
        Ok(_) => "accepted".to_owned(),
        Err(errors) => errors.to_string(),
    };
    expected.assert_eq(&shown);
}

#[track_caller]
fn check_cluster(addition: &str, expected: Expect) {
    check(&format!("{CLUSTER}{addition}"), expected);
}

#[test]
fn the_design_s_example_is_read() {
    let text = r#"
[proxy]
listen = ["0.0.0.0:6432"]
workers = 0
shutdown_timeout = "60s"
[admin]
users = [{ name = "admin", password = "secret" }]
[metrics]
listen = "127.0.0.1:9930"
[telemetry]
otlp_endpoint = "http://127.0.0.1:4317"
sample_ratio = 0.01

[[clusters]]
name = "app"
pool_mode = "transaction"
pool_size = 20
checkout_timeout = "5s"
load_balancing = "random"
reads = "replicas"
query_timeout = "0s"
stall_timeout = "30s"
ban_time = "60s"
reference_tables = ["countries"]
users = [{ name = "app", password = "secret" }]
sharded_tables = [{ column = "user_id", type = "bigint" }]
[[clusters.shards]]
instances = [
  { host = "10.0.0.1", port = 5432, database = "app_0", role = "primary" },
  { host = "10.0.0.2", port = 5432, database = "app_0", role = "replica" },
]
[[clusters.shards]]
instances = [{ host = "10.0.1.1", database = "app_1", role = "primary" }]
"#;
    check(text, expect!["accepted"]);
}

#[test]
fn a_file_may_leave_everything_out() {
    check("", expect!["accepted"]);
    check(CLUSTER, expect!["accepted"]);
    check(
        "[proxy]\nlisten = ['127.0.0.1:0', '127.0.0.1:0', '[::1]:6432', 'localhost:1']",
        expect!["accepted"],
    );
}

#[test]
fn an_unknown_key_is_named_with_its_path_line_and_nearest_known_key() {
    check(
        "[proxy]\nlisten = []\nworker = 2",
        expect![[r#"line 3: proxy.worker: unknown key `worker`; did you mean `workers`?"#]],
    );
    check(
        "[porxy]\nworkers = 2",
        expect!["line 1: porxy: unknown key `porxy`; did you mean `proxy`?"],
    );
    check_cluster(
        "pool_sise = 3",
        expect![
            "line 6: clusters[0].pool_sise: unknown key `pool_sise`; did you mean `pool_size`?"
        ],
    );
    check_cluster("colour = 'red'", expect!["line 6: clusters[0].colour: unknown key `colour`"]);
    check(
        "[[clusters]]\nname = 'a'\n[[clusters.users]]\nname = 'b'\npasword = 'hunter2'\n",
        expect![[r#"
            line 3: clusters[0].users[0]: the key `password` is missing
            line 5: clusters[0].users[0].pasword: unknown key `pasword`; did you mean `password`?"#]],
    );
}

#[test]
fn a_wrong_value_is_named_with_its_line_and_what_is_expected() {
    check_cluster(
        "pool_size = '20'",
        expect!["line 6: clusters[0].pool_size: expected an integer, found a string"],
    );
    check_cluster(
        "pool_size = -1",
        expect!["line 6: clusters[0].pool_size: expected an integer from 0 to 9223372036854775807"],
    );
    check_cluster(
        "pool_mode = 'transactoin'",
        expect![
            "line 6: clusters[0].pool_mode: expected one of `transaction`, `session`, `statement`; did you mean `transaction`?"
        ],
    );
    check_cluster(
        "pool_mode = 3",
        expect![
            "line 6: clusters[0].pool_mode: expected one of `transaction`, `session`, `statement`, found an integer"
        ],
    );
    check_cluster(
        "checkout_timeout = 5",
        expect![[
            r#"line 6: clusters[0].checkout_timeout: expected a duration such as "500ms", "5s" or "1h30m": a number needs a unit: us, ms, s, m, h or d"#
        ]],
    );
    check_cluster(
        "checkout_timeout = '5 secs'",
        expect![[
            r#"line 6: clusters[0].checkout_timeout: expected a duration such as "500ms", "5s" or "1h30m": a whole number must stand before each unit"#
        ]],
    );
    check_cluster("idle_timeout = 0", expect!["accepted"]);
    check_cluster("server_lifetime = '0'", expect!["accepted"]);
    check("clusters = 3", expect!["line 1: clusters: expected an array, found an integer"]);
    check(
        "[proxy]\nlisten = '0.0.0.0:6432'",
        expect!["line 2: proxy.listen: expected an array, found a string"],
    );
    check(
        "[proxy]\nlisten = ['a:1', 7]",
        expect!["line 2: proxy.listen[1]: expected a string, found an integer"],
    );
    check(
        "[telemetry]\nsample_ratio = true",
        expect!["line 2: telemetry.sample_ratio: expected a number, found a boolean"],
    );
    check(
        "[admin]\nusers = [{ name = 'a', password = 1234 }]",
        expect!["line 2: admin.users[0].password: expected a string, found an integer"],
    );
    check("proxy = 1979-05-27", expect!["line 1: proxy: expected a table, found a date or time"]);
    let port =
        CLUSTER.replace("'10.0.0.1'", "").replace("\"10.0.0.1\"", "\"10.0.0.1\", port = 65536");
    check(
        &port,
        expect![
            "line 5: clusters[0].shards[0].instances[0].port: expected an integer from 0 to 65535"
        ],
    );
}

#[test]
fn all_errors_are_told_at_once() {
    check(
        "[proxy]\nworker = 1\nlisten = 2\n[metric]\n[[clusters]]\npool_mode = 'x'\nusers = [\n  { nam = 'a', password = 'b' },\n]",
        expect![[r#"
            line 2: proxy.worker: unknown key `worker`; did you mean `workers`?
            line 3: proxy.listen: expected an array, found an integer
            line 4: metric: unknown key `metric`; did you mean `metrics`?
            line 6: clusters[0].pool_mode: expected one of `transaction`, `session`, `statement`
            line 8: clusters[0].users[0].nam: unknown key `nam`; did you mean `name`?
            line 8: clusters[0].users[0]: the key `name` is missing"#]],
    );
}

#[test]
fn a_broken_rule_is_named_with_its_line() {
    check(
        &format!("{CLUSTER}{CLUSTER}"),
        expect!["line 8: clusters[1].name: cluster `app` is already defined at clusters[0].name"],
    );
    check(
        "[[clusters]]\nname = 'a'\n[[clusters.shards]]\ninstances = [\n  { host = 'a:5432' },\n]\n",
        expect![[r#"
            line 1: clusters[0].users: the cluster has no users, so that nobody could log in
            line 5: clusters[0].shards[0].instances[0].host: `a:5432` is no host: write the port into `port`"#]],
    );
    check(
        "[proxy]\nlisten = [\n  '127.0.0.1:1',\n  '127.0.0.1:1',\n  '6432',\n]\nlogin_timeout = '0s'\nadvertise_address = 'a:0'\n[metrics]\nlisten = 'x'\n[telemetry]\nsample_ratio = 1.5",
        expect![[r#"
            line 4: proxy.listen[1]: address `127.0.0.1:1` is already defined at proxy.listen[0]
            line 5: proxy.listen[2]: `6432` is not of the form host:port
            line 7: proxy.login_timeout: must be longer than 0s: without a limit, clients would wait for ever
            line 8: proxy.advertise_address: the port cannot be 0
            line 10: metrics.listen: `x` is not of the form host:port
            line 12: telemetry.sample_ratio: must be from 0 to 1"#]],
    );
    check(
        "[admin]\nusers = [\n{ name = 'a', password = 'x' },\n{ name = 'a', password = '' },\n]",
        expect![[r#"
            line 4: admin.users[1].name: user `a` is already defined at admin.users[0].name
            line 4: admin.users[1].password: the password is empty; Postgres never accepts an empty one"#]],
    );
}

#[test]
fn text_that_is_not_toml_is_refused_with_its_lines_and_without_quoting_them() {
    check("[proxy\nworkers = 1", expect![[r#"line 1: unclosed table, expected `]`"#]]);
    check("[proxy]\nworkers = 1\nworkers = 2", expect!["line 3: duplicate key"]);
    check(
        "a = \npassword = 'hunter2",
        expect![[r#"
        line 1: string values must be quoted, expected literal string
        line 2: invalid literal string, expected `'`"#]],
    );
}
