//! What a failure to connect says of the instance.

use std::io::{self, ErrorKind};

use pgherd_config::EvidenceClass;
use pgherd_wire::sqlstate;

use crate::connect::ConnectError;
use crate::encryption::EncryptionError;
use crate::server::ServerError;

impl ConnectError {
    /// What it is evidence of; `None` where it does not speak against the instance: it refuses
    /// this login only, it is full, or the fault is on this side.
    pub fn evidence(&self) -> Option<EvidenceClass> {
        match self {
            Self::Dial(error) => of_dial(error),
            Self::Timeout(_) => Some(EvidenceClass::ConnectTimeout),
            Self::Io(_) | Self::Encryption(EncryptionError::Io(_)) => {
                Some(EvidenceClass::ConnectionReset)
            }
            Self::Encryption(EncryptionError::Handshake(error))
                if error.kind() != ErrorKind::InvalidData =>
            {
                Some(EvidenceClass::ConnectionReset)
            }
            Self::Refused(report) if is_shutdown(&report.code) => {
                Some(EvidenceClass::ServerShutdown)
            }
            Self::ConnectQuery(ServerError::Io(_) | ServerError::Closed) => {
                Some(EvidenceClass::ConnectionReset)
            }
            Self::Resolve(_)
            | Self::Encryption(_)
            | Self::Refused(_)
            | Self::UnknownMethod(_)
            | Self::UnknownMechanism
            | Self::NoPassword
            | Self::Scram(_)
            | Self::ConnectQuery(_)
            | Self::UnexpectedMessage(_)
            | Self::Malformed
            | Self::Frame(_) => None,
        }
    }

    /// Whether somebody is there who answered, whatever that was.
    pub(crate) fn is_answer(&self) -> bool {
        !matches!(self, Self::Resolve(_) | Self::Dial(_) | Self::Timeout(_) | Self::Io(_))
    }
}

/// Whether an error of this SQLSTATE says that the server goes down, comes up or recovers.
/// `57P01` on a connection that was in use says only that somebody ended it.
fn is_shutdown(code: &str) -> bool {
    // crash_shutdown comes when another backend has died.
    const CRASH_SHUTDOWN: &str = "57P02";
    [sqlstate::ADMIN_SHUTDOWN, CRASH_SHUTDOWN, sqlstate::CANNOT_CONNECT_NOW].contains(&code)
}

fn of_dial(error: &io::Error) -> Option<EvidenceClass> {
    match error.kind() {
        ErrorKind::ConnectionRefused
        | ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable
        | ErrorKind::NetworkDown
        // The directory of a Unix socket without a server.
        | ErrorKind::NotFound => Some(EvidenceClass::ConnectRefused),
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::UnexpectedEof => {
            Some(EvidenceClass::ConnectionReset)
        }
        ErrorKind::TimedOut => Some(EvidenceClass::ConnectTimeout),
        // No file descriptor, no port, no memory: nothing that the instance has done.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pgherd_wire::error_response::ServerError as Report;

    use super::*;

    #[track_caller]
    fn check(error: ConnectError, expected: Option<EvidenceClass>) {
        assert_eq!(error.evidence(), expected, "{}", error.chain());
    }

    fn refused(code: &str) -> ConnectError {
        ConnectError::Refused(Report { code: code.to_owned(), ..Report::default() })
    }

    #[test]
    fn what_is_not_the_fault_of_the_instance_is_no_evidence() {
        check(refused(sqlstate::TOO_MANY_CONNECTIONS), None);
        check(refused(sqlstate::INVALID_PASSWORD), None);
        check(refused(sqlstate::INVALID_CATALOG_NAME), None);
        check(ConnectError::Dial(ErrorKind::AddrNotAvailable.into()), None);
        check(ConnectError::Dial(io::Error::from_raw_os_error(24)), None);
        check(ConnectError::Resolve(ErrorKind::Other.into()), None);
        check(ConnectError::NoPassword, None);
    }

    #[test]
    fn failures_have_classes() {
        let refused_dial = ConnectError::Dial(ErrorKind::ConnectionRefused.into());
        check(refused_dial, Some(EvidenceClass::ConnectRefused));
        let unreachable = ConnectError::Dial(ErrorKind::HostUnreachable.into());
        check(unreachable, Some(EvidenceClass::ConnectRefused));
        check(ConnectError::Timeout(Duration::ZERO), Some(EvidenceClass::ConnectTimeout));
        let broken = ConnectError::Io(ErrorKind::UnexpectedEof.into());
        check(broken, Some(EvidenceClass::ConnectionReset));
        check(refused(sqlstate::CANNOT_CONNECT_NOW), Some(EvidenceClass::ServerShutdown));
        check(refused(sqlstate::ADMIN_SHUTDOWN), Some(EvidenceClass::ServerShutdown));
    }
}
