//! Random sequences of messages from two clients that share server connections: each client reads
//! what it would read on a connection of its own.
//!
//! `PGHERD_RANDOM_SECONDS` makes each test longer, `PGHERD_RANDOM_SEED` begins elsewhere. What
//! fails is made shorter by leaving messages out before it is shown.

mod history;
mod oracle;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use pgherd_harness::poll;
use pgherd_harness::postgres::Postgres;
use pgherd_harness::proxy::{Proxy, ProxyConfig};
use pgherd_harness::raw::Client;

use crate::twin::{difference, lines};
use history::{Flavour, Step};
use oracle::Exchange;

/// How long one test looks, unless told otherwise.
const SECONDS: u64 = 6;
/// How long an answer may take; nothing here takes long.
const DEADLINE: Duration = Duration::from_secs(3);
/// The same while a failure that is known is made shorter.
const HURRY: Duration = Duration::from_millis(500);
/// How long Postgres may take to recover from a crash.
const RECOVERY: Duration = Duration::from_secs(20);
/// Failing histories after which a test has seen enough.
const SHOWN: usize = 4;
/// How long one failure is made shorter.
const SHRINKING: Duration = Duration::from_secs(20);

struct Stand {
    proxy: Proxy,
    postgres: Postgres,
    pool_size: usize,
    direct: [Client; 2],
    proxied: Option<[Client; 2]>,
    deadline: Duration,
}

impl Stand {
    fn start(pool_size: usize) -> Result<Self> {
        let postgres = Postgres::builder().setting("log_min_messages", "panic").start()?;
        let proxy = start_proxy(&postgres, pool_size)?;
        let mut first = Client::login(postgres.addr())?;
        first.rows("CREATE TABLE sink (n int)")?;
        let direct = [first, Client::login(postgres.addr())?];
        Ok(Self { proxy, postgres, pool_size, direct, proxied: None, deadline: DEADLINE })
    }

    /// How the proxy differs from Postgres, if it does.
    fn run(&mut self, history: &[Step]) -> Result<Option<String>> {
        let Some(expected) = oracle::run(&mut self.direct, history)? else {
            self.start_again()?;
            return Ok(None);
        };
        for client in &mut self.direct {
            client.rows("DISCARD ALL")?;
        }
        let mut clients = match self.proxied.take() {
            Some(clients) => clients,
            None => self.log_in()?,
        };
        let mut failure = replay(&mut clients, &expected);
        for client in &mut clients {
            if failure.is_none()
                && let Err(error) = client.rows("DISCARD ALL")
            {
                failure = Some(format!("  DISCARD ALL at the end: {error:#}"));
            }
        }
        if failure.is_some() {
            // What it has left would disturb the next history.
            self.proxy = start_proxy(&self.postgres, self.pool_size)?;
        } else {
            self.proxied = Some(clients);
        }
        Ok(failure)
    }

    /// After a history that ended a connection to Postgres. Some (an Execute of DISCARD ALL or
    /// DEALLOCATE and the like) crash Postgres itself, which then comes back by itself.
    fn start_again(&mut self) -> Result<()> {
        let login = || {
            poll::until(RECOVERY, "Postgres to take clients", || {
                Ok(Client::login(self.postgres.addr()).ok())
            })
        };
        self.direct = [login()?, login()?];
        self.proxied = None;
        self.proxy = start_proxy(&self.postgres, self.pool_size)?;
        Ok(())
    }

    fn log_in(&self) -> Result<[Client; 2]> {
        let mut clients = [Client::login(self.proxy.addr())?, Client::login(self.proxy.addr())?];
        for client in &mut clients {
            client.set_deadline(self.deadline);
        }
        Ok(clients)
    }

    /// The shortest history in reach that still differs.
    fn shrink(
        &mut self,
        mut history: Vec<Step>,
        mut failure: String,
    ) -> Result<(Vec<Step>, String)> {
        let until = Instant::now() + SHRINKING;
        self.deadline = HURRY;
        'again: while Instant::now() < until {
            for less in history::shorter(&history) {
                if let Some(still) = self.run(&less)? {
                    (history, failure) = (less, still);
                    continue 'again;
                }
            }
            break;
        }
        self.deadline = DEADLINE;
        self.proxied = None;
        Ok((history, failure))
    }
}

fn start_proxy(postgres: &Postgres, pool_size: usize) -> Result<Proxy> {
    let config = ProxyConfig::transaction(postgres).pool_size(pool_size);
    Proxy::start(&config.proxy_setting("workers", "1").to_toml())
}

/// Sends what was sent to Postgres, and compares step by step.
fn replay(clients: &mut [Client; 2], expected: &[Exchange]) -> Option<String> {
    for (number, exchange) in expected.iter().enumerate() {
        let client = &mut clients[exchange.client];
        let bytes: Vec<u8> = exchange.items.iter().flat_map(|item| item.bytes.clone()).collect();
        let mut messages = Vec::new();
        let sent = client.send(&bytes);
        let mut end = sent.err().map(|error| format!("{error:#}"));
        while end.is_none() && messages.len() < exchange.answer.len() {
            match client.receive() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => end = Some("(closed)".to_owned()),
                Err(error) => end = Some(format!("({error:#})")),
            }
        }
        let mut actual = lines(&messages, false);
        actual.extend(end);
        if let Some(difference) = difference(&exchange.answer, &actual) {
            let who = exchange.client;
            return Some(format!("  step {number}, client {who}:\n{difference}"));
        }
    }
    None
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[track_caller]
fn check(flavour: Flavour, pool_size: usize) -> Result<()> {
    let seconds = number("PGHERD_RANDOM_SECONDS").unwrap_or(SECONDS);
    let first = number("PGHERD_RANDOM_SEED").unwrap_or(1);
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut stand = Stand::start(pool_size)?;
    let mut failures = Vec::new();
    let mut tried = 0;
    for seed in first.. {
        if Instant::now() >= until || failures.len() >= SHOWN {
            break;
        }
        tried += 1;
        let history = history::generate(seed, flavour);
        let failure = stand.run(&history).with_context(|| format!("seed {seed}: {history:#?}"))?;
        if let Some(failure) = failure {
            let (history, failure) = stand.shrink(history, failure)?;
            let steps: Vec<String> = history
                .iter()
                .map(|step| format!("    {}: {:?}", step.client, step.items))
                .collect();
            failures.push(format!("seed {seed}\n{}\n{failure}", steps.join("\n")));
        }
    }
    println!("{tried} histories of {flavour:?}, seeds from {first}");
    if !failures.is_empty() {
        bail!("{} of {tried} histories differ\n{}", failures.len(), failures.join("\n\n"));
    }
    Ok(())
}

#[test]
fn the_protocols_own_statements() -> Result<()> {
    check(Flavour::Protocol, 1)
}

#[test]
fn statements_of_sql() -> Result<()> {
    check(Flavour::SqlLevel, 2)
}

#[test]
fn copy() -> Result<()> {
    check(Flavour::Copy, 1)
}
