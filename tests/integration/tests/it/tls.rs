//! TLS on both sides of the proxy, and what an attacker between may try.

mod attacks;
mod certificates;
mod clients;
mod psql;
mod relay;
mod servers;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use pgherd_harness::certificates::{Authority, Certificate};
use pgherd_harness::postgres::Postgres;
use pgherd_harness::proxy::{Proxy, ProxyConfig};
use rustls::ClientConfig;

pub const SOON: Duration = Duration::from_secs(8);

/// A proxy between clients and a Postgres, both with certificates of one CA.
pub struct Stand {
    pub authority: Authority,
    pub certificate: Certificate,
    pub postgres: Postgres,
    pub proxy: Proxy,
    /// What a client needs.
    pub client: Arc<ClientConfig>,
}

impl Stand {
    /// Encrypted on both sides, the server's certificate verified.
    pub fn start() -> Result<Self> {
        Self::with("require", |config| config)
    }

    /// Another mode towards clients, and more settings.
    pub fn with(mode: &str, more: impl FnOnce(ProxyConfig) -> ProxyConfig) -> Result<Self> {
        let authority = Authority::new()?;
        let certificate = authority.server("server")?;
        let postgres = Postgres::builder().tls(&certificate, &authority.path()).start()?;
        let config = more(Self::config(&authority, &certificate, &postgres, mode));
        let proxy = Proxy::start(&config.to_toml())?;
        let client = authority.client(true, None)?;
        Ok(Self { authority, certificate, postgres, proxy, client })
    }

    /// The configuration of [`Self::with`].
    pub fn config(
        authority: &Authority,
        certificate: &Certificate,
        postgres: &Postgres,
        mode: &str,
    ) -> ProxyConfig {
        let ca = authority.path();
        ProxyConfig::transaction(postgres)
            .tls(mode, certificate, Some(&ca))
            .server_tls("verify-full", &format!(", ca = {ca:?}"))
    }
}
