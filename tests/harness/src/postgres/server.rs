//! The server program: its command line, and how one knows that it is ready or gone.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal};

use super::install::Install;
use crate::netns::Namespace;
use crate::process::{Process, command_in};
use crate::scratch::Scratch;

/// Longest start, recovery included.
pub(super) const START: Duration = Duration::from_secs(60);

const SETTINGS: &[(&str, &str)] = &[
    ("listen_addresses", "127.0.0.1"),
    ("fsync", "off"),
    ("full_page_writes", "off"),
    ("password_encryption", "scram-sha-256"),
    ("max_connections", "150"),
    ("max_prepared_transactions", "20"),
    ("wal_level", "logical"),
    ("max_wal_senders", "10"),
    ("hot_standby", "on"),
    ("wal_receiver_status_interval", "1s"),
    ("autovacuum_naptime", "1h"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
    ("lc_messages", "C"),
    ("log_line_prefix", "%m [%p] %q%u@%d "),
];

/// Starts the server program; [`wait_ready`] follows.
pub(super) fn spawn(
    install: &Install,
    scratch: &Scratch,
    port: u16,
    settings: &[(String, String)],
    namespace: Option<&Namespace>,
) -> Result<Process> {
    let directory = scratch.path();
    let mut arguments = vec![
        "-D".to_owned(),
        path_text(&directory.join("data"))?,
        "-p".to_owned(),
        port.to_string(),
        "-k".to_owned(),
        path_text(&directory.join("s"))?,
    ];
    let usual = SETTINGS.iter().map(|&(name, value)| (name, value));
    let special = settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let address = namespace.map(|namespace| namespace.addr().to_string());
    let placed = address.as_deref().map(|address| ("listen_addresses", address));
    for (name, value) in usual.chain(placed).chain(special) {
        arguments.extend(["-c".to_owned(), format!("{name}={value}")]);
    }
    let program = install.program("postgres");
    let log = directory.join("postgres.log");
    let label = format!("Postgres on port {port}");
    // QUIT: immediate shutdown, which removes shared memory.
    let command = command_in(namespace, install.user(), true, &program);
    let process = Process::launch(&label, command, &arguments, log)?;
    Ok(process.stop_with(Signal::QUIT))
}

/// Line 8 of postmaster.pid is how `pg_ctl` knows; no connection is spent on asking.
pub(super) fn wait_ready(process: &mut Process, scratch: &Scratch) -> Result<()> {
    let pid_file = scratch.path().join("data/postmaster.pid");
    process.wait_until(START, "ready for connections", |process| {
        let text = std::fs::read_to_string(&pid_file).unwrap_or_default();
        let ours = text.lines().next() == Some(process.pid().to_string().as_str());
        let ready = text.lines().nth(7).is_some_and(|status| status.trim() == "ready");
        Ok((ours && ready).then_some(()))
    })
}

/// Whether a process is gone, or only waits for its parent to look.
pub(super) fn has_ended(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    // "1234 (postgres) S …"
    stat.map_or(true, |stat| stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" Z")))
}

fn path_text(path: &Path) -> Result<String> {
    path.to_str().map(str::to_owned).with_context(|| format!("not UTF-8: {}", path.display()))
}
