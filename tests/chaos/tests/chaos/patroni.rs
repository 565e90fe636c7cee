//! A Patroni cluster changes its leader under load, as planned and because the leader's machine dies.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use pgherd_harness::patroni::Patroni;
use pgherd_harness::proxy::Proxy;
use pgherd_harness::raw::{Client, Login};

use crate::report::{Limits, May, judge, slack};
use crate::stand::{SOON, plain_config, settled, tables};
use crate::workload::{Clients, Workload};

/// What finding the new primary may take: roles are looked at every second.
const NOTICED: Duration = Duration::from_secs(2);

/// What was in flight; and a machine's processes end one after the other: who comes back at once may be given the
/// connection of one whose turn is still to come.
const FAILURES: usize = 2;

/// Three nodes whose roles pgherd finds out by itself.
struct Cluster {
    proxy: Proxy,
    patroni: Patroni,
    leader: usize,
    seed: u64,
}

impl Cluster {
    fn start() -> Result<Self> {
        let (seed, patroni) = (crate::seed(), Patroni::start(3)?);
        let leader = patroni.wait_streaming()?;
        patroni.superuser(leader, "app")?.rows(&tables())?;
        // The lock of a leader that is dead lasts for seconds.
        let config = plain_config(patroni.addrs()).cluster_setting("checkout_timeout", "\"18s\"");
        let toml = ["primary", "replica"].iter().fold(config.to_toml(), |toml, role| {
            toml.replace(&format!("role = {role:?}"), "role = \"auto\"")
        });
        Ok(Self { proxy: Proxy::start(&toml)?, patroni, leader, seed })
    }

    fn workload(&self) -> Result<Workload> {
        Workload::start(self.proxy.addr(), &Login::default(), self.seed, Clients::default())
    }

    /// Nobody loses what was committed, writes wait, and only what was in flight fails.
    fn judge(&self, workload: Workload, begun: Instant) -> Result<()> {
        let changed = Instant::now();
        println!("  another leader after {:?}", changed - begun);
        let back = workload.wait_done_since(changed, 2, SOON).context("with a new leader")?;
        println!("  all served by it {back:?} after that");
        let within = NOTICED + slack(workload.noise());
        ensure!(back < within, "everyone was served again only after {back:?}, not {within:?}");
        // The old one becomes a replica that serves as one. On the way there Patroni may end it once more, and what
        // is in flight on it then.
        let leader = self.patroni.wait_streaming()?;
        ensure!(leader != self.leader, "the leader is the one that it was");
        self.wait_reads(self.leader)?;
        let writes = Limits { failures: FAILURES, stall: (changed - begun) + NOTICED };
        let reads = Limits { failures: 1, stall: Duration::from_millis(500) };
        let codes = &["57P01", "57P02", "57P03", "cut"];
        let may = May { codes, retried: true, ..May::see(reads, writes) };
        let auditor = || settled(self.patroni.superuser(leader, "app")?);
        judge(workload, Instant::now(), may, auditor).map(drop)
    }

    /// Waits until reads go to a node.
    fn wait_reads(&self, node: usize) -> Result<()> {
        let addrs = self.patroni.addrs();
        let port = addrs.get(node).context("no such node")?.port().to_string();
        let mut client = Client::login(self.proxy.addr())?;
        pgherd_harness::poll::until(SOON, "reads on the old leader", || {
            Ok((client.value("SELECT inet_server_port()")? == port).then_some(()))
        })
    }
}

#[test]
fn a_switchover() -> Result<()> {
    let cluster = Cluster::start()?;
    let workload = cluster.workload()?;
    let begun = Instant::now();
    cluster.patroni.switch_over(cluster.leader)?;
    cluster.judge(workload, begun)
}

#[test]
fn the_leaders_machine_dies() -> Result<()> {
    let mut cluster = Cluster::start()?;
    let workload = cluster.workload()?;
    let begun = Instant::now();
    cluster.patroni.kill9(cluster.leader)?;
    cluster.patroni.wait_other_leader(cluster.leader)?;
    // It thinks that it leads until it has looked.
    cluster.patroni.restart(cluster.leader)?;
    cluster.judge(workload, begun)
}
