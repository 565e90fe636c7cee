//! A thousand clients on ten connections, of which many vanish at any point of what they do:
//! afterwards every counter is exact and no connection is lost.

mod client;
mod random;

use std::collections::BTreeSet;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use anyhow::{Context, Result};
use pgherd_harness::poll;
use pgherd_harness::raw::Client;

use super::stand::{Stand, Watch};
use client::Act;
use random::Random;

const CLIENTS: usize = 1000;
const CONNECTIONS: usize = 10;
/// How long clients come, work and vanish.
const STORM: Duration = Duration::from_secs(12);
/// The password of the harness's user after one round instead of 4096: a thousand clients that
/// derive keys would keep the machine busy with that alone.
const VERIFIER: &str = "SCRAM-SHA-256$1:cGdoZXJkLXRlc3Qtc2FsdA==$ZUCg1kCa31X6qIH00fMQeqs/Hb1Ua2r7+q87q2x3hIw=:NQYgzpglYVdAtskSyGIlf7TbB8JX2mxuqAYNCPUJbxU=";
/// How long the last of what they left behind may take: a salvage has five seconds.
const CALM: Duration = Duration::from_secs(15);

#[test]
fn a_thousand_clients_on_ten_connections_lose_nothing() -> Result<()> {
    raise_open_files()?;
    let seed = match std::env::var("PGHERD_SEED") {
        Ok(seed) => seed.parse().context("PGHERD_SEED")?,
        Err(_) => std::process::id().into(),
    };
    eprintln!("PGHERD_SEED={seed}");
    let stand = Stand::start(|config| {
        config
            .pool_size(CONNECTIONS)
            .cluster_setting("checkout_timeout", "\"60s\"")
            .proxy_setting("login_timeout", "\"60s\"")
            .verifier("app", VERIFIER)
    })?;
    stand.postgres.sql(
        "CREATE TABLE w (client bigint, number bigint); CREATE INDEX ON w (client); \
         GRANT ALL ON w TO app",
    )?;
    let watch = Watch::start(&stand.postgres)?;
    let acts = storm(&stand, seed)?;
    wait_for_calm(&stand)?;
    assert!(watch.most()? <= CONNECTIONS, "more connections than the pool has");
    check_rows(&stand, &acts)?;
    check_connections(&stand)?;
    check_counters(&stand)?;
    check_every_connection_can_be_had(&stand)
}

/// All clients at once, each in a thread of its own.
fn storm(stand: &Stand, seed: u64) -> Result<Vec<Act>> {
    let addr = stand.proxy.addr();
    let all_there = Arc::new(Barrier::new(CLIENTS + 1));
    let threads: Vec<_> = (0..CLIENTS)
        .map(|id| {
            let all_there = Arc::clone(&all_there);
            let id = id as u64;
            let random = Random::new(seed.wrapping_mul(1_000_003).wrapping_add(id));
            std::thread::Builder::new()
                .stack_size(256 * 1024)
                .spawn(move || client::run(addr, id, random, &all_there, STORM))
                .context("cannot start a thread")
        })
        .collect::<Result<_>>()?;
    all_there.wait();
    let mut acts = Vec::new();
    for thread in threads {
        acts.extend(thread.join().expect("no client panics")?);
    }
    let vanished = acts.iter().filter(|act| act.vanished).count();
    eprintln!("{} rounds, of which {vanished} were cut off", acts.len());
    assert!(acts.len() > 1000 && vanished > 100, "{} of which {vanished}", acts.len());
    Ok(acts)
}

/// Waits until the proxy has dealt with everybody who left.
fn wait_for_calm(stand: &Stand) -> Result<()> {
    let mut admin = stand.proxy.admin()?;
    let mut seen = Vec::new();
    poll::until(CALM, "nothing to be active", || {
        seen = admin.table("SHOW POOLS")?;
        let calm = seen.iter().all(|pool| {
            ["cl_active", "cl_waiting", "sv_active", "sv_login", "pinned", "maxwait_us"]
                .iter()
                .all(|column| pool[*column] == "0")
        });
        Ok(calm.then_some(()))
    })
    .with_context(|| format!("{seen:#?}"))?;
    assert_eq!(admin.table("SHOW CLIENTS")?, []);
    let lists = admin.table("SHOW LISTS")?;
    let item = |name: &str| lists.iter().find(|row| row["list"] == name).map(|row| &*row["items"]);
    assert_eq!((item("used_clients"), item("used_servers")), (Some("0"), Some("0")), "{lists:?}");
    Ok(())
}

/// What was acknowledged is there, what never got its COMMIT is not, and nothing is there by half.
fn check_rows(stand: &Stand, acts: &[Act]) -> Result<()> {
    let rows =
        stand.postgres.sql("SELECT client * 1000000 + number, count(*) FROM w GROUP BY 1")?;
    let mut there = BTreeSet::new();
    for row in rows {
        let [key, count] = row.as_slice() else { panic!("{row:?}") };
        assert_eq!(count, "2", "half of a transaction is there: {key}");
        there.insert(key.parse::<u64>()?);
    }
    for act in acts {
        let key = act.client * 1_000_000 + act.number;
        assert!(!act.is_committed() || there.contains(&key), "lost: {act:?}");
        assert!(act.may_commit || !there.contains(&key), "came from nowhere: {act:?}");
    }
    Ok(())
}

/// The proxy and Postgres know the same connections, all of them idle and clean.
fn check_connections(stand: &Stand) -> Result<()> {
    let servers = stand.proxy.admin()?.table("SHOW SERVERS")?;
    assert!(
        servers.iter().all(|row| row["state"] == "idle" && row["link"] == "NULL"),
        "{servers:?}"
    );
    let known: BTreeSet<String> = servers.iter().map(|row| row["remote_pid"].clone()).collect();
    let sql = "SELECT pid, state, coalesce(backend_xid::text, backend_xmin::text, '') \
               FROM pg_stat_activity WHERE usename = 'app' AND application_name <> 'pgherd health check' AND backend_type = 'client backend'";
    let backends = stand.postgres.sql(sql)?;
    let open: BTreeSet<String> = backends.iter().map(|row| row[0].clone()).collect();
    assert_eq!(known, open, "{backends:?}");
    assert!(backends.iter().all(|row| row[1] == "idle" && row[2].is_empty()), "{backends:?}");
    let idle: usize = stand.pool("app")?["sv_idle"].parse()?;
    assert_eq!(idle, open.len());
    let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'relation' \
                 AND relation = 'w'::regclass";
    assert_eq!(stand.postgres.sql(locks)?, [["0"]]);
    Ok(())
}

/// Twenty clients do twenty statements each, and the counters say so exactly.
fn check_counters(stand: &Stand) -> Result<()> {
    let mut admin = stand.proxy.admin()?;
    let columns = ["total_xact_count", "total_query_count", "total_server_assignment_count"];
    let mut counts = || -> Result<Vec<u64>> {
        let table = admin.table("SHOW STATS")?;
        let row = table.iter().find(|row| row["database"] == "app").context("no app")?;
        columns.iter().map(|column| Ok(row[*column].parse()?)).collect()
    };
    let before = counts()?;
    let mut clients: Vec<Client> = (0..20).map(|_| stand.client()).collect::<Result<_>>()?;
    for _ in 0..20 {
        for (number, client) in clients.iter_mut().enumerate() {
            assert_eq!(client.value(&format!("SELECT {number}"))?, number.to_string());
        }
    }
    let after = counts()?;
    let grown: Vec<u64> = after.iter().zip(before).map(|(after, before)| after - before).collect();
    assert_eq!(grown, [400, 400, 400]);
    Ok(())
}

/// Ten clients can have a transaction at the same time, and the eleventh waits.
fn check_every_connection_can_be_had(stand: &Stand) -> Result<()> {
    let mut holders = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut client = stand.client()?;
        client.rows("BEGIN")?;
        holders.push(client);
    }
    let mut late = stand.client()?;
    late.send(&pgherd_harness::raw::frontend::query("SELECT 'late'"))?;
    stand.wait_pool("app", &[("cl_waiting", "1"), ("sv_active", "10"), ("sv_idle", "0")])?;
    for client in &mut holders {
        client.rows("COMMIT")?;
    }
    late.until_ready(1)?;
    assert_eq!(stand.connections()?, CONNECTIONS);
    stand.wait_pool("app", &[("cl_waiting", "0"), ("sv_active", "0"), ("sv_idle", "10")])
}

/// A thousand sockets are more than what is allowed by default.
fn raise_open_files() -> Result<()> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    Ok(setrlimit(Resource::Nofile, limit)?)
}
