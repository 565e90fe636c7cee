//! What one client did, or meant to do when it left, changes nothing for the next on its connection.

use std::time::Duration;

use anyhow::Result;
use pgherd_harness::poll;
use pgherd_harness::postgres::Postgres;
use pgherd_harness::proxy::{Proxy, ProxyConfig};
use pgherd_harness::raw::frontend::{bind, execute, message, parse, query, sync, terminate};
use pgherd_harness::raw::{Client, Login, Message};

/// Longer than any salvage.
const SOON: Duration = Duration::from_secs(8);
/// How many times a client leaves behind what the next must not see: the race has many outcomes.
const ROUNDS: usize = 10;

/// One server connection for all, so that each client gets what the last one left.
struct Stand {
    proxy: Proxy,
    postgres: Postgres,
}

impl Stand {
    fn start() -> Result<Self> {
        let postgres = Postgres::start()?;
        let config = ProxyConfig::transaction(&postgres).pool_size(1);
        let proxy = Proxy::start(&config.proxy_setting("workers", "1").to_toml())?;
        Ok(Self { proxy, postgres })
    }

    fn client(&self) -> Result<Client> {
        Client::login(self.proxy.addr())
    }

    fn client_with(&self, parameter: &str, value: &str) -> Result<Client> {
        Client::login_as(self.proxy.addr(), &Login::default().parameter(parameter, value))
    }

    /// Waits until the proxy has seen that the application's clients are gone.
    fn wait_gone(&self) -> Result<()> {
        let mut admin = self.proxy.admin()?;
        poll::until(SOON, "the clients to leave the list", || {
            let clients = admin.table("SHOW CLIENTS")?;
            Ok((!clients.iter().any(|client| client["user"] == "app")).then_some(()))
        })
    }

    /// Waits until the application's server connections are idle outside a transaction.
    fn wait_idle(&self) -> Result<()> {
        let busy = "SELECT state, query FROM pg_stat_activity \
                    WHERE usename = 'app' AND application_name <> 'pgherd health check' AND state <> 'idle'";
        poll::until(SOON, "the server connections to be idle", || {
            Ok(self.postgres.sql(busy)?.is_empty().then_some(()))
        })
    }
}

/// A statement run without parameters.
fn run(statement: &str) -> Vec<u8> {
    [bind("", statement, &[]), execute("", 0), sync()].concat()
}

/// The SQLSTATEs of an answer's errors.
fn errors(answer: &[Message]) -> Vec<String> {
    answer.iter().filter_map(Message::sqlstate).collect()
}

/// The first value of an answer's first row.
fn first_value(answer: &[Message]) -> Option<String> {
    let row = answer.iter().find_map(Message::data_row)?;
    row.first().copied().flatten().map(|value| String::from_utf8_lossy(value).into_owned())
}

#[track_caller]
fn check_shows(client: &mut Client, parameter: &str, wanted: &str) {
    let value = client.value(&format!("SHOW {parameter}")).expect("SHOW answers");
    assert_eq!(value, wanted, "{parameter}");
}

#[test]
fn a_set_whose_client_vanished_reaches_nobody_else() -> Result<()> {
    let stand = Stand::start()?;
    for _ in 0..ROUNDS {
        let mut leaver = stand.client()?;
        leaver.send(&query("SET work_mem = '7MB'"))?;
        drop(leaver);
        let mut next = stand.client()?;
        check_shows(&mut next, "work_mem", "4MB");
        drop(next);
        stand.wait_gone()?;
        // The SET may have come after that client; whoever comes now must not see it either.
        check_shows(&mut stand.client()?, "work_mem", "4MB");
    }
    Ok(())
}

#[test]
fn a_statement_that_failed_while_its_client_left_is_not_thought_prepared() -> Result<()> {
    let stand = Stand::start()?;
    for round in 0..ROUNDS {
        // A new text each time: the proxy need not parse one that it has prepared already.
        let sql = format!("SELECT count(*) FROM late_{round}");
        let mut leaver = stand.client()?;
        leaver.send(&[parse("s1", &sql, &[]), sync()].concat())?;
        drop(leaver);
        stand.wait_gone()?;
        let mut next = stand.client()?;
        next.rows(&format!("CREATE TABLE late_{round} ()"))?;
        next.send(&[parse("s1", &sql, &[]), run("s1")].concat())?;
        let answer = next.until_ready(1)?;
        assert_eq!(first_value(&answer).as_deref(), Some("0"), "{answer:?}");
        next.send(&run("s1"))?;
        let answer = next.until_ready(1)?;
        assert_eq!(first_value(&answer).as_deref(), Some("0"), "{answer:?}");
    }
    Ok(())
}

#[test]
fn startup_options_of_one_client_do_not_reach_another() -> Result<()> {
    let stand = Stand::start()?;
    let mut two = stand.client_with("options", "-c statement_timeout=5s -c work_mem=9MB")?;
    check_shows(&mut two, "work_mem", "9MB");
    let mut none = stand.client_with("application_name", "none")?;
    let mut one = stand.client_with("options", "-c statement_timeout=1s")?;
    for _ in 0..ROUNDS {
        check_shows(&mut none, "work_mem", "4MB");
        check_shows(&mut none, "statement_timeout", "0");
        check_shows(&mut one, "statement_timeout", "1s");
        check_shows(&mut one, "work_mem", "4MB");
        check_shows(&mut two, "statement_timeout", "5s");
        check_shows(&mut none, "application_name", "none");
        check_shows(&mut two, "work_mem", "9MB");
        check_shows(&mut one, "statement_timeout", "1s");
    }
    Ok(())
}

#[test]
fn discard_all_keeps_the_startup_parameters() -> Result<()> {
    let stand = Stand::start()?;
    let mut roman = stand.client_with("TimeZone", "Europe/Rome")?;
    let mut other = stand.client_with("options", "-c search_path=pg_catalog")?;
    for _ in 0..2 {
        check_shows(&mut roman, "timezone", "Europe/Rome");
        roman.rows("DISCARD ALL")?;
        check_shows(&mut roman, "timezone", "Europe/Rome");
        check_shows(&mut other, "search_path", "pg_catalog");
        other.rows("DISCARD ALL")?;
        check_shows(&mut other, "search_path", "pg_catalog");
    }
    check_shows(&mut stand.client()?, "search_path", "\"$user\", public");
    Ok(())
}

#[test]
fn reset_of_one_parameter_leaks_no_other() -> Result<()> {
    let stand = Stand::start()?;
    let mut first = stand.client_with("options", "-c statement_timeout=4s -c work_mem=9MB")?;
    check_shows(&mut first, "work_mem", "9MB");
    first.rows("RESET work_mem")?;
    // RESET goes back to what the session began with.
    check_shows(&mut first, "work_mem", "9MB");
    check_shows(&mut first, "statement_timeout", "4s");
    drop(first);
    stand.wait_gone()?;
    let mut next = stand.client()?;
    check_shows(&mut next, "statement_timeout", "0");
    check_shows(&mut next, "work_mem", "4MB");
    Ok(())
}

/// The client's values are set again at once, and once.
#[test]
fn what_a_reset_in_a_transaction_takes_away_is_set_again() -> Result<()> {
    let stand = Stand::start()?;
    for reset in ["RESET ALL", "RESET ALL; SET application_name = ''", "SET work_mem TO DEFAULT"] {
        let mut client = stand.client_with("options", "-c work_mem=9MB -c DateStyle=German")?;
        client.rows("BEGIN")?;
        client.rows(reset)?;
        check_shows(&mut client, "work_mem", "9MB");
        check_shows(&mut client, "DateStyle", "German, DMY");
        // Who leaves now leaves nothing behind.
        client.terminate()?;
        let mut next = stand.client()?;
        check_shows(&mut next, "work_mem", "4MB");
        check_shows(&mut next, "DateStyle", "ISO, MDY");
    }
    Ok(())
}

#[test]
fn what_a_reset_takes_away_on_a_connection_that_is_kept_is_set_again() -> Result<()> {
    let stand = Stand::start()?;
    for pin in ["LISTEN channel", "PREPARE q AS SELECT 1"] {
        let mut client = stand.client_with("TimeZone", "Asia/Tokyo")?;
        client.rows(pin)?;
        for reset in ["RESET ALL", "RESET timezone", "SET timezone TO DEFAULT"] {
            client.rows(reset)?;
            check_shows(&mut client, "timezone", "Asia/Tokyo");
        }
        drop(client);
        stand.wait_gone()?;
    }
    Ok(())
}

#[test]
fn what_is_set_behind_a_reset_is_no_reset() -> Result<()> {
    let stand = Stand::start()?;
    for (statements, wanted) in [
        ("RESET my.var", "started"),
        ("RESET ALL", "started"),
        ("RESET SESSION AUTHORIZATION; SET my.var = ''", ""),
        ("RESET my.var; SET my.var = ''", ""),
        ("BEGIN; RESET my.var; SET my.var = ''; COMMIT", ""),
        ("BEGIN; SET my.var = ''; RESET my.var; COMMIT", "started"),
        ("BEGIN; RESET ALL; SET my.var = ''; COMMIT", ""),
    ] {
        let mut client = stand.client_with("options", "-c my.var=started")?;
        for sql in statements.split("; ") {
            client.rows(sql)?;
        }
        check_shows(&mut client, "my.var", wanted);
        let mut client = stand.client_with("options", "-c my.var=started")?;
        client.rows(statements)?;
        check_shows(&mut client, "my.var", wanted);
    }
    Ok(())
}

/// Also by what the client is told of it.
#[test]
fn what_is_set_behind_a_second_reset_is_told() -> Result<()> {
    let stand = Stand::start()?;
    let mut client = stand.client_with("application_name", "started")?;
    client.rows("BEGIN")?;
    for _ in 0..2 {
        client.rows("RESET ALL")?;
        check_shows(&mut client, "application_name", "started");
        let told = client.simple("RESET ALL; SET application_name = ''")?;
        let told = told.iter().find(|message| message.tag == b'S');
        assert_eq!(told.map(|it| it.body.as_slice()), Some(&b"application_name\0\0"[..]));
        check_shows(&mut client, "application_name", "");
    }
    client.rows("COMMIT")?;
    check_shows(&mut client, "application_name", "");
    Ok(())
}

#[test]
fn an_unnamed_statement_behind_one_that_failed_reaches_nobody_else() -> Result<()> {
    let stand = Stand::start()?;
    let (mut one, mut other) = (stand.client()?, stand.client()?);
    let batches = [
        parse("", "SELECT 1; SELECT 2", &[]),
        sync(),
        parse("", "SELECT 'of another'", &[]),
        sync(),
    ];
    one.send(&batches.concat())?;
    assert_eq!(errors(&one.until_ready(2)?), ["42601"]);
    other.send(&run(""))?;
    assert_eq!(errors(&other.until_ready(1)?), ["26000"]);
    one.send(&run(""))?;
    assert_eq!(first_value(&one.until_ready(1)?).as_deref(), Some("of another"));
    Ok(())
}

#[test]
fn terminate_inside_copy_gives_the_server_connection_back() -> Result<()> {
    let stand = Stand::start()?;
    stand.client()?.rows("CREATE TABLE copied (n int)")?;
    for _ in 0..ROUNDS {
        let mut leaver = stand.client()?;
        leaver.send(&query("COPY copied FROM STDIN"))?;
        leaver.until_tag(b'G')?;
        leaver.send(&[message(b'd', b"1\n"), terminate()].concat())?;
        drop(leaver);
        let mut next = stand.client()?;
        next.set_deadline(SOON);
        assert_eq!(next.value("SELECT count(*) FROM copied")?, "0");
    }
    stand.wait_idle()
}

#[test]
fn terminate_without_sync_gives_the_server_connection_back() -> Result<()> {
    let stand = Stand::start()?;
    stand.client()?.rows("CREATE TABLE unsynced (n int)")?;
    let sql = "INSERT INTO unsynced VALUES (1)";
    for _ in 0..ROUNDS {
        let mut leaver = stand.client()?;
        let batch = [parse("", sql, &[]), bind("", "", &[]), execute("", 0), terminate()];
        leaver.send(&batch.concat())?;
        drop(leaver);
        let mut next = stand.client()?;
        next.set_deadline(SOON);
        // Without a Sync nothing was committed.
        assert_eq!(next.value("SELECT count(*) FROM unsynced")?, "0");
    }
    stand.wait_idle()
}

#[test]
fn a_parse_with_forty_thousand_types_works() -> Result<()> {
    /// The OID of `int4`.
    const INT4: u32 = 23;
    /// More than a signed count holds; Postgres allows 65,535.
    const COUNT: usize = 40_000;
    let stand = Stand::start()?;
    let mut many = stand.client()?;
    many.rows("SELECT 1")?;
    // The connection's unnamed statement is another client's, so that no Parse can be left out.
    let mut other = stand.client()?;
    other.send(&[parse("", "SELECT 2", &[]), sync()].concat())?;
    assert!(errors(&other.until_ready(1)?).is_empty());
    let values = vec![Some(b"1".as_slice()); COUNT];
    let batch =
        [parse("", "SELECT 3", &vec![INT4; COUNT]), bind("", "", &values), execute("", 0), sync()];
    many.send(&batch.concat())?;
    let answer = many.until_ready(1)?;
    assert_eq!(first_value(&answer).as_deref(), Some("3"), "{answer:?}");
    assert_eq!(other.value("SELECT 'served'")?, "served");
    Ok(())
}

/// One worker serves both clients: reading a statement must not take time that grows faster than it.
#[test]
fn a_long_statement_keeps_nobody_waiting() -> Result<()> {
    let stand = Stand::start()?;
    let mut long = stand.client()?;
    let mut other = stand.client()?;
    other.rows("SELECT 1")?;
    let sql = format!("SELECT 'x' -- {}", "temp ".repeat(200_000));
    long.send(&[parse("", &sql, &[]), run("")].concat())?;
    other.set_deadline(Duration::from_secs(5));
    assert_eq!(other.value("SELECT 'served'")?, "served");
    let answer = long.until_ready(1)?;
    assert_eq!(first_value(&answer).as_deref(), Some("x"), "{answer:?}");
    Ok(())
}

#[test]
fn a_reload_of_a_file_without_clusters_changes_nothing() -> Result<()> {
    let mut stand = Stand::start()?;
    let mut client = stand.client()?;
    client.rows("BEGIN")?;
    stand.proxy.reload(&ProxyConfig::head("workers = 1\n"))?;
    let mut admin = stand.proxy.admin()?;
    let refusal = admin.rows("RELOAD").unwrap_err().to_string();
    assert!(refusal.contains("cluster"), "{refusal}");
    assert_eq!(client.value("SELECT 'kept'")?, "kept");
    client.rows("COMMIT")?;
    assert_eq!(client.value("SELECT 'kept'")?, "kept");
    assert_eq!(stand.client()?.value("SELECT 'new'")?, "new");
    Ok(())
}
