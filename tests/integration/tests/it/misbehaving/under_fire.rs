//! Salvage under fire: clients that vanish at any point, and what becomes of the server connection.
//!
//! One server connection, so that whoever comes next gets what the last one left: its backend must
//! be the same one where nothing is in doubt, and clean in any case. Postgres's own count of
//! sessions says in the end that no other connection was made meanwhile.
//!
//! Environment: `PGHERD_SEEDS=1000` runs that many seeds in each mode, `PGHERD_SEED=42` that one.

mod fragment;
mod stand;

use anyhow::{Result, ensure};
use pgherd_harness::raw::Client;
use pgherd_harness::raw::frontend::{
    bind, copy_data, copy_done, execute, flush, parse, query, sync,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use fragment::script;
use stand::{Exit, Stand};

/// As many in each mode as take about five seconds.
const SEEDS: u64 = 60;
/// After so many failures more of them tell nothing new.
const FAILURES_SHOWN: usize = 3;
const MODES: [&str; 2] = ["transaction", "session"];

/// What becomes of the server connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Saved,
    Replaced,
}

/// A line of the table in PROTOCOL.md, or a part of one.
struct Row {
    name: &'static str,
    outcome: Outcome,
    act: fn(&mut Client, &mut Stand) -> Result<()>,
}

fn row(
    name: &'static str,
    outcome: Outcome,
    act: fn(&mut Client, &mut Stand) -> Result<()>,
) -> Row {
    Row { name, outcome, act }
}

const BEGIN: &str = "BEGIN; INSERT INTO t VALUES (1)";
const COPY: &str = "COPY t FROM STDIN";
const LARGE_REPLY: &str = "SELECT repeat('x', 10000) FROM generate_series(1, 20000)";
/// Long enough that a part is passed on before the rest has come.
const LARGE: usize = 1 << 20;

/// Parse, Bind and Execute, and no more.
fn batch(sql: &str) -> Vec<u8> {
    [parse("", sql, &[]), bind("", "", &[]), execute("", 0)].concat()
}

fn begin(client: &mut Client) -> Result<()> {
    client.rows(BEGIN).map(drop)
}

/// The first half of a message.
fn half(mut message: Vec<u8>) -> Vec<u8> {
    message.truncate(message.len() / 2);
    message
}

fn transactions() -> Vec<Row> {
    use Outcome::{Replaced, Saved};
    vec![
        row("idle", Saved, |_, _| Ok(())),
        row("idle, with state of the session", Saved, |client, _| {
            client.rows("SET work_mem = '9MB'; CREATE TEMP TABLE mine (); LISTEN here").map(drop)
        }),
        row("idle in a transaction", Saved, |client, _| begin(client)),
        row("idle in a failed transaction", Saved, |client, _| {
            begin(client)?;
            ensure!(client.rows("SELECT 1/0").is_err());
            Ok(())
        }),
        row("in a batch without Sync", Saved, |client, _| {
            client.send(&[batch("INSERT INTO t VALUES (1)"), flush()].concat())?;
            client.until_tag(b'C').map(drop)
        }),
        row("in a batch that failed, without Sync", Saved, |client, _| {
            client.send(&[batch("SELECT 1/0"), flush()].concat())?;
            client.until_tag(b'E').map(drop)
        }),
        row("with half a message sent, of which nothing was passed on", Saved, |client, _| {
            begin(client)?;
            client.send(&half(query("INSERT INTO t VALUES (2)")))
        }),
        row("with half a large message sent", Replaced, |client, stand| {
            begin(client)?;
            let before = stand.received()?;
            client.send(&half(query(&format!("SELECT 1 /* {} */", "x".repeat(LARGE)))))?;
            stand.wait_received(before + LARGE / 4)
        }),
    ]
}

fn queries() -> Vec<Row> {
    use Outcome::Saved;
    vec![
        row("while a query runs", Saved, |client, stand| {
            client.send(&query("SELECT pg_sleep(600)"))?;
            stand.wait_active()
        }),
        row("while a query runs in a transaction", Saved, |client, stand| {
            begin(client)?;
            client.send(&query("SELECT pg_sleep(600)"))?;
            stand.wait_active()
        }),
        row("while the first of a pipeline runs", Saved, |client, stand| {
            let sleep = [batch("SELECT pg_sleep(600)"), sync()].concat();
            let insert = [batch("INSERT INTO u VALUES (1)"), sync()].concat();
            client.send(&[sleep, insert.clone(), insert].concat())?;
            stand.wait_active()
        }),
        row("with half of a large reply read", Saved, |client, _| {
            client.send(&query(LARGE_REPLY))?;
            (0..10).try_for_each(|_| client.expect_message().map(drop))
        }),
        row("with half of a large reply read, in a transaction", Saved, |client, _| {
            begin(client)?;
            client.send(&[batch(LARGE_REPLY), sync()].concat())?;
            (0..10).try_for_each(|_| client.expect_message().map(drop))
        }),
        row("with half of a COPY OUT read", Saved, |client, _| {
            client.send(&query(&format!("COPY ({LARGE_REPLY}) TO STDOUT")))?;
            (0..10).try_for_each(|_| client.expect_message().map(drop))
        }),
    ]
}

fn copies() -> Vec<Row> {
    use Outcome::{Replaced, Saved};
    vec![
        row("in COPY IN before any data", Saved, |client, _| {
            client.send(&query(COPY))?;
            client.until_tag(b'G').map(drop)
        }),
        row("in COPY IN", Saved, |client, _| {
            client.send(&query(COPY))?;
            client.until_tag(b'G')?;
            client.send(&copy_data(b"1\n2\n"))
        }),
        row("in COPY IN with half a message of data", Saved, |client, _| {
            client.send(&query(COPY))?;
            client.until_tag(b'G')?;
            client.send(&half(copy_data(b"1\n2\n")))
        }),
        row("in COPY IN with half a large message of data", Replaced, |client, stand| {
            client.send(&query(COPY))?;
            client.until_tag(b'G')?;
            let before = stand.received()?;
            client.send(&half(copy_data("1\n".repeat(LARGE / 2).as_bytes())))?;
            stand.wait_received(before + LARGE / 4)
        }),
        row("in COPY IN in a transaction", Saved, |client, _| {
            begin(client)?;
            client.send(&query(COPY))?;
            client.until_tag(b'G')?;
            client.send(&copy_data(b"1\n"))
        }),
        row("in COPY IN of the extended protocol", Saved, |client, _| {
            client.send(&[batch(COPY), flush()].concat())?;
            client.until_tag(b'G')?;
            client.send(&copy_data(b"1\n"))
        }),
        row("before a COPY IN of the extended protocol has begun", Saved, |client, stand| {
            let sleep = [batch("SELECT pg_sleep(600)"), sync()].concat();
            client.send(&[sleep, batch(COPY), sync()].concat())?;
            stand.wait_active()
        }),
        row("before a COPY IN and what follows it in a pipeline", Saved, |client, stand| {
            let sleep = [batch("SELECT pg_sleep(600)"), sync()].concat();
            let insert = [batch("INSERT INTO u VALUES (1)"), sync()].concat();
            client.send(&[sleep, batch(COPY), sync(), insert].concat())?;
            stand.wait_active()
        }),
        row("after a COPY IN in a transaction", Saved, |client, _| {
            begin(client)?;
            client.send(&query(COPY))?;
            client.until_tag(b'G')?;
            client.send(&[copy_data(b"1\n"), copy_done()].concat())?;
            client.until_ready(1).map(drop)
        }),
        row("in COPY IN that has failed already", Saved, |client, _| {
            client.send(&query(COPY))?;
            client.until_tag(b'G')?;
            client.send(&[copy_data(b"nonsense\n"), copy_data(b"1\n")].concat())?;
            client.until_tag(b'E').map(drop)
        }),
    ]
}

#[track_caller]
fn check(rows: &[Row]) {
    let mut wrong = Vec::new();
    for mode in MODES {
        let mut stand = Stand::start(mode).expect("the servers start");
        for row in rows {
            for exit in Exit::ALL {
                // Who says goodbye gets answered first, however long that takes, as by Postgres.
                if row.name.contains("runs") && exit == Exit::Terminated {
                    continue;
                }
                let before = stand.backend.clone();
                let result = stand.client().and_then(|mut client| {
                    (row.act)(&mut client, &mut stand)?;
                    exit.leave(client)?;
                    stand.follow()
                });
                let outcome =
                    if stand.backend == before { Outcome::Saved } else { Outcome::Replaced };
                match result {
                    Ok(()) if outcome == row.outcome => {}
                    Ok(()) => {
                        wrong.push(format!("{mode}, {}, {exit:?}: {outcome:?}", row.name));
                    }
                    Err(error) => wrong.push(format!("{mode}, {}, {exit:?}: {error:#}", row.name)),
                }
            }
        }
        if let Err(error) = stand.check_sessions() {
            wrong.push(format!("{mode}: {error:#}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_client_vanishes_around_a_transaction() {
    check(&transactions());
}

#[test]
fn a_client_vanishes_around_a_query() {
    check(&queries());
}

#[test]
fn a_client_vanishes_around_a_copy() {
    check(&copies());
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a number")))
}

/// Any sequence of messages, cut anywhere.
#[test]
fn random_disconnects() -> Result<()> {
    let seeds = match number("PGHERD_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("PGHERD_SEEDS").unwrap_or(SEEDS),
    };
    let mut wrong = Vec::new();
    for mode in MODES {
        let mut stand = Stand::start(mode)?;
        for seed in seeds.clone() {
            let mut rng = StdRng::seed_from_u64(seed);
            let script = script(&mut rng);
            let says_goodbye = !script.sleeps() && !script.ends_in_message();
            let exit = Exit::ALL[rng.random_range(0..if says_goodbye { 3 } else { 2 })];
            let before = stand.backend.clone();
            let result = stand.client().and_then(|mut client| {
                script.play(&mut client)?;
                exit.leave(client)?;
                stand.follow()
            });
            let complaint = match result {
                Err(error) => Some(format!("{error:#}")),
                Ok(()) if stand.backend != before && !script.may_cost_connection => {
                    Some("the server connection was not saved".to_owned())
                }
                Ok(()) => None,
            };
            wrong.extend(complaint.map(|complaint| {
                format!("seed {seed} in {mode} mode, {exit:?}: {complaint}\n{script}")
            }));
            if wrong.len() >= FAILURES_SHOWN {
                break;
            }
        }
        println!("{mode} mode: {} scripts on {} backends", seeds.end - seeds.start, stand.backends);
        if let Err(error) = stand.check_sessions() {
            wrong.push(format!("{mode}: {error:#}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
