//! How a session ends, what the client is told of it, and whether its server connection survives.

use std::io;

use pgherd_wire::error_response::ServerError as Report;
use pgherd_wire::owed::UnexpectedReply;
use pgherd_wire::{ErrorResponse, FrameError, sqlstate};

/// How a session ends.
#[derive(Debug, thiserror::Error)]
pub(crate) enum End {
    #[error("the client said goodbye")]
    Terminated,
    #[error("the client vanished")]
    ClientGone,
    #[error("the connection to the client broke")]
    ClientIo(#[source] io::Error),
    #[error("the client broke the protocol")]
    ClientFrame(#[source] FrameError),
    #[error("the client sent a message of unknown type {0}")]
    UnknownMessage(u8),
    #[error("the client sent a message of type {0:#04x} in the middle of a COPY")]
    NotInCopy(u8),
    #[error("the client sent a malformed message of type {0:#04x}")]
    MalformedMessage(u8),
    #[error("the server closed the connection")]
    ServerClosed,
    #[error("the server connection broke")]
    ServerIo(#[source] io::Error),
    #[error("the server has ended the connection: {}", .0.message)]
    ServerFatal(Box<Report>),
    #[error("the server does not answer")]
    ServerSilent,
    #[error("the server refused the request (SQLSTATE {0}), another one may not")]
    Elsewhere(String),
    #[error("the server broke the protocol")]
    ServerFrame(#[source] FrameError),
    #[error("the server broke the protocol")]
    ServerUnexpected(#[source] UnexpectedReply),
    #[error("the server sent a malformed message of type {0:#04x}")]
    ServerMalformed(u8),
    #[error("the client's query went on after query_timeout and a cancel")]
    QueryTimeout,
    #[error("the client's transaction took longer than transaction_timeout")]
    TransactionTimeout,
    #[error("the client did nothing in a transaction for idle_in_transaction_timeout")]
    IdleInTransactionTimeout,
    #[error("the client did nothing for client_idle_timeout")]
    IdleTimeout,
    #[error("the cluster is not served any more")]
    NotServed,
    #[error("the proxy is shutting down")]
    ShuttingDown,
}

impl End {
    /// What the client is told before the connection is closed.
    pub(crate) fn for_client(&self) -> Option<ErrorResponse<'_>> {
        Some(match self {
            Self::Terminated | Self::ClientGone | Self::ClientIo(_) => return None,
            Self::ClientFrame(_) => {
                ErrorResponse::fatal(sqlstate::PROTOCOL_VIOLATION, "invalid message length")
            }
            Self::UnknownMessage(tag) => ErrorResponse::fatal(
                sqlstate::PROTOCOL_VIOLATION,
                format!("invalid frontend message type {tag}"),
            ),
            Self::NotInCopy(_) => ErrorResponse::fatal(
                sqlstate::PROTOCOL_VIOLATION,
                "terminating connection because protocol synchronization was lost",
            ),
            Self::MalformedMessage(_) => {
                ErrorResponse::fatal(sqlstate::PROTOCOL_VIOLATION, "invalid message format")
            }
            Self::ServerClosed | Self::ServerIo(_) => ErrorResponse::fatal(
                sqlstate::CONNECTION_FAILURE,
                "the server closed the connection unexpectedly",
            ),
            Self::ServerFatal(report) => {
                let told = ErrorResponse::fatal(&report.code, report.message.as_str());
                ErrorResponse {
                    detail: report.detail.as_deref().map(Into::into),
                    hint: report.hint.as_deref().map(Into::into),
                    ..told
                }
            }
            Self::ServerSilent | Self::Elsewhere(_) => {
                ErrorResponse::fatal(sqlstate::CONNECTION_FAILURE, "the server does not answer")
            }
            Self::ServerFrame(_) | Self::ServerUnexpected(_) | Self::ServerMalformed(_) => {
                ErrorResponse::fatal(
                    sqlstate::PROTOCOL_VIOLATION,
                    "the server broke the protocol; the proxy has closed its connection",
                )
            }
            Self::QueryTimeout => ErrorResponse::fatal(
                sqlstate::QUERY_CANCELED,
                "terminating connection because the server did not end the statement \
                 that was canceled due to query_timeout",
            ),
            Self::TransactionTimeout => ErrorResponse::fatal(
                sqlstate::TRANSACTION_TIMEOUT,
                "terminating connection due to transaction timeout",
            ),
            Self::IdleInTransactionTimeout => ErrorResponse::fatal(
                sqlstate::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
                "terminating connection due to idle-in-transaction timeout",
            ),
            Self::IdleTimeout => ErrorResponse::fatal(
                sqlstate::IDLE_SESSION_TIMEOUT,
                "terminating connection due to idle-session timeout",
            ),
            Self::NotServed => ErrorResponse::fatal(
                sqlstate::ADMIN_SHUTDOWN,
                "terminating connection because the database is not served any more",
            ),
            Self::ShuttingDown => ErrorResponse::fatal(
                sqlstate::ADMIN_SHUTDOWN,
                "terminating connection due to administrator command",
            ),
        })
    }

    /// Whether the server connection can be given back after salvage.
    pub(crate) fn spares_server(&self) -> bool {
        matches!(
            self,
            Self::Terminated
                | Self::ClientGone
                | Self::ClientIo(_)
                | Self::ClientFrame(_)
                | Self::UnknownMessage(_)
                | Self::NotInCopy(_)
                | Self::MalformedMessage(_)
                | Self::TransactionTimeout
                | Self::IdleInTransactionTimeout
                | Self::IdleTimeout
                | Self::NotServed
                | Self::ShuttingDown
        )
    }
}
