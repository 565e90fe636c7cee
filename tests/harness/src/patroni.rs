//! A Patroni cluster with etcd beneath it: who is the primary, somebody else decides.
//!
//! Each node is a PID namespace: when its first process is killed, Patroni and Postgres are gone at
//! once, as when a machine dies, and nothing outlives the test. Needs root, `patroni`, `etcd` and
//! Patroni's driver for it (Debian: patroni, etcd-server, python3-etcd).

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use crate::binaries::of_machine;
use crate::poll;
use crate::ports::free_port;
use crate::postgres::{APP_PASSWORD, APP_USER, DATABASE, Install, SUPERUSER, SUPERUSER_PASSWORD};
use crate::process::Process;
use crate::raw::{Client, Login};
use crate::scratch::Scratch;

/// Longest start, and longest change of the leader.
const START: Duration = Duration::from_secs(90);
/// How long Patroni's REST API may take: it answers a switchover when that is over.
const ANSWER: Duration = Duration::from_secs(60);
/// How long a dead leader's lock lasts, in seconds; at least `loop_wait` and twice `retry_timeout`.
const TTL: u32 = 8;

/// A running cluster; dropping it ends it.
#[derive(Debug)]
pub struct Patroni {
    // In the order in which they end.
    nodes: Vec<Node>,
    _etcd: Process,
    install: Install,
    _scratch: Scratch,
}

#[derive(Debug)]
struct Node {
    name: String,
    process: Process,
    postgres: SocketAddr,
    rest: SocketAddr,
    directory: PathBuf,
    config: PathBuf,
    starts: u32,
}

// === impl Patroni ===

impl Patroni {
    /// So many nodes: one leads, all others stream from it, and commits are synchronous. With the
    /// application's user and database.
    pub fn start(count: usize) -> Result<Self> {
        ensure!(rustix::process::geteuid().is_root(), "PID namespaces need root: run this as root");
        let (install, scratch) = (Install::find()?, Scratch::new("patroni")?);
        let (etcd, clients) = etcd(&scratch)?;
        let nodes = (1..=count).map(|number| Node::start(&install, &scratch, clients, number));
        let nodes = nodes.collect::<Result<Vec<_>>>()?;
        let this = Self { nodes, _etcd: etcd, install, _scratch: scratch };
        let leader = this.wait_streaming()?;
        let mut superuser = this.superuser(leader, "postgres")?;
        superuser.rows(&format!("CREATE ROLE {APP_USER} LOGIN PASSWORD '{APP_PASSWORD}'"))?;
        superuser.rows(&format!("CREATE DATABASE {DATABASE} OWNER {APP_USER}"))?;
        Ok(this)
    }

    /// Where each node's Postgres listens.
    pub fn addrs(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| node.postgres).collect()
    }

    /// The superuser's session on one node.
    pub fn superuser(&self, node: usize, database: &str) -> Result<Client> {
        let login = Login::new(SUPERUSER, SUPERUSER_PASSWORD, database);
        Client::login_as(self.node(node)?.postgres, &login)
    }

    /// The node that has the leader's lock and is a primary.
    pub fn leader(&self) -> Option<usize> {
        self.nodes.iter().position(|node| {
            request(node.rest, "GET", "/primary", "").is_ok_and(|(status, _)| status == 200)
        })
    }

    /// Waits until there is a leader from which all others stream, one of them synchronously; which
    /// one it is.
    pub fn wait_streaming(&self) -> Result<usize> {
        poll::until(START, "all nodes to stream from a leader", || {
            let Some(leader) = self.leader() else { return Ok(None) };
            // It may be on its way down.
            let Ok(mut superuser) = self.superuser(leader, "postgres") else { return Ok(None) };
            let sql = "SELECT count(*), count(*) FILTER (WHERE sync_state <> 'async') \
                       FROM pg_stat_replication WHERE state = 'streaming'";
            let Ok(rows) = superuser.rows(sql) else { return Ok(None) };
            let all = (self.nodes.len() - 1).to_string();
            Ok((rows == [[all, "1".to_owned()]]).then_some(leader))
        })
        .with_context(|| self.logs())
    }

    /// Waits until another node than this one leads.
    pub fn wait_other_leader(&self, than: usize) -> Result<usize> {
        poll::until(START, "another leader", || Ok(self.leader().filter(|leader| *leader != than)))
            .with_context(|| self.logs())
    }

    /// A planned change of the leader to its synchronous replica, which is over when this returns;
    /// who leads then.
    pub fn switch_over(&self, from: usize) -> Result<usize> {
        let leader = self.node(from)?;
        let mut superuser = self.superuser(from, "postgres")?;
        poll::until(START, "a switchover to be taken", || {
            let sql =
                "SELECT application_name FROM pg_stat_replication WHERE sync_state <> 'async'";
            let Ok(name) = superuser.value(sql) else { return Ok(None) };
            let order = format!("{{\"leader\": {:?}, \"candidate\": {name:?}}}", leader.name);
            let (status, said) = request(leader.rest, "POST", "/switchover", &order)?;
            // Patroni has noted another one than Postgres, or none yet.
            if status == 412 {
                return Ok(None);
            }
            ensure!(status == 200, "the switchover: {status} {said}");
            Ok(self.nodes.iter().position(|node| node.name == name))
        })
    }

    /// Ends a node as when its machine dies.
    pub fn kill9(&mut self, node: usize) -> Result<()> {
        self.nodes.get_mut(node).context("no such node")?.process.kill()
    }

    /// Starts it again.
    pub fn restart(&mut self, node: usize) -> Result<()> {
        let install = self.install.clone();
        self.nodes.get_mut(node).context("no such node")?.launch(&install)
    }

    fn node(&self, node: usize) -> Result<&Node> {
        self.nodes.get(node).context("no such node")
    }

    fn logs(&self) -> String {
        let of = |node: &Node| format!("--- {}\n{}\n", node.name, node.process.log_tail());
        self.nodes.iter().map(of).collect()
    }
}

// === impl Node ===

impl Node {
    fn start(
        install: &Install,
        scratch: &Scratch,
        etcd: SocketAddr,
        number: usize,
    ) -> Result<Self> {
        let name = format!("node{number}");
        let directory = scratch.path().join(&name);
        install.make_private(&directory)?;
        let [postgres, rest] = [local(free_port()?), local(free_port()?)];
        let text = config(&name, install, &directory, etcd, postgres, rest);
        let config = scratch.write(&format!("{name}.yml"), &text)?;
        let log = scratch.path().join(format!("{name}-1.log"));
        let process = spawn(&name, install, &config, log)?;
        Ok(Self { name, process, postgres, rest, directory, config, starts: 1 })
    }

    fn launch(&mut self, install: &Install) -> Result<()> {
        // Its process ids are of a namespace that is gone.
        let pid_file = self.directory.join("data/postmaster.pid");
        if pid_file.exists() {
            std::fs::remove_file(pid_file)?;
        }
        self.starts += 1;
        let log = self.config.with_file_name(format!("{}-{}.log", self.name, self.starts));
        self.process = spawn(&self.name, install, &self.config, log)?;
        Ok(())
    }
}

fn spawn(name: &str, install: &Install, config: &Path, log: PathBuf) -> Result<Process> {
    let patroni = of_machine("patroni").context("no patroni (Debian: patroni)")?;
    let user = install.user().context("root runs Postgres as somebody else")?;
    // The second `setpriv` repeats what `--kill-child` does: changing the user undoes it.
    let arguments = ["--pid", "--fork", "--kill-child", "--mount-proc", "--", "setpriv"];
    let as_user = ["--reuid", user, "--regid", user, "--init-groups", "--pdeathsig", "KILL", "--"];
    let program = [patroni.display().to_string(), config.display().to_string()];
    let arguments = arguments.into_iter().chain(as_user).map(str::to_owned).chain(program);
    let arguments: Vec<String> = arguments.collect();
    let process = Process::spawn(name, Path::new("/usr/bin/unshare"), &arguments, log)?;
    Ok(process.stop_with(Signal::KILL))
}

fn config(
    name: &str,
    install: &Install,
    directory: &Path,
    etcd: SocketAddr,
    postgres: SocketAddr,
    rest: SocketAddr,
) -> String {
    let (directory, bin) = (directory.display(), install.program("").display().to_string());
    format!(
        "scope: herd
name: {name}
restapi: {{listen: '{rest}', connect_address: '{rest}'}}
etcd3: {{host: '{etcd}'}}
bootstrap:
  dcs:
    ttl: {TTL}
    loop_wait: 1
    retry_timeout: 3
    synchronous_mode: true
    postgresql:
      use_pg_rewind: true
      parameters: {{max_connections: 100, wal_log_hints: 'on', password_encryption: scram-sha-256}}
  initdb: [encoding: UTF8, locale: C.UTF-8, no-sync]
  pg_hba:
    - local all all trust
    - host all all 127.0.0.1/32 scram-sha-256
    - host replication all 127.0.0.1/32 scram-sha-256
postgresql:
  listen: '{postgres}'
  connect_address: '{postgres}'
  data_dir: {directory}/data
  bin_dir: {bin}
  pgpass: {directory}/pgpass
  authentication:
    superuser: {{username: {SUPERUSER}, password: {SUPERUSER_PASSWORD}}}
    replication: {{username: replicator, password: replicator}}
  parameters: {{unix_socket_directories: {directory}, fsync: 'off', timezone: UTC}}
"
    )
}

/// One member, and where clients find it.
fn etcd(scratch: &Scratch) -> Result<(Process, SocketAddr)> {
    let program = of_machine("etcd").context("no etcd (Debian: etcd-server)")?;
    let [clients, peers] = [local(free_port()?), local(free_port()?)];
    let data = scratch.path().join("etcd");
    let arguments = [
        format!("--data-dir={}", data.display()),
        format!("--listen-client-urls=http://{clients}"),
        format!("--advertise-client-urls=http://{clients}"),
        format!("--listen-peer-urls=http://{peers}"),
        format!("--initial-advertise-peer-urls=http://{peers}"),
        format!("--initial-cluster=default=http://{peers}"),
    ];
    let log = scratch.path().join("etcd.log");
    let mut process = Process::spawn("etcd", &program, &arguments, log)?;
    process.wait_until(START, "healthy", |_| {
        let healthy = request(clients, "GET", "/health", "").is_ok_and(|(status, _)| status == 200);
        Ok(healthy.then_some(()))
    })?;
    Ok((process, clients))
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// One request without TLS, and the status and text of its answer.
fn request(addr: SocketAddr, method: &str, path: &str, body: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&addr, ANSWER)?;
    stream.set_read_timeout(Some(ANSWER))?;
    let mut text = String::new();
    write!(text, "{method} {path} HTTP/1.0\r\nHost: {addr}\r\n")?;
    write!(text, "Content-Length: {}\r\n\r\n{body}", body.len())?;
    stream.write_all(text.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.split_whitespace().nth(1).context("no status")?.parse()?;
    let said = answer.split_once("\r\n\r\n").map_or("", |(_, said)| said);
    Ok((status, said.to_owned()))
}
