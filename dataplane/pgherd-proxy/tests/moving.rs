//! Clients that move between workers notice nothing.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ahash::AHashMap;
use anyhow::Result;
use pgherd_admin::{Console, Control, ReloadError};
use pgherd_config::Topology;
use pgherd_harness::postgres::Postgres;
use pgherd_harness::proxy::ProxyConfig;
use pgherd_harness::raw::Client;
use pgherd_harness::raw::frontend::{bind, execute, parse, sync};
use pgherd_pool::{Directory, Socket};
use pgherd_session::{Limits, Shared, Worker, resume, serve};
use tokio::net::TcpListener;
use tokio::task::LocalSet;

#[derive(Debug)]
struct NoControl;

impl Control for NoControl {
    fn reload(&self) -> Result<(), ReloadError> {
        Err(ReloadError::Ending)
    }

    fn shutdown(&self) {}
}

fn shared(postgres: &Postgres) -> Result<Arc<Shared>> {
    let file = ProxyConfig::transaction(postgres).pool_size(2).to_toml();
    let file = pgherd_config::ProxyFile::from_toml(&file)?;
    let directory = Directory::new(2, [0; 32]);
    directory.load(&Topology { clusters: file.clusters })?;
    let limits =
        Limits { login_timeout: Duration::from_secs(10), max_clients: 0, max_user_clients: 0 };
    let console = Arc::new(Console::new(Arc::new(NoControl)));
    Ok(Arc::new(Shared::new(directory, limits, AHashMap::new(), console)))
}

/// Serves each client on two workers by turns: it moves whenever it has ended a transaction.
async fn serve_by_turns(listener: TcpListener, workers: [Rc<Worker>; 2]) -> Result<()> {
    loop {
        let (stream, address) = listener.accept().await?;
        let workers = workers.clone();
        tokio::task::spawn_local(async move {
            let mut leaves =
                serve(Rc::clone(&workers[0]), Socket::Tcp(stream), Some(address)).await;
            while let Some(migrant) = leaves {
                leaves = resume(Rc::clone(&workers[migrant.to]), migrant).await;
            }
        });
    }
}

/// A session with something to lose: a parameter, a named and an unnamed statement.
struct Mover(Client, String);

impl Mover {
    fn new(addr: SocketAddr, name: &str) -> Result<Self> {
        let mut client = Client::login(addr)?;
        client.simple(&format!("SET application_name = '{name}'"))?;
        let named = format!("SELECT '{name}-named'");
        let unnamed = format!("SELECT '{name}-unnamed'");
        client.send(&[parse("s", &named, &[]), parse("", &unnamed, &[]), sync()].concat())?;
        client.until_ready(1)?;
        Ok(Self(client, name.to_owned()))
    }

    fn check(&mut self) -> Result<()> {
        let Self(client, name) = self;
        for statement in ["s", ""] {
            let kind = if statement.is_empty() { "unnamed" } else { "named" };
            client.send(&[bind("", statement, &[]), execute("", 0), sync()].concat())?;
            let answer = client.until_ready(1)?;
            let row = answer.iter().find_map(|message| message.data_row());
            let wanted = format!("{name}-{kind}");
            assert_eq!(row, Some(vec![Some(wanted.as_bytes())]), "{answer:?}");
            client.send(&[parse("", &format!("SELECT '{name}-unnamed'"), &[]), sync()].concat())?;
            client.until_ready(1)?;
        }
        assert_eq!(client.value("SHOW application_name")?, *name);
        Ok(())
    }
}

#[test]
fn clients_take_everything_along() -> Result<()> {
    let postgres = Postgres::start()?;
    let shared = shared(&postgres)?;
    let moved = Arc::clone(&shared);
    let (send_addr, addr) = std::sync::mpsc::channel();
    // Never ends: it goes with the test's process.
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        LocalSet::new().block_on(&runtime, async move {
            let workers = [0, 1].map(|index| Worker::new(index, Arc::clone(&shared)));
            for (index, worker) in workers.iter().enumerate() {
                worker.relieve(1 - index, usize::MAX);
            }
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            send_addr.send(listener.local_addr()?)?;
            serve_by_turns(listener, workers).await
        })
    });
    let addr = addr.recv()?;
    let mut movers = Vec::new();
    for n in 0..4 {
        movers.push(Mover::new(addr, &format!("client{n}"))?);
    }
    for _ in 0..10 {
        for mover in &mut movers {
            mover.check()?;
        }
    }
    // Five messages that end in ReadyForQuery for each check.
    assert!(moved.moved.load(Ordering::Relaxed) >= 4 * 10 * 5);
    Ok(())
}
