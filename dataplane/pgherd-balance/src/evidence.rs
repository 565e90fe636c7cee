//! What a proxy has seen of an instance that speaks against it.

use std::time::Duration;

pub use pgherd_config::EvidenceClass;
use serde::{Deserialize, Serialize};

/// One observation. Times are those of the process's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// What kind of trouble it is.
    pub class: EvidenceClass,
    /// When it was seen.
    pub at: Duration,
    /// When what it tells of began: the connection was made, or the client began to wait. What
    /// began before the instance was last found well again says nothing of it now.
    pub since: Option<Duration>,
    /// For people: the error, without anything that is secret.
    pub detail: String,
}

/// How sure a kind of evidence is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Silence, which may have other reasons.
    Soft,
    /// The other side has said so.
    Hard,
}

impl Evidence {
    /// Something that is seen now and tells of now.
    pub fn new(class: EvidenceClass, at: Duration, detail: impl Into<String>) -> Self {
        Self { class, at, since: None, detail: detail.into() }
    }

    /// The same, of a connection that was made then, or of a wait that began then.
    #[must_use]
    pub fn since(self, began: Duration) -> Self {
        Self { since: Some(began), ..self }
    }
}

impl Severity {
    /// How sure evidence of this class is.
    pub fn of(class: EvidenceClass) -> Self {
        match class {
            EvidenceClass::ConnectRefused
            | EvidenceClass::ConnectionReset
            | EvidenceClass::ServerShutdown
            | EvidenceClass::Manual => Self::Hard,
            EvidenceClass::ConnectTimeout
            | EvidenceClass::HealthCheckFailed
            | EvidenceClass::QueryTimeout
            | EvidenceClass::CheckoutTimeout
            | EvidenceClass::ReplicationLag => Self::Soft,
        }
    }
}
