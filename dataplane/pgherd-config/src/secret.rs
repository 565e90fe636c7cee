//! A string that never shows itself in logs, errors or debug output.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

const MASK: &str = "***";

/// A password, token or SCRAM verifier. Prints as `***`; equality is for change detection only
/// and is not constant-time.
///
/// Serialising writes the plain value, because a snapshot must carry it to the proxies; whatever
/// is shown to people goes through [`crate::Topology::redacted`] first.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(transparent)]
#[schemars(description = "A password, token or SCRAM verifier; never shown again.")]
pub struct Secret(String);

impl Secret {
    /// Wraps a value that must not be printed.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// What stands for a secret in documents that people are shown.
    pub fn masked() -> Self {
        Self::new(MASK)
    }

    /// Whether this only stands for a secret that was not shown.
    pub fn is_masked(&self) -> bool {
        self.0 == MASK
    }

    /// The plain value, named so that each use can be found.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}
