//! Why a login fails, and what the client is told of it.

use std::io;

use pgherd_auth::AuthError;
use pgherd_pool::{CheckoutError, ConnectError, ServerError};
use pgherd_wire::startup::{InvalidReplication, StartupError};
use pgherd_wire::{ErrorResponse, sqlstate};

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
    #[error("TLS handshake failed")]
    Handshake(#[source] io::Error),
    #[error("TLS without a request, and not meant for Postgres (ALPN)")]
    NotForPostgres,
    #[error("no TLS, which is required, from {host} for user {user:?} and database {database:?}")]
    EncryptionRequired { host: String, user: String, database: String },
    #[error("no client certificate")]
    CertificateRequired,
    #[error("client certificate for {name:?}, not for user {user:?}")]
    CertificateName { name: Option<String>, user: String },
    #[error("no user in the startup packet")]
    NoUser,
    #[error("malformed startup packet")]
    InvalidReplication(#[source] InvalidReplication),
    #[error("a replication connection to the admin database")]
    Replication,
    #[error("several clusters have the replication user {0:?}")]
    AmbiguousCluster(String),
    #[error("no server connection for replication")]
    ReplicationServer(#[source] Box<ConnectError>),
    #[error("parameter {name:?} cannot be {value:?}")]
    OwnParameter { name: String, value: String },
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
    #[error("{0} of a cluster with several shards")]
    SeveralShards(&'static str),
    #[error("too many clients")]
    TooManyClients,
    #[error("too many clients of database {0:?}")]
    TooManyOfDatabase(String),
    #[error("too many clients of user {0:?}")]
    TooManyOfRole(String),
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
            // Postgres takes it for a port scan and says nothing; a cancel never has an answer.
            Self::Startup(StartupError::InvalidLength(_) | StartupError::InvalidCancel) => None,
            Self::InvalidReplication(error) => Some(
                ErrorResponse::fatal(sqlstate::INVALID_PARAMETER_VALUE, error.to_string())
                    .hint("Valid values are: \"false\", 0, \"true\", 1, \"database\"."),
            ),
            // TLS itself has told the peer what there is to tell.
            Self::Handshake(_) | Self::NotForPostgres => None,
            // The words of Postgres, by which clients and people know what to do.
            Self::EncryptionRequired { host, user, database } => Some(
                ErrorResponse::fatal(
                    sqlstate::INVALID_AUTHORIZATION,
                    format!(
                        "no pg_hba.conf entry for host \"{host}\", user \"{user}\", database \
                         \"{database}\", no encryption"
                    ),
                )
                .hint(
                    "This is pgherd, which takes connections with TLS only: use sslmode=require.",
                ),
            ),
            Self::CertificateRequired => fatal(
                sqlstate::INVALID_AUTHORIZATION,
                "connection requires a valid client certificate",
            ),
            Self::CertificateName { user, .. } => Some(ErrorResponse::fatal(
                sqlstate::INVALID_AUTHORIZATION,
                format!("certificate authentication failed for user \"{user}\""),
            )),
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
            Self::Unencrypted => {
                fatal(sqlstate::PROTOCOL_VIOLATION, "received unencrypted data after SSL request")
                    .map(|e| {
                        e.detail(
                    "This could be either a client-software bug or evidence of an attempted \
                     man-in-the-middle attack.",
                )
                    })
            }
            Self::NoUser => fatal(
                sqlstate::INVALID_AUTHORIZATION,
                "no PostgreSQL user name specified in startup packet",
            ),
            Self::SeveralShards(what) => Some(ErrorResponse::fatal(
                sqlstate::FEATURE_NOT_SUPPORTED,
                format!("{what} are not supported for a cluster with several shards"),
            )),
            Self::Replication => {
                fatal(sqlstate::FEATURE_NOT_SUPPORTED, "the admin database cannot be replicated")
            }
            Self::AmbiguousCluster(user) => Some(
                ErrorResponse::fatal(
                    sqlstate::INVALID_CATALOG_NAME,
                    format!("more than one cluster has the user \"{user}\""),
                )
                .hint(
                    "Say from which one to replicate: name it as the database, or set \
                     options=-c pgherd.cluster=NAME, or give each cluster a user of its own.",
                ),
            ),
            Self::ReplicationServer(error) => Some(replication_error(error)),
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
            Self::TooManyOfDatabase(name) => Some(ErrorResponse::fatal(
                sqlstate::TOO_MANY_CONNECTIONS,
                format!("too many connections for database \"{name}\""),
            )),
            Self::TooManyOfRole(name) => Some(ErrorResponse::fatal(
                sqlstate::TOO_MANY_CONNECTIONS,
                format!("too many connections for role \"{name}\""),
            )),
            Self::ShuttingDown => {
                fatal(sqlstate::CANNOT_CONNECT_NOW, "the database system is shutting down")
            }
            Self::NoTopology => fatal(
                sqlstate::CANNOT_CONNECT_NOW,
                "the proxy is starting up: it waits for its topology",
            ),
            Self::Checkout(error) => Some(checkout_error(error, true)),
            Self::OwnParameter { name, value } => {
                let text = format!("invalid value for parameter \"{name}\": \"{value}\"");
                Some(ErrorResponse::fatal(sqlstate::INVALID_PARAMETER_VALUE, text))
            }
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
        CheckoutError::Retired | CheckoutError::Banned => ErrorResponse::error(
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

/// What a replication client is told when its server connection cannot be opened: the server's own
/// words, for they are about this client (its privilege, `pg_hba.conf`, `max_wal_senders`), unless
/// they are about the password that the proxy gave.
fn replication_error(error: &ConnectError) -> ErrorResponse<'_> {
    match error {
        ConnectError::Refused(report) if report.code != sqlstate::INVALID_PASSWORD => {
            ErrorResponse {
                severity: pgherd_wire::Severity::Fatal,
                code: report.code.as_str().into(),
                message: report.message.as_str().into(),
                detail: report.detail.as_deref().map(Into::into),
                hint: report.hint.as_deref().map(Into::into),
            }
        }
        error => ErrorResponse { severity: pgherd_wire::Severity::Fatal, ..connect_error(error) },
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
        ConnectError::ConnectQuery(ServerError::Reported(report)) => ErrorResponse::error(
            sqlstate::UNABLE_TO_CONNECT,
            format!("connect_query failed on the server: {}", report.message),
        ),
        ConnectError::ConnectQuery(_) => unable("connect_query failed on the server"),
        ConnectError::Resolve(_) | ConnectError::Dial(_) | ConnectError::Encryption(_) => {
            unable("the proxy could not connect to the server")
        }
        ConnectError::Timeout(_) => unable("the server did not answer in time"),
        ConnectError::Io(_)
        | ConnectError::UnexpectedMessage(_)
        | ConnectError::Malformed
        | ConnectError::Frame(_) => unable("the server connection broke during its login"),
    }
}
