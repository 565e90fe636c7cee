//! A running `pgherd-control` on a free port, with its tokens.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;

use crate::binaries;
use crate::netns::Namespace;
use crate::postgres::{DATABASE, Postgres};
use crate::process::Process;
use crate::proxy::addr_after;
use crate::rest::Rest;
use crate::scratch::Scratch;

/// Longest start, migrations included.
const START: Duration = Duration::from_secs(30);
const BINARY: &str = "pgherd-control";

/// A running control plane; dropping it ends it.
#[derive(Debug)]
pub struct Control {
    process: Process,
    addr: SocketAddr,
    database_url: String,
    admin_token: String,
    starts: u32,
    namespace: Option<Namespace>,
    scratch: Scratch,
}

impl Control {
    /// Starts one that keeps its topology in this Postgres (as the owner of [`DATABASE`]).
    pub fn start_on(postgres: &Postgres) -> Result<Self> {
        Self::start(&postgres.url(DATABASE))
    }

    /// Starts one on a free port.
    pub fn start(database_url: &str) -> Result<Self> {
        Self::start_at(database_url, "127.0.0.1:0")
    }

    /// Starts one on a given address.
    pub fn start_at(database_url: &str, listen: &str) -> Result<Self> {
        Self::launch(database_url, listen, None)
    }

    /// Starts one in a network namespace.
    pub fn start_in(namespace: &Namespace, database_url: &str) -> Result<Self> {
        let listen = namespace.socket(0).to_string();
        Self::launch(database_url, &listen, Some(namespace.clone()))
    }

    fn launch(database_url: &str, listen: &str, namespace: Option<Namespace>) -> Result<Self> {
        let scratch = Scratch::new("control")?;
        let mut process = spawn(&scratch, database_url, listen, 1, namespace.as_ref())?;
        let addr = wait_listening(&mut process)?;
        let bootstrap = scratch.path().join("bootstrap.json");
        let tokens: serde_json::Value =
            process.wait_until(START, "bootstrap tokens", |_| Ok(read_json(&bootstrap)))?;
        let token = |role: &str| {
            let token = tokens[role].as_str().map(str::to_owned);
            token.with_context(|| format!("no {role} token in {}", bootstrap.display()))
        };
        scratch.write("proxy.token", &token("proxy")?)?;
        let admin_token = token("admin")?;
        let database_url = database_url.to_owned();
        Ok(Self { process, addr, database_url, admin_token, starts: 1, namespace, scratch })
    }

    /// Where REST, the page and gRPC are.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The same without the scheme.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The administrator's token.
    pub fn admin_token(&self) -> &str {
        &self.admin_token
    }

    /// The file with the token that proxies use.
    pub fn proxy_token_file(&self) -> PathBuf {
        self.scratch.path().join("proxy.token")
    }

    /// A REST client with the administrator's token.
    pub fn rest(&self) -> Rest {
        Rest::new(self.url(), &self.admin_token)
    }

    /// What it printed since its (latest) start.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The process, for signals and waiting.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Asks it to end and waits for that.
    pub fn term(&mut self) -> Result<ExitStatus> {
        self.process.signal(Signal::TERM)?;
        self.process.wait(START)
    }

    /// Ends it as a crash does.
    pub fn kill9(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// Starts it again on the same address with the same database and key.
    pub fn restart(&mut self) -> Result<()> {
        self.process.kill()?;
        self.starts += 1;
        let listen = self.addr.to_string();
        let namespace = self.namespace.as_ref();
        self.process = spawn(&self.scratch, &self.database_url, &listen, self.starts, namespace)?;
        self.addr = wait_listening(&mut self.process)?;
        Ok(())
    }
}

fn spawn(
    scratch: &Scratch,
    database_url: &str,
    listen: &str,
    start: u32,
    namespace: Option<&Namespace>,
) -> Result<Process> {
    let file = |name: &str| scratch.path().join(name).display().to_string();
    let mut arguments = vec![
        "--listen".to_owned(),
        listen.to_owned(),
        "--database-url".to_owned(),
        database_url.to_owned(),
        "--secret-key-file".to_owned(),
        file("secret.key"),
        "--bootstrap-token-file".to_owned(),
        file("bootstrap.json"),
    ];
    if start == 1 {
        arguments.push("--create-key".to_owned());
    }
    let binary = binaries::find(BINARY)?;
    let log = scratch.path().join(format!("control-{start}.log"));
    Process::spawn_in(namespace, BINARY, &binary, &arguments, log)
}

fn wait_listening(process: &mut Process) -> Result<SocketAddr> {
    process.wait_for_log(START, "listening", |log| {
        log.lines().find_map(|line| addr_after(line, "listening on "))
    })
}

fn read_json(path: &Path) -> Option<serde_json::Value> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}
