//! Network namespaces on a private bridge, so that tests can cut and reset real TCP connections.
//!
//! Needs root, `ip` and `nft`. The bridge is in a namespace of its own: whatever firewall the machine has
//! does not see what the namespaces say to each other. The test's own process is on the network
//! too, as [`Network::addr`], and reaches every namespace.
//!
//! ```no_run
//! use pgherd_harness::{netns::Network, postgres::Postgres};
//!
//! let network = Network::new()?;
//! let postgres = Postgres::builder().namespace(&network.namespace("db")?).start()?;
//! let proxy = network.namespace("proxy")?;           // Proxy::builder().namespace(&proxy)
//! proxy.drop_packets(postgres.addr().ip())?;        // a black hole, both ways
//! proxy.heal()?;
//! proxy.reset(postgres.addr().ip())?;               // refused and reset
//! # anyhow::Ok(())
//! ```

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use anyhow::{Context, Result, bail, ensure};

use crate::postgres::run;

mod names;

/// RFC 2544's range for tests, of which each network takes 256 addresses.
const FIRST: [u8; 2] = [198, 18];
/// As many networks as the range has; each is also the name of an interface.
const NETWORKS: u16 = 512;
/// The bridge's place in the namespaces' names.
const HUB: &str = "hub";

/// What a rule rejects is told by a packet that goes through the other chain.
const LET_RESETS_PASS: &str = "\
    add rule inet faults output tcp flags & rst == rst accept
    add rule inet faults input tcp flags & rst == rst accept";

/// A private network; it is gone when the last namespace of it is dropped.
#[derive(Clone, Debug)]
pub struct Network {
    hub: Arc<Hub>,
}

#[derive(Debug)]
struct Hub {
    number: u16,
    next: AtomicU8,
}

/// A namespace with one interface, `eth0`. Clones are the same one; the last one removes it.
#[derive(Clone, Debug)]
pub struct Namespace {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    name: String,
    addr: Ipv4Addr,
    /// Kept for as long as anybody is on it.
    _hub: Arc<Hub>,
}

// === impl Network ===

impl Network {
    /// Makes a network without any namespace.
    pub fn new() -> Result<Self> {
        ensure!(
            rustix::process::geteuid().is_root(),
            "network namespaces need root: run this test as root"
        );
        remove_orphans();
        let start = (std::process::id() % u32::from(NETWORKS)) as u16;
        for step in 0..NETWORKS {
            let number = (start + step) % NETWORKS;
            // The interface's name is the lock: two tests cannot both make it.
            let (host, hub) = (format!("pgherd{number}"), name(number, HUB));
            ip(&["netns", "add", &hub])?;
            let network = Self { hub: Arc::new(Hub { number, next: AtomicU8::new(2) }) };
            match ip(&["link", "add", &host, "type", "veth", "peer", "name", "host", "netns", &hub])
            {
                Ok(()) => {}
                Err(error) if error.to_string().contains("File exists") => continue,
                Err(error) => return Err(error),
            }
            let addr = format!("{}/24", network.addr());
            ip(&["addr", "add", &addr, "dev", &host])?;
            ip(&["link", "set", &host, "up"])?;
            ip(&["-n", &hub, "link", "add", "bridge", "type", "bridge"])?;
            ip(&["-n", &hub, "link", "set", "bridge", "up"])?;
            ip(&["-n", &hub, "link", "set", "host", "master", "bridge", "up"])?;
            return Ok(network);
        }
        bail!("all {NETWORKS} networks for tests are taken")
    }

    /// The address of the test's own process.
    pub fn addr(&self) -> Ipv4Addr {
        self.hub.addr(1)
    }

    /// Adds a namespace; `label` is part of its name and unlike that of any other on this network.
    pub fn namespace(&self, label: &str) -> Result<Namespace> {
        let (hub, name) = (name(self.hub.number, HUB), name(self.hub.number, label));
        let host = self.hub.next.fetch_add(1, Ordering::Relaxed);
        ensure!(host < 255, "a network has room for 253 namespaces");
        ip(&["netns", "add", &name])?;
        let addr = self.hub.addr(host);
        let namespace =
            Namespace { inner: Arc::new(Inner { name, addr, _hub: Arc::clone(&self.hub) }) };
        let name = namespace.name();
        let port = format!("to{host}");
        ip(&[
            "-n", &hub, "link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", name,
        ])?;
        ip(&["-n", &hub, "link", "set", &port, "master", "bridge", "up"])?;
        ip(&["-n", name, "addr", "add", &format!("{addr}/24"), "dev", "eth0"])?;
        ip(&["-n", name, "link", "set", "lo", "up"])?;
        ip(&["-n", name, "link", "set", "eth0", "up"])?;
        Ok(namespace)
    }
}

impl Hub {
    fn addr(&self, host: u8) -> Ipv4Addr {
        let [a, b] = FIRST;
        let [high, low] = self.number.to_be_bytes();
        Ipv4Addr::new(a, b + high, low, host)
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        // Takes the interfaces with it.
        let _ = ip(&["netns", "del", &name(self.number, HUB)]);
    }
}

// === impl Namespace ===

impl Namespace {
    /// Its name for `ip netns`.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Its address.
    pub fn addr(&self) -> Ipv4Addr {
        self.inner.addr
    }

    /// An address of a server in it; port 0 lets the server choose.
    pub fn socket(&self, port: u16) -> SocketAddr {
        SocketAddr::from((self.inner.addr, port))
    }

    /// A command that runs in it.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = self.enter();
        command.arg(program);
        command
    }

    /// The part of a command that enters it.
    pub(crate) fn enter(&self) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", self.name()]);
        command
    }

    /// From now on packets from and to this address vanish: a black hole.
    pub fn drop_packets(&self, peer: impl Into<IpAddr>) -> Result<()> {
        let peer = peer.into();
        self.rules(&format!(
            "add rule inet faults input ip saddr {peer} drop
             add rule inet faults output ip daddr {peer} drop"
        ))
    }

    /// From now on connections from and to this address are refused, and what is open is reset with
    /// the next packet.
    pub fn reset(&self, peer: impl Into<IpAddr>) -> Result<()> {
        let peer = peer.into();
        self.rules(&format!(
            "{LET_RESETS_PASS}
             add rule inet faults output ip daddr {peer} meta l4proto tcp reject with tcp reset
             add rule inet faults input ip saddr {peer} meta l4proto tcp reject with tcp reset"
        ))
    }

    /// The same for connections from here to one port of it.
    pub fn reset_port(&self, peer: SocketAddr) -> Result<()> {
        let (ip, port) = (peer.ip(), peer.port());
        self.rules(&format!(
            "{LET_RESETS_PASS}
             add rule inet faults output ip daddr {ip} tcp dport {port} reject with tcp reset
             add rule inet faults input ip saddr {ip} tcp sport {port} reject with tcp reset"
        ))
    }

    /// From now on nothing of one connection gets out or in, as when a firewall has forgotten it.
    pub fn drop_connection(&self, local: SocketAddr) -> Result<()> {
        let (ip, port) = (local.ip(), local.port());
        self.rules(&format!(
            "add rule inet faults input ip daddr {ip} tcp dport {port} drop
             add rule inet faults output ip saddr {ip} tcp sport {port} drop"
        ))
    }

    /// The local ends of the connections that it has with a server, as the kernel knows them.
    pub fn connections_to(&self, server: SocketAddr) -> Result<Vec<SocketAddr>> {
        let local = self.sockets_to(server)?.into_iter();
        local.map(|(_, local)| local.parse().with_context(|| format!("ss says {local}"))).collect()
    }

    /// How many bytes it has sent to a server that are not acknowledged.
    pub fn unacknowledged_by(&self, server: SocketAddr) -> Result<u64> {
        let queues = self.sockets_to(server)?.into_iter();
        queues.map(|(sent, _)| sent.parse::<u64>().with_context(|| format!("ss says {sent}"))).sum()
    }

    /// The second queue and the local end of each.
    fn sockets_to(&self, server: SocketAddr) -> Result<Vec<(String, String)>> {
        let mut command = self.command(Path::new("ss"));
        command.args(["-Htn", "state", "established", "dst", &server.to_string()]);
        let listed = run(command)?;
        let columns = listed.lines().map(|line| line.split_whitespace().skip(1));
        let columns = columns.map(|mut it| Some((it.next()?.to_owned(), it.next()?.to_owned())));
        columns.collect::<Option<_>>().with_context(|| format!("ss says {listed}"))
    }

    /// Takes the cable out, and puts it back in.
    pub fn plug(&self, connected: bool) -> Result<()> {
        ip(&["-n", self.name(), "link", "set", "eth0", if connected { "up" } else { "down" }])
    }

    /// Undoes every fault but [`Self::plug`].
    pub fn heal(&self) -> Result<()> {
        self.nft("add table inet faults\ndelete table inet faults\n")
    }

    /// Adds rules to the chains `input` and `output` of the table `inet faults`.
    pub fn rules(&self, rules: &str) -> Result<()> {
        self.nft(&format!(
            "add table inet faults
             add chain inet faults input {{ type filter hook input priority 0; }}
             add chain inet faults output {{ type filter hook output priority 0; }}
             {rules}\n"
        ))
    }

    /// Runs an nft script in it.
    pub fn nft(&self, script: &str) -> Result<()> {
        let mut command = self.enter();
        command.args(["nft", "-f", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot run nft (Debian: nftables)")?;
        child.stdin.take().context("stdin is piped")?.write_all(script.as_bytes())?;
        let output = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "nft: {said}\n{script}");
        Ok(())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let _ = ip(&["netns", "del", &self.name]);
        names::forget(&self.name);
    }
}

/// Names tell whose they are, so that the next test can remove what a killed one left.
fn name(network: u16, label: &str) -> String {
    format!("pgherd-{}-{network}-{label}", std::process::id())
}

/// Removes what processes that were killed left behind.
fn remove_orphans() {
    let Ok(entries) = std::fs::read_dir("/run/netns") else { return };
    for entry in entries.flatten() {
        let file = entry.file_name();
        let Some(name) = file.to_str().filter(|name| name.starts_with("pgherd-")) else { continue };
        let pid = name.split('-').nth(1).and_then(|pid| pid.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            let _ = ip(&["netns", "del", name]);
            names::forget(name);
        }
    }
}

fn ip(arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("ip");
    command.args(arguments);
    run(command).map(drop)
}
