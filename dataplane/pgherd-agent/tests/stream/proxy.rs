//! A proxy for tests that records what its agent tells it.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use pgherd_agent::{
    Agent, AgentConfig, AgentHandle, Failing, InstanceView, Peer, Proxy, Rejection, SnapshotId,
    Statistics, Timing,
};
use pgherd_balance::{InstanceKey, fleet::FleetBan};
use pgherd_config::{Secret, Topology};
use tokio::{sync::oneshot, task::JoinHandle};

/// The recorded calls, one word or two each.
#[derive(Default)]
pub struct Recorder {
    calls: Mutex<Vec<String>>,
    view: Mutex<Vec<InstanceView>>,
}

impl Recorder {
    fn record(&self, call: String) {
        self.calls.lock().unwrap().push(call);
    }

    /// What it sees from now on: instances that fail.
    pub fn see(&self, failing: &[&str]) {
        let view = failing.iter().map(|host| InstanceView {
            host: (*host).to_owned(),
            failing: Some(Failing::default()),
            ..InstanceView::default()
        });
        *self.view.lock().unwrap() = view.collect();
    }

    /// What was called since the last look.
    pub fn calls(&self) -> String {
        std::mem::take(&mut *self.calls.lock().unwrap()).join(", ")
    }
}

impl Proxy for Recorder {
    /// Serves every topology, except where the name of its first cluster says otherwise.
    fn activate(&self, _: &SnapshotId, topology: Arc<Topology>) -> Result<(), Rejection> {
        let name = topology.clusters.first().map_or("nothing", |cluster| cluster.name.as_str());
        self.record(format!("activate {name}"));
        assert_ne!(name, "deadly", "the test wants this process to die");
        if name.starts_with("refused") {
            return Err(Rejection {
                code: "refused".to_owned(),
                pointer: "/clusters/0/name".to_owned(),
                message: "the test wants it".to_owned(),
                retriable: name.ends_with("now"),
            });
        }
        Ok(())
    }

    fn peers(&self, peers: Vec<Peer>) {
        self.record(format!("peers {}", peers.len()));
    }

    fn proxy_number(&self, number: u32) {
        self.record(format!("number {number}"));
    }

    fn statistics(&self) -> Statistics {
        Statistics { clients: 3, ..Statistics::default() }
    }

    fn view(&self) -> Vec<InstanceView> {
        self.view.lock().unwrap().clone()
    }

    fn fleet_bans(&self, bans: Vec<FleetBan>) {
        let bans = bans.iter().map(|ban| ban.instance.to_string());
        self.record(format!("bans [{}]", bans.collect::<Vec<_>>().join(" ")));
    }

    fn probe(&self, instance: InstanceKey) {
        self.record(format!("probe {instance}"));
    }
}

/// An agent that runs, with what it was given.
pub struct Running {
    pub proxy: Arc<Recorder>,
    pub handle: AgentHandle,
    /// What it started from.
    pub cached: Option<SnapshotId>,
    pub task: JoinHandle<()>,
    shutdown: oneshot::Sender<()>,
}

impl Running {
    /// Ends the agent the way a proxy does.
    pub async fn stop(self) {
        self.shutdown.send(()).unwrap();
        super::control::within(self.task).await.unwrap();
    }
}

pub fn config(url: &str) -> AgentConfig {
    AgentConfig {
        control_plane: vec![url.to_owned()],
        token: Secret::new("good\n"),
        cache_dir: None,
        proxy_id: "proxy-1".to_owned(),
        incarnation: "first".to_owned(),
        epoch: 77,
        version: "0.1.0".to_owned(),
        labels: HashMap::from([("zone".to_owned(), "a".to_owned())]),
        advertise_address: "127.0.0.1:6432".to_owned(),
        timing: Timing {
            backoff_first: Duration::from_millis(10),
            backoff_most: Duration::from_millis(100),
            backoff_refused: Duration::from_millis(100),
            ..Timing::default()
        },
    }
}

pub fn cached(url: &str, dir: &Path) -> AgentConfig {
    AgentConfig { cache_dir: Some(dir.to_owned()), ..config(url) }
}

pub fn start(config: AgentConfig) -> Running {
    let proxy = Arc::new(Recorder::default());
    let (mut agent, handle) = Agent::new(config, proxy.clone()).unwrap();
    let cached = agent.activate_cached();
    let (shutdown, ended) = oneshot::channel();
    let task = tokio::spawn(agent.run(async {
        let _ = ended.await;
    }));
    Running { proxy, handle, cached, task, shutdown }
}

/// A document with one cluster of this name, and its id.
pub fn snapshot(lineage: &str, generation: u64, name: &str) -> (SnapshotId, Vec<u8>) {
    let document = format!(
        r#"{{"clusters": [{{"name": "{name}",
            "users": [{{"name": "u", "password": "p"}}],
            "shards": [{{"instances": [{{"host": "h"}}]}}]}}]}}"#
    );
    let content_hash = format!("hash of {name}");
    (SnapshotId { lineage: lineage.to_owned(), generation, content_hash }, document.into_bytes())
}
