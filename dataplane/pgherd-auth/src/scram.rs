//! SCRAM-SHA-256 (RFC 5802, RFC 7677) as Postgres speaks it, from either side.

use std::sync::Arc;

mod attributes;
pub mod client;
mod gs2;
mod keys;
mod password;
pub mod server;
mod verifier;

pub use keys::ClientKeys;
pub use verifier::{InvalidVerifier, Verifier};

/// The name of the mechanism in AuthenticationSASL and SASLInitialResponse.
pub const MECHANISM: &str = "SCRAM-SHA-256";

/// The name of the mechanism with channel binding, which is offered over TLS only.
pub const MECHANISM_PLUS: &str = "SCRAM-SHA-256-PLUS";

/// What the server's side offers on a connection, and what the client has made of it.
#[derive(Clone, Debug, Default)]
pub enum Channel {
    /// No TLS, or nothing to bind to: only [`MECHANISM`] was offered.
    #[default]
    Unbound,
    /// [`MECHANISM_PLUS`] was offered as well.
    Bindable {
        /// The `tls-server-end-point` of the server's certificate.
        end_point: Arc<[u8]>,
        /// Whether the client has chosen [`MECHANISM_PLUS`].
        chosen: bool,
    },
}

/// What the client's side binds to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Binding {
    /// Nothing: there is no TLS, or its certificate has nothing to bind to.
    #[default]
    None,
    /// Nothing, since the server has not offered it, although there is TLS. A server that has will
    /// know that somebody took its offer away.
    NotOffered,
    /// The `tls-server-end-point` of the server's certificate, with [`MECHANISM_PLUS`].
    EndPoint(Vec<u8>),
}

/// Iterations for new verifiers, the default of Postgres.
pub const DEFAULT_ITERATIONS: u32 = 4096;

/// Most iterations accepted, from a server or in a verifier: about half a second of one core.
pub const MAX_ITERATIONS: u32 = 1_000_000;

/// Bytes of salt in new verifiers, as many as Postgres uses (`SCRAM_DEFAULT_SALT_LEN`).
pub const SALT_LEN: usize = 16;

/// Most bytes of salt accepted, from a server or in a verifier.
pub const MAX_SALT: usize = 256;

/// Most bytes in a message of the client (Postgres: `PG_MAX_SASL_MESSAGE_LENGTH`).
pub const MAX_CLIENT_MESSAGE: usize = 1024;

/// Most bytes in a message of the server (libpq refuses more before login).
pub const MAX_SERVER_MESSAGE: usize = 2000;
