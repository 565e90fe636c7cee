//! How the conversation with a server begins: with a request for TLS, or without.

use std::io;
use std::sync::Arc;

use pgherd_tls::Connector;
use pgherd_wire::startup;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::socket::Socket;

/// What is demanded of a connection, or what it has.
#[derive(Clone, Debug)]
pub enum Encryption {
    /// None.
    None,
    /// TLS, for the instance of that name.
    Tls {
        /// How the instance is met.
        connector: Arc<Connector>,
        /// Its name, as certificates call it.
        host: Arc<str>,
    },
}

/// Why a connection could not be encrypted.
#[derive(Debug, thiserror::Error)]
pub enum EncryptionError {
    /// The server has no TLS, or does not want to use it.
    #[error("server does not offer TLS, which server_tls demands")]
    NotOffered,
    /// Anything but a yes or no. What it says is not read: nobody knows who says it.
    #[error("server answered the request for TLS with byte {0:#04x}")]
    UnexpectedAnswer(u8),
    /// Bytes that were not encrypted came behind the yes (CVE-2021-23222).
    #[error("server sent unencrypted data behind its answer to the request for TLS")]
    Unencrypted,
    /// The connection ended or broke.
    #[error("connection broke at the request for TLS")]
    Io(#[source] io::Error),
    /// The handshake failed: a certificate that is not trusted, no version in common.
    #[error("TLS handshake failed")]
    Handshake(#[source] io::Error),
}

impl EncryptionError {
    /// Whether trying again soon makes sense, without anybody changing a setting.
    pub fn is_transient(&self) -> bool {
        match self {
            // A server that cannot start a process for the connection answers with an error.
            Self::Io(_) | Self::UnexpectedAnswer(_) => true,
            Self::Handshake(error) => error.kind() != io::ErrorKind::InvalidData,
            Self::NotOffered | Self::Unencrypted => false,
        }
    }
}

impl Encryption {
    /// What is demanded of an instance. Unix sockets are not encrypted, as in libpq.
    pub(crate) fn demanded(host: &str, connector: Option<&Arc<Connector>>) -> Self {
        match connector {
            Some(connector) if !host.starts_with('/') => {
                Self::Tls { connector: Arc::clone(connector), host: host.into() }
            }
            _ => Self::None,
        }
    }

    /// Whether a connection without TLS will do.
    pub(crate) fn takes_plain(&self) -> bool {
        match self {
            Self::None => true,
            Self::Tls { connector, .. } => connector.takes_plain(),
        }
    }

    /// Encrypts a fresh connection as is demanded, and says what it has then.
    ///
    /// Not cancel safe: the socket must be closed when this is dropped or fails.
    pub(crate) async fn negotiate(&self, socket: &mut Socket) -> Result<Self, EncryptionError> {
        let Self::Tls { connector, host } = self else { return Ok(Self::None) };
        let mut request = Vec::with_capacity(8);
        startup::put_ssl_request(&mut request);
        socket.write_all(&request).await.map_err(EncryptionError::Io)?;
        // Room for more than the one byte: what came with it is to be seen, and refused.
        let mut answer = [0; 16];
        let read = socket.read(&mut answer).await.map_err(EncryptionError::Io)?;
        match (answer.first(), read) {
            (_, 0) => Err(EncryptionError::Io(io::ErrorKind::UnexpectedEof.into())),
            (Some(b'S'), 1) => {
                let wrap = |plain| {
                    let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
                    connector.connect(plain, host).map_err(invalid)
                };
                // The state of a handshake is large, and most connections live without it.
                Box::pin(socket.start_tls(wrap)).await.map_err(EncryptionError::Handshake)?;
                Ok(self.clone())
            }
            (Some(b'S' | b'N'), 2..) => Err(EncryptionError::Unencrypted),
            (Some(b'N'), _) if self.takes_plain() => Ok(Self::None),
            (Some(b'N'), _) => Err(EncryptionError::NotOffered),
            (byte, _) => Err(EncryptionError::UnexpectedAnswer(byte.copied().unwrap_or_default())),
        }
    }
}
