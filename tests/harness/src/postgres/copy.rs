//! A standby's data directory by the functions for backups, for installations without
//! `pg_basebackup`: npm's have no programs of clients.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::install::{Install, run};
use super::{SUPERUSER, SUPERUSER_PASSWORD};
use crate::raw::{Client, Login};

/// What `pg_basebackup` leaves out, too: it belongs to the running server, or streams later.
const LEFT_OUT: [&str; 4] = ["postmaster.pid", "postmaster.opts", "pg_wal", "pg_replslot"];

/// Copies `from`, the directory of the server at `addr`, which runs on, to `to`, and makes it that
/// of a standby. `to` is there and empty.
pub(super) fn copy(install: &Install, addr: SocketAddr, from: &Path, to: &Path) -> Result<()> {
    let login = Login::new(SUPERUSER, SUPERUSER_PASSWORD, "postgres");
    let mut backup = Client::login_as(addr, &login)?;
    // Renamed in 15. The second argument asks for an immediate checkpoint.
    let (start, stop) = if install.major() < 15 {
        ("pg_start_backup('copy', true, false)", "pg_stop_backup(false, false)")
    } else {
        ("pg_backup_start('copy', true)", "pg_backup_stop(false)")
    };
    backup.rows(&format!("SELECT {start}"))?;
    // tar goes on when a file changes, and so do we: what is torn is in the log.
    let left_out: String = LEFT_OUT.iter().map(|it| format!(" --exclude=./{it}")).collect();
    let script = format!(
        "tar -C '{}' --warning=no-file-changed --ignore-failed-read{left_out} -cf - . \
         | tar -C '{}' -xf -",
        from.display(),
        to.display()
    );
    let output = Command::new("bash").args(["-c", &script]).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cannot copy a data directory: {said}");
    let label = backup.value(&format!("SELECT labelfile FROM {stop}"))?;
    fs::write(to.join("backup_label"), label)?;
    fs::write(to.join("standby.signal"), "")?;
    let source = format!(
        "primary_conninfo = 'host={} port={} user={SUPERUSER} password={SUPERUSER_PASSWORD}'\n",
        addr.ip(),
        addr.port()
    );
    let settings = to.join("postgresql.auto.conf");
    let before = fs::read_to_string(&settings).context("no postgresql.auto.conf")?;
    fs::write(settings, before + &source)?;
    for directory in ["pg_wal", "pg_wal/archive_status", "pg_wal/summaries", "pg_replslot"] {
        fs::create_dir_all(to.join(directory))?;
    }
    let Some(user) = install.user() else { return Ok(()) };
    let mut command = Command::new("chown");
    command.args(["-R", user]).arg(to);
    run(command)?;
    let mut command = Command::new("chmod");
    command.args(["-R", "go-rwx"]).arg(to);
    run(command).map(drop)
}
