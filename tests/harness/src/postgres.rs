//! A Postgres server on a free port with a data directory of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal};

use crate::certificates::Certificate;
use crate::netns::Namespace;
use crate::poll;
use crate::ports::free_port;
use crate::process::Process;
use crate::raw::{Client, Login};
use crate::scratch::Scratch;

mod copy;
mod install;
mod server;
mod template;

pub use install::Install;
pub(crate) use install::run;
use server::{START, has_ended, spawn, wait_ready};

/// The superuser of every server.
pub const SUPERUSER: &str = "postgres";
/// Its password.
pub const SUPERUSER_PASSWORD: &str = "postgres";
/// The application's user, who owns [`DATABASE`].
pub const APP_USER: &str = "app";
/// Its password.
pub const APP_PASSWORD: &str = "secret";
/// The application's database.
pub const DATABASE: &str = "app";

/// Somebody else may take the port between our look and the server's bind.
const PORT_ATTEMPTS: usize = 5;

/// A running server; dropping it stops it and removes its data.
#[derive(Debug)]
pub struct Postgres {
    // Before `scratch`: the server ends before its files go.
    process: Process,
    install: Install,
    port: u16,
    settings: Vec<(String, String)>,
    namespace: Option<Namespace>,
    scratch: Scratch,
}

/// What to start; see [`Postgres::builder`].
#[derive(Clone, Debug, Default)]
pub struct Builder {
    install: Option<Install>,
    settings: Vec<(String, String)>,
    certificate: Option<Certificate>,
    hba: Option<String>,
    namespace: Option<Namespace>,
}

// === impl Builder ===

impl Builder {
    /// Another installation than the machine's usual one.
    pub fn install(mut self, install: Install) -> Self {
        self.install = Some(install);
        self
    }

    /// Sets a parameter on the command line.
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Switches TLS on. Clients' certificates are checked against `client_ca`.
    pub fn tls(mut self, certificate: &Certificate, client_ca: &Path) -> Self {
        self.certificate = Some(certificate.clone());
        let client_ca = client_ca.display().to_string();
        self.setting("ssl", "on").setting("ssl_ca_file", &client_ca)
    }

    /// Replaces `pg_hba.conf`.
    pub fn hba(mut self, text: &str) -> Self {
        self.hba = Some(text.to_owned());
        self
    }

    /// Runs it in a network namespace, on that one's address.
    pub fn namespace(mut self, namespace: &Namespace) -> Self {
        self.namespace = Some(namespace.clone());
        self
    }

    /// Starts the server and waits until it takes connections.
    pub fn start(self) -> Result<Postgres> {
        let install = self.install.map_or_else(Install::find, Ok)?;
        let scratch = Scratch::new("pg")?;
        let data = scratch.path().join("data");
        template::copy(&install, &data)?;
        // Beside its data, since a key must belong to the server's user.
        if let Some(Certificate { cert, key }) = &self.certificate {
            install.put_private(cert, &data.join("server.crt"))?;
            install.put_private(key, &data.join("server.key"))?;
        }
        if let Some(hba) = &self.hba {
            let text = scratch.write("pg_hba.conf", hba)?;
            install.put_private(&text, &data.join("pg_hba.conf"))?;
        }
        Postgres::launch(install, scratch, self.settings, self.namespace, None)
    }
}

// === impl Postgres ===

impl Postgres {
    /// Starts a server with the usual settings.
    pub fn start() -> Result<Self> {
        Self::builder().start()
    }

    /// Starts one that is different.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Makes a hot standby of this server, by `pg_basebackup` where there is one, and starts it.
    pub fn streaming_replica(&self) -> Result<Self> {
        self.streaming_replica_through(self.addr())
    }

    /// The same through a proxy at this address, which the standby goes on using.
    pub fn streaming_replica_through(&self, addr: SocketAddr) -> Result<Self> {
        self.replicate(addr, None)
    }

    /// The same in another network namespace, on the same port.
    pub fn streaming_replica_in(&self, namespace: &Namespace) -> Result<Self> {
        self.replicate(self.addr(), Some(namespace.clone()))
    }

    fn replicate(&self, addr: SocketAddr, namespace: Option<Namespace>) -> Result<Self> {
        let scratch = Scratch::new("pg")?;
        // The parent belongs to us; `pg_basebackup` may make `data` only in a directory of its own.
        let data = scratch.path().join("data");
        self.install.make_private(&data)?;
        let program = self.install.program("pg_basebackup");
        if program.is_file() {
            let mut command = self.install.command(&program);
            command
                .args(["-R", "--checkpoint=fast", "--no-sync", "--wal-method=stream"])
                .args(["-h", &addr.ip().to_string(), "-p", &addr.port().to_string()])
                .args(["-U", SUPERUSER])
                .arg("-D")
                .arg(&data)
                .env("PGPASSWORD", SUPERUSER_PASSWORD);
            install::run(command)?;
        } else {
            copy::copy(&self.install, addr, &self.data_directory(), &data)?;
        }
        let port = namespace.as_ref().map(|_| self.port);
        Self::launch(self.install.clone(), scratch, self.settings.clone(), namespace, port)
    }

    fn launch(
        install: Install,
        scratch: Scratch,
        settings: Vec<(String, String)>,
        namespace: Option<Namespace>,
        wanted: Option<u16>,
    ) -> Result<Self> {
        let socket_directory = scratch.path().join("s");
        install.make_private(&socket_directory)?;
        let mut attempt = 0;
        loop {
            attempt += 1;
            let port = wanted.map_or_else(free_port, Ok)?;
            let mut process = spawn(&install, &scratch, port, &settings, namespace.as_ref())?;
            match wait_ready(&mut process, &scratch) {
                Ok(()) => {
                    return Ok(Self { process, install, port, settings, namespace, scratch });
                }
                Err(_)
                    if attempt < PORT_ATTEMPTS
                        && process.log().contains("Address already in use") => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The installation that it runs from.
    pub fn install(&self) -> &Install {
        &self.install
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        match &self.namespace {
            Some(namespace) => namespace.socket(self.port),
            None => SocketAddr::from(([127, 0, 0, 1], self.port)),
        }
    }

    /// Its TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The directory of its Unix socket.
    pub fn socket_directory(&self) -> PathBuf {
        self.scratch.path().join("s")
    }

    /// Its data directory.
    pub fn data_directory(&self) -> PathBuf {
        self.scratch.path().join("data")
    }

    /// The postmaster's process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// A connection URL for the application's user.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{APP_USER}:{APP_PASSWORD}@{}/{database}", self.addr())
    }

    /// A connection URL for the superuser.
    pub fn superuser_url(&self, database: &str) -> String {
        format!("postgres://{SUPERUSER}:{SUPERUSER_PASSWORD}@{}/{database}", self.addr())
    }

    /// The superuser's login in `database`.
    pub fn superuser(&self, database: &str) -> Result<Client> {
        let login = Login::new(SUPERUSER, SUPERUSER_PASSWORD, database);
        Client::login_as(self.addr(), &login)
    }

    /// Runs SQL as superuser in [`DATABASE`]; the rows as text.
    pub fn sql(&self, sql: &str) -> Result<Vec<Vec<String>>> {
        self.superuser(DATABASE)?.rows(sql)
    }

    /// Makes an empty database that the application's user owns.
    pub fn create_database(&self, name: &str) -> Result<()> {
        self.sql(&format!("CREATE DATABASE {name} OWNER {APP_USER}")).map(drop)
    }

    /// What it logged.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The last lines of it.
    pub fn log_tail(&self) -> String {
        self.process.log_tail()
    }

    /// Stops it as `pg_ctl stop -m fast` does; [`Self::restart`] brings it back.
    pub fn stop(&mut self) -> Result<()> {
        self.process.signal(Signal::INT)?;
        let status = self.process.wait(START)?;
        ensure!(status.success(), "Postgres ended with {status}\n{}", self.process.log_tail());
        Ok(())
    }

    /// Stops it as `pg_ctl stop -m immediate` does: without a checkpoint.
    pub fn stop_immediately(&mut self) -> Result<()> {
        self.process.signal(Signal::QUIT)?;
        self.process.wait(START).map(drop)
    }

    /// Ends it with all its processes, as a crash of the machine does.
    pub fn kill9(&mut self) -> Result<()> {
        let killed = self.signal_all(Signal::KILL)?;
        self.process.kill()?;
        // Its children hold the shared memory until they are gone, and somebody else reaps them.
        poll::until(START, "Postgres's processes to end", || {
            Ok(killed.iter().all(|&pid| has_ended(pid)).then_some(()))
        })
    }

    /// Starts it again on the same port with the same data.
    pub fn restart(&mut self) -> Result<()> {
        if self.process.try_wait()?.is_none() {
            self.stop()?;
        }
        // A crashed server leaves this behind, and it says "ready".
        let pid_file = self.data_directory().join("postmaster.pid");
        if pid_file.exists() {
            std::fs::remove_file(pid_file)?;
        }
        let namespace = self.namespace.as_ref();
        self.process = spawn(&self.install, &self.scratch, self.port, &self.settings, namespace)?;
        wait_ready(&mut self.process, &self.scratch)
    }

    /// Makes it silent: connections stay open, nothing answers.
    pub fn sigstop(&self) -> Result<()> {
        self.signal_all(Signal::STOP).map(drop)
    }

    /// Undoes [`Self::sigstop`].
    pub fn sigcont(&self) -> Result<()> {
        self.signal_all(Signal::CONT).map(drop)
    }

    /// Turns a replica into a primary.
    pub fn promote(&self) -> Result<()> {
        let promoted = self.sql("SELECT pg_promote()")?;
        ensure!(promoted == [["t"]], "pg_promote: {promoted:?}");
        Ok(())
    }

    /// The postmaster and its children: the children are in sessions of their own.
    fn signal_all(&self, signal: Signal) -> Result<Vec<Pid>> {
        let postmaster = self.pid();
        let children =
            std::fs::read_to_string(format!("/proc/{postmaster}/task/{postmaster}/children"))
                .context("cannot list Postgres's processes")?;
        let children = children.split_whitespace().filter_map(|pid| pid.parse::<i32>().ok());
        let all = std::iter::once(postmaster.cast_signed()).chain(children);
        let all: Vec<Pid> = all.filter_map(Pid::from_raw).collect();
        for &pid in &all {
            // A child may have ended meanwhile.
            let _ = rustix::process::kill_process(pid, signal);
        }
        Ok(all)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // A stopped server would not see the signal that ends it.
        let _ = self.sigcont();
    }
}
