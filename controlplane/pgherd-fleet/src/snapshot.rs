//! The topology as proxies get it.

use bytes::Bytes;
use pgherd_config::Invalid;
use pgherd_proto::v1;
use pgherd_store::{Current, FleetState, StoredCluster};

/// One generation of the topology.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// Lineage, generation and revision.
    pub state: FleetState,
    /// Names the content. Not shown to people: a short password could be guessed from it.
    pub content_hash: String,
    /// The document that is sent.
    pub document: Bytes,
    /// The clusters with the revision that changed each.
    pub clusters: Vec<StoredCluster>,
}

impl Snapshot {
    /// Checks what the database holds with the proxies' own rules and makes the document.
    ///
    /// # Errors
    /// What is wrong, when an older version or another hand wrote something invalid.
    pub fn new(current: Current) -> Result<Self, Vec<Invalid>> {
        let topology = current.topology();
        topology.validate()?;
        Ok(Self {
            state: current.state,
            content_hash: topology.content_hash(),
            document: topology.to_json().into(),
            clusters: current.clusters,
        })
    }

    /// The cluster of that name.
    pub fn cluster(&self, name: &str) -> Option<&StoredCluster> {
        self.clusters.iter().find(|stored| stored.cluster.name == name)
    }

    /// Its name in the protocol.
    pub fn id(&self) -> v1::SnapshotId {
        v1::SnapshotId {
            lineage: self.state.lineage.to_string(),
            generation: u64::try_from(self.state.generation).expect("checked by the database"),
            content_hash: self.content_hash.clone(),
        }
    }

    /// The message that carries it.
    pub fn message(&self) -> v1::Snapshot {
        v1::Snapshot { id: Some(self.id()), document: self.document.to_vec() }
    }
}
