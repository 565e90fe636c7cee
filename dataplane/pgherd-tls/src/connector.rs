//! TLS towards instances.

use std::fmt;
use std::sync::Arc;

use pgherd_config::{ServerTls, ServerTlsMode};
use rustls::ClientConfig;
use rustls::client::{Resumption, UnbufferedClientConnection};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::files::{Pem, system_roots};
use crate::verify::{Identity, Trust, Verifier};
use crate::{ALPN, TlsError, TlsStream, provider};

/// Meets instances: what they must show, and the certificate with which the proxy logs in.
///
/// Two are equal when settings and contents of the files are.
pub struct Connector {
    mode: ServerTlsMode,
    config: Arc<ClientConfig>,
    fingerprint: blake3::Hash,
}

impl Connector {
    /// Reads the files; `None` when TLS is not to be used.
    pub fn load(settings: &ServerTls) -> Result<Option<Self>, TlsError> {
        if settings.mode == ServerTlsMode::Disable {
            return Ok(None);
        }
        let mut fingerprint = blake3::Hasher::new();
        fingerprint.update(format!("{:?}", settings.mode).as_bytes());
        let mut note = |pem: &Pem| {
            fingerprint.update(&(pem.bytes.len() as u64).to_le_bytes());
            fingerprint.update(&pem.bytes);
        };
        let trust = match settings.mode {
            ServerTlsMode::Disable | ServerTlsMode::Prefer | ServerTlsMode::Require => {
                Trust::Anyone
            }
            ServerTlsMode::VerifyCa | ServerTlsMode::VerifyFull => {
                let identity = match settings.mode {
                    ServerTlsMode::VerifyFull => Identity::Host,
                    _ => Identity::Any,
                };
                match settings.ca.as_deref() {
                    Some(ServerTls::SYSTEM_CA) => {
                        Trust::signed(system_roots()?, Vec::new(), identity)
                    }
                    ca => {
                        let ca = Pem::read("ca", ca)?;
                        note(&ca);
                        Trust::signed(ca.roots()?, ca.certificates()?, identity)
                    }
                }
            }
        };
        let provider = provider();
        let algorithms = provider.signature_verification_algorithms;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Setup)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Verifier::new(trust, algorithms)));
        let mut config = match &settings.cert {
            None => builder.with_no_client_auth(),
            Some(cert) => {
                let cert = Pem::read("cert", Some(cert))?;
                let key = Pem::read("key", settings.key.as_deref())?;
                note(&cert);
                note(&key);
                builder
                    .with_client_auth_cert(cert.certificates()?, key.private_key()?)
                    .map_err(|error| key.unusable(error))?
            }
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.resumption = Resumption::disabled();
        let fingerprint = fingerprint.finalize();
        Ok(Some(Self { mode: settings.mode, config: Arc::new(config), fingerprint }))
    }

    #[cfg(test)]
    pub(crate) fn say_in_alpn(&mut self, protocol: &[u8]) {
        Arc::make_mut(&mut self.config).alpn_protocols = vec![protocol.to_vec()];
    }

    /// What is demanded of instances.
    pub fn mode(&self) -> ServerTlsMode {
        self.mode
    }

    /// Whether a connection without TLS will do.
    pub fn takes_plain(&self) -> bool {
        self.mode == ServerTlsMode::Prefer
    }

    /// A connection to the instance at `host`, before its handshake.
    pub fn connect<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        io: S,
        host: &str,
    ) -> Result<TlsStream<S>, rustls::Error> {
        // The scope of an IPv6 address is of this machine only.
        let host = host.split_once('%').map_or(host, |(address, _)| address);
        let name = match ServerName::try_from(host.to_owned()) {
            Ok(name) => name,
            // A name that no certificate can have: only who verifies it minds.
            Err(_) if self.mode != ServerTlsMode::VerifyFull => {
                ServerName::try_from("invalid").map_err(|_| unnameable(host))?
            }
            Err(_) => return Err(unnameable(host)),
        };
        let session = UnbufferedClientConnection::new(Arc::clone(&self.config), name)?;
        Ok(TlsStream::client(io, session))
    }
}

fn unnameable(host: &str) -> rustls::Error {
    rustls::Error::General(format!("{host:?} is no name that a certificate can be for"))
}

impl PartialEq for Connector {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("mode", &self.mode).finish_non_exhaustive()
    }
}
