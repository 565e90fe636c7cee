//! Session state in transaction mode: it follows its client, or keeps the server connection until
//! it is gone, and never reaches anybody else.

use std::time::Duration;

use anyhow::Result;
use pgherd_harness::poll;
use pgherd_harness::postgres::Postgres;
use pgherd_harness::proxy::{Proxy, ProxyConfig};
use pgherd_harness::raw::frontend::{bind, execute, parse, sync};
use pgherd_harness::raw::{Client, Login, Message};

const SOON: Duration = Duration::from_secs(8);

/// One server connection, for which two clients take turns.
struct Stand {
    proxy: Proxy,
    _postgres: Postgres,
}

impl Stand {
    fn start() -> Result<Self> {
        let postgres = Postgres::start()?;
        let config = ProxyConfig::transaction(&postgres)
            .pool_size(1)
            .proxy_setting("workers", "1")
            .cluster_setting("checkout_timeout", "\"4s\"");
        let proxy = Proxy::start(&config.to_toml())?;
        Ok(Self { proxy, _postgres: postgres })
    }

    fn client(&self) -> Result<Client> {
        Client::login(self.proxy.addr())
    }

    /// What keeps the server connection with its client, as the admin database shows it.
    fn pinned_by(&self) -> Result<Option<String>> {
        let mut admin = self.proxy.admin()?;
        let clients = admin.table("SHOW CLIENTS")?;
        Ok(clients
            .iter()
            .find(|client| client["pinned"] == "t")
            .map(|client| client["pinned_by"].clone()))
    }
}

fn is_error(answer: &[Message]) -> bool {
    answer.iter().any(|message| message.sqlstate().is_some())
}

#[track_caller]
fn run(client: &mut Client, sql: &str) {
    let answer = client.simple(sql).expect(sql);
    assert!(!is_error(&answer), "{sql}: {answer:?}");
}

#[track_caller]
fn check(client: &mut Client, sql: &str, wanted: &str) {
    assert_eq!(client.value(sql).expect(sql), wanted, "{sql}");
}

#[test]
fn parameters_follow_their_client_and_reach_nobody_else() -> Result<()> {
    let stand = Stand::start()?;
    let (mut one, mut other) = (stand.client()?, stand.client()?);
    let parameters = [
        ("work_mem", "'7MB'", "7MB"),
        ("statement_timeout", "'77s'", "77s"),
        ("search_path", "pg_catalog, \"$user\"", "pg_catalog, \"$user\""),
        ("extra_float_digits", "2", "2"),
        ("my.own", "'it''s'", "it's"),
        ("default_transaction_isolation", "serializable", "serializable"),
        ("enable_seqscan", "off", "off"),
        ("bytea_output", "escape", "escape"),
    ];
    run(&mut other, "SET my.own = 'other'");
    let before: Vec<String> = parameters
        .iter()
        .map(|(name, ..)| other.value(&format!("SHOW {name}")))
        .collect::<Result<_>>()?;
    for (name, value, _) in parameters {
        run(&mut one, &format!("SET {name} = {value}"));
        run(&mut other, "SELECT 1");
    }
    for ((name, _, shown), before) in parameters.iter().zip(&before) {
        check(&mut other, &format!("SHOW {name}"), before);
        check(&mut one, &format!("SHOW {name}"), shown);
    }
    run(&mut one, "RESET ALL");
    for ((name, ..), before) in parameters.iter().zip(&before) {
        check(&mut other, &format!("SHOW {name}"), before);
        let reset = if *name == "my.own" { "" } else { before };
        check(&mut one, &format!("SHOW {name}"), reset);
    }
    assert_eq!(stand.pinned_by()?, None);
    Ok(())
}

#[test]
fn rollbacks_and_savepoints_undo_what_was_set() -> Result<()> {
    let stand = Stand::start()?;
    let (mut one, mut other) = (stand.client()?, stand.client()?);
    run(&mut one, "SET work_mem = '5MB'");
    run(&mut other, "SELECT 1");
    run(&mut one, "BEGIN");
    run(&mut one, "SET work_mem = '6MB'");
    run(&mut one, "SAVEPOINT s");
    run(&mut one, "SET work_mem = '7MB'; SET my.own = 'gone'");
    run(&mut one, "ROLLBACK TO s");
    run(&mut one, "SET LOCAL enable_seqscan = off");
    run(&mut one, "COMMIT");
    check(&mut other, "SHOW work_mem", "4MB");
    check(&mut one, "SHOW work_mem", "6MB");
    check(&mut one, "SHOW enable_seqscan", "on");
    run(&mut one, "BEGIN");
    run(&mut one, "SET work_mem = '8MB'");
    run(&mut one, "ROLLBACK");
    check(&mut other, "SHOW work_mem", "4MB");
    check(&mut one, "SHOW work_mem", "6MB");
    Ok(())
}

#[test]
fn parameters_set_by_functions_and_blocks_follow_too() -> Result<()> {
    let stand = Stand::start()?;
    let (mut one, mut other) = (stand.client()?, stand.client()?);
    run(&mut one, "SELECT set_config('work_mem', '9MB', false)");
    check(&mut other, "SHOW work_mem", "4MB");
    check(&mut one, "SHOW work_mem", "9MB");
    run(
        &mut one,
        "DO $$ BEGIN PERFORM set_config('my.own', 'x', false); SET temp_buffers = 100; END $$",
    );
    check(&mut other, "SHOW temp_buffers", "8MB");
    check(&mut one, "SHOW my.own", "x");
    check(&mut one, "SHOW temp_buffers", "800kB");
    assert_eq!(stand.pinned_by()?, None);
    Ok(())
}

#[test]
fn a_prepared_set_config_counts_each_time_it_runs() -> Result<()> {
    let stand = Stand::start()?;
    let (mut one, mut other) = (stand.client()?, stand.client()?);
    let sql = "SELECT set_config('work_mem', $1, false)";
    for client in [&mut one, &mut other] {
        client.send(&[parse("s", sql, &[25]), sync()].concat())?;
        client.until_ready(1)?;
    }
    for (mine, others) in [("10MB", "11MB"), ("12MB", "13MB")] {
        for (client, value) in [(&mut one, mine), (&mut other, others)] {
            let batch = [bind("", "s", &[Some(value.as_bytes())]), execute("", 0), sync()];
            client.send(&batch.concat())?;
            assert!(!is_error(&client.until_ready(1)?));
        }
        check(&mut one, "SHOW work_mem", mine);
        check(&mut other, "SHOW work_mem", others);
    }
    Ok(())
}

#[test]
fn a_role_follows_its_client() -> Result<()> {
    let stand = Stand::start()?;
    let login = Login::new(
        pgherd_harness::postgres::SUPERUSER,
        pgherd_harness::postgres::SUPERUSER_PASSWORD,
        "postgres",
    );
    let mut one = Client::login_as(stand.proxy.addr(), &login)?;
    let mut other = Client::login_as(stand.proxy.addr(), &login)?;
    run(&mut one, "CREATE ROLE clerk");
    run(&mut one, "SET log_statement = 'none'");
    run(&mut one, "SET ROLE clerk");
    check(&mut other, "SELECT current_user", "postgres");
    run(&mut other, "SET log_statement = 'ddl'");
    check(&mut one, "SELECT current_user", "clerk");
    check(&mut one, "SHOW log_statement", "none");
    check(&mut other, "SHOW log_statement", "ddl");
    run(&mut one, "RESET ROLE");
    check(&mut one, "SELECT current_user", "postgres");
    run(&mut one, "SET SESSION AUTHORIZATION clerk");
    poll::until(SOON, "the pin", || {
        Ok((stand.pinned_by()?.as_deref() == Some("SESSION AUTHORIZATION")).then_some(()))
    })?;
    run(&mut one, "RESET SESSION AUTHORIZATION");
    check(&mut other, "SELECT session_user", "postgres");
    Ok(())
}

/// State that pins: how it comes, how it shows that it is there, and how it goes.
const PINS: [(&str, &str, &str, &str, &str); 9] = [
    (
        "temporary objects",
        "CREATE TEMP TABLE mine AS SELECT 7 AS n",
        "SELECT n FROM mine",
        "7",
        "DROP TABLE mine",
    ),
    (
        "temporary objects",
        "CREATE TEMP VIEW mine AS SELECT 8 AS n",
        "SELECT n FROM mine",
        "8",
        "DISCARD TEMP",
    ),
    (
        "temporary objects",
        "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 9'",
        "SELECT pg_temp.f()",
        "9",
        "DROP FUNCTION pg_temp.f()",
    ),
    ("LISTEN", "LISTEN news", "SELECT pg_listening_channels()", "news", "UNLISTEN news"),
    (
        "advisory locks",
        "SELECT pg_advisory_lock(5)",
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'",
        "1",
        "SELECT pg_advisory_unlock(5)",
    ),
    (
        "cursors WITH HOLD",
        "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
        "SELECT name FROM pg_cursors",
        "c",
        "CLOSE c",
    ),
    ("PREPARE", "PREPARE p AS SELECT 10", "EXECUTE p", "10", "DEALLOCATE p"),
    ("PREPARE", "PREPARE p AS SELECT 11", "EXECUTE p", "11", "DISCARD ALL"),
    (
        "temporary objects",
        "DO $$ BEGIN CREATE TEMP TABLE mine AS SELECT 12 AS n; END $$",
        "SELECT n FROM mine",
        "12",
        "DO $$ BEGIN DROP TABLE mine; END $$",
    ),
];

#[test]
fn what_cannot_follow_keeps_the_server_connection_until_it_is_gone() -> Result<()> {
    let stand = Stand::start()?;
    let (mut one, mut other) = (stand.client()?, stand.client()?);
    for (kind, begin, look, seen, end) in PINS {
        run(&mut one, begin);
        poll::until(SOON, "the pin to show", || {
            Ok((stand.pinned_by()?.as_deref() == Some(kind)).then_some(()))
        })?;
        // Waiting takes its time: once will do.
        if begin.starts_with("LISTEN") {
            assert!(is_error(&other.simple("SELECT 1")?), "{begin}: the other client was served");
        }
        check(&mut one, look, seen);
        run(&mut one, end);
        check(&mut other, "SELECT 1", "1");
        assert_eq!(stand.pinned_by()?, None, "{end}");
    }
    Ok(())
}

#[test]
fn state_that_ends_with_its_transaction_pins_nobody() -> Result<()> {
    let stand = Stand::start()?;
    let (mut one, mut other) = (stand.client()?, stand.client()?);
    for (statements, end) in [
        ("CREATE TEMP TABLE mine (n int) ON COMMIT DROP", "COMMIT"),
        ("CREATE TEMP TABLE mine (n int)", "ROLLBACK"),
        ("LISTEN news", "ROLLBACK"),
        ("SELECT pg_advisory_lock(5), pg_advisory_unlock(5)", "COMMIT"),
        ("DECLARE c CURSOR WITH HOLD FOR SELECT 1", "ROLLBACK"),
        ("PREPARE p AS SELECT 1; DEALLOCATE p", "COMMIT"),
    ] {
        run(&mut one, "BEGIN");
        run(&mut one, statements);
        run(&mut one, end);
        check(&mut other, "SELECT 1", "1");
        assert_eq!(stand.pinned_by()?, None, "{statements}");
    }
    Ok(())
}

#[test]
fn startup_options_come_back_with_a_reset() -> Result<()> {
    let stand = Stand::start()?;
    let login = Login::default().parameter("options", "-c work_mem=3MB -c my.own=first");
    let mut one = Client::login_as(stand.proxy.addr(), &login)?;
    let mut other = stand.client()?;
    for reset in ["RESET work_mem", "RESET ALL", "DISCARD ALL"] {
        run(&mut one, "SET work_mem = '6MB'");
        run(&mut one, reset);
        check(&mut one, "SHOW work_mem", "3MB");
        check(&mut other, "SHOW work_mem", "4MB");
        check(&mut one, "SHOW my.own", "first");
    }
    // Pinned as well.
    run(&mut one, "SET work_mem = '6MB'; LISTEN news");
    run(&mut one, "RESET work_mem");
    check(&mut one, "SHOW work_mem", "3MB");
    Ok(())
}

#[test]
fn a_reset_inside_a_transaction_leads_to_the_startup_options() -> Result<()> {
    let stand = Stand::start()?;
    let login = Login::default().parameter("options", "-c work_mem=3MB -c DateStyle=German");
    let mut one = Client::login_as(stand.proxy.addr(), &login)?;
    run(&mut one, "SET work_mem = '6MB'");
    run(&mut one, "BEGIN");
    run(&mut one, "RESET work_mem");
    check(&mut one, "SHOW work_mem", "3MB");
    run(&mut one, "RESET DateStyle");
    check(&mut one, "SHOW DateStyle", "German, DMY");
    for both in ["RESET work_mem; SET work_mem = '9MB'", "RESET ALL; SET work_mem = '9MB'"] {
        run(&mut one, both);
        check(&mut one, "SHOW work_mem", "9MB");
    }
    run(&mut one, "ROLLBACK");
    check(&mut one, "SHOW work_mem", "6MB");
    Ok(())
}

#[test]
fn startup_options_come_back_in_session_mode_too() -> Result<()> {
    let postgres = Postgres::start()?;
    let config = ProxyConfig::session(&postgres).pool_size(1);
    let proxy = Proxy::start(&config.to_toml())?;
    let login = Login::default()
        .parameter("options", "-c work_mem=3MB -c DateStyle=German")
        .parameter("application_name", "mine");
    let mut one = Client::login_as(proxy.addr(), &login)?;
    for reset in ["RESET ALL", "DISCARD ALL", "SELECT 1; RESET ALL"] {
        run(&mut one, "SET work_mem = '6MB'; SET DateStyle = ISO");
        run(&mut one, reset);
        check(&mut one, "SHOW work_mem", "3MB");
        check(&mut one, "SHOW DateStyle", "German, DMY");
        check(&mut one, "SHOW application_name", "mine");
    }
    Ok(())
}

#[test]
fn a_client_knows_its_own_notifications() -> Result<()> {
    let stand = Stand::start()?;
    let mut one = stand.client()?;
    run(&mut one, "LISTEN news");
    let answer = one.simple("NOTIFY news")?;
    let heard = answer.iter().find(|message| message.tag == b'A').expect("a notification");
    let key = one.welcome().iter().find(|message| message.tag == b'K').expect("a key");
    assert_eq!(heard.body[..4], key.body[..4]);
    Ok(())
}

#[test]
fn an_unnamed_statement_survives_the_statements_of_the_proxy() -> Result<()> {
    let stand = Stand::start()?;
    let mut one = Client::login_as(
        stand.proxy.addr(),
        &Login::default().parameter("TimeZone", "Europe/Rome"),
    )?;
    let mut other = stand.client()?;
    one.send(&[parse("", "SELECT 'mine'", &[]), sync()].concat())?;
    one.until_ready(1)?;
    run(&mut other, "SELECT 1");
    one.send(&[bind("", "", &[]), execute("", 0), sync()].concat())?;
    let answer = one.until_ready(1)?;
    assert!(!is_error(&answer), "{answer:?}");
    Ok(())
}

#[test]
fn an_idle_listener_hears_of_notifications() -> Result<()> {
    let stand = Stand::start()?;
    let postgres = &stand._postgres;
    let mut one = stand.client()?;
    run(&mut one, "LISTEN news");
    let mut direct = Client::login(postgres.addr())?;
    for payload in ["first", "second"] {
        run(&mut direct, &format!("NOTIFY news, '{payload}'"));
        let heard = one.until_tag(b'A')?;
        let body = &heard.last().expect("a message").body;
        assert!(body.ends_with(format!("news\0{payload}\0").as_bytes()), "{body:?}");
    }
    Ok(())
}

#[test]
fn a_statement_timeout_of_a_client_hurts_no_other() -> Result<()> {
    let stand = Stand::start()?;
    let (mut one, mut other) = (stand.client()?, stand.client()?);
    run(&mut one, "SET statement_timeout = 1");
    check(&mut other, "SHOW statement_timeout", "0");
    check(&mut other, "SELECT 'slow' FROM pg_sleep(0.05)", "slow");
    Ok(())
}
