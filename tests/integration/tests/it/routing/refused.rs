//! Statements that an instance refuses for what it is or does, and that another one takes.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use pgherd_harness::poll;
use pgherd_harness::postgres::{SUPERUSER, SUPERUSER_PASSWORD};
use pgherd_harness::proxy::Proxy;
use pgherd_harness::raw::{Client, Message, frontend};

use super::stand::{SOON, Stand};

/// A read that takes about a second.
const SLOW: &str = "SELECT current_setting('port'), count(*) FROM generate_series(1, 8000000) slow";

/// The primary has come back as a replica, and pgherd has not looked yet: a write that is refused
/// goes to the new primary.
#[test]
fn a_write_that_a_demoted_primary_refuses_goes_to_the_new_one() -> Result<()> {
    let mut stand = Stand::start(1, |config| {
        // Roles are looked at when there is a reason only.
        config
            .cluster_setting("health_check_interval", "\"10m\"")
            .cluster_setting("checkout_timeout", "\"15s\"")
    })?;
    let toml = stand.config.to_toml().replace("role = \"primary\"", "role = \"auto\"");
    let proxy = Proxy::start(&toml.replace("role = \"replica\"", "role = \"auto\""))?;
    let mut client = Client::login(proxy.addr())?;
    client.set_deadline(SOON * 2);
    client.rows("INSERT INTO t VALUES (100)")?;

    stand.primary.stop()?;
    let promoted = &stand.replicas[0];
    promoted.promote()?;
    let data = stand.primary.data_directory();
    std::fs::write(data.join("standby.signal"), "")?;
    let settings = data.join("postgresql.auto.conf");
    let before = std::fs::read_to_string(&settings)?;
    let source = format!(
        "primary_conninfo = 'host=127.0.0.1 port={} user={SUPERUSER} \
         password={SUPERUSER_PASSWORD}'\n",
        promoted.port()
    );
    std::fs::write(settings, before + &source)?;
    stand.primary.restart()?;
    ensure!(stand.primary.sql("SELECT pg_is_in_recovery()")? == [["t"]]);

    for n in 101..110 {
        let insert = format!("INSERT INTO t VALUES ({n}) RETURNING current_setting('port')");
        assert_eq!(client.value(&insert)?, promoted.port().to_string());
    }
    assert_eq!(promoted.sql("SELECT count(*) FROM t WHERE n >= 100")?, [["10"]]);
    // Unless the new roles were seen before the first write.
    let was_refused =
        stand.primary.log().contains("cannot execute INSERT in a read-only transaction");
    println!("refused by the old primary: {was_refused}");
    Ok(())
}

/// The replay of the primary's log is in the way of a read on one replica: another one answers it.
#[test]
fn a_read_that_a_recovery_conflict_ends_is_answered_by_another_replica() -> Result<()> {
    let stand = Stand::start(2, |config| config)?;
    for (replica, delay) in stand.replicas.iter().zip(["0", "-1"]) {
        replica.sql(&format!("ALTER SYSTEM SET max_standby_streaming_delay = {delay}"))?;
        replica.sql("SELECT pg_reload_conf()")?;
        poll::until(SOON, "the setting", || {
            Ok((replica.sql("SHOW max_standby_streaming_delay")? == [[delay]]).then_some(()))
        })?;
    }
    let [first, second] = &stand.replicas[..] else { anyhow::bail!("two replicas") };
    let extended = [
        frontend::parse("", SLOW, &[]),
        frontend::bind("", "", &[]),
        frontend::describe_portal(""),
        frontend::execute("", 0),
        frontend::sync(),
    ];
    for (name, bytes) in [("simple", frontend::query(SLOW)), ("extended", extended.concat())] {
        let conflicts = || -> Result<u64> {
            let sql = "SELECT sum(confl_snapshot) FROM pg_stat_database_conflicts";
            Ok(first.sql(sql)?[0][0].parse()?)
        };
        let before = conflicts()?;
        let mut client = stand.client()?;
        client.set_deadline(SOON * 2);
        // Whoever chooses, it begins on the one that gives way.
        stand.proxy.admin()?.rows(&format!("BAN 127.0.0.1:{}", second.port()))?;
        client.send(&bytes)?;
        poll::until(SOON, "the read to run", || {
            let sql = "SELECT FROM pg_stat_activity \
                       WHERE query LIKE '%8000000) slow' AND state = 'active'";
            Ok((!first.sql(sql)?.is_empty()).then_some(()))
        })?;
        stand.proxy.admin()?.rows(&format!("UNBAN 127.0.0.1:{}", second.port()))?;
        stand.primary.sql("UPDATE t SET word = word || '.'")?;
        stand.primary.sql("VACUUM t")?;
        let answer = client.until_ready(1)?;
        let errors: Vec<_> = answer.iter().filter_map(Message::sqlstate).collect();
        assert!(errors.is_empty(), "{name}: {answer:?}");
        let row = answer.iter().find_map(Message::data_row).context("no row")?;
        let port = row.first().copied().flatten().map(String::from_utf8_lossy);
        assert_eq!(port.as_deref(), Some(&*second.port().to_string()), "{name}");
        // Counted when the session that was hit has time.
        poll::until(Duration::from_secs(10), "the conflict to be counted", || {
            Ok((conflicts()? > before).then_some(()))
        })
        .with_context(|| name.to_owned())?;
    }
    Ok(())
}
