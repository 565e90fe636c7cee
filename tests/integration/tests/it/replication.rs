//! Replication connections: a client's own server connection, relayed until either side ends.

mod choice;
mod life;
mod refused;
mod standby;
mod tools;
mod wire;

use std::time::Duration;

use anyhow::Result;
use pgherd_harness::postgres::{DATABASE, Postgres, SUPERUSER, SUPERUSER_PASSWORD};
use pgherd_harness::proxy::{Proxy, ProxyConfig};
use pgherd_harness::raw::{Client, Login, Message, frontend};

const SOON: Duration = Duration::from_secs(15);

/// A server, and a proxy in transaction mode with one connection in each pool.
fn start() -> Result<(Postgres, Proxy)> {
    let postgres = Postgres::start()?;
    let proxy = Proxy::start(&config(&postgres).to_toml())?;
    Ok((postgres, proxy))
}

fn config(postgres: &Postgres) -> ProxyConfig {
    ProxyConfig::transaction(postgres).pool_size(1)
}

/// As Postgres's own WAL receiver logs in.
fn physical() -> Login {
    Login::new(SUPERUSER, SUPERUSER_PASSWORD, "replication").parameter("replication", "true")
}

fn logical() -> Login {
    Login::new(SUPERUSER, SUPERUSER_PASSWORD, DATABASE).parameter("replication", "database")
}

/// Begins to stream from here on. The answer is CopyBothResponse.
fn start_streaming(postgres: &Postgres, client: &mut Client) -> Result<String> {
    let lsn = postgres.sql("SELECT pg_current_wal_flush_lsn()")?.concat().concat();
    client.send(&frontend::query(&format!("START_REPLICATION PHYSICAL {lsn}")))?;
    client.until_tag(b'W')?;
    Ok(lsn)
}

/// A standby's status update: what it has written, flushed and applied.
fn status_update(lsn: u64, wants_reply: bool) -> Vec<u8> {
    let mut body = vec![b'r'];
    body.extend([lsn.to_be_bytes(), lsn.to_be_bytes(), lsn.to_be_bytes()].concat());
    body.extend(0_u64.to_be_bytes());
    body.push(u8::from(wants_reply));
    frontend::copy_data(&body)
}

/// `0/16B3748` as a number.
fn lsn_number(lsn: &str) -> Result<u64> {
    let (high, low) = lsn.split_once('/').unwrap_or(("", lsn));
    Ok((u64::from_str_radix(high, 16)? << 32) | u64::from_str_radix(low, 16)?)
}

/// The SQLSTATE of the last message, if it is an error.
fn last_state(messages: &[Message]) -> Option<String> {
    messages.last().and_then(Message::sqlstate)
}
