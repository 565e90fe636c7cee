//! The topology as the control plane sends it.

use pgherd_config::{Cluster, Topology};

pub(crate) fn run(data: &[u8]) {
    match Topology::from_json(data) {
        Err(reasons) => {
            assert!(!reasons.is_empty());
            for reason in reasons {
                assert!(reason.pointer.is_empty() || reason.pointer.starts_with('/'));
            }
        }
        Ok(topology) => {
            let written = topology.to_json();
            let again = Topology::from_json(&written).expect("what is written can be read");
            assert_eq!(again, topology);
            assert_eq!(again.content_hash(), topology.content_hash());
            assert_eq!(again.validate(), topology.validate());
            for cluster in topology.redacted().clusters {
                assert!(cluster.users.iter().all(|user| user.password.is_masked()));
            }
        }
    }
    if let Ok(cluster) = Cluster::from_json(data) {
        let topology = Topology { clusters: vec![cluster] };
        let _is_decided = topology.validate().is_ok();
    }
}
