//! The order of the crates, checked against `cargo metadata`. ARCHITECTURE.md has the same table:
//! a new edge changes both, and says why.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// The data plane, lowest first: each crate may use only those before it. `pgherd-config` stands
/// before the crates that choose instances and shards, since they take its types as arguments.
const DATA_PLANE: &[&str] = &[
    "pgherd-wire",
    "pgherd-types",
    "pgherd-collation",
    "pgherd-auth",
    "pgherd-config",
    "pgherd-balance",
    "pgherd-sharding",
    "pgherd-parser",
    "pgherd-sql",
    "pgherd-plan",
    "pgherd-tls",
    "pgherd-pool",
    "pgherd-session",
    "pgherd-admin",
    "pgherd-agent",
    "pgherd-proxy",
];
/// Those that do no IO: the control plane may use them, too.
const NO_IO: &[&str] = &[
    "pgherd-wire",
    "pgherd-types",
    "pgherd-auth",
    "pgherd-config",
    "pgherd-balance",
    "pgherd-sharding",
    "pgherd-parser",
    "pgherd-sql",
    "pgherd-plan",
];
/// The control plane, lowest first.
const CONTROL_PLANE: &[&str] = &["pgherd-store", "pgherd-fleet", "pgherd-api", "pgherd-control"];
/// What both planes speak: used by the two ends of the stream only, and by the tests, which play a
/// proxy that refuses.
const PROTO: &str = "pgherd-proto";
const SPEAK_PROTO: &[&str] = &["pgherd-agent", "pgherd-fleet", "pgherd-integration"];
/// Test and demo programs: they run the binaries and link none of them.
const TEST_PROGRAMS: &[&str] = &[
    "pgherd-harness",
    "pgherd-integration",
    "pgherd-chaos",
    "pgherd-sharding-oracle",
    "pgherd-drivers",
    "pgherd-bench",
    "pgherd-demo",
];
/// What carries out plans without a proxy orders text as the proxy does.
const ORDERS_TEXT: (&str, &str) = ("pgherd-sharding-oracle", "pgherd-collation");
const HARNESS: &str = "pgherd-harness";
/// The fuzz targets: they call the parsers of any crate of the data plane, and nobody uses them.
/// What libFuzzer needs stands outside of the workspace, in `tests/fuzz/runner`.
const FUZZ_TARGETS: &str = "pgherd-fuzz-targets";
/// What does IO or reads clocks by itself has no place below the rim.
const IO_CRATES: &[&str] =
    &["tokio", "socket2", "mio", "hyper", "axum", "tonic", "reqwest", "sqlx", "rustix"];

/// Name, kind (`None` is normal) and whether it is one of ours.
type Dependencies = BTreeMap<String, Vec<(String, Option<String>)>>;

fn dependencies() -> Result<Dependencies> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().context("no packages")?;
    packages
        .iter()
        .map(|package| {
            let text = |value: &Value| value.as_str().map(str::to_owned);
            let name = text(&package["name"]).context("a package without a name")?;
            let dependencies = package["dependencies"].as_array().context("no dependencies")?;
            let dependencies = dependencies
                .iter()
                .map(|it| Ok((text(&it["name"]).context("no name")?, text(&it["kind"]))))
                .collect::<Result<_>>()?;
            Ok((name, dependencies))
        })
        .collect()
}

/// Why `user` must not use `used`, if so.
fn objection(user: &str, used: &str, kind: Option<&str>) -> Option<&'static str> {
    let place = |stack: &[&str], name: &str| stack.iter().position(|&it| it == name);
    if used == HARNESS {
        let allowed = kind == Some("dev") || TEST_PROGRAMS.contains(&user);
        return (!allowed).then_some("the harness is for tests");
    }
    if used == PROTO {
        let allowed = SPEAK_PROTO.contains(&user);
        return (!allowed).then_some("only the two ends of the stream speak it");
    }
    if user == FUZZ_TARGETS {
        let allowed = DATA_PLANE.contains(&used);
        return (!allowed).then_some("what is fuzzed are parsers of the data plane");
    }
    if TEST_PROGRAMS.contains(&user) {
        let allowed = NO_IO.contains(&used) || (user, used) == ORDERS_TEXT;
        return (!allowed)
            .then_some("test programs run the binaries and link none of their crates");
    }
    if user == PROTO {
        return Some("the messages depend on nothing of ours");
    }
    if let Some(user) = place(DATA_PLANE, user) {
        return match place(DATA_PLANE, used) {
            None => Some("the data plane uses only the data plane"),
            Some(used) if used >= user => Some("that crate stands above its user"),
            Some(_) => None,
        };
    }
    match (place(CONTROL_PLANE, user), place(CONTROL_PLANE, used)) {
        (None, _) => Some("a crate that has no place in the layers"),
        (Some(_), None) if NO_IO.contains(&used) => None,
        (Some(_), None) => Some("of the data plane, only crates without IO are shared"),
        (Some(user), Some(used)) if used >= user => Some("that crate stands above its user"),
        (Some(_), Some(_)) => None,
    }
}

#[test]
fn crates_use_only_what_is_below_them() -> Result<()> {
    let dependencies = dependencies()?;
    let ours: BTreeSet<&String> = dependencies.keys().collect();
    let mut wrong = Vec::new();
    for (user, used) in &dependencies {
        for (used, kind) in used.iter().filter(|(used, _)| ours.contains(used)) {
            if let Some(reason) = objection(user, used, kind.as_deref()) {
                wrong.push(format!("{user} uses {used}: {reason}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn every_crate_has_a_place_in_the_layers() -> Result<()> {
    let known: BTreeSet<&str> = [DATA_PLANE, CONTROL_PLANE, TEST_PROGRAMS, &[PROTO, FUZZ_TARGETS]]
        .concat()
        .into_iter()
        .collect();
    let dependencies = dependencies()?;
    let strangers: Vec<&String> =
        dependencies.keys().filter(|name| !known.contains(name.as_str())).collect();
    assert!(strangers.is_empty(), "{strangers:?}");
    Ok(())
}

#[test]
fn crates_without_io_depend_on_nothing_that_does_io() -> Result<()> {
    let dependencies = dependencies()?;
    let mut wrong = Vec::new();
    for name in NO_IO {
        let used = dependencies.get(*name).map(Vec::as_slice).unwrap_or_default();
        let normal = used.iter().filter(|(_, kind)| kind.is_none());
        let io = normal.filter(|(used, _)| IO_CRATES.contains(&used.as_str()));
        wrong.extend(io.map(|(used, _)| format!("{name} uses {used}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn the_rules_object_to_what_they_should() {
    let rows = [
        ("pgherd-wire", "pgherd-pool", false),
        ("pgherd-pool", "pgherd-wire", true),
        ("pgherd-proxy", "pgherd-agent", true),
        ("pgherd-agent", "pgherd-proto", true),
        ("pgherd-session", "pgherd-proto", false),
        ("pgherd-proxy", "pgherd-store", false),
        ("pgherd-api", "pgherd-config", true),
        ("pgherd-api", "pgherd-pool", false),
        ("pgherd-store", "pgherd-api", false),
        ("pgherd-pool", "pgherd-harness", false),
        ("pgherd-demo", "pgherd-harness", true),
        ("pgherd-bench", "pgherd-proxy", false),
        ("pgherd-fuzz-targets", "pgherd-session", true),
        ("pgherd-fuzz-targets", "pgherd-store", false),
        ("pgherd-session", "pgherd-fuzz-targets", false),
        ("pgherd-new", "pgherd-wire", false),
    ];
    for (user, used, allowed) in rows {
        assert_eq!(objection(user, used, None).is_none(), allowed, "{user} -> {used}");
    }
    assert_eq!(objection("pgherd-store", "pgherd-harness", Some("dev")), None);
}
