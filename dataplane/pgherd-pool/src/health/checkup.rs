//! One look at an instance: over the connection that is kept for it, and over a new one when that
//! is silent.

use std::time::Duration;

use pgherd_config::EvidenceClass;
use pgherd_wire::backend::{self, tag};
use pgherd_wire::error_response::ServerError as Report;
use pgherd_wire::frontend;
use pgherd_wire::sqlstate::{FEATURE_NOT_SUPPORTED, INSUFFICIENT_PRIVILEGE};
use tokio::io::AsyncWriteExt;

use super::vitals::{QUESTION, SHORT_QUESTION, Vitals};
use crate::cancel::ServerAddress;
use crate::connect::{ConnectError, Endpoint};
use crate::server::{MessageReader, in_any_transaction};
use crate::socket::Socket;

/// What the connections of health checks are called in `pg_stat_activity`.
const APPLICATION_NAME: &str = "pgherd health check";

const UNDEFINED_FUNCTION: &str = "42883";
const READ_COMMITTED: &str =
    "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED";

/// How a check ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// It says how it is.
    Well(Vitals),
    /// It answers, but not what was asked: it lives, whatever it is. The text says why.
    Alive(String),
    /// It lives, but does not let the checks in, and will not before somebody changes a setting.
    Refused(String),
    /// It does not answer, or says that it cannot serve.
    Failed(EvidenceClass, String),
}

/// A connection over which only checks go.
#[derive(Debug)]
pub(super) struct CheckConn {
    socket: Socket,
    reader: MessageReader,
    /// The user may not ask everything.
    short: bool,
    pub(super) address: ServerAddress,
}

/// Looks once, within this time. What is left of the connection for the next time stays in `kept`.
///
/// Cancel safe: dropped, the connection is closed.
pub(super) async fn check(
    endpoint: &Endpoint,
    kept: &mut Option<CheckConn>,
    limit: Duration,
) -> Outcome {
    match tokio::time::timeout(limit, look(endpoint, kept, limit)).await {
        Ok(outcome) => outcome,
        Err(_) => {
            Outcome::Failed(EvidenceClass::HealthCheckFailed, format!("no answer within {limit:?}"))
        }
    }
}

async fn look(endpoint: &Endpoint, kept: &mut Option<CheckConn>, limit: Duration) -> Outcome {
    let Some(mut conn) = kept.take() else {
        return look_anew(endpoint, kept, limit).await;
    };
    let asked = async move {
        let answer = conn.ask().await;
        (conn, answer)
    };
    tokio::pin!(asked);
    let first = tokio::time::timeout(limit / 2, &mut asked).await;
    let (conn, answer) = match first {
        Ok(answered) => answered,
        // One silent connection may have been cut off by something on the way.
        Err(_) => {
            let mut fresh = None;
            tokio::select! {
                answered = &mut asked => answered,
                outcome = look_anew(endpoint, &mut fresh, limit) => {
                    *kept = fresh;
                    return outcome;
                }
            }
        }
    };
    match answer {
        Ok(outcome) => {
            *kept = Some(conn);
            outcome
        }
        // Whoever ends a backend has nothing against the instance.
        Err(_) => look_anew(endpoint, kept, limit).await,
    }
}

async fn look_anew(endpoint: &Endpoint, kept: &mut Option<CheckConn>, limit: Duration) -> Outcome {
    let mut conn = match CheckConn::open(endpoint, limit).await {
        Ok(conn) => conn,
        Err(error) => return of_connect_error(&error),
    };
    match conn.ask().await {
        Ok(outcome) => {
            *kept = Some(conn);
            outcome
        }
        Err(error) => of_connect_error(&error),
    }
}

fn of_connect_error(error: &ConnectError) -> Outcome {
    let detail = error.chain();
    match error.evidence() {
        Some(class) => Outcome::Failed(class, detail),
        None if error.is_answer() && error.is_transient() => Outcome::Alive(detail),
        None if error.is_answer() => Outcome::Refused(detail),
        None => Outcome::Failed(EvidenceClass::HealthCheckFailed, detail),
    }
}

impl CheckConn {
    async fn open(endpoint: &Endpoint, limit: Duration) -> Result<Self, ConnectError> {
        let params =
            [("database", endpoint.database.as_str()), ("application_name", APPLICATION_NAME)];
        let connected = endpoint.connect_with(&params, limit).await?;
        Ok(Self {
            socket: connected.socket,
            reader: MessageReader::default(),
            short: false,
            address: connected.info.cancel.address.clone(),
        })
    }

    /// Asks how it is. An error means that the connection is of no more use.
    async fn ask(&mut self) -> Result<Outcome, ConnectError> {
        let question = if self.short { SHORT_QUESTION } else { QUESTION };
        let mut answer = self.query(question).await?;
        // A hot standby, and a user whose transactions are serializable.
        if answer.as_ref().is_err_and(|report| report.code == FEATURE_NOT_SUPPORTED) {
            answer = match self.query(READ_COMMITTED).await? {
                Ok(_) => self.query(question).await?,
                Err(report) => Err(report),
            };
        }
        match answer {
            Ok(rows) => Ok(self.understand(&rows)),
            Err(report) if self.short => Ok(Outcome::Alive(report.message)),
            // In the moment of a promotion what was right to ask is not any more.
            Err(report) => {
                // One that only resembles Postgres, or a user who may not know.
                self.short =
                    matches!(report.code.as_str(), INSUFFICIENT_PRIVILEGE | UNDEFINED_FUNCTION);
                match self.query(SHORT_QUESTION).await? {
                    Ok(rows) => Ok(self.understand(&rows)),
                    Err(report) => Ok(Outcome::Alive(report.message)),
                }
            }
        }
    }

    fn understand(&mut self, rows: &[Vec<Option<Box<[u8]>>>]) -> Outcome {
        let row: Vec<Option<&[u8]>> = rows
            .first()
            .map_or_else(Vec::new, |row| row.iter().map(|value| value.as_deref()).collect());
        match Vitals::parse(&row) {
            Some(vitals) => Outcome::Well(vitals),
            None => Outcome::Alive("the answer to the health check makes no sense".to_owned()),
        }
    }

    /// The rows, or the error that the server reports.
    async fn query(&mut self, sql: &str) -> Result<Result<Rows, Report>, ConnectError> {
        let mut out = Vec::with_capacity(sql.len() + 6);
        frontend::put_query(&mut out, sql.as_bytes());
        self.socket.write_all(&out).await.map_err(ConnectError::Io)?;
        let (mut rows, mut failed) = (Rows::new(), None);
        loop {
            let (tag, body) = self.reader.next(&mut self.socket).await?;
            match tag {
                tag::READY_FOR_QUERY => break,
                tag::DATA_ROW => {
                    let row = backend::parse_data_row(body).ok_or(ConnectError::Malformed)?;
                    rows.push(row.into_iter().map(|value| value.map(Box::from)).collect());
                }
                tag::ERROR => {
                    let report = Report::parse(body);
                    // A FATAL error ends the connection: no ReadyForQuery follows.
                    if report.is_fatal() {
                        return Err(ConnectError::Refused(report));
                    }
                    failed = Some(report);
                }
                _ => {}
            }
        }
        Ok(failed.map_or(Ok(rows), Err))
    }
}

type Rows = Vec<Vec<Option<Box<[u8]>>>>;

/// Runs one query on a connection of its own; the rows. For what is asked now and then.
///
/// Cancel safe: dropped, the connection is closed.
pub(super) async fn ask_once(
    endpoint: &Endpoint,
    sql: &str,
    limit: Duration,
) -> Result<Rows, ConnectError> {
    let mut conn = CheckConn::open(endpoint, limit).await?;
    conn.query(&in_any_transaction(sql)).await?.map_err(ConnectError::Refused)
}
