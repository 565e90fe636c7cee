//! TLS as the proxy uses it: certificates from files, what each side demands, and a stream that
//! holds no buffer while nothing is under way.
//!
//! An [`Acceptor`] meets clients and a [`Connector`] instances. Both make a [`TlsStream`] over any
//! byte stream. The cryptography is rustls with ring.

mod acceptor;
mod certificate;
mod connector;
mod error;
mod files;
mod spare;
mod stream;
mod verify;

pub use acceptor::Acceptor;
pub use certificate::{common_name, end_point};
pub use connector::Connector;
pub use error::{TlsError, chain};
pub use stream::{TlsInfo, TlsStream};

/// What both sides say in ALPN when they mean Postgres.
pub const ALPN: &[u8] = b"postgresql";

/// The one provider of cryptography.
fn provider() -> std::sync::Arc<rustls::crypto::CryptoProvider> {
    std::sync::Arc::new(rustls::crypto::ring::default_provider())
}
