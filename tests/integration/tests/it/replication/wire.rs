//! Raw sequences of replication commands: the same from Postgres itself and through the proxy.

use anyhow::{Context, Result};
use pgherd_harness::poll;
use pgherd_harness::postgres::Postgres;
use pgherd_harness::raw::frontend::{
    bind, copy_data, copy_done, execute, function_call, message, parse, query, sync, terminate,
};
use pgherd_harness::raw::{Client, Login, Message};

use super::{SOON, logical, physical, start, status_update};
use crate::twin::compare::{difference, lines};

/// What is sent, and what ends the answer.
#[derive(Clone)]
enum Step {
    /// Answered up to so many ReadyForQuery.
    Ready(usize, Vec<u8>),
    /// Answered up to a message with this tag.
    Until(u8, Vec<u8>),
    /// Answered with the end of the connection.
    Closed(Vec<u8>),
}

use Step::{Closed, Ready, Until};

/// Runs a sequence and gives the answers. WAL itself and keepalives come when they like: they
/// count only where a step waits for them.
fn run(mut client: Client, steps: &[Step]) -> Result<Vec<String>> {
    let mut all = Vec::new();
    let mut closed = false;
    for step in steps {
        let (Ready(_, bytes) | Until(_, bytes) | Closed(bytes)) = step;
        closed |= matches!(step, Closed(_));
        client.send(bytes)?;
        let answer = match step {
            Ready(count, _) => client.until_ready(*count),
            Until(tag, _) => client.until_tag(*tag),
            Closed(_) => client.rest(),
        };
        let answer = answer.with_context(|| format!("after {all:#?}"))?;
        let streamed = all.iter().any(|message: &Message| message.tag == b'W');
        all.extend(answer.into_iter().filter(|it| !(streamed && it.tag == b'd')));
    }
    // Positions in the WAL move, and snapshots have other names each time.
    let mut moving = false;
    all.retain(|message| {
        if let Some(columns) = message.columns() {
            moving = columns.iter().any(|it| it == "xlogpos" || it == "snapshot_name");
        }
        message.tag != b'D' || !moving
    });
    Ok(lines(&all, closed))
}

/// The proxy answers as Postgres does.
#[track_caller]
fn check(login: fn() -> Login, rows: impl Fn(&Postgres) -> Vec<(&'static str, Vec<Step>)>) {
    let (postgres, proxy) = start().expect("the servers start");
    let mut report = Vec::new();
    for (name, steps) in rows(&postgres) {
        let answer = |addr| -> Result<Vec<String>> {
            // Temporary slots go when their backend has seen that its client is gone.
            poll::until(SOON, "no replication slots", || {
                let slots = postgres.sql("SELECT slot_name FROM pg_replication_slots")?;
                Ok(slots.is_empty().then_some(()))
            })?;
            run(Client::login_as(addr, &login())?, &steps).context(name)
        };
        let expected = answer(postgres.addr()).expect("Postgres answers");
        match answer(proxy.addr()) {
            Ok(actual) => {
                report.extend(difference(&expected, &actual).map(|it| format!("  {name}\n{it}")));
            }
            Err(error) => report.push(format!("  {name}\n    {error:#}")),
        }
    }
    assert!(report.is_empty(), "{}", report.join("\n"));
}

#[test]
fn physical_commands() {
    check(physical, |_| {
        vec![
            ("identify", vec![Ready(1, query("IDENTIFY_SYSTEM"))]),
            ("show", vec![Ready(1, query("SHOW wal_segment_size"))]),
            (
                "several in one write",
                vec![Ready(2, [query("SHOW port"), query("SHOW x")].concat())],
            ),
            ("a syntax error", vec![Ready(1, query("NONSENSE 1")), Ready(1, query("SHOW port"))]),
            ("SQL", vec![Ready(1, query("SELECT 1")), Ready(1, query("SHOW port"))]),
            ("an empty command", vec![Ready(1, query(""))]),
            ("a history that is not there", vec![Ready(1, query("TIMELINE_HISTORY 99"))]),
            ("an unknown slot", vec![Ready(1, query("START_REPLICATION SLOT \"x\" 0/1000000"))]),
            (
                "a slot",
                vec![
                    Ready(1, query("CREATE_REPLICATION_SLOT \"twin\" TEMPORARY PHYSICAL")),
                    Ready(1, query("CREATE_REPLICATION_SLOT \"twin\" TEMPORARY PHYSICAL")),
                    Ready(1, query("DROP_REPLICATION_SLOT \"twin\"")),
                ],
            ),
            ("an unknown option of a backup", vec![Ready(1, query("BASE_BACKUP (NONSENSE 1)"))]),
            (
                "the extended protocol",
                vec![Ready(1, [parse("", "SELECT 1", &[]), sync()].concat())],
            ),
            ("a function call", vec![Ready(1, function_call(1251, &[b"-1"]))]),
            ("only a sync", vec![Ready(2, [sync(), sync()].concat())]),
            ("an unknown message", vec![Closed(message(b'z', b""))]),
            ("an impossible length", vec![Closed(vec![b'Q', 0, 0, 0, 1, 0, 0, 0])]),
            ("terminate", vec![Ready(1, query("SHOW port")), Closed(terminate())]),
        ]
    });
}

#[test]
fn physical_streams() {
    check(physical, |postgres| {
        let lsn = postgres.sql("SELECT pg_current_wal_flush_lsn()").expect("an LSN").concat();
        let stream = |options: &str| query(&format!("START_REPLICATION {} {options}", lsn[0]));
        vec![
            ("a timeline that is not there", vec![Ready(1, stream("TIMELINE 99"))]),
            (
                "the future",
                vec![
                    Ready(1, query("START_REPLICATION PHYSICAL FF/0")),
                    Ready(1, query("SHOW port")),
                ],
            ),
            (
                "a keepalive on demand, and an orderly end",
                vec![
                    Until(b'W', stream("TIMELINE 1")),
                    Until(b'd', status_update(0, true)),
                    Ready(1, copy_done()),
                    Ready(1, query("SHOW port")),
                ],
            ),
            (
                "all in one write",
                vec![Ready(
                    2,
                    [stream(""), status_update(0, false), copy_done(), query("SHOW port")].concat(),
                )],
            ),
            ("goodbye", vec![Until(b'W', stream("")), Closed(terminate())]),
            (
                "an unknown message of a standby",
                vec![Until(b'W', stream("")), Closed(copy_data(b"?"))],
            ),
            ("a query in the middle", vec![Until(b'W', stream("")), Closed(query("SHOW port"))]),
        ]
    });
}

#[test]
fn logical_connections_speak_sql_too() {
    let create = "CREATE_REPLICATION_SLOT \"twin\" TEMPORARY LOGICAL test_decoding";
    check(logical, |_| {
        vec![
            ("a query", vec![Ready(1, query("SELECT current_database(), 1"))]),
            ("several statements", vec![Ready(1, query("SELECT 1; SELECT 2"))]),
            ("an error", vec![Ready(1, query("SELECT 1/0")), Ready(1, query("SELECT 1"))]),
            (
                "a transaction",
                vec![
                    Ready(1, query("BEGIN")),
                    Ready(1, query("SELECT 1/0")),
                    Ready(1, query("END")),
                ],
            ),
            ("copy out", vec![Ready(1, query("COPY (SELECT 1, 'x') TO STDOUT"))]),
            (
                "copy in",
                vec![
                    Ready(1, query("BEGIN; CREATE TEMP TABLE t (n int)")),
                    Until(b'G', query("COPY t FROM STDIN")),
                    Ready(1, [copy_data(b"1\n2\n"), sync(), copy_done()].concat()),
                    Ready(1, query("SELECT sum(n) FROM t")),
                    Ready(1, query("ROLLBACK")),
                ],
            ),
            (
                "the extended protocol",
                vec![
                    Ready(
                        1,
                        [parse("", "SELECT 1", &[]), bind("", "", &[]), execute("", 0), sync()]
                            .concat(),
                    ),
                    Ready(1, query("SELECT 1")),
                ],
            ),
            ("parameters", vec![Ready(1, query("SET TimeZone = 'Asia/Tokyo'; SHOW TimeZone"))]),
            (
                "a slot without its plugin",
                vec![Ready(1, query("CREATE_REPLICATION_SLOT \"twin\" TEMPORARY LOGICAL nothing"))],
            ),
            (
                "a slot, and the end of its stream",
                vec![
                    Ready(1, query(create)),
                    Until(b'W', query("START_REPLICATION SLOT \"twin\" LOGICAL 0/0")),
                    Ready(1, copy_done()),
                    Ready(1, query("SELECT 1")),
                ],
            ),
            (
                "an option that the plugin does not know",
                vec![
                    Ready(1, query(create)),
                    Ready(1, query("START_REPLICATION SLOT \"twin\" LOGICAL 0/0 (nonsense '1')")),
                ],
            ),
        ]
    });
}

#[test]
fn the_login_says_what_postgres_says() -> Result<()> {
    let (postgres, proxy) = start()?;
    let logins = [
        physical(),
        logical(),
        logical()
            .parameter("application_name", "twin's \\ name")
            .parameter("client_encoding", "LATIN1")
            .parameter("options", "-c datestyle=German -c wal_sender_timeout=0"),
    ];
    for login in logins {
        let welcome = |addr| -> Result<Vec<String>> {
            let client = Client::login_as(addr, &login)?;
            let said = client.welcome().iter().filter(|message| message.tag != b'R');
            Ok(lines(&said.cloned().collect::<Vec<_>>(), false))
        };
        assert_eq!(welcome(proxy.addr())?, welcome(postgres.addr())?, "{login:?}");
    }
    let login = logical().parameter("options", "-c wal_sender_timeout=1234567");
    let mut client = Client::login_as(proxy.addr(), &login)?;
    assert_eq!(client.value("SHOW wal_sender_timeout")?, "1234567ms");
    Ok(())
}
