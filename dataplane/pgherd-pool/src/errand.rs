//! Connections for statements of the proxy that belong to no client and no pool.

use std::time::Duration;

use pgherd_wire::backend::{self, tag};
use pgherd_wire::error_response::ServerError as Report;
use pgherd_wire::frontend;
use tokio::io::AsyncWriteExt;

use crate::connect::{ConnectError, Endpoint};
use crate::server::MessageReader;
use crate::socket::Socket;

/// What they are called in `pg_stat_activity`.
const APPLICATION_NAME: &str = "pgherd";

/// Rows of text.
pub type ErrandRows = Vec<Vec<Option<String>>>;

/// A connection of its own. One that has failed is dropped.
#[derive(Debug)]
pub struct Errand {
    socket: Socket,
    reader: MessageReader,
}

/// Why a statement has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ErrandError {
    /// The server says so, and can be asked further.
    #[error("{} (SQLSTATE {})", .0.message, .0.code)]
    Reported(Report),
    /// The connection could not be made, or is of no more use.
    #[error("{}", .0.chain())]
    Gone(#[source] ConnectError),
}

impl Errand {
    /// Logs in, and runs something first.
    ///
    /// Cancel safe: dropped, the connection is closed.
    pub async fn open(
        endpoint: &Endpoint,
        first: &str,
        limit: Duration,
    ) -> Result<Self, ErrandError> {
        let params =
            [("database", endpoint.database.as_str()), ("application_name", APPLICATION_NAME)];
        let open = async {
            let connected =
                endpoint.connect_with(&params, limit).await.map_err(ErrandError::Gone)?;
            let mut errand = Self { socket: connected.socket, reader: MessageReader::default() };
            errand.ask(first).await?;
            Ok(errand)
        };
        match tokio::time::timeout(limit, open).await {
            Ok(opened) => opened,
            Err(_) => Err(ErrandError::Gone(ConnectError::Timeout(limit))),
        }
    }

    /// Runs statements; the rows of all of them.
    ///
    /// Not cancel safe: dropped half way, the connection must be dropped as well.
    pub async fn ask(&mut self, sql: &str) -> Result<ErrandRows, ErrandError> {
        let mut out = Vec::with_capacity(sql.len() + 6);
        frontend::put_query(&mut out, sql.as_bytes());
        let sent = self.socket.write_all(&out).await;
        sent.map_err(|error| ErrandError::Gone(ConnectError::Io(error)))?;
        let (mut rows, mut failed) = (ErrandRows::new(), None);
        loop {
            let message = self.reader.next(&mut self.socket).await;
            let (tag, body) = message.map_err(ErrandError::Gone)?;
            match tag {
                tag::READY_FOR_QUERY => break,
                tag::DATA_ROW => {
                    let row = backend::parse_data_row(body);
                    let row = row.ok_or(ErrandError::Gone(ConnectError::Malformed))?;
                    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
                    rows.push(row.into_iter().map(|value| value.map(text)).collect());
                }
                tag::ERROR => {
                    let report = Report::parse(body);
                    // No ReadyForQuery follows.
                    if report.is_fatal() {
                        return Err(ErrandError::Gone(ConnectError::Refused(report)));
                    }
                    failed.get_or_insert(report);
                }
                _ => {}
            }
        }
        match failed {
            None => Ok(rows),
            Some(report) => Err(ErrandError::Reported(report)),
        }
    }

    /// The same within a time, after which the connection is of no more use.
    pub async fn ask_within(
        &mut self,
        sql: &str,
        limit: Duration,
    ) -> Result<ErrandRows, ErrandError> {
        match tokio::time::timeout(limit, self.ask(sql)).await {
            Ok(answer) => answer,
            Err(_) => Err(ErrandError::Gone(ConnectError::Timeout(limit))),
        }
    }
}

impl ErrandError {
    /// The SQLSTATE, if a server has said one.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Reported(report) | Self::Gone(ConnectError::Refused(report)) => {
                Some(&report.code)
            }
            Self::Gone(_) => None,
        }
    }

    /// Whether the server has answered, and can be asked further.
    pub fn is_answer(&self) -> bool {
        matches!(self, Self::Reported(_))
    }
}
