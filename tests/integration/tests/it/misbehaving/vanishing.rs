//! The salvage table: what becomes of a server connection whose client vanishes.

use std::time::Duration;

use anyhow::{Context, Result};
use pgherd_harness::poll;
use pgherd_harness::postgres::Postgres;
use pgherd_harness::proxy::{Proxy, ProxyConfig};
use pgherd_harness::raw::Client;
use pgherd_harness::raw::frontend::{bind, copy_data, execute, flush, message, parse, query};

/// Longest salvage: the deadlines of DESIGN.md are shorter.
const SOON: Duration = Duration::from_secs(8);

/// How a client goes.
#[derive(Clone, Copy, Debug)]
enum Exit {
    /// The process ended: the kernel closes the connection.
    Closed,
    /// A reset, as from a crashed machine's firewall.
    Reset,
}

const EXITS: [Exit; 2] = [Exit::Closed, Exit::Reset];

/// One server connection, so that the next client gets what the last one left.
struct Stand {
    proxy: Proxy,
    postgres: Postgres,
}

impl Stand {
    fn start() -> Result<Self> {
        let postgres = Postgres::start()?;
        postgres.sql("CREATE TABLE t (n int); GRANT ALL ON t TO app")?;
        let config = ProxyConfig::transaction(&postgres).pool_size(1);
        let proxy = Proxy::start(&config.to_toml())?;
        Ok(Self { proxy, postgres })
    }

    fn client(&self) -> Result<Client> {
        Client::login(self.proxy.addr())
    }

    /// The backend of the pool's only connection, which another client gets soon.
    fn backend(&self) -> Result<String> {
        let mut client = self.client()?;
        client.set_deadline(SOON);
        client.value("SELECT pg_backend_pid()").context("the next client")
    }

    /// Waits until the backend is in this state (of `pg_stat_activity`).
    fn wait_state(&self, backend: &str, state: &str) -> Result<()> {
        let mut superuser = self.postgres.superuser("app")?;
        let sql = format!("SELECT state FROM pg_stat_activity WHERE pid = {backend}");
        poll::until(SOON, &format!("backend {backend} to be {state}"), || {
            Ok((superuser.value(&sql)? == state).then_some(()))
        })
    }

    /// Nothing of the vanished client's work is there, and no transaction is left open.
    fn check_clean(&self) -> Result<()> {
        let rows = self.postgres.sql("SELECT n FROM t")?;
        assert!(rows.is_empty(), "uncommitted rows are visible: {rows:?}");
        let open = "SELECT query FROM pg_stat_activity \
                    WHERE usename = 'app' AND application_name <> 'pgherd health check' AND state <> 'idle' AND pid <> pg_backend_pid()";
        poll::until(SOON, "no open transactions", || {
            Ok(self.postgres.sql(open)?.is_empty().then_some(()))
        })
    }
}

fn vanish(client: Client, exit: Exit) -> Result<()> {
    match exit {
        Exit::Closed => drop(client),
        Exit::Reset => client.reset()?,
    }
    Ok(())
}

/// Lets a client do something and vanish, and tells the backends before and after.
fn backends_around(
    stand: &Stand,
    exit: Exit,
    act: impl Fn(&mut Client, &str) -> Result<()>,
) -> Result<(String, String)> {
    let before = stand.backend()?;
    let mut client = stand.client()?;
    act(&mut client, &before)?;
    vanish(client, exit)?;
    let after = stand.backend()?;
    stand.check_clean()?;
    Ok((before, after))
}

/// The connection survives.
#[track_caller]
fn saved(act: impl Fn(&Stand, &mut Client, &str) -> Result<()>) {
    let stand = Stand::start().expect("the servers start");
    for exit in EXITS {
        let (before, after) =
            backends_around(&stand, exit, |client, backend| act(&stand, client, backend))
                .unwrap_or_else(|error| panic!("{exit:?}: {error:#}"));
        assert_eq!(before, after, "{exit:?}: the server connection was not saved");
    }
}

/// The connection is closed, since what state it is in cannot be known; the pool goes on.
#[track_caller]
fn replaced(act: impl Fn(&Stand, &mut Client, &str) -> Result<()>) {
    let stand = Stand::start().expect("the servers start");
    for exit in EXITS {
        let (before, after) =
            backends_around(&stand, exit, |client, backend| act(&stand, client, backend))
                .unwrap_or_else(|error| panic!("{exit:?}: {error:#}"));
        assert_ne!(before, after, "{exit:?}: a doubtful server connection was used again");
    }
}

#[test]
fn idle_in_a_transaction() {
    saved(|_, client, _| {
        client.rows("BEGIN; INSERT INTO t VALUES (1)")?;
        Ok(())
    });
}

#[test]
fn idle_in_a_failed_transaction() {
    saved(|_, client, _| {
        client.rows("BEGIN; INSERT INTO t VALUES (1)")?;
        assert!(client.rows("SELECT 1/0").is_err());
        Ok(())
    });
}

#[test]
fn in_an_open_batch() {
    saved(|_, client, _| {
        let batch = [
            parse("", "INSERT INTO t VALUES (1)", &[]),
            bind("", "", &[]),
            execute("", 0),
            flush(),
        ];
        client.send(&batch.concat())?;
        client.until_tag(b'C')?;
        Ok(())
    });
}

#[test]
fn while_a_query_runs() {
    saved(|stand, client, backend| {
        client.send(&query("INSERT INTO t VALUES (1); SELECT pg_sleep(600)"))?;
        stand.wait_state(backend, "active")
    });
}

/// A cancel may overtake the query that it is meant for.
#[test]
fn right_after_sending_a_query() -> Result<()> {
    let postgres = Postgres::start()?;
    let proxy = Proxy::start(&ProxyConfig::transaction(&postgres).pool_size(2).to_toml())?;
    for number in 0..20 {
        let mut client = Client::login(proxy.addr())?;
        client.send(&query("SELECT pg_sleep(600)"))?;
        vanish(client, EXITS[number % 2])?;
    }
    let running = "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' \
                   AND state = 'active' AND pid <> pg_backend_pid()";
    poll::until(SOON, "the abandoned queries to end", || {
        Ok(postgres.sql(running)?.is_empty().then_some(()))
    })?;
    assert_eq!(Client::login(proxy.addr())?.value("SELECT 1")?, "1");
    Ok(())
}

#[test]
fn while_a_query_runs_in_a_transaction() {
    saved(|stand, client, backend| {
        client.rows("BEGIN; INSERT INTO t VALUES (1)")?;
        client.send(&query("SELECT pg_sleep(600)"))?;
        stand.wait_state(backend, "active")
    });
}

#[test]
fn in_copy_in() {
    saved(|_, client, _| {
        client.send(&query("COPY t FROM STDIN"))?;
        client.until_tag(b'G')?;
        client.send(&copy_data(b"1\n"))
    });
}

#[test]
fn in_copy_in_within_a_transaction() {
    saved(|_, client, _| {
        client.rows("BEGIN")?;
        client.send(&query("COPY t FROM STDIN"))?;
        client.until_tag(b'G')?;
        client.send(&copy_data(b"1\n"))
    });
}

#[test]
fn in_the_middle_of_a_message_within_a_transaction() {
    replaced(|_, client, _| {
        client.rows("BEGIN; INSERT INTO t VALUES (1)")?;
        // Long enough that a part has been passed on.
        let whole = query(&format!("SELECT 1 /* {} */", "x".repeat(1 << 20)));
        client.send(&whole[..whole.len() / 2])
    });
}

#[test]
fn in_the_middle_of_a_message_while_idle() {
    // No whole header: nothing of it has been passed on.
    saved(|_, client, _| client.send(&message(b'Q', b"SELECT 1\0")[..3]));
}

#[test]
fn with_half_a_reply_read() -> Result<()> {
    let stand = Stand::start()?;
    for exit in EXITS {
        let (_, _) = backends_around(&stand, exit, |client, _| {
            client.send(&query("SELECT repeat('x', 10000) FROM generate_series(1, 20000)"))?;
            for _ in 0..10 {
                client.expect_message()?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

#[test]
fn while_waiting_for_a_connection() -> Result<()> {
    let stand = Stand::start()?;
    for exit in EXITS {
        let mut holder = stand.client()?;
        holder.rows("BEGIN")?;
        let mut waiting = stand.client()?;
        waiting.send(&query("INSERT INTO t VALUES (1)"))?;
        let mut admin = stand.proxy.admin()?;
        poll::until(SOON, "a waiting client", || {
            let waiting = admin.table("SHOW POOLS")?.iter().any(|pool| pool["cl_waiting"] == "1");
            Ok(waiting.then_some(()))
        })?;
        vanish(waiting, exit)?;
        let mut next = stand.client()?;
        next.send(&query("SELECT 'served'"))?;
        poll::until(SOON, "the vanished client to give up its place", || {
            let clients = admin.table("SHOW CLIENTS")?;
            Ok((clients.iter().filter(|client| client["user"] == "app").count() == 2).then_some(()))
        })?;
        holder.rows("COMMIT")?;
        let answer = next.until_ready(1)?;
        assert!(answer.iter().any(|message| message.tag == b'D'), "{answer:?}");
        stand.check_clean()?;
    }
    Ok(())
}

#[test]
fn many_at_once() -> Result<()> {
    let postgres = Postgres::start()?;
    let config = ProxyConfig::transaction(&postgres).pool_size(3);
    let proxy = Proxy::start(&config.to_toml())?;
    for round in 0..10 {
        let clients: Vec<Client> =
            (0..20).map(|_| Client::login(proxy.addr())).collect::<Result<_>>()?;
        for (number, mut client) in clients.into_iter().enumerate() {
            match (number + round) % 4 {
                0 => client.send(&query("SELECT pg_sleep(60)"))?,
                1 => client.send(&query("BEGIN; SELECT 1"))?,
                2 => client.send(&query("SELECT 1")[..5])?,
                _ => client.send(&parse("", "SELECT 1", &[]))?,
            }
            vanish(client, EXITS[number % 2])?;
        }
        let mut client = Client::login(proxy.addr())?;
        assert_eq!(client.value("SELECT 1")?, "1", "round {round}");
    }
    let mut admin = proxy.admin()?;
    poll::until(SOON, "every counter back to zero", || {
        let pools = admin.table("SHOW POOLS")?;
        let busy = |pool: &std::collections::BTreeMap<String, String>| {
            ["cl_active", "cl_waiting", "sv_active"].iter().any(|column| pool[*column] != "0")
        };
        Ok((!pools.iter().any(busy)).then_some(()))
    })?;
    // A connection that was closed lives on in Postgres until its process has seen that.
    let app = "SELECT state, query FROM pg_stat_activity WHERE usename = 'app' AND application_name <> 'pgherd health check'";
    let mut seen = Vec::new();
    poll::until(SOON, "no more server connections than the pool has", || {
        seen = postgres.sql(app)?;
        Ok((seen.len() <= 3).then_some(()))
    })
    .with_context(|| format!("{seen:?}"))
}
