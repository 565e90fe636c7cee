//! What an agent must know before it starts, and what can be wrong with it.

use std::{collections::HashMap, path::PathBuf, time::Duration};

use pgherd_config::Secret;
use tonic::{
    metadata::{Ascii, MetadataValue},
    transport::Endpoint,
};

use crate::CacheError;

/// Where the control plane is, and how this proxy introduces itself.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// URLs of the control plane's replicas, such as `http://control:9900`; tried in turn.
    pub control_plane: Vec<String>,
    /// The bearer token of a proxy.
    pub token: Secret,
    /// Directory of this proxy alone for its last good snapshots; without one nothing is kept.
    pub cache_dir: Option<PathBuf>,
    /// The same after a restart; chosen by the operator or derived from the host name.
    pub proxy_id: String,
    /// Random per process start.
    pub incarnation: String,
    /// Larger than that of any process with this id before; milliseconds since 1970, say.
    pub epoch: u64,
    /// Version of the proxy.
    pub version: String,
    /// What the operator says about this proxy, such as its zone.
    pub labels: HashMap<String, String>,
    /// Where peers reach the client listener: `host:port`.
    pub advertise_address: String,
    /// Deadlines and delays; only tests need others than the default.
    pub timing: Timing,
}

/// Deadlines and delays of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How long connecting may take, and then until the stream is accepted.
    pub connect: Duration,
    /// Silence of pings after which the stream is taken for dead.
    pub ping_deadline: Duration,
    /// The upper bound of the first delay before a reconnect; it doubles with each failure.
    pub backoff_first: Duration,
    /// The upper bound that is never passed.
    pub backoff_most: Duration,
    /// The upper bound after the control plane has refused this proxy.
    pub backoff_refused: Duration,
    /// How often statistics go up when the control plane does not say.
    pub statistics: Duration,
    /// How often the view of the instances goes up when nothing changes.
    pub view: Duration,
    /// The least time between two views: what changes within it goes up together.
    pub view_least: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            ping_deadline: Duration::from_secs(15),
            backoff_first: Duration::from_millis(100),
            backoff_most: Duration::from_secs(5),
            backoff_refused: Duration::from_secs(30),
            statistics: Duration::from_secs(10),
            view: Duration::from_secs(1),
            view_least: Duration::from_millis(20),
        }
    }
}

/// Why an agent cannot start.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// There is no URL to connect to.
    #[error("no URL of a control plane is given")]
    NoControlPlane,
    /// A URL cannot be read.
    #[error("`{url}` is no URL of a control plane, such as http://control.example:9900")]
    Url {
        /// The URL as it was given.
        url: String,
        /// What is wrong with it.
        #[source]
        source: tonic::transport::Error,
    },
    /// A URL has another scheme than `http`.
    #[error(
        "`{url}` does not begin with http://; encrypted control-plane streams are not available yet"
    )]
    Scheme {
        /// The URL as it was given.
        url: String,
    },
    /// The token is empty or holds characters that no token has.
    #[error("the token is empty or holds characters other than printable ASCII")]
    Token,
    /// The proxy's id is empty.
    #[error("the id of the proxy is empty")]
    ProxyId,
    /// The cache directory cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

impl AgentConfig {
    pub(crate) fn endpoints(&self) -> Result<Vec<Endpoint>, AgentError> {
        if self.control_plane.is_empty() {
            return Err(AgentError::NoControlPlane);
        }
        self.control_plane.iter().map(|url| self.endpoint(url)).collect()
    }

    fn endpoint(&self, url: &str) -> Result<Endpoint, AgentError> {
        let endpoint = Endpoint::from_shared(url.to_owned())
            .map_err(|source| AgentError::Url { url: url.to_owned(), source })?;
        if endpoint.uri().scheme_str() != Some("http") {
            return Err(AgentError::Scheme { url: url.to_owned() });
        }
        Ok(endpoint.connect_timeout(self.timing.connect).tcp_nodelay(true))
    }

    pub(crate) fn authorization(&self) -> Result<MetadataValue<Ascii>, AgentError> {
        // A file with a token usually ends with a newline.
        let token = self.token.expose().trim();
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(AgentError::Token);
        }
        let mut value: MetadataValue<Ascii> =
            format!("Bearer {token}").parse().map_err(|_| AgentError::Token)?;
        value.set_sensitive(true);
        Ok(value)
    }
}
