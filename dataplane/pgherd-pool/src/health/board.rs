//! All monitors of a process, and the one task that keeps them going.

use std::sync::Arc;
use std::time::Duration;

use ahash::AHashMap;
use parking_lot::Mutex;
use pgherd_balance::InstanceKey;
use pgherd_balance::fleet::FleetBan;
use tokio::sync::{Notify, watch};
use tokio::task::{AbortHandle, JoinSet};

use super::catalog_reader;
use super::monitor::{Monitor, MonitorPlan};
use crate::clock::Clock;
use crate::shard::ShardState;

/// How often bans are looked at that end by themselves, and catalogs that are due.
const TICK: Duration = Duration::from_millis(250);

/// What watches all instances.
#[derive(Debug)]
pub(crate) struct Health {
    pub(crate) clock: Clock,
    monitors: Mutex<AHashMap<InstanceKey, Arc<Monitor>>>,
    shards: Mutex<Vec<Arc<ShardState>>>,
    /// The monitors, or something that is due, have changed.
    pub(crate) stirred: Notify,
    /// Raised with every change of a role, a ban or a condition.
    pub(crate) version: watch::Sender<u64>,
    fleet: Mutex<FleetBans>,
}

/// What the fleet has said last.
#[derive(Debug, Default)]
struct FleetBans {
    at: Duration,
    bans: Vec<FleetBan>,
    zone: Option<String>,
}

impl Health {
    pub(crate) fn new() -> Self {
        Self {
            clock: Clock::start(),
            monitors: Mutex::default(),
            shards: Mutex::default(),
            stirred: Notify::new(),
            version: watch::Sender::new(0),
            fleet: Mutex::default(),
        }
    }

    /// The monitor of an instance, made when it is the first time that one is named.
    pub(crate) fn monitor(&self, key: &InstanceKey) -> Arc<Monitor> {
        let mut monitors = self.monitors.lock();
        let made = || Arc::new(Monitor::new(key.clone(), self.clock));
        Arc::clone(monitors.entry(key.clone()).or_insert_with(made))
    }

    /// Takes over a topology: its shards, and how each of its instances is looked at.
    pub(crate) fn configure(
        &self,
        shards: Vec<Arc<ShardState>>,
        mut plan: impl FnMut(&InstanceKey) -> Option<MonitorPlan>,
    ) {
        {
            let mut monitors = self.monitors.lock();
            let named = |key: &InstanceKey, shard: &&Arc<ShardState>| shard.place(key).is_some();
            monitors.retain(|key, _| shards.iter().any(|shard| named(key, &shard)));
            for (key, monitor) in &*monitors {
                let members = shards.iter().filter(|shard| named(key, shard));
                monitor.configure(plan(key), members.map(Arc::downgrade).collect());
            }
        }
        self.apply_fleet_bans(&shards);
        *self.shards.lock() = shards;
        self.stirred.notify_one();
        self.raise();
    }

    pub(crate) fn shards(&self) -> Vec<Arc<ShardState>> {
        self.shards.lock().clone()
    }

    /// Tells those who watch that something has changed.
    pub(crate) fn raise(&self) {
        self.version.send_modify(|version| *version += 1);
    }

    // === bans of the fleet ===

    pub(crate) fn set_fleet_bans(&self, bans: &[FleetBan], zone: Option<&str>) {
        *self.fleet.lock() =
            FleetBans { at: self.clock.now(), bans: bans.to_vec(), zone: zone.map(str::to_owned) };
        self.apply_fleet_bans(&self.shards());
    }

    fn apply_fleet_bans(&self, shards: &[Arc<ShardState>]) {
        let fleet = self.fleet.lock();
        let age = self.clock.now().saturating_sub(fleet.at);
        let bans: Vec<FleetBan> = fleet
            .bans
            .iter()
            .map(|ban| FleetBan {
                elapsed: ban.elapsed + age,
                remaining: ban.remaining.map(|remaining| remaining.saturating_sub(age)),
                ..ban.clone()
            })
            .collect();
        for shard in shards {
            shard.set_fleet_bans(&bans, fleet.zone.as_deref());
        }
    }

    // === the task ===

    /// Watches for as long as it is polled. Cancel safe.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut tasks = JoinSet::new();
        let mut running = AHashMap::<InstanceKey, (Arc<Monitor>, AbortHandle)>::new();
        let mut reading = JoinSet::new();
        loop {
            {
                let monitors = self.monitors.lock();
                running.retain(|key, (monitor, task)| {
                    let stays = monitors.get(key).is_some_and(|it| Arc::ptr_eq(it, monitor));
                    if !stays {
                        task.abort();
                    }
                    stays
                });
                for (key, monitor) in &*monitors {
                    running.entry(key.clone()).or_insert_with(|| {
                        let task = tasks.spawn(Arc::clone(monitor).run());
                        (Arc::clone(monitor), task)
                    });
                }
            }
            let now = self.clock.now();
            for shard in self.shards() {
                shard.refresh(now);
                for catalog in shard.due_catalogs(now) {
                    reading.spawn(catalog_reader::read(Arc::clone(&shard), catalog));
                }
            }
            while tasks.try_join_next().is_some() {}
            while reading.try_join_next().is_some() {}
            tokio::select! {
                () = tokio::time::sleep(TICK) => {}
                () = self.stirred.notified() => {}
            }
        }
    }
}
