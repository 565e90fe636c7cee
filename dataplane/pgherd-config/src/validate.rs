//! Finds everything that is wrong with a topology, with the same code in proxy and control plane.

mod cluster;
mod endpoint;
mod health;
mod name;
mod password;
mod proxy;
mod rule;
mod sharding;
mod tls;

use std::io::{self, Write};

use serde::Serialize;

use crate::{ProxyFile, Topology};
use rule::{Caution, Rule};

/// Sizes beyond which a topology is refused.
pub mod limits {
    /// Clusters in one topology.
    pub const CLUSTERS: usize = 1_000;
    /// Users of one cluster.
    pub const USERS: usize = 10_000;
    /// Shards of one cluster.
    pub const SHARDS: usize = 1_000;
    /// Instances of one shard.
    pub const INSTANCES: usize = 64;
    /// Bytes of the whole document as JSON.
    pub const DOCUMENT_BYTES: usize = 16 * 1024 * 1024;
    /// Bytes of a cluster's or user's name, as in Postgres (`NAMEDATALEN` less one).
    pub const NAME_BYTES: usize = 63;
    /// Server connections per user and instance.
    pub const POOL_SIZE: usize = 10_000;
    /// Problems that are listed before the rest is only counted.
    pub(crate) const LISTED: usize = 100;
}

/// A place in a document that makes it unusable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{pointer}: {message}")]
pub struct Invalid {
    /// JSON pointer (RFC 6901) to the place.
    pub pointer: String,
    /// A fixed word for programs to act on.
    pub code: &'static str,
    /// A sentence for people; carries no secrets.
    pub message: String,
}

/// A place in a document that is accepted but deserves a look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// JSON pointer (RFC 6901) to the place.
    pub pointer: String,
    /// A fixed word for programs to act on.
    pub code: &'static str,
    /// A sentence for people; carries no secrets.
    pub message: String,
}

impl Topology {
    /// Checks every rule that a topology must keep; an empty topology keeps them all.
    ///
    /// # Errors
    /// Everything that is wrong, not only the first thing; after a hundred the rest is counted.
    pub fn validate(&self) -> Result<Vec<Warning>, Vec<Invalid>> {
        let mut findings = Findings::default();
        check_topology(self, &mut findings);
        findings.into_result()
    }
}

impl ProxyFile {
    /// Checks the settings of the process and, as [`Topology::validate`] does, its clusters.
    ///
    /// # Errors
    /// Everything that is wrong, not only the first thing; after a hundred the rest is counted.
    pub fn validate(&self) -> Result<Vec<Warning>, Vec<Invalid>> {
        let mut findings = Findings::default();
        proxy::check(self, &mut findings);
        check_topology(&self.topology(), &mut findings);
        findings.into_result()
    }
}

/// The error for a document that is too large to be looked at, if it is.
pub(crate) fn too_large(bytes: usize) -> Option<Invalid> {
    (bytes > limits::DOCUMENT_BYTES)
        .then(|| Invalid::new(String::new(), &Rule::DocumentTooLarge { bytes }))
}

fn check_topology(topology: &Topology, findings: &mut Findings) {
    let bytes = json_bytes(topology);
    if let Some(invalid) = too_large(bytes) {
        // The rest would take long, and its errors would not help.
        return findings.invalid.push(invalid);
    }
    let count = topology.clusters.len();
    if count > limits::CLUSTERS {
        let rule = Rule::TooMany { what: "clusters", count, most: limits::CLUSTERS };
        return findings.reject("/clusters", rule);
    }
    let names = topology.clusters.iter().map(|cluster| cluster.name.as_str());
    findings.reject_duplicates("cluster", names, |index| format!("/clusters/{index}/name"));
    for (index, cluster) in topology.clusters.iter().enumerate() {
        cluster::check(cluster, &format!("/clusters/{index}"), findings);
    }
}

/// The size of the document, without holding it in memory a second time.
fn json_bytes(topology: &Topology) -> usize {
    struct Counter(usize);
    impl Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.saturating_add(bytes.len());
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(0);
    match serde_json::to_writer(&mut counter, topology) {
        Ok(()) => counter.0,
        // Cannot happen: no maps with odd keys, no writer that fails. Too large is the safe answer.
        Err(_) => usize::MAX,
    }
}

impl Invalid {
    pub(crate) fn new(pointer: String, rule: &Rule) -> Self {
        Self { pointer, code: rule.code(), message: rule.to_string() }
    }
}

/// What the checks have found so far.
#[derive(Default)]
struct Findings {
    invalid: Vec<Invalid>,
    warnings: Vec<Warning>,
    /// Problems that were found after the list was full.
    unlisted: usize,
}

impl Findings {
    fn reject(&mut self, pointer: impl Into<String>, rule: Rule) {
        if self.invalid.len() < limits::LISTED {
            self.invalid.push(Invalid::new(pointer.into(), &rule));
        } else {
            self.unlisted += 1;
        }
    }

    fn reject_if(&mut self, broken: bool, pointer: impl Into<String>, rule: Rule) {
        if broken {
            self.reject(pointer, rule);
        }
    }

    fn warn_if(&mut self, doubtful: bool, pointer: impl Into<String>, caution: Caution) {
        if doubtful && self.warnings.len() < limits::LISTED {
            let (code, message) = (caution.code(), caution.to_string());
            self.warnings.push(Warning { pointer: pointer.into(), code, message });
        }
    }

    /// Rejects each name that stood earlier in the list; empty ones have an error of their own.
    fn reject_duplicates<'a>(
        &mut self,
        what: &'static str,
        names: impl Iterator<Item = &'a str>,
        pointer: impl Fn(usize) -> String,
    ) {
        let mut first_seen = std::collections::HashMap::new();
        for (index, name) in names.enumerate().filter(|(_, name)| !name.is_empty()) {
            let earlier = *first_seen.entry(name).or_insert(index);
            if earlier != index {
                let earlier = crate::document::readable(&pointer(earlier));
                let name = name.to_owned();
                self.reject(pointer(index), Rule::Duplicate { what, name, earlier });
            }
        }
    }

    fn into_result(mut self) -> Result<Vec<Warning>, Vec<Invalid>> {
        if self.invalid.is_empty() {
            return Ok(self.warnings);
        }
        if self.unlisted > 0 {
            let rule = Rule::More { count: self.unlisted };
            self.invalid.push(Invalid::new(String::new(), &rule));
        }
        Err(self.invalid)
    }
}

#[cfg(test)]
mod tests;
