//! Snapshot documents: what is refused and where, and what the hash depends on.

use expect_test::{Expect, expect};

use crate::{Cluster, Topology};

const DOCUMENT: &str = r#"{"clusters": [{"name": "app",
    "users": [{"name": "u", "password": "hunter2", "server_password": "hunter3"}],
    "shards": [{"instances": [{"host": "h"}]}]}]}"#;

#[track_caller]
fn check(document: &str, expected: Expect) {
    let shown = match Topology::from_json(document.as_bytes()) {
        Ok(_) => "accepted".to_owned(),
        Err(found) => {
            let lines = found.iter().map(|e| format!("{} [{}] {}", e.pointer, e.code, e.message));
            lines.collect::<Vec<_>>().join("\n")
        }
    };
    expected.assert_eq(&shown);
}

#[test]
fn what_differs_from_the_types_is_told_with_its_pointer() {
    check("{}", expect!["accepted"]);
    check(DOCUMENT, expect!["accepted"]);
    check(
        r#"{"clusters": {}}"#,
        expect!["/clusters [wrong_type] expected an array, found a table"],
    );
    check(
        r#"{"clusters": [{"name": 1, "pol_size": 2, "pool_size": 1e30, "ban_time": "x",
            "users": [{"name": "a", "password": null, "pool_size": null}]}, 7]}"#,
        expect![[r#"
            /clusters/0/name [wrong_type] expected a string, found an integer
            /clusters/0/pol_size [unknown_key] unknown key `pol_size`; did you mean `pool_size`?
            /clusters/0/pool_size [wrong_type] expected an integer, found a number
            /clusters/0/ban_time [bad_duration] expected a duration such as "500ms", "5s" or "1h30m": a whole number must stand before each unit
            /clusters/0/users/0/password [wrong_type] expected a string, found null
            /clusters/1 [wrong_type] expected a table, found an integer"#]],
    );
    check(
        r#"{"clusters": [], "clusters": [], "a/b~c": 1}"#,
        expect![[r#"
            /clusters [duplicate_key] the key `clusters` stands here twice
            /a~1b~0c [unknown_key] unknown key `a/b~c`"#]],
    );
    check("{\"clusters\": [", expect![" [syntax] EOF while parsing a list at line 1 column 14"]);
    check(&"[".repeat(1_000), expect![" [syntax] recursion limit exceeded at line 1 column 128"]);
    check(
        &" ".repeat(16 * 1024 * 1024 + 1),
        expect![
            " [document_too_large] the document has 16777217 bytes; at most 16777216 are allowed"
        ],
    );
}

#[test]
fn a_single_cluster_is_read_the_same_way() {
    let error = Cluster::from_json(br#"{"name": "a", "shard": []}"#).unwrap_err();
    expect!["/shard: unknown key `shard`; did you mean `shards`?"].assert_eq(&error[0].to_string());
}

#[test]
fn the_hash_depends_on_the_content_and_not_on_how_it_is_written() {
    let topology = Topology::from_json(DOCUMENT.as_bytes()).unwrap();
    let again = Topology::from_json(&topology.to_json()).unwrap();
    assert_eq!(topology, again);
    assert_eq!(topology.content_hash(), again.content_hash());
    let mut other = topology.clone();
    other.clusters[0].users[0].password = crate::Secret::new("hunter4");
    assert_ne!(topology.content_hash(), other.content_hash());
    expect!["64"].assert_eq(&topology.content_hash().len().to_string());
}

#[test]
fn a_redacted_topology_holds_no_secrets() {
    let topology = Topology::from_json(DOCUMENT.as_bytes()).unwrap();
    let shown = String::from_utf8(topology.redacted().to_json()).unwrap();
    assert!(!shown.contains("hunter"), "{shown}");
    assert!(shown.contains(r#""password":"***","server_password":"***""#), "{shown}");
    assert!(!format!("{topology:?}").contains("hunter"));
}
