//! What happens to a proxy itself, one of two behind HAProxy: killed, frozen, drained, without
//! file descriptors.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use pgherd_harness::faults::FaultProxy;
use pgherd_harness::haproxy::HaProxy;
use pgherd_harness::postgres::Postgres;
use pgherd_harness::proxy::Proxy;
use pgherd_harness::raw::{Client, Login};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, prlimit};

use crate::report::{Limits, May, judge};
use crate::stand::{SOON, auditor, config, primary};
use crate::workload::{Clients, Kind, Operation, Workload};

/// How long a fault lasts.
const LASTS: Duration = Duration::from_millis(1500);

/// Two proxies behind HAProxy, in front of one server.
struct Fleet {
    haproxy: HaProxy,
    proxies: Vec<Proxy>,
    _faults: Vec<FaultProxy>,
    primary: Postgres,
    seed: u64,
}

impl Fleet {
    fn start() -> Result<Self> {
        let (seed, primary) = (crate::seed(), primary()?);
        let faults = vec![FaultProxy::for_postgres(primary.addr(), seed)?];
        let toml = config(&faults).to_toml();
        let proxies = (0..2).map(|_| Proxy::start(&toml)).collect::<Result<Vec<_>>>()?;
        let backends: Vec<_> = proxies.iter().map(Proxy::backend).collect();
        let haproxy = HaProxy::start(&backends)?;
        Ok(Self { haproxy, proxies, _faults: faults, primary, seed })
    }

    fn workload(&self) -> Result<Workload> {
        // Enough of each sort for both proxies.
        let clients = Clients { logins: 2, copies: 2, ..Clients::default() };
        Workload::start(self.haproxy.addr(), &Login::default(), self.seed, clients)
    }

    fn judge(
        &self,
        workload: Workload,
        failures: usize,
        stall: Duration,
    ) -> Result<Vec<Operation>> {
        let limits = Limits { failures, stall: stall + Duration::from_millis(500) };
        let codes = &["57P01", "57P03", "closed"];
        let may = May { codes, ..May::see(limits, limits) };
        judge(workload, Instant::now(), may, || auditor(&self.primary))
    }
}

/// Its clients are cut off; they find the other one at once.
#[test]
fn killed_and_started_again() -> Result<()> {
    let mut fleet = Fleet::start()?;
    let workload = fleet.workload()?;
    fleet.proxies[0].kill9()?;
    std::thread::sleep(LASTS);
    let before = Instant::now();
    workload.wait_done_since(before, 1, SOON).context("without the one")?;
    fleet.proxies[0].restart()?;
    // HAProxy tries the other one at once when the dead one refuses. Who comes back before the
    // kernel has closed its listener is still connected to it, and cut off once more.
    fleet.judge(workload, 2, Duration::from_millis(500)).map(drop)
}

/// Its clients wait, the other's do not.
#[test]
fn frozen_for_a_while() -> Result<()> {
    let mut fleet = Fleet::start()?;
    let workload = fleet.workload()?;
    fleet.proxies[0].process().signal(Signal::STOP)?;
    std::thread::sleep(LASTS);
    fleet.proxies[0].process().signal(Signal::CONT)?;
    fleet.judge(workload, 0, LASTS).map(drop)
}

/// SIGTERM: nobody loses a transaction, whoever is idle is told to come back, and does.
#[test]
fn drained_and_started_again() -> Result<()> {
    let mut fleet = Fleet::start()?;
    let workload = fleet.workload()?;
    let begun = Instant::now();
    fleet.proxies[0].term()?;
    let status = fleet.proxies[0].wait(SOON)?;
    println!("  drained in {:?}: {status}", begun.elapsed());
    ensure!(status.success(), "the drain ended with {status}");
    workload.wait_done_since(Instant::now(), 1, SOON).context("without the one")?;
    fleet.proxies[0].restart()?;
    let operations = fleet.judge(workload, 1, Duration::from_millis(500))?;
    let cut = operations.iter().find(|it| it.kind == Kind::BegunTransfer && it.failure.is_some());
    ensure!(cut.is_none(), "a transaction was not let finish: {cut:?}");
    Ok(())
}

/// No file descriptor left: whoever is connected notices nothing, and when there are some again
/// new clients are served.
#[test]
fn without_file_descriptors() -> Result<()> {
    let (seed, primary) = (crate::seed(), primary()?);
    let faults = vec![FaultProxy::for_postgres(primary.addr(), seed)?];
    let proxy = Proxy::start(&config(&faults).to_toml())?;
    let clients = Clients { logins: 0, ..Clients::default() };
    let workload = Workload::start(proxy.addr(), &Login::default(), seed, clients)?;
    let pid = Pid::from_raw(proxy.pid().cast_signed()).context("a process id")?;
    let usual = getrlimit(Resource::Nofile);
    let open = std::fs::read_dir(format!("/proc/{}/fd", proxy.pid()))?.count();
    let scarce = Rlimit { current: Some(open as u64 + 4), maximum: usual.maximum };
    prlimit(Some(pid), Resource::Nofile, scarce)?;
    let begun = Instant::now();
    // More than there is room for; some are accepted.
    let crowd: Vec<Client> =
        (0..50).map(|_| Client::connect(proxy.addr())).collect::<Result<_>>()?;
    std::thread::sleep(LASTS);
    drop(crowd);
    prlimit(Some(pid), Resource::Nofile, usual)?;
    let healed = Instant::now();
    let mut newcomer = Client::login(proxy.addr()).context("a client that comes afterwards")?;
    ensure!(newcomer.value("SELECT 'served'")? == "served");
    println!("  a newcomer was served after {:?} ({:?} of it scarce)", begun.elapsed(), LASTS);
    let limits = Limits { failures: 0, stall: Duration::from_millis(500) };
    judge(workload, healed, May::see(limits, limits), || auditor(&primary)).map(drop)
}
