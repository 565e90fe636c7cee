//! Runs histories: each part alone on Postgres, both through a proxy with one server connection.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use pgherd_harness::poll;
use pgherd_harness::postgres::Postgres;
use pgherd_harness::proxy::{Proxy, ProxyConfig};
use pgherd_harness::raw::Client;

use super::history::{History, Who};
use super::player::{Player, Transcript};
use crate::twin::compare::difference;

/// Longer than any step takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(20);
/// A look at what may have come.
const GLANCE: Duration = Duration::from_millis(2);
/// Who logs in is in no queue that one could look at; after this time it is taken to wait.
const PATIENCE: Duration = Duration::from_millis(300);

const SCHEMA: &str = "
CREATE ROLE clerk; GRANT clerk TO app;
CREATE SEQUENCE numbers_0; CREATE SEQUENCE numbers_1;
GRANT ALL ON SEQUENCE numbers_0, numbers_1 TO PUBLIC;
CREATE FUNCTION inside_set(name text, value text) RETURNS text LANGUAGE plpgsql AS
    $$BEGIN RETURN set_config(name, value, false); END$$;
CREATE FUNCTION inside_temp() RETURNS void LANGUAGE plpgsql AS
    $$BEGIN CREATE TEMP TABLE t2 (n int); END$$;
CREATE FUNCTION inside_lock(key int) RETURNS void LANGUAGE plpgsql AS
    $$BEGIN PERFORM pg_advisory_lock(key); END$$;";

/// Running servers, and what was counted.
pub struct Stand {
    proxy: Proxy,
    replica: Option<(Client, Postgres)>,
    postgres: Postgres,
    side: Client,
    admin: Client,
    /// Steps run through the proxy.
    pub steps: usize,
    /// Steps that waited although the other client was in no transaction: for the end of a pin.
    pub waits: usize,
    /// Behind the proxy both have a setting that they did not ask for, to show that it is seen.
    pub foreign_setting: bool,
}

impl Stand {
    pub fn start() -> Result<Self> {
        Self::start_with(false)
    }

    /// With reads on a replica if `split`, over one connection there, too.
    pub fn start_with(split: bool) -> Result<Self> {
        let postgres = Postgres::builder().setting("log_min_messages", "panic").start()?;
        let mut side = postgres.superuser("app")?;
        side.rows(SCHEMA)?;
        let replica = split.then(|| -> Result<_> {
            let replica = postgres.streaming_replica()?;
            Ok((replica.superuser("app")?, replica))
        });
        let replica = replica.transpose()?;
        let config = ProxyConfig::transaction(&postgres);
        let config = match &replica {
            Some((_, replica)) => config.replica(replica).cluster_setting("reads", "\"replicas\""),
            None => config,
        };
        let config = config
            .pool_size(1)
            .proxy_setting("workers", "1")
            .cluster_setting("checkout_timeout", "\"60s\"");
        let proxy = Proxy::start(&config.to_toml())?;
        let admin = proxy.admin()?;
        let (steps, waits, foreign_setting) = (0, 0, false);
        Ok(Self { proxy, replica, postgres, side, admin, steps, waits, foreign_setting })
    }

    /// How what the two saw through the proxy differs from what each would see alone.
    pub fn difference(&mut self, history: &History) -> Result<Option<String>> {
        let alone = Who::BOTH.map(|who| self.alone(history, who));
        self.begin()?;
        let mut players = self.players(history);
        if let Err(error) = self.together(history, &mut players) {
            return Ok(Some(format!("    {error:#}\n")));
        }
        for (who, alone) in Who::BOTH.into_iter().zip(alone) {
            let alone = alone.with_context(|| format!("{who:?} alone on Postgres"))?;
            let seen = &players[who.index()].transcript;
            if let Some(difference) = first_difference(&alone, seen) {
                return Ok(Some(format!("    {who:?}, {difference}\n")));
            }
        }
        Ok(None)
    }

    /// How what a client sees alone differs from what it sees alone a second time.
    pub fn difference_alone(&mut self, history: &History) -> Result<Option<String>> {
        for who in Who::BOTH {
            let (first, second) = (self.alone(history, who)?, self.alone(history, who)?);
            if let Some(difference) = first_difference(&first, &second) {
                return Ok(Some(format!("{who:?}, {difference}\n{history}")));
            }
        }
        Ok(None)
    }

    /// No server connection, no sequence keeps what an earlier history did.
    fn begin(&mut self) -> Result<()> {
        self.side.rows("ALTER SEQUENCE numbers_0 RESTART; ALTER SEQUENCE numbers_1 RESTART")?;
        end_all_others(&mut self.side)?;
        let Some((replica, _)) = &mut self.replica else { return Ok(()) };
        let lsn = self.side.value("SELECT pg_current_wal_lsn()")?;
        poll::until(DEADLINE, "the replica to catch up", || {
            let sql = format!("SELECT pg_last_wal_replay_lsn() >= '{lsn}'");
            Ok((replica.value(&sql)? == "t").then_some(()))
        })?;
        end_all_others(replica)
    }

    fn alone(&mut self, history: &History, who: Who) -> Result<Transcript> {
        self.begin()?;
        let startup = &history.startup[who.index()];
        let mut player = Player::new(self.postgres.addr(), history.superuser, startup);
        for (_, step) in history.steps.iter().filter(|(it, _)| *it == who) {
            player.push(step.clone());
        }
        player.last = true;
        let until = Instant::now() + DEADLINE;
        while !player.is_done() {
            player.advance(DEADLINE)?;
            if Instant::now() > until {
                bail!("not done within {DEADLINE:?}: {:#?}", player.transcript.last());
            }
        }
        Ok(player.transcript)
    }

    fn players(&self, history: &History) -> [Player; 2] {
        let addr = self.proxy.addr();
        Who::BOTH.map(|who| {
            let mut startup = history.startup[who.index()].clone();
            if self.foreign_setting {
                startup.push(("work_mem".to_owned(), "3MB".to_owned()));
            }
            Player::new(addr, history.superuser, &startup)
        })
    }

    fn together(&mut self, history: &History, players: &mut [Player; 2]) -> Result<()> {
        for who in Who::BOTH {
            self.settle(players, who)?;
        }
        for (number, (who, step)) in history.steps.iter().enumerate() {
            let player = &mut players[who.index()];
            player.push(step.clone());
            // Who has done its part leaves at once, and its pins end.
            for who in Who::BOTH {
                let mut later = history.steps.iter().skip(number + 1);
                players[who.index()].last = !later.any(|(it, _)| *it == who);
            }
            self.settle(players, *who)?;
            self.steps += 1;
        }
        for player in &mut *players {
            player.last = true;
        }
        let mut until = Instant::now() + DEADLINE;
        while !players.iter().all(Player::is_done) {
            for player in &mut *players {
                if player.advance(GLANCE)? {
                    until = Instant::now() + DEADLINE;
                }
            }
            if Instant::now() > until {
                bail!("{}", stuck(players));
            }
        }
        Ok(())
    }

    /// Lets one client do what it was given, unless it has to wait for the other one.
    fn settle(&mut self, players: &mut [Player; 2], who: Who) -> Result<()> {
        let since = Instant::now();
        loop {
            for player in &mut *players {
                while player.advance(GLANCE)? {}
            }
            let [this, that] = match who {
                Who::One => [&players[0], &players[1]],
                Who::Two => [&players[1], &players[0]],
            };
            if this.has_caught_up() {
                return Ok(());
            }
            if that.is_waiting() {
                // One of them has the connection: something will happen.
                if since.elapsed() > DEADLINE {
                    bail!("{}", stuck(players));
                }
            } else if this.is_waiting() {
                let in_transaction = that.is_in_transaction();
                let pools = self.admin.table("SHOW POOLS")?;
                let queueing = pools.iter().any(|pool| pool["cl_waiting"] != "0");
                if queueing || since.elapsed() > PATIENCE {
                    let pinned = pools.iter().any(|pool| pool["pinned"] != "0");
                    self.waits += usize::from(pinned && !in_transaction);
                    return Ok(());
                }
            }
        }
    }
}

/// Ends the sessions of the application in a server, but for the proxy's checks.
fn end_all_others(side: &mut Client) -> Result<()> {
    let others = "FROM pg_stat_activity \
                  WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() \
                  AND application_name <> 'pgherd health check'";
    side.rows(&format!("SELECT pg_terminate_backend(pid) {others}"))?;
    poll::until(DEADLINE, "the old server connections to end", || {
        Ok((side.value(&format!("SELECT count(*) {others}"))? == "0").then_some(()))
    })
}

fn stuck(players: &[Player; 2]) -> String {
    let last = players.each_ref().map(|player| player.transcript.last());
    format!("nothing happens for {DEADLINE:?}; the last that each saw: {last:#?}")
}

fn first_difference(alone: &Transcript, seen: &Transcript) -> Option<String> {
    for ((label, expected), (_, actual)) in alone.iter().zip(seen) {
        if expected.len() == actual.len() {
            let pairs = expected.iter().zip(actual).filter(|(expected, actual)| expected != actual);
            let lines: Vec<String> = pairs
                .map(|(expected, actual)| {
                    format!("      {expected}   on Postgres, through the proxy\n      {actual}")
                })
                .collect();
            if !lines.is_empty() {
                return Some(format!("{label}\n{}", lines.join("\n")));
            }
        } else if let Some(difference) = difference(expected, actual) {
            return Some(format!("{label}\n{difference}"));
        }
    }
    (alone.len() != seen.len())
        .then(|| format!("{} answers alone, {} together", alone.len(), seen.len()))
}
