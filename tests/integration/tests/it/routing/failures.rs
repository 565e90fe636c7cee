//! What clients notice when an instance breaks under what they do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use pgherd_harness::poll;
use pgherd_harness::postgres::Postgres;
use pgherd_harness::raw::{Client, Message, frontend};
use pgherd_harness::turns::Turns;

use super::stand::{SOON, Stand, WHERE};

/// A read that takes about a second, and says so in `pg_stat_activity`.
const SLOW: &str = "SELECT current_setting('port'), count(*) FROM generate_series(1, 8000000) slow";

/// What a replica that is killed may cost a read, and any replica a write.
const STALL: Duration = Duration::from_millis(500);
/// What one that is frozen may cost a read, which is less than the six seconds for which it is.
const FROZEN_STALL: Duration = Duration::from_secs(3);
/// When one that has recovered serves again.
const RETURN: Duration = Duration::from_secs(5);

/// What a client that repeats a statement has seen.
#[derive(Debug, Default)]
struct Seen {
    count: usize,
    errors: Vec<String>,
    longest: Duration,
}

type Repeating = JoinHandle<Result<Seen>>;

/// Repeats a statement until told to stop.
fn repeat(mut client: Client, sql: String, stop: &Arc<AtomicBool>) -> Repeating {
    let stop = Arc::clone(stop);
    std::thread::spawn(move || {
        let mut seen = Seen::default();
        while !stop.load(Ordering::Relaxed) {
            let begun = Instant::now();
            match client.rows(&sql.replace("{n}", &seen.count.to_string())) {
                Ok(_) => seen.count += 1,
                Err(error) => seen.errors.push(format!("{error:#}")),
            }
            seen.longest = seen.longest.max(begun.elapsed());
            if seen.errors.len() > 5 {
                break;
            }
        }
        Ok(seen)
    })
}

/// How much longer than promised things may have taken: what a machine that has stopped for a moment does to
/// everybody, a client that writes to the primary without a proxy sees, too, and on the way through the proxy a few
/// times as many have their turn. A single backend may wait for a processor much longer than others.
fn slack(control: Repeating, turns: Turns) -> Result<Duration> {
    let control = control.join().expect("no panic")?;
    ensure!(control.errors.is_empty(), "{control:?}");
    Ok((control.longest * 4).max(turns.longest() * 2))
}

/// Waits until a replica that is well again answers reads.
fn wait_return(stand: &Stand, replica: &Postgres, within: Duration) -> Result<()> {
    let since = Instant::now();
    let (mut client, port) = (stand.client()?, replica.port().to_string());
    poll::until(SOON, "the replica to serve again", || {
        Ok((client.value(WHERE)? == port).then_some(()))
    })?;
    let took = since.elapsed();
    ensure!(took < within, "only after {took:?}, not {within:?}");
    Ok(())
}

/// Terminates the backends of a server that sleep in something like this; waits for the first. One that is
/// active may not have begun yet.
fn terminate(server: &Postgres, like: &str) -> Result<()> {
    let sql = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE query LIKE '%{like}%' AND wait_event = 'PgSleep'"
    );
    poll::until(SOON, "the statement to run", || Ok((!server.sql(&sql)?.is_empty()).then_some(())))
}

fn sqlstates(messages: &[Message]) -> Vec<String> {
    messages.iter().filter_map(Message::sqlstate).collect()
}

fn status(messages: &[Message]) -> Option<char> {
    let last = messages.last()?;
    (last.tag == b'Z').then(|| last.body.first().copied().map(char::from))?
}

#[test]
fn a_read_whose_server_ends_is_answered_by_another() -> Result<()> {
    let stand = Stand::start(2, |config| config)?;
    let slow: [(&str, Vec<u8>); 2] = [
        ("simple", frontend::query(SLOW)),
        (
            "extended",
            [
                frontend::parse("slow", SLOW, &[]),
                frontend::bind("", "slow", &[]),
                frontend::describe_portal(""),
                frontend::execute("", 0),
                frontend::close_statement("slow"),
                frontend::sync(),
            ]
            .concat(),
        ),
    ];
    for (name, bytes) in slow {
        let mut client = stand.client()?;
        client.send(&bytes)?;
        // Wherever it is now.
        poll::until(SOON, "the statement to run", || {
            let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                       WHERE query LIKE '%8000000) slow' AND state = 'active'";
            let found = stand.replicas.iter().map(|it| it.sql(sql)).collect::<Result<Vec<_>>>()?;
            Ok(found.iter().any(|rows| !rows.is_empty()).then_some(()))
        })?;
        let answer = client.until_ready(1)?;
        assert!(sqlstates(&answer).is_empty(), "{name}: {answer:?}");
        stand.place_of(&answer).context(name)?;
        // Nothing of the first attempt is left in the books.
        assert_eq!(stand.place(&mut client, WHERE)?, "replica");
        client.send(&bytes)?;
        assert!(sqlstates(&client.until_ready(1)?).is_empty(), "{name}");
    }
    Ok(())
}

#[test]
fn a_write_whose_server_ends_is_not_repeated() -> Result<()> {
    let stand = Stand::start(1, |config| config)?;
    stand.primary.sql("CREATE SEQUENCE attempts; GRANT ALL ON attempts TO app")?;
    // On the primary: to a replica sequences look as if they were ahead.
    let attempts = || stand.primary.sql("SELECT last_value FROM attempts");
    let mut client = stand.client()?;
    client.send(&frontend::query("SELECT nextval('attempts'), pg_sleep(60)"))?;
    terminate(&stand.primary, "pg_sleep(60)")?;
    let answer = client.until_ready(1)?;
    assert_eq!((sqlstates(&answer), status(&answer)), (vec!["57P01".to_owned()], Some('I')));
    assert_eq!(attempts()?, [["1"]]);
    assert_eq!(stand.place(&mut client, WHERE)?, "replica");
    // In the extended protocol, with more behind it that is discarded.
    let batch = [
        frontend::parse("gone", "SELECT nextval('attempts'), pg_sleep(61)", &[]),
        frontend::bind("", "gone", &[]),
        frontend::execute("", 0),
        frontend::parse("", "SELECT 1", &[]),
        frontend::sync(),
        frontend::query("SELECT 'behind'"),
    ];
    client.send(&batch.concat())?;
    terminate(&stand.primary, "pg_sleep(61)")?;
    let answer = client.until_ready(2)?;
    assert!(sqlstates(&answer).iter().all(|state| state == "57P01"), "{answer:?}");
    assert_eq!(status(&answer), Some('I'));
    assert_eq!(attempts()?, [["2"]]);
    Ok(())
}

#[test]
fn a_transaction_whose_server_ends_fails_until_the_client_ends_it() -> Result<()> {
    let stand = Stand::start(2, |config| config)?;
    for (begin, server_is_primary) in [("BEGIN", true), ("BEGIN READ ONLY", false)] {
        let mut client = stand.client()?;
        client.rows("SET timezone = 'Asia/Tokyo'")?;
        client.rows(begin)?;
        client.rows("SET timezone = 'Europe/Rome'")?;
        let place = stand.place(&mut client, WHERE)?;
        assert_eq!(place == "primary", server_is_primary);
        client.send(&frontend::query(SLOW))?;
        poll::until(SOON, "the statement to run", || {
            let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                       WHERE query LIKE '%8000000) slow' AND state = 'active'";
            let all = stand.replicas.iter().chain([&stand.primary]);
            let found = all.map(|it| it.sql(sql)).collect::<Result<Vec<_>>>()?;
            Ok(found.iter().any(|rows| !rows.is_empty()).then_some(()))
        })?;
        let answer = client.until_ready(1)?;
        assert_eq!((sqlstates(&answer), status(&answer)), (vec!["57P01".to_owned()], Some('E')));
        let answer = client.simple("SELECT 1")?;
        assert_eq!((sqlstates(&answer), status(&answer)), (vec!["25P02".to_owned()], Some('E')));
        client.send(&[frontend::parse("", "SELECT 1", &[]), frontend::sync()].concat())?;
        let answer = client.until_ready(1)?;
        assert_eq!((sqlstates(&answer), status(&answer)), (vec!["25P02".to_owned()], Some('E')));
        let answer = client.simple("COMMIT")?;
        assert_eq!(answer[0].body, b"ROLLBACK\0");
        assert_eq!(status(&answer), Some('I'));
        // What was set inside is as it was before.
        assert_eq!(client.value("SHOW timezone")?, "Asia/Tokyo");
    }
    Ok(())
}

/// Four readers and a writer through the proxy, and a writer straight on the primary beside them.
struct Load {
    stop: Arc<AtomicBool>,
    readers: Vec<Repeating>,
    writer: Repeating,
    control: Repeating,
    turns: Turns,
}

impl Load {
    fn start(stand: &Stand) -> Result<Self> {
        let turns = Turns::watch();
        let stop = Arc::new(AtomicBool::new(false));
        let mut readers = Vec::new();
        for _ in 0..4 {
            readers.push(repeat(stand.client()?, "SELECT port FROM place".to_owned(), &stop));
        }
        let insert = "INSERT INTO t VALUES (1000 + {n})".to_owned();
        let writer = repeat(stand.client()?, insert, &stop);
        let direct = Client::login(stand.primary.addr())?;
        let control = repeat(direct, "INSERT INTO t VALUES (-1 - {n})".to_owned(), &stop);
        Ok(Self { stop, readers, writer, control, turns })
    }

    /// Nobody has seen an error, no reader has waited longer than this, and no writer longer than
    /// [`STALL`]. What the machine took is added; it and the number of rows written are returned.
    fn end(self, reads: Duration) -> Result<(Duration, usize)> {
        self.stop.store(true, Ordering::Relaxed);
        let slack = slack(self.control, self.turns)?;
        let limit = reads + slack;
        for reader in self.readers {
            let seen = reader.join().expect("no panic")?;
            assert!(seen.errors.is_empty() && seen.count > 100, "{seen:?}");
            assert!(seen.longest < limit, "{limit:?}: {seen:?}");
        }
        let (seen, limit) = (self.writer.join().expect("no panic")?, STALL + slack);
        assert!(seen.errors.is_empty() && seen.longest < limit, "{limit:?}: {seen:?}");
        Ok((slack, seen.count))
    }
}

#[test]
fn a_killed_replica_costs_nobody_an_error() -> Result<()> {
    let mut stand = Stand::start(2, |config| config)?;
    let load = Load::start(&stand)?;
    std::thread::sleep(Duration::from_millis(500));
    stand.replicas[0].kill9()?;
    std::thread::sleep(Duration::from_secs(3));
    let (slack, written) = load.end(STALL)?;
    let count = stand.primary.sql("SELECT count(*) FROM t WHERE n >= 1000")?;
    assert_eq!(count, [[written.to_string()]]);
    // It serves again soon after it has come back.
    stand.replicas[0].restart()?;
    wait_return(&stand, &stand.replicas[0], RETURN + slack)
}

#[test]
fn a_frozen_replica_costs_nobody_an_error() -> Result<()> {
    let stand = Stand::start(2, |config| config)?;
    let load = Load::start(&stand)?;
    std::thread::sleep(Duration::from_millis(500));
    stand.replicas[0].sigstop()?;
    std::thread::sleep(Duration::from_secs(6));
    let (slack, _) = load.end(FROZEN_STALL)?;
    stand.replicas[0].sigcont()?;
    wait_return(&stand, &stand.replicas[0], RETURN + slack)
}

#[test]
fn a_query_on_a_silent_instance_is_ended_and_a_slow_one_is_not() -> Result<()> {
    let postgres = Postgres::start()?;
    let config = pgherd_harness::proxy::ProxyConfig::transaction(&postgres)
        .cluster_setting("stall_timeout", "\"1s\"");
    let proxy = pgherd_harness::proxy::Proxy::start(&config.to_toml())?;
    let mut client = Client::login(proxy.addr())?;
    assert_eq!(client.value("SELECT 'slow' || pg_sleep(4)")?, "slow");
    client.set_deadline(Duration::from_secs(20));
    client.send(&frontend::query("SELECT pg_sleep(30)"))?;
    postgres.sigstop()?;
    let begun = Instant::now();
    let answer = client.rest()?;
    assert!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());
    assert_eq!(sqlstates(&answer), ["08006"], "{answer:?}");
    Ok(())
}
