//! TLS on both sides: what clients may do, and what instances have to show.

use serde::{Deserialize, Serialize};

/// How the text of a PEM document begins, by which it is told from a path.
const PEM_BEGIN: &str = "-----BEGIN ";

/// TLS towards clients.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ClientTls {
    /// Which clients are taken; by default `allow` with a certificate and `disable` without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<ClientTlsMode>,
    /// File with the proxy's certificate and the chain to its CA (PEM).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert: Option<String>,
    /// File with the key of the certificate (PEM).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// File with the CAs (PEM) whose certificates clients may show; without it none is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<String>,
}

/// Which clients are taken. Unix sockets and cancel requests are never encrypted by force, as in
/// Postgres.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ClientTlsMode {
    /// TLS is not offered.
    Disable,
    /// Clients choose, as with `host` in Postgres's `pg_hba.conf`.
    Allow,
    /// Only with TLS, as with `hostssl`.
    Require,
    /// Only with TLS and a certificate of `client_ca`, as with `clientcert=verify-ca`; the password
    /// counts as well.
    VerifyCa,
    /// As `verify-ca`, and the certificate's common name is the user's name, as with
    /// `clientcert=verify-full`.
    VerifyFull,
}

impl ClientTls {
    /// The mode that counts.
    pub fn effective_mode(&self) -> ClientTlsMode {
        match self.mode {
            Some(mode) => mode,
            None if self.cert.is_some() => ClientTlsMode::Allow,
            None => ClientTlsMode::Disable,
        }
    }
}

impl ClientTlsMode {
    /// Whether clients over TCP must use TLS.
    pub fn requires_tls(self) -> bool {
        match self {
            Self::Disable | Self::Allow => false,
            Self::Require | Self::VerifyCa | Self::VerifyFull => true,
        }
    }

    /// Whether clients must show a certificate.
    pub fn requires_certificate(self) -> bool {
        matches!(self, Self::VerifyCa | Self::VerifyFull)
    }
}

/// TLS towards an instance, for its cancel requests too. A Unix socket is never encrypted.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(default, deny_unknown_fields)]
pub struct ServerTls {
    /// What is demanded of the instance.
    pub mode: ServerTlsMode,
    /// The CAs that `verify-ca` and `verify-full` trust: a file on the proxy (PEM), the PEM text
    /// itself, or `system` for those of the proxy's operating system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// Certificate with which the proxy logs in: a file on the proxy (PEM), or the PEM text itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert: Option<String>,
    /// File on the proxy with the key of the certificate (PEM).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// What is demanded of an instance; the words are those of libpq's `sslmode`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum ServerTlsMode {
    /// No TLS.
    Disable,
    /// TLS where the instance offers it and it works, else none; nothing is verified.
    #[default]
    Prefer,
    /// TLS, whoever answers.
    Require,
    /// TLS, and a certificate signed by `ca`.
    VerifyCa,
    /// As `verify-ca`, and the certificate is for the instance's `host`.
    VerifyFull,
}

impl ServerTlsMode {
    /// Whether certificates of instances are checked against `ca`.
    pub fn verifies(self) -> bool {
        matches!(self, Self::VerifyCa | Self::VerifyFull)
    }
}

impl ServerTls {
    /// The `ca` that stands for the operating system's.
    pub const SYSTEM_CA: &'static str = "system";
}

/// Whether a setting holds a PEM document itself, and not the path of one.
pub fn is_pem(setting: &str) -> bool {
    setting.trim_start().starts_with(PEM_BEGIN)
}
