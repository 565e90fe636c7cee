//! Limits of time end what takes too long, in Postgres too, and leave the rest alone.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use pgherd_harness::poll;
use pgherd_harness::proxy::ProxyConfig;
use pgherd_harness::raw::frontend::{
    bind, copy_data, copy_done, execute, flush, parse, query, sync,
};
use pgherd_harness::raw::{Client, Message};

use super::stand::{SOON, Stand};

/// The limit in these tests, and what a busy machine may make of it: what has none takes a minute.
const LIMIT: Duration = Duration::from_millis(200);
const LATEST: Duration = Duration::from_secs(5);
/// So long nothing may come, where the limit is not meant.
const QUIET: Duration = Duration::from_millis(600);

fn stand(mode: &str, setting: &str) -> Result<Stand> {
    Stand::start(|config| {
        let toml = config.pool_size(1).cluster_setting(setting, "\"200ms\"");
        if mode == "transaction" {
            toml
        } else {
            toml.user_setting("app", "pool_mode", "\"session\"")
        }
    })
}

/// The time that `act` takes is the limit and not much more.
fn timed<T>(act: impl FnOnce() -> Result<T>) -> Result<T> {
    let begun = Instant::now();
    let result = act()?;
    let took = begun.elapsed();
    assert!(took >= LIMIT && took < LATEST, "{took:?}");
    Ok(result)
}

fn state(messages: &[Message]) -> Option<String> {
    messages.iter().find_map(Message::sqlstate)
}

/// Nothing of the application's user runs in Postgres.
fn check_nothing_runs(stand: &Stand) -> Result<()> {
    let running = "SELECT query FROM pg_stat_activity WHERE usename = 'app' AND application_name <> 'pgherd health check' AND state <> 'idle'";
    poll::until(SOON, "the query to end", || {
        Ok(stand.postgres.sql(running)?.is_empty().then_some(()))
    })
}

/// A query that is sent so is cancelled; its connection lives on. `end` is what the client sends
/// when it has been told.
#[track_caller]
fn check_cancelled(mode: &str, requests: &[Vec<u8>], end: &[Vec<u8>]) {
    let run = || -> Result<()> {
        let stand = stand(mode, "query_timeout")?;
        let mut client = stand.client()?;
        let backend = client.value("SELECT pg_backend_pid()")?;
        for round in 0..3 {
            let error = timed(|| {
                client.send(&requests.concat())?;
                client.until_tag(b'E')
            })
            .with_context(|| format!("round {round}"))?;
            assert_eq!(state(&error).as_deref(), Some("57014"), "{error:?}");
            assert_eq!(error.last().and_then(|it| it.field(b'S')).as_deref(), Some("ERROR"));
            client.send(&end.concat())?;
            client.until_ready(1)?;
            check_nothing_runs(&stand)?;
            assert_eq!(client.value("SELECT pg_backend_pid()")?, backend);
        }
        assert_eq!(stand.postgres.sql("SELECT * FROM t")?, Vec::<Vec<String>>::new());
        Ok(())
    };
    run().unwrap_or_else(|error| panic!("{error:#}"));
}

#[test]
fn a_query_is_cancelled() {
    check_cancelled("transaction", &[query("SELECT pg_sleep(60)")], &[]);
    check_cancelled("session", &[query("SELECT pg_sleep(60)")], &[]);
}

#[test]
fn a_query_of_the_extended_protocol_is_cancelled() {
    let batch = [parse("", "SELECT pg_sleep(60)", &[]), bind("", "", &[]), execute("", 0)];
    check_cancelled("transaction", &[batch.concat(), sync()], &[]);
    check_cancelled("transaction", &[batch.concat(), flush()], &[sync()]);
    let named = [parse("s", "INSERT INTO t SELECT 1 FROM pg_sleep(60)", &[]), bind("", "s", &[])];
    let close = pgherd_harness::raw::frontend::close_statement("s");
    check_cancelled("transaction", &[close, named.concat(), execute("", 0), sync()], &[]);
}

#[test]
fn a_copy_to_the_client_is_cancelled() {
    let copy = "COPY (SELECT n, pg_sleep(n) FROM generate_series(0, 60, 30) n) TO STDOUT";
    check_cancelled("transaction", &[query(copy)], &[]);
}

#[test]
fn a_copy_whose_client_says_nothing_more_is_ended() {
    let copy = [query("COPY t FROM STDIN"), copy_data(b"1\n")];
    check_cancelled("transaction", &copy, &[copy_data(b"2\n"), copy_done()]);
    check_cancelled("session", &copy, &[copy_data(b"2\n"), copy_done()]);
    let batch = [parse("", "COPY t FROM STDIN", &[]), bind("", "", &[]), execute("", 0), flush()];
    let end = [copy_data(b"2\n"), copy_done(), sync()];
    check_cancelled("transaction", &[batch.concat(), copy_data(b"1\n")], &end);
}

#[test]
fn a_copy_whose_client_goes_on_for_too_long_is_ended() -> Result<()> {
    let stand = stand("transaction", "query_timeout")?;
    let mut client = stand.client()?;
    client.send(&query("COPY t FROM STDIN"))?;
    client.until_tag(b'G')?;
    let begun = Instant::now();
    let answer = loop {
        client.send(&copy_data(b"1\n"))?;
        let answer = client.drain(Duration::from_millis(5))?;
        if !answer.is_empty() {
            break answer;
        }
        assert!(begun.elapsed() < SOON);
    };
    assert_eq!(state(&answer).as_deref(), Some("57014"), "{answer:?}");
    client.send(&copy_done())?;
    assert_eq!(client.value("SELECT count(*) FROM t")?, "0");
    Ok(())
}

#[test]
fn a_query_in_a_transaction_is_cancelled_and_the_transaction_has_failed() -> Result<()> {
    let stand = stand("transaction", "query_timeout")?;
    let mut client = stand.client()?;
    client.rows("BEGIN; INSERT INTO t VALUES (1)")?;
    let answer = timed(|| client.simple("SELECT pg_sleep(60)"))?;
    assert_eq!(state(&answer).as_deref(), Some("57014"), "{answer:?}");
    assert_eq!(answer.last().map(|ready| ready.body.as_slice()), Some(b"E".as_slice()));
    // Idleness is no query.
    assert!(client.drain(QUIET)?.is_empty());
    client.rows("ROLLBACK")?;
    assert_eq!(client.value("SELECT count(*) FROM t")?, "0");
    Ok(())
}

#[test]
fn many_short_queries_are_not_a_long_one() -> Result<()> {
    let stand = stand("transaction", "query_timeout")?;
    let mut client = stand.client()?;
    let begun = Instant::now();
    client.rows("BEGIN")?;
    while begun.elapsed() < 4 * LIMIT {
        client.rows("SELECT pg_sleep(0.03)")?;
    }
    client.rows("COMMIT")?;
    // Also where the next is under way before the last has ended.
    client.send(&query("SELECT pg_sleep(0.03)").repeat(20))?;
    let answer = client.until_ready(20)?;
    assert_eq!(state(&answer), None, "{answer:?}");
    Ok(())
}

#[test]
fn a_user_can_have_limits_of_its_own() -> Result<()> {
    let change = |config: ProxyConfig| {
        config.cluster_setting("query_timeout", "\"200ms\"").user_setting(
            "other",
            "query_timeout",
            "\"0s\"",
        )
    };
    let stand = Stand::start(change)?;
    stand.other()?.rows("SELECT pg_sleep(0.8)")?;
    let answer = timed(|| stand.client()?.simple("SELECT pg_sleep(0.8)"))?;
    assert_eq!(state(&answer).as_deref(), Some("57014"), "{answer:?}");
    Ok(())
}

#[test]
fn a_query_that_no_cancel_ends_loses_its_connection() -> Result<()> {
    let stand = stand("transaction", "query_timeout")?;
    let mut client = stand.client()?;
    client.send(&query(
        "DO $$ BEGIN LOOP BEGIN PERFORM pg_sleep(60); \
         EXCEPTION WHEN query_canceled THEN END; END LOOP; END $$",
    ))?;
    let begun = Instant::now();
    let told = client.rest()?;
    assert!(begun.elapsed() > Duration::from_secs(4) && begun.elapsed() < SOON);
    assert_eq!(state(&told).as_deref(), Some("57014"), "{told:?}");
    assert_eq!(told.last().and_then(|it| it.field(b'S')).as_deref(), Some("FATAL"));
    // The pool goes on with another connection.
    assert_eq!(stand.client()?.value("SELECT 1")?, "1");
    stand
        .postgres
        .sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'DO %'")?;
    Ok(())
}

/// The client is told this and disconnected; its server connection is saved, its work undone.
#[track_caller]
fn check_disconnected(
    mode: &str,
    setting: &str,
    begin: impl Fn(&mut Client) -> Result<()>,
    wanted: (&str, &str),
) {
    let run = || -> Result<()> {
        let stand = stand(mode, setting)?;
        let backend = stand.client()?.value("SELECT pg_backend_pid()")?;
        for _ in 0..2 {
            let mut client = stand.client()?;
            let begun = Instant::now();
            begin(&mut client)?;
            let told = client.rest()?;
            let took = begun.elapsed();
            assert!(took >= LIMIT && took < LATEST, "{took:?}");
            let error = told.last().context("the client was told nothing")?;
            assert_eq!(error.field(b'S').as_deref(), Some("FATAL"), "{told:?}");
            assert_eq!(error.sqlstate().as_deref(), Some(wanted.0));
            assert_eq!(error.field(b'M').as_deref(), Some(wanted.1));
            check_nothing_runs(&stand)?;
            assert_eq!(stand.client()?.value("SELECT pg_backend_pid()")?, backend);
        }
        assert_eq!(stand.postgres.sql("SELECT * FROM t")?, Vec::<Vec<String>>::new());
        Ok(())
    };
    run().unwrap_or_else(|error| panic!("{error:#}"));
}

#[test]
fn a_client_that_is_idle_in_a_transaction_is_disconnected() {
    let wanted = ("25P03", "terminating connection due to idle-in-transaction timeout");
    let open = |client: &mut Client| client.rows("BEGIN; INSERT INTO t VALUES (1)").map(drop);
    check_disconnected("transaction", "idle_in_transaction_timeout", open, wanted);
    check_disconnected("session", "idle_in_transaction_timeout", open, wanted);
    let failed = |client: &mut Client| client.simple("BEGIN; SELECT 1/0").map(drop);
    check_disconnected("transaction", "idle_in_transaction_timeout", failed, wanted);
    let batch = |client: &mut Client| {
        let insert = parse("", "INSERT INTO t VALUES (1)", &[]);
        client.send(&[insert, bind("", "", &[]), execute("", 0), flush()].concat())?;
        client.until_tag(b'C').map(drop)
    };
    check_disconnected("transaction", "idle_in_transaction_timeout", batch, wanted);
}

#[test]
fn a_transaction_that_takes_too_long_ends_whatever_it_does() {
    let wanted = ("25P04", "terminating connection due to transaction timeout");
    let idle = |client: &mut Client| client.rows("BEGIN; INSERT INTO t VALUES (1)").map(drop);
    check_disconnected("transaction", "transaction_timeout", idle, wanted);
    check_disconnected("session", "transaction_timeout", idle, wanted);
    let running = |client: &mut Client| {
        client.rows("BEGIN; INSERT INTO t VALUES (1)")?;
        client.send(&query("SELECT pg_sleep(60)"))
    };
    check_disconnected("transaction", "transaction_timeout", running, wanted);
    let busy = |client: &mut Client| {
        client.rows("BEGIN")?;
        for _ in 0..100 {
            client.send(&query("INSERT INTO t SELECT 1 FROM pg_sleep(0.02)"))?;
        }
        Ok(())
    };
    check_disconnected("transaction", "transaction_timeout", busy, wanted);
}

#[test]
fn transactions_one_after_the_other_are_not_a_long_one() -> Result<()> {
    for mode in ["transaction", "session"] {
        let stand = stand(mode, "transaction_timeout")?;
        let mut client = stand.client()?;
        let begun = Instant::now();
        while begun.elapsed() < 4 * LIMIT {
            client.rows("BEGIN")?;
            client.rows("SELECT pg_sleep(0.05)")?;
            client.rows("COMMIT")?;
        }
        assert!(client.drain(QUIET)?.is_empty());
        let one = query("SELECT pg_sleep(0.05)");
        client.send(&one.repeat(10))?;
        assert_eq!(state(&client.until_ready(10)?), None);
    }
    Ok(())
}

#[test]
fn a_client_that_is_idle_is_disconnected() {
    let wanted = ("57P05", "terminating connection due to idle-session timeout");
    check_disconnected("transaction", "client_idle_timeout", |_| Ok(()), wanted);
    let quick = |client: &mut Client| client.rows("SELECT 1").map(drop);
    check_disconnected("transaction", "client_idle_timeout", quick, wanted);
    check_disconnected("session", "client_idle_timeout", quick, wanted);
}

#[test]
fn a_client_that_works_or_waits_is_not_idle() -> Result<()> {
    let stand = stand("transaction", "client_idle_timeout")?;
    let mut client = stand.client()?;
    let mut waiting = stand.client()?;
    client.rows("BEGIN")?;
    waiting.send(&query("SELECT 'patient'"))?;
    let begun = Instant::now();
    while begun.elapsed() < 3 * LIMIT {
        client.rows("SELECT pg_sleep(0.1)")?;
    }
    // Idle, but in a transaction: that has a limit of its own.
    assert!(client.drain(QUIET)?.is_empty());
    client.rows("COMMIT")?;
    let answer = waiting.until_ready(1)?;
    assert!(answer.iter().any(|message| message.tag == b'D'), "{answer:?}");
    Ok(())
}

#[test]
fn limits_follow_a_reload() -> Result<()> {
    let mut stand = Stand::start(|config| config.pool_size(1))?;
    let mut client = stand.client()?;
    let backend = client.value("SELECT pg_backend_pid()")?;
    client.rows("SELECT pg_sleep(0.5)")?;
    let config = stand.config.clone().cluster_setting("query_timeout", "\"200ms\"");
    stand.proxy.reload(&config.to_toml())?;
    poll::until(SOON, "the new limit", || {
        Ok((state(&client.simple("SELECT pg_sleep(0.5)")?).as_deref() == Some("57014"))
            .then_some(()))
    })?;
    // The pool has not changed: neither has its connection.
    assert_eq!(client.value("SELECT pg_backend_pid()")?, backend);
    Ok(())
}
