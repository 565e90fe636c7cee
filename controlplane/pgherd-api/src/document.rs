//! Clusters as they are shown: without secrets.

use pgherd_config::{Cluster, Topology};
use pgherd_store::StoredCluster;
use serde::Serialize;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema},
};

use crate::precondition::entity_tag;

/// A cluster in which each secret reads `***`.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct ClusterDocument(Cluster);

impl ClusterDocument {
    /// Takes the secrets out.
    pub fn new(cluster: &Cluster) -> Self {
        Self(cluster.redacted())
    }
}

/// The name of the schema; [`crate::openapi`] puts the one of the settings types in its place.
pub const CLUSTER_SCHEMA: &str = "Cluster";

impl PartialSchema for ClusterDocument {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new().into()
    }
}

impl ToSchema for ClusterDocument {
    fn name() -> std::borrow::Cow<'static, str> {
        CLUSTER_SCHEMA.into()
    }
}

/// A whole topology without its secrets.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TopologyDocument {
    /// By name.
    pub clusters: Vec<ClusterDocument>,
}

impl TopologyDocument {
    /// Takes the secrets out.
    pub fn new(topology: &Topology) -> Self {
        Self { clusters: topology.clusters.iter().map(ClusterDocument::new).collect() }
    }
}

/// A cluster with its version.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ClusterEntry {
    /// The revision that changed it last.
    pub revision: i64,
    /// What a writer sends in `If-Match`.
    pub etag: String,
    /// The cluster; secrets read `***`.
    pub document: ClusterDocument,
}

impl From<&StoredCluster> for ClusterEntry {
    fn from(stored: &StoredCluster) -> Self {
        Self {
            revision: stored.revision,
            etag: entity_tag(stored.revision),
            document: ClusterDocument::new(&stored.cluster),
        }
    }
}
