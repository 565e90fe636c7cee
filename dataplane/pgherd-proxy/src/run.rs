//! Puts the parts together and runs them until a signal ends them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use pgherd_admin::{Console, Control, ReloadError};
use pgherd_agent::{Agent, AgentConfig, AgentHandle, Timing};
use pgherd_config::{Proxy, ProxyFile};
use pgherd_pool::Directory;
use pgherd_session::{Phase, Shared};
use pgherd_tls::Acceptor;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::fleet::{self, FleetMember};
use crate::listener::Listener;
use crate::options::Options;
use crate::watch::InstanceWatch;
use crate::workers::Workers;
use crate::{limits, listener, metrics, settings};

/// How often a drain looks whether the last client has gone.
const DRAIN_TICK: Duration = Duration::from_millis(20);

/// Runs the proxy until it is told to end.
pub fn run(options: Options) -> anyhow::Result<()> {
    let file = settings::load(&options)?;
    settings::log_warnings(&file);
    let acceptor = settings::files(&file)?;
    if options.check {
        println!("the settings are valid");
        return Ok(());
    }
    limits::raise_open_files();
    // This thread accepts, serves metrics and talks to the control plane; workers serve clients.
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start a runtime")?
        .block_on(serve(options, file, acceptor))
}

/// What the console of the admin database may ask of the process.
#[derive(Debug)]
struct ConsoleControl {
    requests: mpsc::UnboundedSender<Request>,
    options: Arc<Options>,
}

#[derive(Debug)]
enum Request {
    Load(Box<ProxyFile>),
    Shutdown,
}

impl Control for ConsoleControl {
    fn reload(&self) -> Result<(), ReloadError> {
        let invalid = |error| ReloadError::Invalid(format!("{error:#}"));
        let file = settings::load(&self.options).map_err(invalid)?;
        // Read here for whoever asks, and once more when the request is served.
        settings::files(&file).map_err(invalid)?;
        self.requests.send(Request::Load(Box::new(file))).map_err(|_| ReloadError::Ending)
    }

    fn shutdown(&self) {
        // When nobody listens the process is ending already.
        let _ = self.requests.send(Request::Shutdown);
    }
}

async fn serve(
    options: Options,
    file: ProxyFile,
    acceptor: Option<Acceptor>,
) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let worker_count = match file.proxy.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        count => count,
    };
    let listeners = listener::bind_all(&file.proxy)?;
    if listeners.is_empty() {
        bail!("no address to listen on: set [proxy] listen");
    }
    let metrics_listener = match file.metrics.listen.as_str() {
        "" => None,
        address => listener::bind(address).context("metrics")?.into_iter().next(),
    };

    let (requests, mut requested) = mpsc::unbounded_channel();
    let in_fleet = !options.control_plane.is_empty();
    let options = Arc::new(options);
    let control = ConsoleControl { requests, options: Arc::clone(&options) };
    let directory = Directory::new(worker_count, rand::random())
        .with_user_limit(file.proxy.max_user_server_connections);
    let admins = settings::admins(&file, &directory);
    let console = Arc::new(Console::new(Arc::new(control)));
    let shared = Arc::new(Shared::new(directory, settings::limits(&file), admins, console));
    shared.tls.store(acceptor.map(Arc::new));
    let loaded = Arc::new(AtomicBool::new(false));

    let mut tasks = JoinSet::new();
    let agent = if in_fleet {
        let advertise = advertise_address(&file, &listeners)?;
        Some(start_agent(&options, &advertise, &shared, &loaded, &mut tasks)?)
    } else {
        load_file(&shared, &file)?;
        loaded.store(true, Ordering::Release);
        None
    };

    let watch = InstanceWatch::start(&shared)?;
    let workers = Arc::new(Workers::start(worker_count, &shared)?);
    let mut acceptors = JoinSet::new();
    for listener in listeners {
        println!("listening on {}", listener.address()?);
        acceptors.spawn(listener::accept(listener, Arc::clone(&shared), Arc::clone(&workers)));
    }
    if let Some(listener) = metrics_listener {
        println!("metrics listening on {}", listener.local_addr()?);
        let is_loaded = Arc::clone(&loaded);
        let ready = move || is_loaded.load(Ordering::Acquire);
        let shared = Arc::clone(&shared);
        tasks.spawn(async move {
            if let Err(error) =
                metrics::serve(listener, shared, ready, std::future::pending()).await
            {
                tracing::error!("the metrics listener has failed: {error}");
            }
        });
    }
    tracing::info!(workers = worker_count, "pgherd-proxy {} serves", env!("CARGO_PKG_VERSION"));

    loop {
        let event = tokio::select! {
            event = signals.next() => event,
            request = requested.recv() => match request {
                Some(Request::Load(new)) => {
                    replace_file(&options, &shared, &file, &new);
                    continue;
                }
                Some(Request::Shutdown) | None => Event::Terminate,
            },
        };
        match event {
            Event::Terminate => break,
            Event::Reload => reload(&options, &shared, &file),
        }
    }

    // New clients are refused by the kernel from now on, and go to another proxy of the fleet.
    acceptors.shutdown().await;
    drain(&shared, agent.as_ref(), &mut signals, file.proxy.shutdown_timeout.limit()).await;
    workers.stop();
    watch.stop();
    tasks.shutdown().await;
    tracing::info!("ended");
    Ok(())
}

/// Where peers reach this proxy: what is configured, or else the first listener, whose wildcard
/// address is of no use to others.
fn advertise_address(file: &ProxyFile, listeners: &[Listener]) -> anyhow::Result<String> {
    if let Some(address) = &file.proxy.advertise_address {
        return Ok(address.clone());
    }
    let tcp = listeners.iter().find_map(|listener| match listener {
        Listener::Tcp(listener) => Some(listener),
        Listener::Unix(_) => None,
    });
    let tcp = tcp.context("peers cannot reach a Unix socket: set [proxy] advertise_address")?;
    let address = tcp.local_addr()?;
    if address.ip().is_unspecified() {
        let host = host_name();
        return Ok(format!("{host}:{}", address.port()));
    }
    Ok(address.to_string())
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn start_agent(
    options: &Options,
    advertise: &str,
    shared: &Arc<Shared>,
    loaded: &Arc<AtomicBool>,
    tasks: &mut JoinSet<()>,
) -> anyhow::Result<AgentHandle> {
    let token_file = options.token_file.as_ref().context("--token-file is missing")?;
    let config = AgentConfig {
        control_plane: options.control_plane.clone(),
        token: settings::token(token_file)?,
        cache_dir: options.cache_dir.clone(),
        proxy_id: options.id.clone().unwrap_or_else(host_name),
        incarnation: uuid::Uuid::new_v4().to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        labels: options.label.iter().cloned().collect(),
        advertise_address: advertise.to_owned(),
        timing: Timing::default(),
    };
    let member = Arc::new(FleetMember::new(Arc::clone(shared), Arc::clone(loaded)));
    let (mut agent, handle) = Agent::new(config, member)?;
    match agent.activate_cached() {
        Some(id) => tracing::info!(generation = id.generation, "serving the cached topology"),
        None => tracing::info!("no cached topology: waiting for the control plane"),
    }
    tasks.spawn(agent.run(std::future::pending()));
    tasks.spawn(fleet::report_health(Arc::clone(shared), handle.clone()));
    Ok(handle)
}

fn load_file(shared: &Shared, file: &ProxyFile) -> anyhow::Result<()> {
    shared.directory.load(&file.topology())?;
    shared.directory.warm_up();
    shared.clients.wake_replication();
    Ok(())
}

/// Serves the clusters and certificates of a file that was read again, and says what of it waits
/// for a restart. With a control plane only the certificates count.
fn replace_file(options: &Options, shared: &Shared, running: &ProxyFile, file: &ProxyFile) {
    settings::log_warnings(file);
    let now = Proxy { tls: running.proxy.tls.clone(), ..file.proxy.clone() };
    let changed = [
        ("[proxy]", running.proxy != now),
        ("[admin]", running.admin != file.admin),
        ("[metrics]", running.metrics != file.metrics),
        ("[telemetry]", running.telemetry != file.telemetry),
    ];
    for (section, _) in changed.iter().filter(|(_, changed)| *changed) {
        tracing::warn!("{section} has changed: that counts from the next start");
    }
    match settings::acceptor(file) {
        Ok(acceptor) => shared.tls.store(acceptor.map(Arc::new)),
        Err(error) => tracing::error!("TLS towards clients stays as it was: {error:#}"),
    }
    if !options.control_plane.is_empty() {
        match shared.directory.reload() {
            Ok(()) => tracing::info!("the certificates have been read again"),
            Err(error) => tracing::error!("TLS towards instances stays as it was: {error:#}"),
        }
        return;
    }
    match load_file(shared, file) {
        Ok(()) => {
            tracing::info!(clusters = file.clusters.len(), "the settings have been read again");
        }
        Err(error) => tracing::error!("the clusters stay as they were: {error:#}"),
    }
}

/// Reads the file again. What is wrong with it is logged, and the proxy goes on as it was.
fn reload(options: &Options, shared: &Shared, running: &ProxyFile) {
    match settings::load(options) {
        Ok(file) => replace_file(options, shared, running, &file),
        Err(error) => tracing::error!("the settings stay as they were: {error:#}"),
    }
}

/// Waits until transactions have finished and clients have gone, the time is up, or a second
/// signal comes.
async fn drain(
    shared: &Shared,
    agent: Option<&AgentHandle>,
    signals: &mut Signals,
    timeout: Option<Duration>,
) {
    if let Some(agent) = agent {
        agent.drain();
    }
    shared.drain();
    debug_assert_eq!(shared.phase(), Phase::Draining);
    tracing::info!(clients = shared.clients.len(), "draining: transactions may finish");
    let gone = async {
        while !shared.clients.is_empty() {
            shared.drain_streams();
            tokio::time::sleep(DRAIN_TICK).await;
        }
    };
    let time_is_up = async {
        match timeout {
            Some(timeout) => tokio::time::sleep(timeout).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = gone => {}
        () = time_is_up => {
            tracing::warn!(clients = shared.clients.len(), "shutdown_timeout is over: ending");
        }
        () = signals.terminated() => {
            tracing::warn!(clients = shared.clients.len(), "second signal: ending at once");
        }
    }
}

/// What a signal asks for.
enum Event {
    Terminate,
    Reload,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Event {
        tokio::select! {
            _ = self.terminate.recv() => Event::Terminate,
            _ = self.interrupt.recv() => Event::Terminate,
            _ = self.hangup.recv() => Event::Reload,
        }
    }

    async fn terminated(&mut self) {
        loop {
            if let Event::Terminate = self.next().await {
                return;
            }
        }
    }
}
