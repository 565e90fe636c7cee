//! `/events`: what changes, as it changes (server-sent events).
//!
//! Each event carries the whole state of its kind, so that a reader that misses one, or connects
//! anew, needs no history.

use std::{collections::VecDeque, convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::State,
    response::{
        Sse,
        sse::{Event, KeepAlive},
    },
};
use chrono::{DateTime, Utc};
use futures_util::{FutureExt as _, Stream, future::BoxFuture, stream};
use pgherd_fleet::{DatabaseState, Fleet, Identity, ProxyStatistics, Snapshot};
use serde::Serialize;
use tokio::{
    sync::watch,
    time::{Instant, Interval, MissedTickBehavior, interval, sleep_until},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    ApiState, Problem, document::ClusterEntry, identity::Viewer, instances::Instances,
    proxies::Proxies,
};

const STATISTICS_EVERY: Duration = Duration::from_secs(2);
/// The list of proxies is sent at most this often.
const PROXIES_AT_MOST_EVERY: Duration = Duration::from_millis(200);
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(10);

pub fn router() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new().routes(routes!(events))
}

/// Streams what changes
///
/// Events: `topology`, `proxies`, `instances`, `bans`, `statistics`, `database`; each `data` line is
/// JSON and holds the whole state of its kind. All come at once after connecting.
#[utoipa::path(
    get, path = "/events", tag = "events",
    responses(
        (status = 200, body = String, content_type = "text/event-stream"),
        (status = 401, body = Problem),
    ),
)]
async fn events(
    Viewer(identity): Viewer,
    State(state): State<ApiState>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE_EVERY).text("keep-alive");
    Sse::new(Watcher::new(state.fleet, identity).into_stream()).keep_alive(keep_alive)
}

#[derive(Serialize)]
struct TopologyEvent {
    lineage: String,
    generation: i64,
    revision: i64,
    clusters: Vec<ClusterEntry>,
}

#[derive(Serialize)]
struct StatisticsEvent {
    at: DateTime<Utc>,
    proxies: Vec<ProxyStatistics>,
}

/// What can happen while a reader waits.
enum Change {
    Topology,
    Proxies,
    ProxiesDue,
    Bans,
    Database,
    Tick,
    Shutdown,
}

/// One reader.
struct Watcher {
    fleet: Fleet,
    identity: Identity,
    ready: VecDeque<Event>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    proxies: watch::Receiver<u64>,
    database: watch::Receiver<DatabaseState>,
    /// Ready when bans of the fleet have changed.
    bans: BoxFuture<'static, ()>,
    ticks: Interval,
    /// When the changed list of proxies is to be sent.
    proxies_due: Option<Instant>,
    proxies_sent: Instant,
}

impl Watcher {
    fn new(fleet: Fleet, identity: Identity) -> Self {
        let mut ticks = interval(STATISTICS_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut watcher = Self {
            snapshots: fleet.snapshots(),
            proxies: fleet.proxies_version(),
            database: fleet.database(),
            bans: fleet.bans_changed().boxed(),
            fleet,
            identity,
            ready: VecDeque::new(),
            ticks,
            proxies_due: None,
            proxies_sent: Instant::now(),
        };
        watcher.apply(Change::Topology);
        watcher.apply(Change::ProxiesDue);
        watcher.apply(Change::Database);
        watcher
    }

    fn into_stream(self) -> impl Stream<Item = Result<Event, Infallible>> {
        stream::unfold(self, |mut watcher| async move {
            loop {
                // A reader whose token was revoked hears nothing more.
                if !watcher.fleet.still_holds(&watcher.identity) {
                    return None;
                }
                if let Some(event) = watcher.ready.pop_front() {
                    return Some((Ok(event), watcher));
                }
                match watcher.change().await {
                    Change::Shutdown => return None,
                    change => watcher.apply(change),
                }
            }
        })
    }

    async fn change(&mut self) -> Change {
        let due = self.proxies_due;
        let proxies_due = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Ok(()) = self.snapshots.changed() => Change::Topology,
            Ok(()) = self.proxies.changed() => Change::Proxies,
            () = &mut self.bans => Change::Bans,
            Ok(()) = self.database.changed() => Change::Database,
            () = proxies_due => Change::ProxiesDue,
            _ = self.ticks.tick() => Change::Tick,
            () = self.fleet.shutdown().cancelled() => Change::Shutdown,
        }
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Topology => {
                let snapshot = Arc::clone(&self.snapshots.borrow_and_update());
                let event = TopologyEvent {
                    lineage: snapshot.state.lineage.to_string(),
                    generation: snapshot.state.generation,
                    revision: snapshot.state.revision,
                    clusters: snapshot.clusters.iter().map(ClusterEntry::from).collect(),
                };
                self.push("topology", &event);
                // Which proxies are up to date depends on it.
                self.apply(Change::Proxies);
            }
            Change::Proxies => {
                let earliest = self.proxies_sent + PROXIES_AT_MOST_EVERY;
                self.proxies_due.get_or_insert(earliest);
            }
            Change::ProxiesDue => {
                self.proxies.mark_unchanged();
                self.proxies_due = None;
                self.proxies_sent = Instant::now();
                self.push("proxies", &Proxies::now(&self.fleet));
                // They are made of what the proxies see.
                self.push("instances", &Instances::now(&self.fleet));
                self.push("bans", &self.fleet.bans());
            }
            Change::Database => {
                let state = self.database.borrow_and_update().clone();
                self.push("database", &state);
            }
            Change::Bans => {
                self.bans = self.fleet.bans_changed().boxed();
                self.push("bans", &self.fleet.bans());
            }
            Change::Tick => {
                self.push("instances", &Instances::now(&self.fleet));
                let event = StatisticsEvent { at: Utc::now(), proxies: self.fleet.statistics() };
                self.push("statistics", &event);
            }
            Change::Shutdown => {}
        }
    }

    fn push(&mut self, name: &str, data: &impl Serialize) {
        let event = Event::default().event(name).json_data(data);
        self.ready.push_back(event.expect("the types have only string keys and finite numbers"));
    }
}
