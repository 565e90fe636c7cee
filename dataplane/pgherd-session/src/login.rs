//! From an accepted socket to a logged-in client.
//!
//! Everything here is bounded: the time, the packets, the number of requests before the startup
//! packet. An unknown user goes through the same dialogue as a wrong password, so that nobody
//! learns which users exist.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use pgherd_auth::scram::server;
use pgherd_auth::{AuthError, Authenticated};
use pgherd_pool::{CheckoutError, ConnectError, LookupError, Pool, ServerError, Socket};
use pgherd_wire::backend::{self, Authentication};
use pgherd_wire::frame::Header;
use pgherd_wire::startup::{self, Startup, StartupError, StartupPacket};
use pgherd_wire::{ErrorResponse, ParamSet, TransactionStatus, frontend, params, sqlstate};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::cancel;
use crate::clients::{ClientIdentity, Registration};
use crate::shared::{Phase, Worker};

/// The longest message during authentication (`PG_MAX_AUTH_TOKEN_LENGTH`).
const MAX_AUTH_MESSAGE: usize = 65_535;
/// TLS and GSS requests before the startup packet; each may come once.
const MAX_REQUESTS: usize = 2;

/// The database names that lead to the console.
const ADMIN_DATABASES: [&str; 2] = ["pgherd", "pgbouncer"];

/// Who came out of a login.
pub(crate) enum LoggedIn {
    /// A client of a cluster.
    Client(Box<Client>),
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
    pub(crate) pool: Arc<Pool>,
    /// The session parameters that it starts with.
    pub(crate) params: Arc<ParamSet>,
    /// Bytes that came behind the last message of the login.
    pub(crate) unread: Vec<u8>,
}

/// Why a login failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoginError {
    #[error("connection broke")]
    Io(#[source] io::Error),
    #[error("malformed startup packet")]
    Startup(#[source] StartupError),
    #[error("malformed message during authentication")]
    Malformed,
    #[error("message of type {0} instead of a SASL response")]
    NotSasl(u8),
    #[error("data behind a request for encryption")]
    Unencrypted,
    #[error("no user in the startup packet")]
    NoUser,
    #[error("replication connections are not supported")]
    Replication,
    #[error("the options parameter is not understood")]
    Options,
    #[error("authentication failed for user {user:?}")]
    Authentication {
        user: String,
        #[source]
        cause: AuthError,
    },
    #[error("the client chose an unknown SASL mechanism")]
    Mechanism,
    #[error("database {0:?} is not served")]
    UnknownDatabase(String),
    #[error("cluster of database {0:?} has no primary")]
    NoInstance(String),
    #[error("too many clients")]
    TooManyClients,
    #[error("the proxy is shutting down")]
    ShuttingDown,
    #[error("the proxy has no topology yet")]
    NoTopology,
    #[error("no server connection")]
    Checkout(#[source] CheckoutError),
    #[error("the instance refused the startup parameters")]
    Parameters(#[source] ServerError),
}

impl LoginError {
    /// What the client is told; `None` when there is nobody to tell or nothing to say.
    pub(crate) fn for_client(&self) -> Option<ErrorResponse<'_>> {
        let fatal = |code, message: &'static str| Some(ErrorResponse::fatal(code, message));
        match self {
            Self::Io(_) => None,
            // Postgres takes it for a port scan and says nothing.
            Self::Startup(StartupError::InvalidLength(_)) => None,
            Self::Startup(error) => Some(ErrorResponse::fatal(
                match error {
                    StartupError::UnsupportedVersion(_) => sqlstate::FEATURE_NOT_SUPPORTED,
                    _ => sqlstate::PROTOCOL_VIOLATION,
                },
                error.to_string(),
            )),
            Self::Malformed => fatal(sqlstate::PROTOCOL_VIOLATION, "invalid message during login"),
            Self::NotSasl(tag) => Some(ErrorResponse::fatal(
                sqlstate::PROTOCOL_VIOLATION,
                format!("expected SASL response, got message type {tag}"),
            )),
            Self::Unencrypted => fatal(
                sqlstate::PROTOCOL_VIOLATION,
                "received unencrypted data after SSL request",
            )
            .map(|e| {
                e.detail(
                    "This could be either a client-software bug or evidence of an attempted \
                     man-in-the-middle attack.",
                )
            }),
            Self::NoUser => fatal(
                sqlstate::INVALID_AUTHORIZATION,
                "no PostgreSQL user name specified in startup packet",
            ),
            Self::Replication => {
                fatal(
                    sqlstate::FEATURE_NOT_SUPPORTED,
                    "pgherd does not serve replication connections yet",
                )
                .map(|e| e.hint("Connect to the instance itself."))
            }
            Self::Options => fatal(
                sqlstate::FEATURE_NOT_SUPPORTED,
                "pgherd understands only settings (-c name=value) in the options parameter",
            ),
            Self::Authentication { user, cause } => {
                Some(ErrorResponse::fatal(cause.sqlstate(), cause.client_message(user)))
            }
            Self::Mechanism => fatal(
                sqlstate::PROTOCOL_VIOLATION,
                "client selected an invalid SASL authentication mechanism",
            ),
            Self::UnknownDatabase(name) => Some(ErrorResponse::fatal(
                sqlstate::INVALID_CATALOG_NAME,
                format!("database \"{name}\" does not exist"),
            )),
            Self::NoInstance(name) => Some(ErrorResponse::fatal(
                sqlstate::UNABLE_TO_CONNECT,
                format!("cluster \"{name}\" has no primary"),
            )),
            Self::TooManyClients => {
                fatal(sqlstate::TOO_MANY_CONNECTIONS, "sorry, too many clients already")
            }
            Self::ShuttingDown => {
                fatal(sqlstate::CANNOT_CONNECT_NOW, "the database system is shutting down")
            }
            Self::NoTopology => fatal(
                sqlstate::CANNOT_CONNECT_NOW,
                "the proxy is starting up: it waits for its topology",
            ),
            Self::Checkout(error) => Some(checkout_error(error, true)),
            Self::Parameters(ServerError::Reported(report)) => {
                Some(ErrorResponse::fatal(&report.code, report.message.as_str()))
            }
            Self::Parameters(_) => {
                fatal(sqlstate::CONNECTION_FAILURE, "the server connection broke during login")
            }
        }
    }
}

/// What a client is told when it gets no server connection.
pub(crate) fn checkout_error(error: &CheckoutError, fatal: bool) -> ErrorResponse<'static> {
    let response = match error {
        CheckoutError::Timeout { waited, cause: None } => ErrorResponse::error(
            sqlstate::TOO_MANY_CONNECTIONS,
            format!("no server connection came free within {} ms", waited.as_millis()),
        )
        .hint("All connections of the pool are in use: see SHOW POOLS, and pool_size."),
        CheckoutError::Timeout { cause: Some(cause), .. } | CheckoutError::Refused(cause) => {
            connect_error(cause)
        }
        CheckoutError::Retired => ErrorResponse::error(
            sqlstate::CONNECTION_FAILURE,
            "the cluster has been removed or changed",
        ),
    };
    if fatal {
        ErrorResponse { severity: pgherd_wire::Severity::Fatal, ..response }
    } else {
        response
    }
}

/// Addresses and roles of the instances stay in the log; what the client can act on is said.
fn connect_error(error: &ConnectError) -> ErrorResponse<'static> {
    let unable = |message: &'static str| {
        ErrorResponse::error(sqlstate::UNABLE_TO_CONNECT, message)
            .hint("The log of the proxy has the details.")
    };
    match error {
        ConnectError::Refused(report)
            if report.code == sqlstate::INVALID_CATALOG_NAME
                || report.code == sqlstate::TOO_MANY_CONNECTIONS
                || report.code == sqlstate::CANNOT_CONNECT_NOW =>
        {
            ErrorResponse::error(
                match report.code.as_str() {
                    sqlstate::INVALID_CATALOG_NAME => sqlstate::INVALID_CATALOG_NAME,
                    sqlstate::TOO_MANY_CONNECTIONS => sqlstate::TOO_MANY_CONNECTIONS,
                    _ => sqlstate::CANNOT_CONNECT_NOW,
                },
                report.message.clone(),
            )
        }
        ConnectError::Refused(_)
        | ConnectError::NoPassword
        | ConnectError::Scram(_)
        | ConnectError::UnknownMechanism
        | ConnectError::UnknownMethod(_) => unable("the proxy could not log in to the server"),
        ConnectError::Resolve(_) | ConnectError::Dial(_) => {
            unable("the proxy could not connect to the server")
        }
        ConnectError::Timeout(_) => unable("the server did not answer in time"),
        ConnectError::Io(_)
        | ConnectError::UnexpectedMessage(_)
        | ConnectError::Malformed
        | ConnectError::Frame(_) => unable("the server connection broke during its login"),
    }
}

/// Reads what a client sends before it is relayed.
struct Dialogue<'s> {
    socket: &'s mut Socket,
    buf: Vec<u8>,
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
    let mut dialogue = Dialogue { socket, buf: Vec::with_capacity(512) };
    let mut requests = 0;
    let packet = loop {
        let packet = dialogue.packet().await?;
        match StartupPacket::parse(&packet).map_err(LoginError::Startup)? {
            StartupPacket::Ssl | StartupPacket::GssEnc => {
                requests += 1;
                if requests > MAX_REQUESTS {
                    return Err(LoginError::Malformed);
                }
                dialogue.write(b"N").await?;
                // Bytes behind the request would have been meant for the encrypted stream.
                if !dialogue.buf.is_empty() {
                    return Err(LoginError::Unencrypted);
                }
            }
            StartupPacket::Cancel { pid, key } => {
                cancel::serve(&worker.shared, pid, key).await;
                return Ok(LoggedIn::Nobody);
            }
            StartupPacket::Startup(_) => break packet,
        }
    };
    let StartupPacket::Startup(startup) =
        StartupPacket::parse(&packet).map_err(LoginError::Startup)?
    else {
        return Err(LoginError::Malformed);
    };
    negotiate(&mut dialogue, &startup).await?;
    let user = startup.param("user").filter(|user| !user.is_empty()).ok_or(LoginError::NoUser)?;
    let database =
        startup.param("database").filter(|database| !database.is_empty()).unwrap_or(user);
    if !matches!(startup.param("replication"), None | Some("false" | "off" | "no" | "0")) {
        return Err(LoginError::Replication);
    }
    if worker.shared.phase() != Phase::Running {
        return Err(LoginError::ShuttingDown);
    }
    if ADMIN_DATABASES.contains(&database) {
        let proof = authenticate_admin(&mut dialogue, worker, user).await?;
        greet_admin(&mut dialogue, proof).await?;
        return Ok(LoggedIn::Admin { user: user.to_owned() });
    }
    if worker.shared.directory.generation() == 0 {
        return Err(LoginError::NoTopology);
    }
    let proof = authenticate(&mut dialogue, worker, user, database).await?;
    let identity = ClientIdentity {
        user: user.into(),
        database: database.into(),
        address,
        application_name: startup.param("application_name").unwrap_or_default().into(),
    };
    let client = greet(&mut dialogue, worker, &startup, identity, proof).await?;
    Ok(LoggedIn::Client(Box::new(client)))
}

/// Protocol 3.0 without extensions is what is spoken; whoever asks for more is told so first.
async fn negotiate(dialogue: &mut Dialogue<'_>, startup: &Startup<'_>) -> Result<(), LoginError> {
    let unknown = startup.protocol_options();
    if startup.version > startup::VERSION_3_0 || !unknown.is_empty() {
        let mut out = Vec::new();
        backend::put_negotiate_protocol_version(&mut out, startup::VERSION_3_0, &unknown);
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
    let failed =
        |cause| LoginError::Authentication { user: user.to_owned(), cause };
    let mut out = Vec::new();
    Authentication::Sasl(b"SCRAM-SHA-256\0\0").put(&mut out);
    dialogue.write(&out).await?;

    let body = dialogue.password().await?;
    let (mechanism, first) = frontend::parse_sasl_initial(&body).ok_or(LoginError::Malformed)?;
    if mechanism != b"SCRAM-SHA-256" {
        return Err(LoginError::Mechanism);
    }
    let nonce = pgherd_auth::nonce(&mut rand::rng());
    let (expected, reply) = start.client_first(first, &nonce).map_err(failed)?;
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
    if shared.limits.max_clients > 0 && shared.clients.len() >= shared.limits.max_clients {
        return Err(LoginError::TooManyClients);
    }
    let pool = shared.directory.pool(database, &identity.user).map_err(|error| match error {
        LookupError::NoInstance => LoginError::NoInstance(database.to_owned()),
        LookupError::UnknownDatabase | LookupError::UnknownUser => {
            LoginError::UnknownDatabase(database.to_owned())
        }
    })?;
    let (welcome, params) = session_parameters(&pool, worker.index, startup).await?;
    let registration = shared
        .clients
        .add(identity)
        .ok_or(LoginError::TooManyClients)?;

    let mut out = Vec::with_capacity(512);
    for (name, value) in welcome.iter() {
        backend::put_parameter_status(&mut out, name, params.get(name).unwrap_or(value));
    }
    let (pid, key) = registration.entry.cancel_key(shared.proxy_number());
    backend::put_backend_key(&mut out, pid, &key);
    backend::put_ready(&mut out, TransactionStatus::Idle);
    dialogue.write(&out).await?;
    Ok(Client { registration, pool, params, unread: std::mem::take(&mut dialogue.buf) })
}

async fn greet_admin(
    dialogue: &mut Dialogue<'_>,
    _proof: Authenticated,
) -> Result<(), LoginError> {
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

/// What a fresh connection to the instance reports, and what this client starts with. Parameters
/// that the client brings are tried on the instance once, which also says how it writes them.
async fn session_parameters(
    pool: &Arc<Pool>,
    worker: usize,
    startup: &Startup<'_>,
) -> Result<(Arc<ParamSet>, Arc<ParamSet>), LoginError> {
    let asked = asked_parameters(startup)?;
    if let (Some(welcome), Some(params)) = (pool.welcome(), pool.accepted(&asked)) {
        return Ok((welcome, params));
    }
    let mut lease = pool.checkout(worker).await.map_err(LoginError::Checkout)?;
    let welcome = pool.welcome().unwrap_or_default();
    let mut wanted = welcome.settable();
    for (name, value) in &asked {
        wanted.set(name, value);
    }
    let sql = lease.params.sql_to(&wanted);
    if !sql.is_empty() {
        match lease.execute(&sql).await {
            Ok(_) => {}
            Err(ServerError::Reported(report)) => {
                // The connection is whole; what was set before the error was undone with it.
                lease.release();
                return Err(LoginError::Parameters(ServerError::Reported(report)));
            }
            Err(error) => return Err(LoginError::Parameters(error)),
        }
        // Reported parameters are now in the server's spelling; of the others it says nothing.
        for (name, value) in lease.params.iter() {
            wanted.set(name, value);
        }
    }
    let params = pool.accept(asked, wanted);
    lease.params = Arc::clone(&params);
    lease.release();
    Ok((welcome, params))
}

/// The session parameters in a startup packet, in Postgres's spelling where it reports them.
fn asked_parameters(startup: &Startup<'_>) -> Result<Vec<(String, String)>, LoginError> {
    let mut asked = Vec::new();
    let mut ask = |name: &str, value: &str| {
        let name = params::reported_name(name).map_or_else(|| name.to_owned(), str::to_owned);
        asked.retain(|(other, _): &(String, String)| *other != name);
        asked.push((name, value.to_owned()));
    };
    // Postgres applies options first, then what stands in the packet by itself.
    if let Some(options) = startup.param("options") {
        for (name, value) in startup::parse_options(options).ok_or(LoginError::Options)? {
            ask(&name, &value);
        }
    }
    for (name, value) in &startup.params {
        let special = matches!(*name, "user" | "database" | "options" | "replication");
        if !special && !name.starts_with("_pq_.") {
            ask(name, value);
        }
    }
    asked.sort();
    Ok(asked)
}

/// Counts a failed login and writes it to the log.
pub(crate) fn report_failure(worker: &Worker, address: Option<SocketAddr>, error: &LoginError) {
    // Health checks of load balancers connect and leave.
    if let LoginError::Io(_) = error {
        tracing::debug!(?address, "client left before its login: {error}");
        return;
    }
    worker.shared.failed_logins.fetch_add(1, Ordering::Relaxed);
    let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    tracing::info!(?address, cause, "login failed: {error}");
}
