//! Where statements go: through bans, overrides and changes of the topology. No server is there.

use pgherd_balance::InstanceKey;
use pgherd_config::Topology;

use super::*;
use crate::directory::Directory;

/// A cluster whose instances are `p:host` or `r:host` or `a:host`.
fn topology(instances: &str, settings: &str) -> Topology {
    let instances: Vec<String> = instances
        .split_whitespace()
        .map(|text| {
            let (role, host) = text.split_once(':').expect("a role and a host");
            let role = match role {
                "p" => "primary",
                "r" => "replica",
                _ => "auto",
            };
            format!(r#"{{"host": "{host}", "role": "{role}"}}"#)
        })
        .collect();
    let text = format!(
        r#"{{"clusters": [{{"name": "app", "users": [{{"name": "u", "password": "x"}}], {settings}
        "shards": [{{"instances": [{}]}}]}}]}}"#,
        instances.join(",")
    );
    Topology::from_json(text.as_bytes()).expect("a topology")
}

fn directory(instances: &str, settings: &str) -> Directory {
    let directory = Directory::new(1, [0; 32]);
    directory.load(&topology(instances, settings)).expect("no files");
    directory
}

/// The hosts that are chosen, over many random numbers.
fn chosen(directory: &Directory, need: &Need) -> String {
    let targets = directory.targets("app", "u").expect("the user exists");
    let mut hosts: Vec<String> = (0..64_u64)
        .map(|n| match targets.choose(need, n << 58) {
            Ok(pool) => pool.settings().endpoint.host.clone(),
            Err(error) => format!("{error:?}"),
        })
        .collect();
    hosts.sort();
    hosts.dedup();
    hosts.join(" ")
}

fn ban(directory: &Directory, host: &str) {
    assert_eq!(directory.ban(&InstanceKey::new(host, 5432), "test", None), 1, "{host}");
}

const REPLICAS: &str = r#""reads": "replicas","#;
const ANY: &str = r#""reads": "any","#;

fn wish(role: RoleWish) -> Need {
    Need { role: Some(role), ..Need::WRITE }
}

#[test]
fn writes_go_to_the_primary_and_reads_where_they_shall() {
    let at = |settings, need: &Need| chosen(&directory("r:b p:a r:c", settings), need);
    assert_eq!(at("", &Need::WRITE), "a");
    assert_eq!(at("", &Need::READ), "a");
    assert_eq!(at(REPLICAS, &Need::WRITE), "a");
    assert_eq!(at(REPLICAS, &Need::READ), "b c");
    assert_eq!(at(ANY, &Need::READ), "a b c");
    assert_eq!(at(ANY, &Need::WRITE), "a");
}

#[test]
fn a_wish_counts_more_than_the_statement() {
    let directory = directory("p:a r:b r:c", "");
    assert_eq!(chosen(&directory, &wish(RoleWish::Replica)), "b c");
    assert_eq!(chosen(&directory, &wish(RoleWish::Any)), "a b c");
    let need = Need { role: Some(RoleWish::Primary), ..Need::READ };
    assert_eq!(chosen(&directory, &need), "a");
}

#[test]
fn bans_keep_reads_away_but_no_writes() {
    let directory = directory("p:a r:b r:c", ANY);
    ban(&directory, "b");
    assert_eq!(chosen(&directory, &Need::READ), "a c");
    ban(&directory, "a");
    assert_eq!(chosen(&directory, &Need::READ), "c");
    assert_eq!(chosen(&directory, &Need::WRITE), "a");
    directory.unban(&InstanceKey::new("b", 5432));
    assert_eq!(chosen(&directory, &Need::READ), "b c");
}

#[test]
fn without_replicas_reads_fall_back_to_the_primary_if_they_may() {
    let mine = directory("p:a r:b", REPLICAS);
    ban(&mine, "b");
    assert_eq!(chosen(&mine, &Need::READ), "a");
    assert_eq!(chosen(&mine, &wish(RoleWish::Replica)), "NoneLeft");
    let strict = directory("p:a r:b", r#""reads": "replicas", "read_fallback": false,"#);
    ban(&strict, "b");
    assert_eq!(chosen(&strict, &Need::READ), "NoneLeft");
    assert_eq!(chosen(&directory("p:a", REPLICAS), &Need::READ), "a");
}

#[test]
fn what_was_tried_is_not_tried_again() {
    let directory = directory("p:a r:b r:c", REPLICAS);
    assert_eq!(chosen(&directory, &Need { avoid: 0b010, ..Need::READ }), "c");
    assert_eq!(chosen(&directory, &Need { avoid: 0b110, ..Need::READ }), "a");
    assert_eq!(chosen(&directory, &Need { avoid: 0b111, ..Need::READ }), "NoneLeft");
}

#[test]
fn a_read_of_what_was_written_goes_where_it_is() {
    // No replica has told where it is.
    let need = Need { min_lsn: Some(1), ..Need::READ };
    assert_eq!(chosen(&directory("p:a r:b", REPLICAS), &need), "a");
}

#[test]
fn roles_that_nobody_knows_yet_get_nothing() {
    let directory = directory("a:a a:b", ANY);
    assert_eq!(chosen(&directory, &Need::WRITE), "NoPrimary");
    assert_eq!(chosen(&directory, &Need::READ), "NoReplica");
    let targets = directory.targets("app", "u").expect("the user exists");
    assert_eq!(targets.for_login().err(), Some(NoTarget::NoPrimary));
}

#[test]
fn more_than_a_few_are_chosen_from_as_well() {
    let hosts: Vec<String> = (0..12).map(|n| format!("h{n:02}")).collect();
    let instances: Vec<String> = hosts.iter().map(|host| format!("r:{host}")).collect();
    let directory = directory(&format!("p:a {}", instances.join(" ")), REPLICAS);
    assert_eq!(chosen(&directory, &Need::READ), hosts.join(" "));
}

#[test]
fn a_change_of_the_topology_keeps_bans_and_pools() {
    let directory = directory("p:a r:b r:c", REPLICAS);
    ban(&directory, "b");
    let before = directory.targets("app", "u").expect("the user exists");
    let pool = before.choose(&Need::WRITE, 0).expect("a primary");
    directory.load(&topology("r:d r:b p:a r:c", REPLICAS)).expect("no files");

    assert_eq!(chosen(&directory, &Need::READ), "c d");
    assert_eq!(chosen(&directory, &Need::WRITE), "a");
    let after = directory.targets("app", "u").expect("the user exists");
    assert!(Arc::ptr_eq(&pool, &after.choose(&Need::WRITE, 0).expect("a primary")));
    assert!(!pool.is_retired());
    // Who asks the old targets is told so where a pool would have to be made, and served rightly
    // where there is one.
    assert_eq!(before.choose(&Need::READ, 0).err(), Some(NoTarget::Replaced));
    assert!(Arc::ptr_eq(&pool, &before.choose(&Need::WRITE, 0).expect("it lives on")));
}

#[test]
fn a_topology_that_is_refused_changes_nothing() {
    let directory = directory("p:a r:b", REPLICAS);
    let tls = r#""reads": "any", "server_tls": {"mode": "verify-ca", "ca": "/nowhere/ca.crt"},"#;
    assert!(directory.load(&topology("r:b p:a", tls)).is_err());
    ban(&directory, "b");
    assert_eq!(chosen(&directory, &Need::READ), "a");
    assert_eq!(chosen(&directory, &Need::WRITE), "a");
}
