//! Instances that fall silent without a word, and the mechanism that each sort of silence is for:
//! it alone is switched on, finds its fault within its time, and leaves slow queries alone.
//! Needs root.

mod stand;

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use pgherd_harness::raw::frontend;

use stand::{SOON, Stand};

/// Longer than any mechanism here waits.
const SLOW: Duration = Duration::from_secs(9);
/// Kernel timers, sweeps and probes come a little later than they are due.
const LATE: Duration = Duration::from_millis(1_500);

const WRITE: &str = "UPDATE t SET n = n + 1";
/// Acknowledged by the kernel at the other end, and never answered.
const ENDLESS: &str = "SELECT pg_sleep(600) FROM t FOR UPDATE";

/// What was sent stays unacknowledged: the kernel sends it again for a quarter of an hour.
#[test]
fn unacknowledged_bytes_end_with_the_user_timeout() -> Result<()> {
    let stand = Stand::start(&[("tcp_user_timeout", "2s")])?;
    stand.check(
        WRITE,
        |stand| stand.of_proxy.drop_packets(stand.primary.addr().ip()),
        Moment::Before,
        Duration::from_secs(2),
        "08006",
    )
}

/// Everything was acknowledged, so that the kernel has nothing to send again.
#[test]
fn a_half_open_connection_ends_with_keepalive() -> Result<()> {
    let stand = Stand::start(&keepalive())?;
    stand.check(
        ENDLESS,
        |stand| stand.of_proxy.drop_packets(stand.primary.addr().ip()),
        Moment::Within,
        Duration::from_secs(3),
        "08006",
    )
}

/// The machine is gone without a FIN and has come back without the connection's memory: whoever
/// asks next gets a new one.
#[test]
fn a_half_open_connection_that_is_idle_ends_with_keepalive() -> Result<()> {
    let mut stand = Stand::start(&keepalive())?;
    let (slow, beside) = (stand.slow_query()?, stand.beside()?);
    let mut client = stand.client()?;
    client.rows(WRITE)?;
    let server = stand.primary.addr();
    ensure!(stand.of_proxy.connections_to(server)?.len() == 1, "one connection, in no use");
    let begun = Instant::now();
    stand.of_primary.plug(false)?;
    stand.primary.kill9()?;
    stand.primary.restart()?;
    let gone = stand.wait_until_no_connection(server)?.duration_since(begun);
    let within = Duration::from_secs(3) + LATE + beside.slack()?;
    ensure!(gone < within, "the kernel has given it up only after {gone:?}, not {within:?}");
    stand.of_primary.plug(true)?;
    client.rows(WRITE)?;
    ensure!(stand.primary.sql("SELECT n FROM t")? == [["2"]]);
    slow.end()
}

/// One connection has been forgotten on its way, its instance is well: no probe can find that.
#[test]
fn one_lost_connection_ends_with_keepalive_although_its_instance_is_well() -> Result<()> {
    let mut settings = keepalive().to_vec();
    settings.push(("stall_timeout", "1s"));
    let stand = Stand::start(&settings)?;
    let other = stand.slow_query_on_the_primary()?;
    stand.check(
        ENDLESS,
        |stand| stand.of_proxy.drop_connection(stand.connection_of("FOR UPDATE")?),
        Moment::Within,
        Duration::from_secs(3),
        "08006",
    )?;
    other.end()
}

#[test]
fn a_query_without_an_answer_ends_with_the_query_timeout() -> Result<()> {
    // After the limit it is cancelled, and given up when that has not helped for five seconds.
    let given_up = Duration::from_secs(3) + Duration::from_secs(5);
    for strike in [Stand::drop_packets, Stand::freeze] {
        let stand = Stand::start(&[("query_timeout", "3s")])?;
        let mut healthy = stand.client()?;
        healthy.rows("SELECT pg_sleep(2)")?;
        stand.check_one(ENDLESS, strike, Moment::Within, given_up, "57014")?;
    }
    Ok(())
}

#[test]
fn a_silent_instance_ends_with_the_stall_timeout_and_its_probe() -> Result<()> {
    // One second of silence, and one in which a probe gets no answer, over the connection that is
    // kept for it or over a new one.
    for strike in [Stand::freeze, Stand::drop_packets] {
        let stand = Stand::start(&[("stall_timeout", "1s")])?;
        let within = Duration::from_secs(2);
        stand.check(ENDLESS, strike, Moment::Within, within, "08006")?;
    }
    Ok(())
}

/// What each of them leaves alone, all of them leave alone.
#[test]
fn a_slow_query_on_a_healthy_instance_is_ended_by_none() -> Result<()> {
    let mut settings = keepalive().to_vec();
    settings.extend([
        ("tcp_user_timeout", "2s"),
        ("stall_timeout", "1s"),
        ("query_timeout", "20s"),
        ("health_check_interval", "500ms"),
    ]);
    let stand = Stand::start(&settings)?;
    let (slow, other) = (stand.slow_query()?, stand.slow_query_on_the_primary()?);
    slow.end()?;
    other.end()?;
    ensure!(!stand.proxy.log().contains("without an answer"), "{}", stand.proxy.log());
    Ok(())
}

/// Idle for a second, then two questions a second apart.
fn keepalive() -> [(&'static str, &'static str); 3] {
    [("tcp_keepalive_idle", "1s"), ("tcp_keepalive_interval", "1s"), ("tcp_keepalive_count", "2")]
}

/// When the fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// Before the statement is sent.
    Before,
    /// When it runs in Postgres.
    Within,
}

impl Stand {
    /// The fault is found within the time, and a slow query on the other instance ends well.
    fn check(
        &self,
        sql: &str,
        strike: impl FnOnce(&Self) -> Result<()>,
        moment: Moment,
        due: Duration,
        sqlstate: &str,
    ) -> Result<()> {
        let slow = self.slow_query()?;
        self.check_one(sql, strike, moment, due, sqlstate)?;
        slow.end()
    }

    fn check_one(
        &self,
        sql: &str,
        strike: impl FnOnce(&Self) -> Result<()>,
        moment: Moment,
        due: Duration,
        sqlstate: &str,
    ) -> Result<()> {
        let beside = self.beside()?;
        let mut client = self.client()?;
        client.set_deadline(SOON);
        // It has a server connection that works.
        client.rows(WRITE)?;
        let asked = Instant::now();
        if moment == Moment::Within {
            client.send(&frontend::query(sql))?;
            self.wait_running(sql)?;
            strike(self)?;
        } else {
            strike(self)?;
            client.send(&frontend::query(sql))?;
        }
        let struck = Instant::now();
        let found = client.until_tag(b'E')?;
        let (since_asked, took) = (asked.elapsed(), struck.elapsed());
        let told: Vec<_> = found.iter().filter_map(|message| message.sqlstate()).collect();
        println!("{told:?} {took:?} after the fault, {since_asked:?} after the question");
        ensure!(told == [sqlstate], "{found:?}");
        ensure!(since_asked > due.mul_f64(0.8), "after {since_asked:?}, which is too early");
        let within = due + LATE + beside.slack()?;
        ensure!(took < within, "found only after {took:?}, not {within:?}");
        // When the fault is over, a client is served.
        self.mend()?;
        let mut next = self.client()?;
        next.set_deadline(SOON);
        next.rows("SELECT 1")?;
        Ok(())
    }
}
