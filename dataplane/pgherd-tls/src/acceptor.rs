//! TLS towards clients.

use std::sync::Arc;

use pgherd_config::{ClientTls, ClientTlsMode};
use rustls::ServerConfig;
use rustls::server::{NoServerSessionStorage, UnbufferedServerConnection, WebPkiClientVerifier};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::files::Pem;
use crate::{ALPN, TlsError, TlsStream, end_point, provider};

/// Meets clients: the proxy's certificate and what clients must show.
#[derive(Debug)]
pub struct Acceptor {
    mode: ClientTlsMode,
    config: Arc<ServerConfig>,
    end_point: Option<Arc<[u8]>>,
}

impl Acceptor {
    /// Reads the files; `None` when TLS is not offered.
    pub fn load(settings: &ClientTls) -> Result<Option<Self>, TlsError> {
        let mode = settings.effective_mode();
        if mode == ClientTlsMode::Disable {
            return Ok(None);
        }
        let cert = Pem::read("cert", settings.cert.as_deref())?;
        let key = Pem::read("key", settings.key.as_deref())?;
        let chain = cert.certificates()?;
        let provider = provider();
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Setup)?;
        let builder = match &settings.client_ca {
            None => builder.with_no_client_auth(),
            Some(ca) => {
                let ca = Pem::read("client_ca", Some(ca))?;
                // Who shows none is let through the handshake and told in Postgres's words.
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(ca.roots()?), provider)
                        .allow_unauthenticated()
                        .build()
                        .map_err(|error| ca.unusable(rustls::Error::General(error.to_string())))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let end_point = chain.first().and_then(end_point).map(Arc::from);
        let mut config = builder
            .with_single_cert(chain, key.private_key()?)
            .map_err(|error| key.unusable(error))?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        // Connections live long: tickets and remembered sessions would cost more than they save.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Some(Self { mode, config: Arc::new(config), end_point }))
    }

    /// Which clients are taken.
    pub fn mode(&self) -> ClientTlsMode {
        self.mode
    }

    /// The channel binding data of RFC 5929 (`tls-server-end-point`); `None` when the certificate
    /// has a signature for which none is defined.
    pub fn end_point(&self) -> Option<&Arc<[u8]>> {
        self.end_point.as_ref()
    }

    /// A client's connection, before its handshake. `received` was read from it already and
    /// belongs to the handshake.
    pub fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        io: S,
        received: &[u8],
    ) -> Result<TlsStream<S>, rustls::Error> {
        let session = UnbufferedServerConnection::new(Arc::clone(&self.config))?;
        Ok(TlsStream::server(io, session, received))
    }
}
