//! The topology as the JSON document that control plane and proxies exchange.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::{Cluster, Invalid, Secret, Topology, document::Node, shape, validate::too_large};

impl Topology {
    /// Reads a snapshot document; [`Topology::validate`] has still to be called.
    ///
    /// # Errors
    /// Everything in which the document differs from the type: unknown keys, wrong types and so
    /// on, each with its JSON pointer.
    pub fn from_json(document: &[u8]) -> Result<Self, Vec<Invalid>> {
        read(document)
    }

    /// The document as it is stored, sent and hashed: no white space, keys in the types' order.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("the types have only string keys and finite numbers")
    }

    /// Names the content: the BLAKE3 hash of [`Topology::to_json`], in hexadecimal.
    pub fn content_hash(&self) -> String {
        blake3::hash(&self.to_json()).to_hex().to_string()
    }

    /// A copy in which each secret reads `***`.
    pub fn redacted(&self) -> Self {
        Self { clusters: self.clusters.iter().map(Cluster::redacted).collect() }
    }
}

impl Cluster {
    /// Reads one cluster from JSON, as [`Topology::from_json`] does.
    ///
    /// # Errors
    /// Everything in which the document differs from the type.
    pub fn from_json(document: &[u8]) -> Result<Self, Vec<Invalid>> {
        read(document)
    }

    /// A copy in which each secret reads `***`.
    pub fn redacted(&self) -> Self {
        let mut cluster = self.clone();
        for user in &mut cluster.users {
            user.password = Secret::masked();
            user.server_password = user.server_password.as_ref().map(|_| Secret::masked());
        }
        cluster
    }
}

fn read<T: DeserializeOwned + JsonSchema>(document: &[u8]) -> Result<T, Vec<Invalid>> {
    if let Some(invalid) = too_large(document.len()) {
        return Err(vec![invalid]);
    }
    serde_json::from_slice(document).map_err(|error| explain::<T>(document, &error))
}

/// Finds every reason for which serde refused the document after the first one.
fn explain<T: JsonSchema>(document: &[u8], error: &serde_json::Error) -> Vec<Invalid> {
    let only = |code, error: &serde_json::Error| {
        vec![Invalid { pointer: String::new(), code, message: error.to_string() }]
    };
    match Node::from_json(document) {
        Err(error) => only("syntax", &error),
        Ok(node) => {
            let found: Vec<Invalid> = shape::deviations::<T>(&node)
                .into_iter()
                .map(|(pointer, deviation)| Invalid {
                    pointer,
                    code: deviation.code(),
                    message: deviation.to_string(),
                })
                .collect();
            if found.is_empty() { only("refused", error) } else { found }
        }
    }
}

#[cfg(test)]
mod tests;
