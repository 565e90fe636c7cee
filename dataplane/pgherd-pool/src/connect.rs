//! Making a server connection: resolve, dial, log in.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pgherd_auth::AuthError;
use pgherd_auth::scram::{self, Binding, ClientKeys, client};
use pgherd_config::{Secret, TcpSettings};
use pgherd_tls::Connector;
use pgherd_wire::backend::{self, Authentication, tag};
use pgherd_wire::error_response::ServerError as Report;
use pgherd_wire::{FrameError, ParamSet, frontend, sqlstate, startup};
use tokio::io::AsyncWriteExt;
use tokio::net::lookup_host;

use crate::cancel::{CancelTarget, ServerAddress};
use crate::encryption::{Encryption, EncryptionError};
use crate::server::{MessageReader, ServerError, ServerInfo};
use crate::socket::Socket;

/// Where an instance is and as whom to log in.
#[derive(Debug)]
pub struct Endpoint {
    /// Host name, IP address, or directory of a Unix socket.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Database.
    pub database: String,
    /// Role on the server.
    pub user: String,
    /// Its password, if the server asks for one.
    pub password: Option<Secret>,
    /// TLS towards it; `None` for none.
    pub tls: Option<Arc<Connector>>,
    /// What is set on its sockets.
    pub tcp: TcpSettings,
    /// Keys of the last SCRAM login, so that the next need not derive them from the password.
    keys: Mutex<Option<Arc<ClientKeys>>>,
}

impl PartialEq for Endpoint {
    fn eq(&self, other: &Self) -> bool {
        self.host == other.host
            && self.port == other.port
            && self.database == other.database
            && self.user == other.user
            && self.password == other.password
            && self.tls == other.tls
            && self.tcp == other.tcp
    }
}

/// Why a server connection could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name has no address.
    #[error("could not resolve host name")]
    Resolve(#[source] io::Error),
    /// No address took the connection.
    #[error("could not connect")]
    Dial(#[source] io::Error),
    /// It took longer than `connect_timeout`.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The connection could not be encrypted as is demanded.
    #[error("no TLS")]
    Encryption(#[source] EncryptionError),
    /// The connection broke during the login.
    #[error("connection broke during login")]
    Io(#[source] io::Error),
    /// The server refused the login.
    #[error("server refused the login: {} (SQLSTATE {})", .0.message, .0.code)]
    Refused(Report),
    /// The server asks for a kind of authentication that cannot be given.
    #[error("server asks for authentication method {0}, which pgherd does not know")]
    UnknownMethod(i32),
    /// The server offers no SASL mechanism that pgherd knows.
    #[error("server offers no SASL mechanism that pgherd knows")]
    UnknownMechanism,
    /// The server asks for a password and none is configured.
    #[error("server asks for a password, but the user has no server_password")]
    NoPassword,
    /// SCRAM failed, or the server could not prove that it knows the password.
    #[error("SCRAM authentication with the server failed")]
    Scram(#[source] AuthError),
    /// `connect_query` failed on the new connection.
    #[error("connect_query failed")]
    ConnectQuery(#[source] ServerError),
    /// A message that makes no sense during a login.
    #[error("server sent message {0:#04x} during login")]
    UnexpectedMessage(u8),
    /// A message that is no message.
    #[error("server sent a malformed message during login")]
    Malformed,
    /// A message that is too long or too short.
    #[error("server sent a malformed message during login")]
    Frame(#[source] FrameError),
}

impl ConnectError {
    /// Whether trying again soon makes sense, without anybody changing a setting.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Resolve(_) | Self::Dial(_) | Self::Timeout(_) | Self::Io(_) => true,
            Self::Encryption(error) => error.is_transient(),
            Self::Refused(report) => {
                report.code == sqlstate::CANNOT_CONNECT_NOW
                    || report.code == sqlstate::TOO_MANY_CONNECTIONS
                    || report.code == sqlstate::ADMIN_SHUTDOWN
            }
            Self::ConnectQuery(error) => {
                !matches!(error, ServerError::Reported(_) | ServerError::LeftTransaction)
            }
            Self::UnknownMethod(_)
            | Self::UnknownMechanism
            | Self::NoPassword
            | Self::Scram(_)
            | Self::UnexpectedMessage(_)
            | Self::Malformed
            | Self::Frame(_) => false,
        }
    }

    /// Whether this says something of the health of the instance: one that has no connection to
    /// spare, or refuses a login, is alive.
    pub fn blames_instance(&self) -> bool {
        !matches!(
            self,
            Self::Refused(report) if report.code == sqlstate::TOO_MANY_CONNECTIONS
        )
    }

    /// Whether a server that refuses TLS, or those who use it, may say this.
    fn speaks_for_plain(&self) -> bool {
        match self {
            Self::Encryption(EncryptionError::Handshake(_)) => true,
            Self::Refused(report) => report.code == sqlstate::INVALID_AUTHORIZATION,
            _ => false,
        }
    }

    /// The error and its causes in one line.
    pub fn chain(&self) -> String {
        pgherd_tls::chain(self)
    }
}

/// What a login leaves: the socket and what the server said of itself.
pub(crate) struct Connected {
    pub(crate) socket: Socket,
    pub(crate) info: ServerInfo,
    pub(crate) params: ParamSet,
    /// The names of the parameters in the order in which the server reported them.
    pub(crate) reported: Box<[Box<str>]>,
}

impl Endpoint {
    /// An instance to log in to.
    pub fn new(
        host: &str,
        port: u16,
        database: &str,
        user: &str,
        password: Option<Secret>,
    ) -> Self {
        Self {
            host: host.to_owned(),
            port,
            database: database.to_owned(),
            user: user.to_owned(),
            password,
            tls: None,
            tcp: TcpSettings::default(),
            keys: Mutex::new(None),
        }
    }

    /// One for connections that belong to no pool.
    pub(crate) fn again(&self) -> Self {
        let password = self.password.clone();
        Self::new(&self.host, self.port, &self.database, &self.user, password)
            .with_tls(self.tls.clone())
            .with_tcp(self.tcp)
    }

    /// The same for another database.
    pub(crate) fn with_database(self, database: &str) -> Self {
        Self { database: database.to_owned(), ..self }
    }

    /// The same with these settings of its sockets.
    pub fn with_tcp(self, tcp: TcpSettings) -> Self {
        Self { tcp, ..self }
    }

    /// The same with TLS.
    pub fn with_tls(self, tls: Option<Arc<Connector>>) -> Self {
        Self { tls, ..self }
    }

    /// `host:port`, as shown to people.
    pub fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Dials and logs in. Cancel safe: a connection that is not finished is closed.
    pub(crate) async fn connect(&self, timeout: Duration) -> Result<Connected, ConnectError> {
        // No application_name: a client that gives none must see none.
        self.connect_with(&[("database", self.database.as_str())], timeout).await
    }

    /// As [`Endpoint::connect`], with these startup parameters besides the user's name.
    pub(crate) async fn connect_with(
        &self,
        params: &[(&str, &str)],
        timeout: Duration,
    ) -> Result<Connected, ConnectError> {
        let connect = async {
            let demanded = Encryption::demanded(&self.host, self.tls.as_ref());
            let (first, found) = self.attempt(&demanded, params, timeout).await;
            match first {
                // As libpq's `prefer`: what does not go with TLS may go without.
                Err(error) if demanded.takes_plain() && found && error.speaks_for_plain() => {
                    tracing::debug!("trying without TLS: {}", error.chain());
                    self.attempt(&Encryption::None, params, timeout).await.0
                }
                first => first,
            }
        };
        match tokio::time::timeout(timeout, Box::pin(connect)).await {
            Ok(result) => result,
            Err(_) => Err(ConnectError::Timeout(timeout)),
        }
    }

    /// One attempt, and whether the server has offered TLS in it.
    async fn attempt(
        &self,
        demanded: &Encryption,
        params: &[(&str, &str)],
        timeout: Duration,
    ) -> (Result<Connected, ConnectError>, bool) {
        let (mut socket, address) = match self.dial(timeout).await {
            Ok(dialled) => dialled,
            Err(error) => return (Err(error), false),
        };
        match demanded.negotiate(&mut socket).await {
            Ok(found) => {
                let encrypted = matches!(found, Encryption::Tls { .. });
                (self.log_in(socket, address, params, found).await, encrypted)
            }
            Err(error) => {
                let offered = matches!(error, EncryptionError::Handshake(_));
                (Err(ConnectError::Encryption(error)), offered)
            }
        }
    }

    /// To any address of the name. No address takes all of the time from those behind it.
    async fn dial(&self, timeout: Duration) -> Result<(Socket, ServerAddress), ConnectError> {
        if self.host.starts_with('/') {
            let path = PathBuf::from(&self.host).join(format!(".s.PGSQL.{}", self.port));
            let address = ServerAddress::Unix(path);
            let socket = address.dial(&self.tcp).await.map_err(ConnectError::Dial)?;
            return Ok((socket, address));
        }
        let addresses =
            lookup_host((self.host.as_str(), self.port)).await.map_err(ConnectError::Resolve)?;
        let addresses: Vec<SocketAddr> = addresses.collect();
        let share = timeout / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in addresses {
            let address = ServerAddress::Tcp(address);
            match tokio::time::timeout(share, address.dial(&self.tcp)).await {
                Ok(Ok(socket)) => return Ok((socket, address)),
                Ok(Err(error)) => last = error,
                Err(_) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(ConnectError::Dial(last))
    }

    async fn log_in(
        &self,
        mut socket: Socket,
        address: ServerAddress,
        params: &[(&str, &str)],
        encryption: Encryption,
    ) -> Result<Connected, ConnectError> {
        let mut out = Vec::with_capacity(128);
        // Protocol 3.0: all that 3.2 has to offer are longer cancel keys, and what stands between
        // here and the server may not know it.
        let user = ("user", self.user.as_str());
        startup::put_startup(&mut out, std::iter::once(user).chain(params.iter().copied()));
        socket.write_all(&out).await.map_err(ConnectError::Io)?;

        let mut reader = MessageReader::default();
        let mut params = ParamSet::default();
        let mut reported = Vec::new();
        let (tcp, key) = (self.tcp, Box::default());
        let mut cancel = CancelTarget { address, tcp, encryption, pid: 0, key };
        self.authenticate(&mut socket, &mut reader).await?;
        loop {
            let (tag, body) = reader.next(&mut socket).await?;
            match tag {
                tag::PARAMETER_STATUS => {
                    let (name, value) =
                        backend::parse_parameter_status(body).ok_or(ConnectError::Malformed)?;
                    if params.get(name).is_none() {
                        reported.push(name.into());
                    }
                    params.set(name, value);
                }
                tag::BACKEND_KEY_DATA => {
                    let (pid, key) =
                        backend::parse_backend_key(body).ok_or(ConnectError::Malformed)?;
                    cancel.pid = pid;
                    cancel.key = key.into();
                }
                tag::READY_FOR_QUERY => break,
                tag::ERROR => return Err(ConnectError::Refused(Report::parse(body))),
                tag::NOTICE => {}
                other => return Err(ConnectError::UnexpectedMessage(other)),
            }
        }
        if !reader.is_empty() {
            return Err(ConnectError::Malformed);
        }
        let version = params.get("server_version").unwrap_or_default().to_owned();
        let info = ServerInfo { cancel: Arc::new(cancel), version, library: None };
        Ok(Connected { socket, info, params, reported: reported.into() })
    }

    async fn authenticate(
        &self,
        socket: &mut Socket,
        reader: &mut MessageReader,
    ) -> Result<(), ConnectError> {
        loop {
            let mut out = Vec::new();
            match next_authentication(socket, reader).await? {
                Authentication::Ok => return Ok(()),
                Authentication::Cleartext => {
                    frontend::put_password(&mut out, self.password()?.as_bytes());
                }
                Authentication::Md5(salt) => {
                    let digest = pgherd_auth::md5::response(&self.user, self.password()?, salt);
                    frontend::put_password(&mut out, digest.as_bytes());
                }
                Authentication::Sasl(mechanisms) => {
                    let offers =
                        |name: &str| mechanisms.split(|&b| b == 0).any(|m| m == name.as_bytes());
                    let binding = binding(socket, offers(scram::MECHANISM_PLUS));
                    let bound = matches!(binding, Binding::EndPoint(_));
                    if !bound && !offers(scram::MECHANISM) {
                        return Err(ConnectError::UnknownMechanism);
                    }
                    self.scram(socket, reader, binding).await?;
                    continue;
                }
                Authentication::SaslContinue(_) | Authentication::SaslFinal(_) => {
                    return Err(ConnectError::Malformed);
                }
                Authentication::Unsupported(method) => {
                    return Err(ConnectError::UnknownMethod(method));
                }
            }
            socket.write_all(&out).await.map_err(ConnectError::Io)?;
        }
    }

    async fn scram(
        &self,
        socket: &mut Socket,
        reader: &mut MessageReader,
        binding: Binding,
    ) -> Result<(), ConnectError> {
        let mechanism = match binding {
            Binding::EndPoint(_) => scram::MECHANISM_PLUS,
            Binding::None | Binding::NotOffered => scram::MECHANISM,
        };
        let nonce = pgherd_auth::nonce(&mut rand::rng());
        let (start, first) = client::Start::bound(self.password()?, &nonce, binding);
        let start = start.with_keys(self.keys.lock().clone());
        let mut out = Vec::new();
        frontend::put_sasl_initial(&mut out, mechanism.as_bytes(), &first);
        socket.write_all(&out).await.map_err(ConnectError::Io)?;

        let Authentication::SaslContinue(data) = next_authentication(socket, reader).await? else {
            return Err(ConnectError::Malformed);
        };
        let (expected, last) = start.server_first(data).map_err(ConnectError::Scram)?;
        out.clear();
        frontend::put_sasl_response(&mut out, &last);
        socket.write_all(&out).await.map_err(ConnectError::Io)?;

        let Authentication::SaslFinal(data) = next_authentication(socket, reader).await? else {
            return Err(ConnectError::Malformed);
        };
        let keys = expected.keys();
        expected.server_final(data).map_err(ConnectError::Scram)?;
        *self.keys.lock() = Some(keys);
        Ok(())
    }

    fn password(&self) -> Result<&str, ConnectError> {
        self.password.as_ref().map(Secret::expose).ok_or(ConnectError::NoPassword)
    }
}

/// What SCRAM can be bound to, by the rules of libpq's `channel_binding=prefer`.
fn binding(socket: &Socket, offered: bool) -> Binding {
    let Some(tls) = socket.tls() else { return Binding::None };
    if !offered {
        return Binding::NotOffered;
    }
    let end_point = tls.peer_certificate().and_then(pgherd_tls::end_point);
    end_point.map_or(Binding::None, Binding::EndPoint)
}

async fn next_authentication<'r>(
    socket: &mut Socket,
    reader: &'r mut MessageReader,
) -> Result<Authentication<'r>, ConnectError> {
    let (tag, body) = reader.next_skipping_notices(socket).await?;
    match tag {
        tag::AUTHENTICATION => Authentication::parse(body).ok_or(ConnectError::Malformed),
        tag::ERROR => Err(ConnectError::Refused(Report::parse(body))),
        other => Err(ConnectError::UnexpectedMessage(other)),
    }
}
