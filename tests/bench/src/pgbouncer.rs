//! PgBouncer as Debian ships it, one process with a transaction pool.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use pgherd_harness::ports::free_port;
use pgherd_harness::postgres::{APP_PASSWORD, APP_USER, Postgres};
use pgherd_harness::process::Process;
use pgherd_harness::scratch::Scratch;

const START: Duration = Duration::from_secs(10);

/// A running PgBouncer; dropping it ends it.
#[derive(Debug)]
pub struct PgBouncer {
    process: Process,
    addr: SocketAddr,
    _scratch: Scratch,
}

impl PgBouncer {
    /// Starts one before `postgres`, with SCRAM for clients as pgherd has it.
    pub fn start(postgres: &Postgres, pool_size: usize) -> Result<Self> {
        let program = find().context("PgBouncer is missing (Debian: apt-get install pgbouncer)")?;
        let scratch = Scratch::new("pgbouncer")?;
        let addr = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let users = scratch.write("users.txt", &format!("\"{APP_USER}\" \"{APP_PASSWORD}\"\n"))?;
        let config = scratch
            .write("pgbouncer.ini", &config(addr.port(), postgres.port(), &users, pool_size))?;
        // It refuses to run as root, like Postgres.
        let user = postgres.install().user();
        let log = scratch.path().join("pgbouncer.log");
        let arguments = [config.display().to_string()];
        let mut process = Process::spawn_as("pgbouncer", user, &program, &arguments, log)?;
        process.wait_until(START, "listening", |_| Ok(TcpStream::connect(addr).ok().map(drop)))?;
        Ok(Self { process, addr, _scratch: scratch })
    }

    /// Where clients connect.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }
}

/// The first line of `pgbouncer --version`.
pub fn version() -> Option<String> {
    let output = Command::new(find()?).arg("--version").output().ok()?;
    String::from_utf8_lossy(&output.stdout).lines().next().map(str::to_owned)
}

fn config(port: u16, postgres: u16, users: &Path, pool_size: usize) -> String {
    format!(
        "[databases]\n* = host=127.0.0.1 port={postgres}\n\
         [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
         auth_type = scram-sha-256\nauth_file = {users}\n\
         pool_mode = transaction\ndefault_pool_size = {pool_size}\nmax_client_conn = 10000\n\
         ignore_startup_parameters = extra_float_digits\nlog_connections = 0\nlog_disconnections = 0\n",
        users = users.display(),
    )
}

fn find() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    // Debian puts it where users' PATH does not look.
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/sbin")])
        .map(|directory| directory.join("pgbouncer"))
        .find(|candidate| Path::is_file(candidate))
}
