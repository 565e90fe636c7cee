//! A managed service: the primary is known by a host name, which leads to another machine after a
//! failover. Each machine is a network namespace. Needs root.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use pgherd_harness::netns::{Namespace, Network};
use pgherd_harness::poll;
use pgherd_harness::postgres::{APP_USER, Postgres};
use pgherd_harness::proxy::{Proxy, ProxyConfig};
use pgherd_harness::raw::Client;

use crate::beside::Beside;

const NAME: &str = "writer.db.example";
/// What a service gives for reads.
const READER: &str = "reader.db.example";
/// Longer than any state takes to come.
const SOON: Duration = Duration::from_secs(30);
/// A name is resolved every five seconds, and a new address is believed when it was seen twice.
const FOLLOWED: Duration = Duration::from_secs(12);
/// Instances that fail are looked at each half a second, and clients that wait look themselves.
const NOTICED: Duration = Duration::from_secs(3);
/// A lookup, and the end of a statement.
const LATE: Duration = Duration::from_millis(1_500);
const WRITERS: i32 = 3;

/// The address of the server that answers.
const WHERE: &str = "SELECT host(inet_server_addr())";

struct Service {
    // In the order in which they end.
    proxy: Proxy,
    next: Postgres,
    old: Postgres,
    of_proxy: Namespace,
    of_old: Namespace,
    network: Network,
}

impl Service {
    fn start() -> Result<Self> {
        Self::start_with(|config, _| config)
    }

    /// `change` is given the servers' port.
    fn start_with(change: impl FnOnce(ProxyConfig, u16) -> ProxyConfig) -> Result<Self> {
        let network = Network::new()?;
        let (of_old, of_proxy) = (network.namespace("old")?, network.namespace("proxy")?);
        let old = Postgres::builder().namespace(&of_old).start()?;
        old.sql(&format!("CREATE TABLE t (n int); GRANT ALL ON t TO {APP_USER}"))?;
        let next = old.streaming_replica_in(&network.namespace("next")?)?;
        // A commit is one when both have it.
        old.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")?;
        old.sql("SELECT pg_reload_conf()")?;
        of_proxy.set_hosts(&[(NAME, old.addr().ip()), (READER, next.addr().ip())])?;
        let config = ProxyConfig::for_address("transaction", NAME, old.port())
            .cluster_setting("checkout_timeout", "\"30s\"");
        let config = change(config, old.port());
        let proxy = Proxy::builder().config(&config.to_toml()).namespace(&of_proxy).start()?;
        Ok(Self { proxy, next, old, of_proxy, of_old, network })
    }

    fn client(&self) -> Result<Client> {
        let mut client = Client::login(self.proxy.addr())?;
        client.set_deadline(SOON);
        Ok(client)
    }

    /// Clients who have each had a server connection at the same time.
    fn clients_at_once(&self, count: usize) -> Result<Vec<Client>> {
        let mut clients: Vec<Client> = (0..count).map(|_| self.client()).collect::<Result<_>>()?;
        for statement in ["BEGIN", "SELECT 1", "COMMIT"] {
            clients.iter_mut().try_for_each(|client| client.rows(statement).map(drop))?;
        }
        Ok(clients)
    }

    /// What the service does after a failure.
    fn fail_over(&self) -> Result<Instant> {
        self.next.promote()?;
        poll::until(SOON, "the promotion", || {
            Ok((self.next.sql("SELECT pg_is_in_recovery()")? == [["f"]]).then_some(()))
        })?;
        self.move_name()
    }

    fn move_name(&self) -> Result<Instant> {
        let next = self.next.addr().ip();
        self.of_proxy.set_hosts(&[(NAME, next), (READER, next)])?;
        Ok(Instant::now())
    }

    fn address_of_next(&self) -> String {
        self.next.addr().ip().to_string()
    }

    /// Somebody who works on a server that is well all the time, past pgherd.
    fn beside(&self) -> Result<(Beside, Postgres)> {
        let apart = self.network.namespace("apart")?;
        let server = Postgres::builder().namespace(&apart).start()?;
        Ok((Beside::start(server.addr())?, server))
    }

    /// Writers, all of whom have written.
    fn writers(&self) -> Result<Writers> {
        let stop = Arc::new(AtomicBool::new(false));
        let addr = self.proxy.addr();
        let threads = (1..=WRITERS).map(|number| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || write(addr, number * 1_000_000, &stop))
        });
        let writers = Writers { threads: threads.collect(), stop };
        poll::until(SOON, "every writer to write", || {
            let written = self.old.sql("SELECT DISTINCT n / 1000000 FROM t")?;
            Ok((written.len() == WRITERS as usize).then_some(()))
        })?;
        Ok(writers)
    }
}

/// What a client has done.
#[derive(Debug, Default)]
struct Written {
    /// What, where, and when it was told so.
    rows: Vec<(i32, String, Instant)>,
    errors: Vec<String>,
}

struct Writers {
    threads: Vec<JoinHandle<Result<Written>>>,
    stop: Arc<AtomicBool>,
}

fn write(addr: std::net::SocketAddr, first: i32, stop: &AtomicBool) -> Result<Written> {
    let mut written = Written::default();
    let mut client = None;
    for n in first.. {
        if stop.load(Ordering::Relaxed) || written.errors.len() > 5 {
            break;
        }
        let mut connected = match client.take() {
            Some(client) => client,
            None => Client::login(addr).context("a writer logs in")?,
        };
        connected.set_deadline(SOON);
        let sql = format!("INSERT INTO t VALUES ({n}) RETURNING host(inet_server_addr())");
        match connected.value(&sql) {
            Ok(place) => {
                written.rows.push((n, place, Instant::now()));
                client = Some(connected);
            }
            Err(error) => written.errors.push(format!("{error:#}")),
        }
    }
    Ok(written)
}

impl Writers {
    /// Ends them, and looks at what they saw: each failed at most so often, nothing that was committed
    /// is lost, and everyone writes to the new primary by this time.
    fn judge(self, service: &Service, failures: usize, by: Instant) -> Result<()> {
        let place = service.address_of_next();
        poll::until(SOON, "writes on the new primary", || {
            let sql = "SELECT DISTINCT n / 1000000 FROM t WHERE n > 0 AND xmin::text::int8 > \
                       (SELECT max(xmin::text::int8) FROM mark)";
            Ok((service.next.sql(sql)?.len() == WRITERS as usize).then_some(()))
        })
        .with_context(|| service.proxy.log_tail())?;
        self.stop.store(true, Ordering::Relaxed);
        let written = self.threads.into_iter().map(|thread| thread.join().expect("no panic"));
        let written = written.collect::<Result<Vec<_>>>()?;
        let found = service.next.sql("SELECT n FROM t")?;
        let found = found.iter().map(|row| Ok(row[0].parse()?));
        let found = found.collect::<Result<BTreeSet<i32>>>()?;
        for written in written {
            println!("{} written, {:?}", written.rows.len(), written.errors);
            ensure!(written.errors.len() <= failures, "{:?}", written.errors);
            let first = written.rows.iter().find(|(_, at, _)| *at == place);
            let (.., first) = first.context("nothing was written to the new primary")?;
            ensure!(*first <= by, "served {:?} too late", *first - by);
            let lost: Vec<_> = written.rows.iter().filter(|(n, ..)| !found.contains(n)).collect();
            ensure!(lost.is_empty(), "lost: {lost:?}");
        }
        Ok(())
    }
}

/// What is written after this on the new primary has a later transaction.
fn mark(service: &Service) -> Result<()> {
    service.next.sql("CREATE TABLE mark AS SELECT 1").map(drop)
}

#[test]
fn writes_follow_the_name_when_the_old_machine_refuses() -> Result<()> {
    let mut service = Service::start()?;
    let (beside, _apart) = service.beside()?;
    let writers = service.writers()?;
    service.old.kill9()?;
    let moved = service.fail_over()?;
    mark(&service)?;
    // Long enough for the slowest to be served.
    let mut client = service.client()?;
    ensure!(client.value(WHERE)? == service.address_of_next());
    let slack = beside.slack()?;
    writers.judge(&service, 1, moved + NOTICED + LATE + slack)
}

/// Its cable is out: what it was sent is not acknowledged, and nobody says that it is gone.
#[test]
fn writes_follow_the_name_when_the_old_machine_is_silent() -> Result<()> {
    let service = Service::start()?;
    let (beside, _apart) = service.beside()?;
    service.clients_at_once(8)?;
    let writers = service.writers()?;
    service.of_old.plug(false)?;
    let moved = service.fail_over()?;
    mark(&service)?;
    // The connections that were idle serve nobody any more; what is in flight has its own limits.
    let old = service.old.addr();
    let freed = poll::until(SOON, "idle connections to the old machine to go", || {
        let left = service.of_proxy.connections_to(old)?.len();
        Ok((left <= WRITERS as usize).then(|| moved.elapsed()))
    })?;
    println!("idle connections are gone {freed:?} after the name has moved");
    for mut client in service.clients_at_once(5)? {
        ensure!(client.value(WHERE)? == service.address_of_next());
    }
    let slack = beside.slack()?;
    ensure!(freed < NOTICED + LATE + slack, "only after {freed:?}");
    // The kernel finds it, by what is not acknowledged or not answered.
    writers.judge(&service, 1, moved + FOLLOWED + LATE + slack)
}

/// The old machine is well and takes connections, it is only not the one that is meant any more.
#[test]
fn connections_go_when_the_name_has_moved_although_the_old_machine_is_well() -> Result<()> {
    let service = Service::start()?;
    let (beside, _apart) = service.beside()?;
    let old = service.old.addr().ip().to_string();
    let mut in_transaction = service.client()?;
    in_transaction.rows("BEGIN")?;
    ensure!(in_transaction.value(WHERE)? == old);
    let mut clients = service.clients_at_once(3)?;
    for client in &mut clients {
        ensure!(client.value(WHERE)? == old);
    }
    let moved = service.move_name()?;
    poll::until(SOON, "all clients to be on the new machine", || {
        let places = clients.iter_mut().map(|client| client.value(WHERE));
        let places: Vec<String> = places.collect::<Result<_>>()?;
        let all = places.iter().all(|place| *place == service.address_of_next());
        Ok(all.then_some(()))
    })?;
    let took = moved.elapsed();
    let within = FOLLOWED + LATE + beside.slack()?;
    println!("followed after {took:?}");
    ensure!(took < within, "only after {took:?}, not {within:?}");
    // A transaction ends where it has begun, and its connection goes then.
    ensure!(in_transaction.value(WHERE)? == old);
    in_transaction.rows("COMMIT")?;
    ensure!(in_transaction.value(WHERE)? == service.address_of_next());
    poll::until(SOON, "the last connection to the old machine to end", || {
        Ok(service.of_proxy.connections_to(service.old.addr())?.is_empty().then_some(()))
    })
}

/// Two names, as services give them. For a while both lead to the new primary, and then that for reads to
/// the old machine, which is a replica now.
fn check_two_names(roles: [&'static str; 2], failures: usize) -> Result<()> {
    let mut service = Service::start_with(|config, port| {
        let config = config.role(roles[0]).instance_at(READER, port, roles[1]);
        config.cluster_setting("reads", "\"replicas\"")
    })?;
    let (beside, _apart) = service.beside()?;
    let mut reader = service.client()?;
    ensure!(reader.value(WHERE)? == service.address_of_next());
    let writers = service.writers()?;
    service.old.kill9()?;
    let moved = service.fail_over()?;
    mark(&service)?;
    ensure!(reader.value(WHERE)? == service.address_of_next());
    let mut client = service.client()?;
    let write = "INSERT INTO t VALUES (0) RETURNING host(inet_server_addr())";
    ensure!(client.value(write)? == service.address_of_next());
    let slack = beside.slack()?;
    let back = service.next.streaming_replica_in(&service.of_old)?;
    let (next, of_back) = (service.next.addr().ip(), back.addr().ip());
    service.of_proxy.set_hosts(&[(NAME, next), (READER, of_back)])?;
    poll::until(SOON, "reads on the replica", || {
        Ok((reader.value(WHERE)? == of_back.to_string()).then_some(()))
    })?;
    ensure!(client.value(write)? == service.address_of_next());
    writers.judge(&service, failures, moved + NOTICED + LATE + slack)
}

#[test]
fn two_names_with_roles_change_places() -> Result<()> {
    check_two_names(["primary", "replica"], 1)
}

#[test]
fn two_names_whose_roles_are_found_out_change_places() -> Result<()> {
    // While both lead to one machine, one of them is fenced, and what is in flight there ends.
    check_two_names(["auto", "auto"], 2)
}

/// A name that leads nowhere for a while is no reason to give up what there is.
#[test]
fn a_name_that_cannot_be_resolved_costs_nothing() -> Result<()> {
    let service = Service::start()?;
    let mut client = service.client()?;
    let old: IpAddr = client.value(WHERE)?.parse()?;
    let pid = client.value("SELECT pg_backend_pid()")?;
    service.of_proxy.set_hosts(&[])?;
    // Two lookups and more.
    let until = Instant::now() + FOLLOWED;
    while Instant::now() < until {
        ensure!(client.value("SELECT pg_backend_pid()")? == pid);
        std::thread::sleep(Duration::from_millis(50));
    }
    ensure!(old == service.old.addr().ip());
    Ok(())
}
