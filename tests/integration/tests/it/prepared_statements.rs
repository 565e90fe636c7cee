//! Limits of prepared statements, and how long they keep a server connection.

use std::time::Duration;

use anyhow::{Context, Result};
use pgherd_harness::poll;
use pgherd_harness::postgres::Postgres;
use pgherd_harness::proxy::{Proxy, ProxyConfig};
use pgherd_harness::raw::frontend::{
    bind, close_statement, copy_data, copy_done, execute, flush, parse, query, sync,
};
use pgherd_harness::raw::{Client, Message};

const SOON: Duration = Duration::from_secs(8);

struct Stand {
    proxy: Proxy,
    postgres: Postgres,
}

impl Stand {
    /// One server connection for all, and settings of the cluster.
    fn start(settings: &[(&str, &str)]) -> Result<Self> {
        let postgres = Postgres::start()?;
        let mut config = ProxyConfig::transaction(&postgres).pool_size(1);
        config = config.proxy_setting("workers", "1");
        for (key, value) in settings {
            config = config.cluster_setting(key, value);
        }
        let proxy = Proxy::start(&config.to_toml())?;
        Ok(Self { proxy, postgres })
    }

    fn client(&self) -> Result<Client> {
        Client::login(self.proxy.addr())
    }

    /// Whether the server connection serves anybody but the client that had it last.
    fn is_shared(&self) -> Result<bool> {
        let mut admin = self.proxy.admin()?;
        let pools = admin.table("SHOW POOLS")?;
        let pool = pools.iter().find(|pool| pool["user"] == "app").context("a pool")?;
        Ok(pool["sv_active"] == "0")
    }

    /// Waits until others may have it: the server is asked before it is given back.
    fn wait_shared(&self) -> Result<()> {
        poll::until(SOON, "the end of the pin", || Ok(self.is_shared()?.then_some(())))
    }
}

fn run(name: &str, value: &str) -> Vec<u8> {
    [bind("", name, &[Some(value.as_bytes())]), execute("", 0)].concat()
}

fn values(answer: &[Message]) -> Vec<String> {
    let rows = answer.iter().filter_map(Message::data_row);
    rows.filter_map(|row| Some(String::from_utf8_lossy(row.first()?.as_deref()?).into_owned()))
        .collect()
}

fn errors(answer: &[Message]) -> Vec<String> {
    answer.iter().filter_map(Message::sqlstate).collect()
}

fn ask(client: &mut Client, messages: &[Vec<u8>]) -> Result<Vec<Message>> {
    client.send(&[messages.concat(), sync()].concat())?;
    client.until_ready(1)
}

#[test]
fn a_batch_may_use_more_statements_than_a_server_connection_keeps() -> Result<()> {
    const MANY: usize = 40;
    let stand = Stand::start(&[("server_prepared_statements", "5")])?;
    let mut client = stand.client()?;
    let names: Vec<String> = (0..MANY).map(|n| format!("s{n}")).collect();
    let wanted: Vec<String> = (0..MANY).map(|n| (n + 1).to_string()).collect();
    let all: Vec<Vec<u8>> = names
        .iter()
        .enumerate()
        .flat_map(|(n, name)| [parse(name, &format!("SELECT $1::int + {n}"), &[]), run(name, "1")])
        .collect();
    assert_eq!(values(&ask(&mut client, &all)?), wanted);
    let again: Vec<Vec<u8>> = names.iter().map(|name| run(name, "1")).collect();
    for _ in 0..3 {
        assert_eq!(values(&ask(&mut client, &again)?), wanted);
    }
    // What one batch needs is there at once; afterwards it is closed.
    assert_eq!(values(&ask(&mut client, &[run("s0", "1"), run("s1", "1")])?), ["1", "2"]);
    let kept: usize = client.value("SELECT count(*) FROM pg_prepared_statements")?.parse()?;
    assert!(kept <= 7, "{kept} statements on a server connection that keeps 5");
    Ok(())
}

#[test]
fn a_client_may_have_so_many_statements_and_no_more() -> Result<()> {
    let stand = Stand::start(&[("max_prepared_statements", "3")])?;
    let mut client = stand.client()?;
    let three = ["a", "b", "c"].map(|name| parse(name, "SELECT $1::int", &[]));
    assert_eq!(errors(&ask(&mut client, &three)?), Vec::<String>::new());
    let answer = ask(&mut client, &[parse("d", "SELECT 4", &[]), run("a", "1")])?;
    let error = answer.iter().find(|message| message.tag == b'E').context("an error")?;
    assert_eq!(error.sqlstate().as_deref(), Some("53400"));
    let hint = error.field(b'H').unwrap_or_default();
    assert!(hint.contains("max_prepared_statements"), "{hint}");
    assert_eq!(values(&answer), Vec::<String>::new());
    // Others are not concerned, nor is this one once it has closed some.
    let mut other = stand.client()?;
    assert_eq!(values(&ask(&mut other, &[parse("d", "SELECT $1", &[]), run("d", "x")])?), ["x"]);
    let answer = ask(
        &mut client,
        &[close_statement("b"), parse("d", "SELECT $1::int * 2", &[]), run("d", "2")],
    )?;
    assert_eq!(values(&answer), ["4"]);
    assert_eq!(values(&ask(&mut client, &[run("a", "1")])?), ["1"]);
    Ok(())
}

#[test]
fn a_pin_for_statements_of_sql_ends_with_them() -> Result<()> {
    let stand = Stand::start(&[])?;
    let mut client = stand.client()?;
    let ends: [&[&str]; 6] = [
        &["DEALLOCATE q", "DEALLOCATE r"],
        &["DEALLOCATE ALL"],
        &["DISCARD ALL"],
        &["DEALLOCATE r; DEALLOCATE PREPARE q"],
        &["BEGIN; DEALLOCATE q; DEALLOCATE r", "ROLLBACK"],
        &["DEALLOCATE q; SELECT 1; DEALLOCATE ALL"],
    ];
    for end in ends {
        client.rows("PREPARE q AS SELECT $1::int; PREPARE \"r\" AS SELECT 2")?;
        assert_eq!(client.value("EXECUTE q(5)")?, "5");
        assert!(!stand.is_shared()?, "pinned before {end:?}");
        for (at, sql) in end.iter().enumerate() {
            assert!(!stand.is_shared()?, "pinned before {at} of {end:?}");
            client.rows(sql)?;
        }
        stand.wait_shared().with_context(|| format!("after {end:?}"))?;
        assert_eq!(stand.client()?.value("SELECT 'served'")?, "served");
    }
    Ok(())
}

#[test]
fn statements_of_sql_end_through_the_protocol_as_well() -> Result<()> {
    let stand = Stand::start(&[])?;
    let mut client = stand.client()?;
    for _ in 0..2 {
        client.rows("PREPARE q AS SELECT $1::int")?;
        assert!(!stand.is_shared()?);
        // A Close that is discarded closes nothing.
        let answer = ask(&mut client, &[run("nothing", "1"), close_statement("q")])?;
        assert_eq!(errors(&answer), ["26000"]);
        assert!(!stand.is_shared()?);
        assert_eq!(values(&ask(&mut client, &[run("q", "5")])?), ["5"]);
        ask(&mut client, &[close_statement("q")])?;
        stand.wait_shared()?;
        let prepare = [parse("", "PREPARE q AS SELECT $1::int", &[]), bind("", "", &[])];
        ask(&mut client, &[prepare.concat(), execute("", 0)])?;
        assert!(!stand.is_shared()?);
        let end = [parse("", "DEALLOCATE q", &[]), bind("", "", &[]), execute("", 0)];
        assert_eq!(errors(&ask(&mut client, &end)?), Vec::<String>::new());
        stand.wait_shared()?;
    }
    Ok(())
}

#[test]
fn statements_of_the_protocol_pin_nothing_whatever_sql_does_with_them() -> Result<()> {
    let stand = Stand::start(&[])?;
    let mut client = stand.client()?;
    let mut other = stand.client()?;
    ask(&mut other, &[parse("s1", "SELECT 'other' || $1", &[])])?;
    for round in 0..3 {
        ask(&mut client, &[parse("s1", "SELECT $1::int + 1", &[])])?;
        assert_eq!(client.value(&format!("EXECUTE s1({round})"))?, (round + 1).to_string());
        stand.wait_shared()?;
        assert_eq!(values(&ask(&mut other, &[run("s1", "!")])?), ["other!"]);
        client.rows("DEALLOCATE s1")?;
        stand.wait_shared()?;
        assert!(client.rows("EXECUTE s1(1)").is_err());
        assert_eq!(values(&ask(&mut other, &[run("s1", "?")])?), ["other?"]);
        assert!(other.rows("DEALLOCATE s2").is_err());
    }
    Ok(())
}

/// A statement of so many bytes that returns one value.
fn padded(value: &str, bytes: usize) -> String {
    format!("SELECT '{value}' || $1 /* {} */", "x".repeat(bytes))
}

#[test]
fn a_large_unnamed_statement_pins_nothing() -> Result<()> {
    let stand = Stand::start(&[])?;
    let mut client = stand.client()?;
    let mut other = stand.client()?;
    for megabytes in [2, 15] {
        let sql = padded("large", megabytes << 20);
        let answer = ask(&mut client, &[parse("", &sql, &[]), run("", "!")])?;
        assert_eq!(values(&answer), ["large!"]);
        stand.wait_shared()?;
        assert_eq!(values(&ask(&mut other, &[parse("", "SELECT $1", &[]), run("", "x")])?), ["x"]);
        assert_eq!(values(&ask(&mut client, &[run("", "?")])?), ["large?"]);
    }
    Ok(())
}

#[test]
fn what_is_too_large_to_be_kept_pins_until_it_is_closed_or_replaced() -> Result<()> {
    let stand = Stand::start(&[])?;
    let mut client = stand.client()?;
    let sql = padded("huge", 17 << 20);
    let ends: [(&str, Vec<Vec<u8>>); 3] = [
        ("", vec![close_statement("")]),
        ("", vec![parse("", "SELECT $1", &[])]),
        ("named", vec![close_statement("named")]),
    ];
    for (name, end) in ends {
        assert_eq!(errors(&ask(&mut client, &[parse(name, &sql, &[])])?), Vec::<String>::new());
        assert!(!stand.is_shared()?);
        assert_eq!(values(&ask(&mut client, &[run(name, "!")])?), ["huge!"]);
        assert!(!stand.is_shared()?);
        ask(&mut client, &end)?;
        stand.wait_shared()?;
        assert_eq!(stand.client()?.value("SELECT 'served'")?, "served");
    }
    ask(&mut client, &[parse("", &sql, &[])])?;
    client.rows("SELECT 1")?;
    stand.wait_shared()?;
    // One that fails is not there.
    let broken = format!("SELEC {sql}");
    assert_eq!(errors(&ask(&mut client, &[parse("named", &broken, &[])])?), ["42601"]);
    stand.wait_shared()?;
    // A name that is taken.
    ask(&mut client, &[parse("named", "SELECT 'small' || $1", &[])])?;
    assert_eq!(errors(&ask(&mut client, &[parse("named", &sql, &[])])?), ["42P05"]);
    assert_eq!(values(&ask(&mut client, &[run("named", "!")])?), ["small!"]);
    stand.wait_shared()?;
    Ok(())
}

#[test]
fn a_failed_copy_with_syncs_inside_costs_no_server_connection() -> Result<()> {
    let stand = Stand::start(&[])?;
    let mut client = stand.client()?;
    client.rows("CREATE TABLE copied (n int)")?;
    let pid = client.value("SELECT pg_backend_pid()")?;
    let copy = [parse("", "COPY copied FROM STDIN", &[]), bind("", "", &[]), execute("", 0)];
    let copy = copy.concat();
    let bad = || copy_data(b"bad\n");
    // What is sent, and how many ReadyForQuery come.
    let cases: [(Vec<Vec<u8>>, usize); 5] = [
        (vec![copy.clone(), sync(), bad(), copy_done(), sync()], 1),
        (vec![copy.clone(), bad(), sync(), copy_done(), sync()], 2),
        (vec![copy.clone(), sync(), bad(), sync(), copy_done(), sync()], 2),
        (vec![query("COPY copied FROM STDIN"), bad(), sync(), copy_done()], 2),
        (vec![query("COPY copied FROM STDIN"), sync(), bad(), copy_done()], 1),
    ];
    for (number, (messages, readies)) in cases.iter().enumerate() {
        client.send(&messages.concat())?;
        let answer = client.until_ready(*readies)?;
        assert_eq!(errors(&answer), ["22P02"], "case {number}");
        assert_eq!(stand.client()?.value("SELECT pg_backend_pid()")?, pid, "case {number}");
        assert_eq!(client.value("SELECT pg_backend_pid()")?, pid, "case {number}");
    }
    // The client waits for the error and only then ends the copy.
    client.send(&[copy, flush(), sync(), bad()].concat())?;
    client.until_tag(b'E')?;
    client.send(&[copy_done(), sync()].concat())?;
    client.until_ready(1)?;
    assert_eq!(client.value("SELECT pg_backend_pid()")?, pid);
    let backends = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND application_name <> 'pgherd health check'";
    assert_eq!(stand.postgres.sql(backends)?, [["1"]]);
    Ok(())
}
