//! From an accepted socket to a logged-in client.
//!
//! Everything here is bounded: the time, the packets, the number of requests before the startup
//! packet. An unknown user goes through the same dialogue as a wrong password, so that nobody
//! learns which users exist.

mod error;
mod negotiation;
mod parameters;
mod replication;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use pgherd_auth::Authenticated;
use pgherd_auth::scram::server;
use pgherd_pool::{
    CheckoutError, LookupError, Need, NoTarget, Pool, RoleWish, Shards, Socket, Targets,
};
use pgherd_tls::Acceptor;
use pgherd_wire::backend::{self, Authentication};
use pgherd_wire::frame::Header;
use pgherd_wire::startup::{self, Startup, StartupPacket};
use pgherd_wire::{ParamSet, TransactionStatus, frontend};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub(crate) use error::{LoginError, checkout_error};
use parameters::session_parameters;
pub(crate) use replication::ReplicationClient;

use crate::admission::{Admission, Full, ProcessLimits};
use crate::clients::{ClientIdentity, Registration};
use crate::routing::survival::bit;
use crate::shared::{Phase, Shared, Worker};

/// The longest message during authentication (`PG_MAX_AUTH_TOKEN_LENGTH`).
const MAX_AUTH_MESSAGE: usize = 65_535;

/// The database names that lead to the console.
const ADMIN_DATABASES: [&str; 2] = ["pgherd", "pgbouncer"];

/// Who came out of a login.
pub(crate) enum LoggedIn {
    /// A client of a cluster.
    Client(Box<Client>),
    /// A client with a server connection of its own.
    Replication(Box<ReplicationClient>),
    /// A user of the admin database.
    Admin {
        /// Its name.
        user: String,
    },
    /// Nobody: a cancel request was served, or the peer left before it said anything.
    Nobody,
}

/// A client of a cluster, logged in.
pub(crate) struct Client {
    pub(crate) registration: Registration,
    pub(crate) admission: Admission,
    pub(crate) pool: Arc<Pool>,
    pub(crate) targets: Arc<Targets>,
    /// All shards of its cluster, where there are several; `targets` are those of one of them.
    pub(crate) shards: Option<Arc<Shards>>,
    /// Which topology the pool was found in.
    pub(crate) generation: u64,
    /// The session parameters that it starts with.
    pub(crate) params: Arc<ParamSet>,
    /// Bytes that came behind the last message of the login.
    pub(crate) unread: Vec<u8>,
}

/// Reads what a client sends before it is relayed.
struct Dialogue<'s> {
    socket: &'s mut Socket,
    buf: Vec<u8>,
    /// Who made its TLS, if it has any.
    acceptor: Option<Arc<Acceptor>>,
}

impl Dialogue<'_> {
    async fn fill(&mut self) -> Result<(), LoginError> {
        match self.socket.read_buf(&mut self.buf).await.map_err(LoginError::Io)? {
            0 => Err(LoginError::Io(io::ErrorKind::UnexpectedEof.into())),
            _ => Ok(()),
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), LoginError> {
        self.socket.write_all(bytes).await.map_err(LoginError::Io)
    }

    /// The body of the next packet before startup.
    async fn packet(&mut self) -> Result<Vec<u8>, LoginError> {
        let length = loop {
            if let Some(length) = startup::packet_len(&self.buf).map_err(LoginError::Startup)? {
                break length;
            }
            self.fill().await?;
        };
        while self.buf.len() < length {
            self.fill().await?;
        }
        let body = self.buf[4..length].to_vec();
        self.buf.drain(..length);
        Ok(body)
    }

    /// The body of the next password message.
    async fn password(&mut self) -> Result<Vec<u8>, LoginError> {
        let header = loop {
            if let Some(header) = Header::peek(&self.buf).map_err(|_| LoginError::Malformed)? {
                break header;
            }
            self.fill().await?;
        };
        if header.tag != frontend::tag::PASSWORD {
            return Err(LoginError::NotSasl(header.tag));
        }
        if header.body_len > MAX_AUTH_MESSAGE {
            return Err(LoginError::Malformed);
        }
        while self.buf.len() < header.total_len() {
            self.fill().await?;
        }
        let body = self.buf[5..header.total_len()].to_vec();
        self.buf.drain(..header.total_len());
        Ok(body)
    }
}

/// Logs a client in. Not cancel safe: the socket must be closed when this is dropped.
pub(crate) async fn log_in(
    socket: &mut Socket,
    worker: &Worker,
    address: Option<SocketAddr>,
) -> Result<LoggedIn, LoginError> {
    let mut dialogue = Dialogue { socket, buf: Vec::with_capacity(512), acceptor: None };
    let Some(packet) = negotiation::startup_packet(&mut dialogue, worker).await? else {
        return Ok(LoggedIn::Nobody);
    };
    let StartupPacket::Startup(startup) =
        StartupPacket::parse(&packet).map_err(LoginError::Startup)?
    else {
        return Err(LoginError::Malformed);
    };
    let asked = replication::Asked::of(&startup)?;
    negotiate(&mut dialogue, &startup).await?;
    let user = startup.param("user").filter(|user| !user.is_empty()).ok_or(LoginError::NoUser)?;
    let database =
        startup.param("database").filter(|database| !database.is_empty()).unwrap_or(user);
    if worker.shared.phase() != Phase::Running {
        return Err(LoginError::ShuttingDown);
    }
    negotiation::check_policy(&dialogue, worker, user, database, address)?;
    if ADMIN_DATABASES.contains(&database) {
        if asked.is_some() {
            return Err(LoginError::Replication);
        }
        let proof = authenticate_admin(&mut dialogue, worker, user).await?;
        greet_admin(&mut dialogue, proof).await?;
        return Ok(LoggedIn::Admin { user: user.to_owned() });
    }
    if worker.shared.directory.generation() == 0 {
        return Err(LoginError::NoTopology);
    }
    let identity = ClientIdentity {
        user: user.into(),
        database: database.into(),
        address,
        application_name: startup.param("application_name").unwrap_or_default().into(),
        replication: asked.as_ref().map(|asked| asked.kind),
        version: startup.spoken_version(),
        tls: dialogue.socket.tls_info(),
    };
    if let Some(asked) = asked {
        return replication::log_in(&mut dialogue, worker, &startup, identity, asked).await;
    }
    let proof = authenticate(&mut dialogue, worker, user, database).await?;
    let client = greet(&mut dialogue, worker, &startup, identity, proof).await?;
    Ok(LoggedIn::Client(Box::new(client)))
}

/// Protocol 3.2 without extensions is the most that is spoken; whoever asks for more is told first.
async fn negotiate(dialogue: &mut Dialogue<'_>, startup: &Startup<'_>) -> Result<(), LoginError> {
    let (unknown, spoken) = (startup.protocol_options(), startup.spoken_version());
    if startup.version > spoken || !unknown.is_empty() {
        let mut out = Vec::new();
        backend::put_negotiate_protocol_version(&mut out, spoken, &unknown);
        dialogue.write(&out).await?;
    }
    Ok(())
}

async fn authenticate(
    dialogue: &mut Dialogue<'_>,
    worker: &Worker,
    user: &str,
    database: &str,
) -> Result<Authenticated, LoginError> {
    let directory = &worker.shared.directory;
    let known = directory.user(database, user).ok();
    let verifier = known.as_ref().and_then(|known| known.credentials.verifier());
    match verifier {
        Some(verifier) => scram(dialogue, server::Start::new(verifier, true), user).await,
        None => {
            // The client must not learn which of them it is that does not exist; the log may.
            tracing::info!(user, database, "login as an unknown user or to an unknown database");
            scram(dialogue, server::Start::new(directory.mock_verifier(user), false), user).await
        }
    }
}

async fn authenticate_admin(
    dialogue: &mut Dialogue<'_>,
    worker: &Worker,
    user: &str,
) -> Result<Authenticated, LoginError> {
    let shared = &worker.shared;
    match shared.admins.get(user).and_then(|admin| admin.verifier()) {
        Some(verifier) => scram(dialogue, server::Start::new(verifier, true), user).await,
        None => {
            let mock = shared.directory.mock_verifier(user);
            scram(dialogue, server::Start::new(mock, false), user).await
        }
    }
}

async fn scram(
    dialogue: &mut Dialogue<'_>,
    start: server::Start,
    user: &str,
) -> Result<Authenticated, LoginError> {
    let failed = |cause| LoginError::Authentication { user: user.to_owned(), cause };
    let mut out = Vec::new();
    Authentication::Sasl(negotiation::mechanisms(dialogue)).put(&mut out);
    dialogue.write(&out).await?;

    let body = dialogue.password().await?;
    let (mechanism, first) = frontend::parse_sasl_initial(&body).ok_or(LoginError::Malformed)?;
    let channel = negotiation::channel(dialogue, mechanism)?;
    let nonce = pgherd_auth::nonce(&mut rand::rng());
    let (expected, reply) = start.on(channel).client_first(first, &nonce).map_err(failed)?;
    out.clear();
    Authentication::SaslContinue(&reply).put(&mut out);
    dialogue.write(&out).await?;

    let body = dialogue.password().await?;
    let (authenticated, reply) = expected.client_final(&body).map_err(failed)?;
    out.clear();
    Authentication::SaslFinal(&reply).put(&mut out);
    Authentication::Ok.put(&mut out);
    dialogue.write(&out).await?;
    Ok(authenticated)
}

/// Finds the client's pool and parameters, and says what Postgres says after a login.
async fn greet(
    dialogue: &mut Dialogue<'_>,
    worker: &Worker,
    startup: &Startup<'_>,
    identity: ClientIdentity,
    _proof: Authenticated,
) -> Result<Client, LoginError> {
    let database = &*identity.database;
    let shared = &worker.shared;
    let admission = admit(shared, &identity)?;
    let asked = parameters::asked(startup)?;
    // The instances of one shard that have refused, and the first shard that has not.
    let (mut avoid, mut first) = (0, 0);
    let begun = Instant::now();
    let (generation, shards, targets, pool, welcome, params) = loop {
        // Before the look: a topology that comes meanwhile makes the session look again.
        let generation = shared.directory.generation();
        let found = shared.directory.shards(database, &identity.user);
        let shards = found.map_err(|error| match error {
            LookupError::NoInstance => LoginError::NoInstance(database.to_owned()),
            LookupError::SeveralShards => LoginError::SeveralShards("sessions"),
            LookupError::UnknownDatabase | LookupError::UnknownUser => {
                LoginError::UnknownDatabase(database.to_owned())
            }
        })?;
        let limit = shared.directory.rules(database, &identity.user).checkout_timeout;
        let changed = shards.changed();
        let Some(targets) = shards.for_login(first).map(Arc::clone) else {
            return Err(LoginError::NoInstance(database.to_owned()));
        };
        let pool = match choose(&targets, avoid) {
            Ok(pool) => pool,
            Err(NoTarget::Replaced) => continue,
            // All are down at the moment, perhaps.
            Err(_) if begun.elapsed() < limit => {
                (avoid, first) = (0, 0);
                let left = limit.saturating_sub(begun.elapsed());
                let _changed_or_not = tokio::time::timeout(left, changed).await;
                continue;
            }
            Err(_) => return Err(LoginError::NoInstance(database.to_owned())),
        };
        match session_parameters(&pool, worker.index, limit, &asked).await {
            Ok((welcome, params)) => break (generation, shards, targets, pool, welcome, params),
            // Any instance will do.
            Err(LoginError::Checkout(CheckoutError::Refused(error)))
                if avoid & bit(pool.instance().index()) == 0 =>
            {
                avoid |= bit(pool.instance().index());
                if choose(&targets, avoid).is_err() {
                    (avoid, first) = (0, targets.shard() + 1);
                    if first >= shards.count() {
                        return Err(LoginError::Checkout(CheckoutError::Refused(error)));
                    }
                }
            }
            // Replaced while this login waited in its queue.
            Err(LoginError::Checkout(CheckoutError::Retired | CheckoutError::Banned)) => {}
            Err(error) => return Err(error),
        }
    };
    let registration =
        shared.clients.add(identity, shared.proxy_number()).ok_or(LoginError::TooManyClients)?;

    let mut out = Vec::with_capacity(512);
    for name in &*pool.reported() {
        if let Some(value) = params.get(name).or_else(|| welcome.get(name)) {
            backend::put_parameter_status(&mut out, name, value);
        }
    }
    let (pid, key) = registration.entry.cancel_key();
    backend::put_backend_key(&mut out, pid, key);
    backend::put_ready(&mut out, TransactionStatus::Idle);
    dialogue.write(&out).await?;
    Ok(Client {
        registration,
        admission,
        pool,
        targets,
        shards: (!shards.is_single()).then_some(shards),
        generation,
        params,
        unread: std::mem::take(&mut dialogue.buf),
    })
}

/// The instance on which a login tries its parameters: the primary rather than others, unless it
/// is to be avoided.
fn choose(targets: &Targets, avoid: u64) -> Result<Arc<Pool>, NoTarget> {
    if avoid == 0 {
        return targets.for_login();
    }
    let role = Some(RoleWish::Any);
    targets.choose(&Need { avoid, role, ..Need::READ }, rand::random())
}

/// Counts the client in, unless there are too many.
fn admit(shared: &Shared, identity: &ClientIdentity) -> Result<Admission, LoginError> {
    let limits = shared.directory.client_limits(&identity.database, &identity.user);
    // The topology has changed since the login: the look for the pool says so.
    let limits = limits.unwrap_or_default();
    let process = ProcessLimits {
        clients: shared.limits.max_clients,
        clients_of_user: shared.limits.max_user_clients,
    };
    shared.admissions.admit(&identity.user, process, &limits).map_err(|full| match full {
        Full::Process => LoginError::TooManyClients,
        Full::Cluster => LoginError::TooManyOfDatabase(identity.database.to_string()),
        Full::User => LoginError::TooManyOfRole(identity.user.to_string()),
    })
}

async fn greet_admin(dialogue: &mut Dialogue<'_>, _proof: Authenticated) -> Result<(), LoginError> {
    let mut out = Vec::with_capacity(256);
    for (name, value) in [
        ("server_version", concat!("15.0 (pgherd ", env!("CARGO_PKG_VERSION"), ")")),
        ("client_encoding", "UTF8"),
        ("server_encoding", "UTF8"),
        ("DateStyle", "ISO, MDY"),
        ("TimeZone", "GMT"),
        ("integer_datetimes", "on"),
        ("standard_conforming_strings", "on"),
        ("is_superuser", "on"),
    ] {
        backend::put_parameter_status(&mut out, name, value);
    }
    backend::put_backend_key(&mut out, 0, &[0; 4]);
    backend::put_ready(&mut out, TransactionStatus::Idle);
    dialogue.write(&out).await
}

/// Counts a failed login and writes it to the log.
pub(crate) fn report_failure(worker: &Worker, address: Option<SocketAddr>, error: &LoginError) {
    // Health checks of load balancers connect and leave.
    if let LoginError::Io(_) = error {
        tracing::debug!(?address, "client left before its login: {error}");
        return;
    }
    worker.shared.failed_logins.fetch_add(1, Ordering::Relaxed);
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    let address = address.map_or_else(|| "unix socket".to_owned(), |address| address.to_string());
    tracing::info!(address, "login failed: {error}{}", cause.unwrap_or_default());
}
