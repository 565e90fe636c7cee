//! What is a command, row by row.

use super::*;

#[track_caller]
fn check(sql: &str, expected: Option<Command>) {
    assert_eq!(command(sql.as_bytes()), expected, "{sql}");
}

#[test]
fn settings_are_set() {
    let rows = [
        ("SET pgherd.role = 'primary'", Setting::Role(Some(RoleWish::Primary))),
        ("set session PGHERD.Role to replica;", Setting::Role(Some(RoleWish::Replica))),
        ("SET pgherd.role = auto", Setting::Role(None)),
        ("SET pgherd.shard = 3", Setting::Shard(Some(3))),
        ("SET pgherd.shard = '3' ; ;", Setting::Shard(Some(3))),
        ("SET pgherd.sharding_key = 'it''s'", Setting::ShardingKey(Some("it's".to_owned()))),
        ("SET pgherd.sharding_key = -5", Setting::ShardingKey(Some("-5".to_owned()))),
        ("SET pgherd.sharding_key = $x$a'b$x$", Setting::ShardingKey(Some("a'b".to_owned()))),
        ("SET pgherd.read_your_writes = on", Setting::ReadYourWrites(Some(true))),
        ("SET SHARD TO '1'", Setting::Shard(Some(1))),
        ("set shard to any", Setting::Shard(None)),
        ("SET SHARDING KEY TO '1234'", Setting::ShardingKey(Some("1234".to_owned()))),
        ("SET SERVER ROLE TO 'replica'", Setting::Role(Some(RoleWish::Replica))),
        ("SET SERVER ROLE TO 'auto'", Setting::Role(None)),
        ("SET PRIMARY READS TO 'off'", Setting::PrimaryReads(Some(false))),
        ("SET PRIMARY READS TO 'default'", Setting::PrimaryReads(None)),
    ];
    for (sql, expected) in rows {
        let Some(Command::Set { setting, local: false, .. }) = command(sql.as_bytes()) else {
            panic!("{sql}");
        };
        assert_eq!(setting, expected, "{sql}");
    }
    let set = |name, local| Some(Command::Set { name, setting: Setting::Shard(Some(1)), local });
    check("SET LOCAL pgherd.shard = 1", set("pgherd.shard", true));
    check("SET SHARD TO 1", set("shard", false));
    let default = Command::SetDefault { name: SettingName::Role, local: false };
    check("/* x */ SET pgherd.role TO DEFAULT", Some(default));
}

#[test]
fn settings_are_shown_and_reset() {
    check("RESET pgherd.role", Some(Command::Reset(SettingName::Role)));
    let show = |name, column| Some(Command::Show { name, column });
    check("SHOW pgherd.role", show(SettingName::Role, "pgherd.role"));
    check("SHOW SERVER ROLE;", show(SettingName::Role, "server role"));
    check("show shard", show(SettingName::Shard, "shard"));
}

#[test]
fn wrong_values_are_named() {
    let invalid = |name, value: &str| Some(Command::Invalid { name, value: value.to_owned() });
    check("SET pgherd.role = boss", invalid("pgherd.role", "boss"));
    check("SET SHARD TO 'x'", invalid("shard", "x"));
    check("SET pgherd.shard = -1", invalid("pgherd.shard", "-1"));
    check("SET pgherd.role = primary, replica", invalid("pgherd.role", "primary,replica"));
    check("SET pgherd.role =", invalid("pgherd.role", ""));
    check("SET pgherd.rol = x", Some(Command::Unrecognized { name: "pgherd.rol".to_owned() }));
    check("SHOW pgherd.x", Some(Command::Unrecognized { name: "pgherd.x".to_owned() }));
}

#[test]
fn what_postgres_executes_is_left_to_it() {
    for sql in [
        "SET role TO 'x'",
        "SET search_path TO a, b",
        "SHOW server_version",
        "SHOW ALL",
        "RESET ALL",
        "RESET role",
        "SELECT 1",
        "SELECT set_config('pgherd.role', 'any', false)",
        "SET SHARD = 1",
        "SET LOCAL SHARD TO 1",
        "SHOW shard; SELECT 1",
        "SET pgherd.role = any; SELECT 1 FROM t WHERE a = 2 AND b = 3",
        "RESET pgherd.role, x",
        "SET 'pgherd.role' = any",
        "SET",
        "",
    ] {
        check(sql, None);
    }
}
