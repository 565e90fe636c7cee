//! `pgherd-testbed`: a Postgres and a proxy for as long as one command runs.
//!
//! ```text
//! pgherd-testbed --pool-mode transaction|session [--direct] [--pool-size N] [--shards N [--key COLUMN=TYPE]… [--reference TABLE]…] -- COMMAND…
//! ```
//! With `--shards` the proxy is before a sharded cluster, `DIRECT_PGDATABASE` has the same rows in one
//! database, and `PGHERD_SHARDS` says how many shards there are. With `--key` the cluster is empty, and
//! every table that has the column is sharded by it.
//!
//! The command gets `PGHOST PGPORT PGUSER PGPASSWORD PGDATABASE` for the way it is to take
//! (through the proxy, or with `--direct` straight to Postgres), the same with the prefix
//! `DIRECT_` for Postgres itself (`DIRECT_PGHOST`, …), `DIRECT_SUPERUSER` and
//! `DIRECT_SUPERUSER_PASSWORD`, `PGHERD_MODE` (`direct`, `transaction` or `session`), and, with a
//! proxy, `PGHERD_ADMIN_USER`, `PGHERD_ADMIN_PASSWORD` (admin database `pgherd`) and
//! `PGHERD_METRICS` (`host:port`). Its exit status becomes ours (127 when there is no such command,
//! 125 when the servers do not start); when it fails, the servers' logs
//! are shown with `--logs`.

use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus};

use anyhow::{Context, Result};
use clap::Parser;
use pgherd_harness::postgres::{
    APP_PASSWORD, APP_USER, DATABASE, Postgres, SUPERUSER, SUPERUSER_PASSWORD,
};
use pgherd_harness::proxy::{ADMIN_PASSWORD, ADMIN_USER, Proxy, ProxyConfig};
use pgherd_harness::sharded::{ShardedCluster, WHOLE};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

/// Runs a command against a Postgres of its own, through pgherd or directly.
#[derive(Debug, Parser)]
#[command(name = "pgherd-testbed")]
struct Options {
    /// When server connections go back to their pool.
    #[arg(long, default_value = "transaction", value_parser = ["transaction", "session"])]
    pool_mode: String,
    /// Leave the proxy out.
    #[arg(long)]
    direct: bool,
    /// Server connections per user.
    #[arg(long, default_value_t = 20)]
    pool_size: usize,
    /// Put the proxy before a sharded cluster.
    #[arg(long, default_value_t = 0, conflicts_with = "direct")]
    shards: usize,
    /// Shard every table that has this column, `COLUMN=TYPE`; may be repeated.
    #[arg(long, requires = "shards", value_parser = key)]
    key: Vec<(String, String)>,
    /// A table of which every shard has all rows; may be repeated.
    #[arg(long, requires = "shards")]
    reference: Vec<String>,
    /// Print the last lines of what the servers logged when the command fails.
    #[arg(long)]
    logs: bool,
    /// The command and its arguments.
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(&Options::parse()).await {
        Ok(status) => exit_code(status),
        Err(error) => {
            eprintln!("pgherd-testbed: {error:#}");
            ExitCode::from(125)
        }
    }
}

async fn run(options: &Options) -> Result<ExitStatus> {
    if options.shards > 0 {
        return run_sharded(options).await;
    }
    let postgres = Postgres::start()?;
    let proxy = if options.direct {
        None
    } else {
        let config = ProxyConfig::new(&options.pool_mode, &postgres).pool_size(options.pool_size);
        Some(Proxy::start(&config.to_toml())?)
    };
    run_between(options, &postgres, DATABASE, proxy.as_ref()).await
}

async fn run_sharded(options: &Options) -> Result<ExitStatus> {
    let mut builder = ShardedCluster::builder(options.shards);
    if !options.key.is_empty() {
        builder = builder.schema("");
    }
    for table in &options.reference {
        builder = builder.reference(table);
    }
    for (column, key_type) in &options.key {
        builder = builder.sharded_by_type(column, key_type);
    }
    let cluster = builder.start()?;
    let config = cluster.config_in(&options.pool_mode).pool_size(options.pool_size);
    let proxy = Proxy::start(&config.to_toml())?;
    run_between(options, cluster.server(0), WHOLE, Some(&proxy)).await
}

fn key(text: &str) -> Result<(String, String), String> {
    let (column, key_type) = text.split_once('=').ok_or("not COLUMN=TYPE")?;
    Ok((column.to_owned(), key_type.to_owned()))
}

/// Runs the command between a server, with the database that it sees there, and a proxy.
async fn run_between(
    options: &Options,
    postgres: &Postgres,
    direct: &str,
    proxy: Option<&Proxy>,
) -> Result<ExitStatus> {
    let target = proxy.map_or(postgres.addr(), Proxy::addr);
    let mode = if options.direct { "direct" } else { &options.pool_mode };

    // It dies with us, as the servers do.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "--"]).args(&options.command);
    command.env("PGHERD_MODE", mode).kill_on_drop(true);
    command.envs(connection("", target, DATABASE));
    command.envs(connection("DIRECT_", postgres.addr(), direct));
    if options.shards > 0 {
        command.env("PGHERD_SHARDS", options.shards.to_string());
    }
    command.env("DIRECT_SUPERUSER", SUPERUSER).env("DIRECT_SUPERUSER_PASSWORD", SUPERUSER_PASSWORD);
    if let Some(proxy) = proxy {
        command.env("PGHERD_ADMIN_USER", ADMIN_USER).env("PGHERD_ADMIN_PASSWORD", ADMIN_PASSWORD);
        if let Some(metrics) = proxy.metrics_addr() {
            command.env("PGHERD_METRICS", metrics.to_string());
        }
    }
    let status = wait(command).await?;
    if options.logs && !status.success() {
        eprintln!("--- Postgres, its last lines\n{}", postgres.log_tail());
        if let Some(proxy) = proxy {
            eprintln!("--- pgherd-proxy, its last lines\n{}", proxy.log_tail());
        }
    }
    Ok(status)
}

/// Waits for the command; a terminal's Ctrl-C reaches it by itself, TERM is passed on by killing it.
async fn wait(mut command: Command) -> Result<ExitStatus> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut child = command.spawn().context("cannot run setpriv")?;
    loop {
        tokio::select! {
            status = child.wait() => return Ok(status?),
            _ = interrupt.recv() => {}
            _ = terminate.recv() => child.start_kill()?,
        }
    }
}

fn connection(prefix: &str, addr: SocketAddr, database: &str) -> Vec<(String, String)> {
    let port = addr.port().to_string();
    [
        ("PGHOST", "127.0.0.1"),
        ("PGPORT", &port),
        ("PGUSER", APP_USER),
        ("PGPASSWORD", APP_PASSWORD),
        ("PGDATABASE", database),
    ]
    .map(|(name, value)| (format!("{prefix}{name}"), value.to_owned()))
    .to_vec()
}

/// As shells do: 128 and the signal's number for a command that was killed.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}
