//! Reads of clusters with several shards go to the replicas of each, by the rules of those with one.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use pgherd_harness::poll;
use pgherd_harness::postgres::Postgres;
use pgherd_harness::proxy::{Proxy, ProxyConfig};
use pgherd_harness::raw::{Client, Login, Message, frontend};
use pgherd_harness::sharded::ShardedCluster;

const SOON: Duration = Duration::from_secs(20);
const SHARDS: usize = 2;

/// Two shards, each with a replica.
struct Stand {
    proxy: Proxy,
    replicas: Vec<Postgres>,
    cluster: ShardedCluster,
    /// The id of a user on each shard.
    keys: Vec<i64>,
}

impl Stand {
    fn start(change: impl FnOnce(ProxyConfig) -> ProxyConfig) -> Result<Self> {
        let cluster = ShardedCluster::builder(SHARDS).servers(SHARDS).start()?;
        for shard in 0..SHARDS {
            cluster.shard(shard)?.rows(
                "CREATE SEQUENCE s; \
                 CREATE FUNCTION lies() RETURNS text STABLE LANGUAGE plpgsql AS \
                   $$BEGIN PERFORM nextval('s'); RETURN current_setting('port'); END$$; \
                 CREATE FUNCTION reads() RETURNS text STABLE LANGUAGE sql AS \
                   $$SELECT current_setting('port')$$; \
                 CREATE FUNCTION writes() RETURNS text VOLATILE LANGUAGE sql AS \
                   $$SELECT current_setting('port')$$",
            )?;
        }
        let replicas = cluster.replicas()?;
        let proxy = Proxy::start(&change(cluster.config_with(&replicas)).to_toml())?;
        let mut keys = Vec::new();
        for shard in 0..SHARDS {
            keys.push(cluster.shard(shard)?.value("SELECT min(id) FROM users")?.parse()?);
        }
        let stand = Self { proxy, replicas, cluster, keys };
        stand.catch_up()?;
        stand.wait_known()?;
        Ok(stand)
    }

    fn client(&self) -> Result<Client> {
        Client::login(self.proxy.addr())
    }

    /// Waits until the replicas have replayed what was written.
    fn catch_up(&self) -> Result<()> {
        for (shard, replica) in self.replicas.iter().enumerate() {
            let lsn = &self.cluster.server(shard).sql("SELECT pg_current_wal_lsn()")?[0][0];
            poll::until(SOON, "a replica to catch up", || {
                let sql = format!("SELECT pg_last_wal_replay_lsn() >= '{lsn}'");
                Ok((replica.sql(&sql)? == [["t"]]).then_some(()))
            })?;
        }
        Ok(())
    }

    /// Waits until the proxy knows the replicas, and what the functions do.
    fn wait_known(&self) -> Result<()> {
        let mut client = self.client()?;
        poll::until(SOON, "reads to go to the replicas", || {
            let known = |client: &mut Client| -> Result<bool> {
                for shard in 0..SHARDS {
                    if self.place(client, shard, "reads()")? != "replica" {
                        return Ok(false);
                    }
                }
                Ok(true)
            };
            Ok(known(&mut client)?.then_some(()))
        })
    }

    /// Where a statement for one shard runs that shows a port.
    fn place(&self, client: &mut Client, shard: usize, port: &str) -> Result<String> {
        let sql = self.sql(shard, port);
        let answer = client.simple(&sql)?;
        self.place_of(&answer).context(sql)
    }

    fn sql(&self, shard: usize, port: &str) -> String {
        match port.contains("()") {
            // What functions of the database see is one shard: it must be named.
            true => format!("/* pgherd: shard={shard} */ SELECT {port}"),
            false => format!("SELECT {port} FROM users WHERE id = {}", self.keys[shard]),
        }
    }

    fn place_of(&self, answer: &[Message]) -> Result<String> {
        let error = answer.iter().find(|message| message.tag == b'E');
        ensure!(error.is_none(), "{error:?}");
        let row = answer.iter().rev().find_map(Message::data_row).context("no row")?;
        let port = row.first().copied().flatten().context("no value")?;
        let port: u16 = std::str::from_utf8(port)?.parse()?;
        let is = |server: &Postgres| server.port() == port;
        if self.replicas.iter().any(is) {
            return Ok("replica".to_owned());
        }
        ensure!((0..SHARDS).any(|shard| is(self.cluster.server(shard))), "nobody has {port}");
        Ok("primary".to_owned())
    }
}

const PORT: &str = "current_setting('port')";

#[test]
fn what_a_statement_does_decides() -> Result<()> {
    let stand = Stand::start(|config| config)?;
    let mut client = stand.client()?;
    for shard in 0..SHARDS {
        let key = stand.keys[shard];
        for (port, expected) in [
            (PORT, "replica"),
            ("reads()", "replica"),
            ("writes()", "primary"),
            ("current_setting('port') /* pgherd: role=primary */", "primary"),
        ] {
            assert_eq!(stand.place(&mut client, shard, port)?, expected, "{port}");
            // What was decided for one statement does not stay.
            assert_eq!(stand.place(&mut client, shard, PORT)?, "replica", "behind {port}");
        }
        let locks = format!("SELECT {PORT} FROM users WHERE id = {key} FOR UPDATE");
        assert_eq!(stand.place_of(&client.simple(&locks)?)?, "primary");
        let update = format!("UPDATE users SET name = 'x' WHERE id = {key} RETURNING {PORT}");
        assert_eq!(stand.place_of(&client.simple(&update)?)?, "primary");
        for (asked, expected) in [("", "primary"), (", role=replica", "replica")] {
            let shown = format!("/* pgherd: shard={shard}{asked} */ SELECT writes()");
            assert_eq!(stand.place_of(&client.simple(&shown)?)?, expected, "{shown}");
        }
    }
    Ok(())
}

#[test]
fn a_transaction_stays_where_it_begins() -> Result<()> {
    let stand = Stand::start(|config| config)?;
    let mut client = stand.client()?;
    for (begin, expected) in [
        ("BEGIN", "primary"),
        ("BEGIN READ ONLY", "replica"),
        ("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", "replica"),
        ("BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY", "primary"),
        ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY; BEGIN", "primary"),
    ] {
        client.rows(begin)?;
        for shard in 0..SHARDS {
            assert_eq!(stand.place(&mut client, shard, PORT)?, expected, "{begin}");
        }
        assert_eq!(client.value("SELECT count(*) FROM users")?, "60", "{begin}");
        client.rows("COMMIT")?;
        assert_eq!(stand.place(&mut client, 0, PORT)?, "replica", "after {begin}");
        // A text of several statements is one transaction.
        let all = format!("{}; SELECT 1", stand.sql(1, PORT));
        client.rows(&all)?;
    }
    Ok(())
}

#[test]
fn settings_of_the_session_go_before_what_statements_do() -> Result<()> {
    let stand = Stand::start(|config| config)?;
    let mut client = stand.client()?;
    for (set, expected) in [
        ("SET pgherd.role = 'primary'", "primary"),
        ("SET pgherd.role = 'replica'", "replica"),
        ("RESET pgherd.role", "replica"),
        ("SET SERVER ROLE TO 'primary'", "primary"),
        ("SET SERVER ROLE TO 'auto'", "replica"),
    ] {
        client.rows(set)?;
        for shard in 0..SHARDS {
            assert_eq!(stand.place(&mut client, shard, PORT)?, expected, "{set}");
        }
        assert_eq!(client.value("SELECT count(*) FROM users")?, "60", "{set}");
    }
    // Any instance: writes go to the primary all the same.
    client.rows("SET pgherd.role = 'any'")?;
    client.rows(&format!("UPDATE users SET name = 'any' WHERE id = {}", stand.keys[1]))?;
    let login = Login::default().parameter("pgherd.role", "primary");
    let mut client = Client::login_as(stand.proxy.addr(), &login)?;
    assert_eq!(stand.place(&mut client, 1, PORT)?, "primary");
    Ok(())
}

#[test]
fn a_batch_goes_where_all_of_it_can() -> Result<()> {
    let stand = Stand::start(|config| config)?;
    let mut client = stand.client()?;
    let (read, key) = (stand.sql(1, PORT), stand.keys[1]);
    let write = format!("UPDATE users SET name = 'y' WHERE id = {key} RETURNING {PORT}");
    let one = |sql: &str| {
        [
            frontend::parse("", sql, &[]),
            frontend::bind("", "", &[]),
            frontend::describe_portal(""),
            frontend::execute("", 0),
        ]
        .concat()
    };
    for (statements, expected) in [
        (vec![&read], "replica"),
        (vec![&read, &read], "replica"),
        (vec![&read, &write], "primary"),
        (vec![&write, &read], "primary"),
        (vec![&read], "replica"),
    ] {
        let batch: Vec<u8> = statements.iter().flat_map(|sql| one(sql)).collect();
        client.send(&[batch, frontend::sync()].concat())?;
        let place = stand.place_of(&client.until_ready(1)?).context(format!("{statements:?}"))?;
        assert_eq!(place, expected, "{statements:?}");
    }
    // Prepared ones in turn.
    let prepare = [frontend::parse("r", &read, &[]), frontend::parse("w", &write, &[])].concat();
    client.send(&[prepare, frontend::sync()].concat())?;
    client.until_ready(1)?;
    for (name, expected) in [("r", "replica"), ("w", "primary"), ("r", "replica")] {
        let batch = [frontend::bind("", name, &[]), frontend::execute("", 0), frontend::sync()];
        client.send(&batch.concat())?;
        assert_eq!(stand.place_of(&client.until_ready(1)?)?, expected, "{name}");
    }
    // A portal that waits may write.
    let batch = [
        frontend::bind("first", "w", &[]),
        frontend::bind("second", "r", &[]),
        frontend::execute("second", 0),
        frontend::execute("first", 0),
        frontend::sync(),
    ];
    client.send(&batch.concat())?;
    assert_eq!(stand.place_of(&client.until_ready(1)?)?, "primary");
    Ok(())
}

#[test]
fn who_reads_its_own_writes_sees_them_on_every_shard() -> Result<()> {
    let stand = Stand::start(|config| config)?;
    for replica in &stand.replicas {
        replica.sql("SELECT pg_wal_replay_pause()")?;
    }
    let mut client = stand.client()?;
    client.rows("SET pgherd.read_your_writes = on")?;
    client.rows("UPDATE users SET balance = 7")?;
    // Each statement by itself, over both shards and over one.
    assert_eq!(client.value("SELECT count(*) FROM users WHERE balance = 7")?, "60");
    assert_eq!(stand.place(&mut client, 1, PORT)?, "primary");
    // Somebody else reads what the replicas have.
    let mut other = stand.client()?;
    assert_eq!(other.value("SELECT count(*) FROM users WHERE balance = 7")?, "0");
    for replica in &stand.replicas {
        replica.sql("SELECT pg_wal_replay_resume()")?;
    }
    poll::until(SOON, "the replicas to serve the session again", || {
        let places: Vec<String> = (0..SHARDS)
            .map(|shard| stand.place(&mut client, shard, PORT))
            .collect::<Result<_>>()?;
        Ok((places == ["replica", "replica"]).then_some(()))
    })?;
    assert_eq!(client.value("SELECT count(*) FROM users WHERE balance = 7")?, "60");
    Ok(())
}

#[test]
fn what_only_looks_like_a_read_goes_to_the_primary_after_all() -> Result<()> {
    let stand = Stand::start(|config| config)?;
    let mut client = stand.client()?;
    for shard in 0..SHARDS {
        assert_eq!(stand.place(&mut client, shard, "lies()")?, "primary");
        assert_eq!(stand.place(&mut client, shard, PORT)?, "replica");
    }
    // Asked for, it stays there, and says so.
    client.rows("SET pgherd.role = 'replica'")?;
    let answer = client.simple(&stand.sql(0, "lies()"))?;
    assert_eq!(answer.iter().find_map(Message::sqlstate).as_deref(), Some("25006"), "{answer:?}");
    Ok(())
}

#[test]
fn a_read_whose_replica_ends_is_answered_by_another() -> Result<()> {
    let stand = Stand::start(|config| config)?;
    let slow = format!(
        "SELECT {PORT}, count(*) FROM users, generate_series(1, 8000000) slow WHERE id = {} \
         GROUP BY 1",
        stand.keys[1]
    );
    let batch = [
        frontend::parse("", &slow, &[]),
        frontend::bind("", "", &[]),
        frontend::execute("", 0),
        frontend::sync(),
    ]
    .concat();
    for (name, bytes) in [("simple", frontend::query(&slow)), ("extended", batch)] {
        let mut client = stand.client()?;
        client.send(&bytes)?;
        poll::until(SOON, "the statement to run", || {
            let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                       WHERE query LIKE '%8000000) slow%' AND state = 'active' \
                       AND pid <> pg_backend_pid()";
            Ok((!stand.replicas[1].sql(sql)?.is_empty()).then_some(()))
        })?;
        stand.place_of(&client.until_ready(1)?).context(name)?;
        assert_eq!(stand.place(&mut client, 0, PORT)?, "replica", "{name}");
    }
    Ok(())
}

#[test]
fn reads_over_all_shards_go_on_when_replicas_or_primaries_die() -> Result<()> {
    const SUM: &str = "SELECT sum(balance) FROM users";
    const ORDERED: &str = "SELECT id FROM users ORDER BY id";
    let mut stand = Stand::start(|config| config)?;
    let mut client = stand.client()?;
    let read = |client: &mut Client, when: &str| -> Result<()> {
        for _ in 0..20 {
            assert_eq!(client.value(SUM).context(when.to_owned())?, "6000", "{when}");
            assert_eq!(client.rows(ORDERED).context(when.to_owned())?.len(), 60, "{when}");
        }
        Ok(())
    };
    read(&mut client, "at first")?;
    stand.replicas[1].kill9()?;
    read(&mut client, "without a replica")?;
    stand.replicas[1].restart()?;
    poll::until(SOON, "the replica to serve again", || {
        Ok((stand.place(&mut client, 1, PORT)? == "replica").then_some(()))
    })?;
    // What has been understood once needs no primary.
    for server in stand.cluster.servers() {
        server.kill9()?;
    }
    read(&mut client, "without primaries")
}

#[test]
fn a_frozen_replica_costs_nobody_an_error() -> Result<()> {
    let stand = Stand::start(|config| config)?;
    let mut client = stand.client()?;
    assert_eq!(client.value("SELECT sum(balance) FROM users")?, "6000");
    stand.replicas[0].sigstop()?;
    for _ in 0..5 {
        assert_eq!(client.value("SELECT sum(balance) FROM users")?, "6000");
    }
    stand.replicas[0].sigcont()?;
    poll::until(SOON, "the replica to serve again", || {
        Ok((stand.place(&mut client, 0, PORT)? == "replica").then_some(()))
    })
}
