//! Shards that do not answer: found in time, named, and nothing of the statement is left elsewhere.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use pgherd_harness::poll;
use pgherd_harness::proxy::Proxy;
use pgherd_harness::raw::{Client, Message};
use pgherd_harness::sharded::ShardedCluster;

const SOON: Duration = Duration::from_secs(20);
/// A probe waits five seconds, a query that is cancelled in vain as well. The rest is the machine's.
const IN_TIME: Duration = Duration::from_secs(20);
const SUM: &str = "SELECT sum(balance) FROM users";

/// Two shards on two servers.
struct Stand {
    cluster: ShardedCluster,
    proxy: Proxy,
}

impl Stand {
    fn start(setting: &str, value: &str) -> Result<Self> {
        let cluster = ShardedCluster::builder(2).servers(2).start()?;
        let config = cluster.config().cluster_setting(setting, value);
        let proxy = Proxy::start(&config.to_toml())?;
        Ok(Self { cluster, proxy })
    }

    /// Nothing of clients is open on a shard.
    fn wait_clean(&self, shard: usize) -> Result<()> {
        let sql = "SELECT query FROM pg_stat_activity WHERE usename = 'app' AND state <> 'idle'";
        poll::until(SOON, "transactions to end", || {
            Ok(self.cluster.server(shard).sql(sql)?.is_empty().then_some(()))
        })
    }
}

fn error(answer: &[Message]) -> Option<(String, String)> {
    let report = answer.iter().find(|message| message.tag == b'E')?;
    Some((report.sqlstate()?, String::from_utf8_lossy(&report.body).into_owned()))
}

/// Freezes shard 1, and runs something that needs it.
fn frozen(stand: &Stand, sql: &str, code: &str, begins: bool) -> Result<()> {
    let key = stand.cluster.shard(0)?.value("SELECT min(id) FROM users")?;
    let mut client = Client::login(stand.proxy.addr())?;
    assert_eq!(client.value(SUM)?, "6000");
    if begins {
        client.rows("BEGIN")?;
        client.rows(&format!("UPDATE users SET balance = 0 WHERE id = {key}"))?;
    }
    stand.cluster.server(1).sigstop()?;
    let begun = Instant::now();
    let answer = client.simple(sql);
    let took = begun.elapsed();
    println!("  {sql}: {took:?}");
    let answer = answer.with_context(|| format!("{sql}: the connection"))?;
    let (told, text) = error(&answer).with_context(|| format!("no error: {answer:?}"))?;
    assert!(told == code && text.contains("hard 1 does not "), "{told} {text}");
    assert!(took < IN_TIME, "{took:?}");
    if begins {
        let answer = client.simple("SELECT 1")?;
        assert_eq!(error(&answer).map(|it| it.0).as_deref(), Some("25P02"));
        client.rows("ROLLBACK")?;
    }
    // The other shard is free, and so is the client.
    stand.wait_clean(0)?;
    assert_eq!(client.value(&format!("SELECT balance FROM users WHERE id = {key}"))?, "100");
    stand.cluster.server(1).sigcont()?;
    poll::until(SOON, "all shards to answer", || {
        let answer = client.simple(SUM)?;
        Ok(error(&answer).is_none().then_some(()))
    })?;
    // What was under way there when it froze may have been done or not; of a block it was not.
    if begins || sql == SUM {
        assert_eq!(client.value(SUM)?, "6000");
    }
    stand.wait_clean(1)
}

#[test]
fn stall_timeout_finds_the_shard() -> Result<()> {
    let stand = Stand::start("stall_timeout", "\"1s\"")?;
    frozen(&stand, SUM, "08006", false)?;
    frozen(&stand, "UPDATE users SET balance = balance", "08006", true)?;
    // One that is only slow is left alone, several at a time, too.
    let mut client = Client::login(stand.proxy.addr())?;
    assert_eq!(client.value("SELECT 1 FROM pg_sleep(4)")?, "1");
    Ok(())
}

#[test]
fn query_timeout_ends_what_cannot_be_cancelled() -> Result<()> {
    let stand = Stand::start("query_timeout", "\"500ms\"")?;
    frozen(&stand, SUM, "57014", false)?;
    frozen(&stand, SUM, "57014", true)
}

#[test]
fn a_commit_finds_out_about_a_frozen_shard() -> Result<()> {
    let stand = Stand::start("stall_timeout", "\"1s\"")?;
    let mut client = Client::login(stand.proxy.addr())?;
    client.rows("UPDATE users SET balance = balance")?;
    client.rows("BEGIN")?;
    client.rows("UPDATE users SET balance = balance + 1")?;
    stand.cluster.server(1).sigstop()?;
    let begun = Instant::now();
    let answer = client.simple("COMMIT")?;
    println!("  COMMIT: {:?}", begun.elapsed());
    assert!(error(&answer).is_some_and(|it| it.0.starts_with("08")), "{answer:?}");
    stand.cluster.server(1).sigcont()?;
    // The second shard was to be prepared: nothing has been committed.
    poll::until(SOON, "nothing to be in doubt", || {
        let answer = client.simple(SUM)?;
        let mut left = 0;
        for shard in 0..2 {
            let prepared = stand.cluster.server(shard).sql("SELECT FROM pg_prepared_xacts")?;
            left += prepared.len();
        }
        Ok((error(&answer).is_none() && left == 0).then_some(()))
    })?;
    assert_eq!(client.value(SUM)?, "6000");
    (0..2).try_for_each(|shard| stand.wait_clean(shard))
}
