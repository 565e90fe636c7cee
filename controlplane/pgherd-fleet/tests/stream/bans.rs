//! Evidence of proxies becomes bans of the fleet, on every stream.

use std::time::{Duration, Instant};

use pgherd_config::Cluster;
use pgherd_fleet::{BanSource, Fleet};
use pgherd_proto::v1::{
    BanSource as Source, Failing, FleetBan, FleetBans, InstanceBan, InstanceRole, InstanceView,
    View, down::Message as Down, fleet_ban::Cause, up::Message as Up,
};
use pgherd_store::NewBan;

use crate::{
    control::Control,
    player::{Player, hello, poll},
};

const PRIMARY: &str = "db-1";
const REPLICAS: [&str; 3] = ["db-2", "db-3", "db-4"];

fn cluster() -> Cluster {
    let replicas = REPLICAS.map(|host| format!(r#", {{"host": "{host}", "role": "replica"}}"#));
    let document = format!(
        r#"{{"name": "app", "users": [{{"name": "app", "password": "secret"}}],
            "shards": [{{"instances": [{{"host": "{PRIMARY}", "role": "primary"}}{}]}}]}}"#,
        replicas.concat()
    );
    Cluster::from_json(document.as_bytes()).unwrap()
}

/// A proxy with its view.
struct Proxy {
    player: Player,
    view: View,
}

impl Proxy {
    async fn start(control: &Control, id: &str, zone: &str) -> Self {
        let mut greeting = hello(id);
        greeting.labels.insert("zone".to_owned(), zone.to_owned());
        let mut player = Player::connect(control, greeting).await;
        player.welcome().await;
        let instances = [PRIMARY].into_iter().chain(REPLICAS).map(|host| InstanceView {
            cluster: "app".to_owned(),
            host: host.to_owned(),
            port: 5432,
            role: match host {
                PRIMARY => InstanceRole::Primary.into(),
                _ => InstanceRole::Replica.into(),
            },
            seen_ago_ms: Some(0),
            busy: 2,
            ..InstanceView::default()
        });
        let view = View { epoch: 1, sequence: 0, instances: instances.collect() };
        let mut proxy = Self { player, view };
        proxy.say().await;
        proxy
    }

    /// Says what it sees now.
    async fn say(&mut self) {
        self.view.sequence += 1;
        self.player.say(Up::View(self.view.clone())).await;
    }

    /// Says that an instance fails in this way, or no more.
    async fn see(&mut self, host: &str, class: Option<&str>) {
        let seen = self.view.instances.iter_mut().find(|seen| seen.host == host).unwrap();
        seen.failing = class.map(|class| Failing {
            class: class.to_owned(),
            detail: "as the test wants it".to_owned(),
            lasting_ms: 0,
        });
        seen.bans = match class {
            Some(class) => vec![InstanceBan {
                source: Source::Local.into(),
                class: class.to_owned(),
                remaining_ms: Some(60_000),
                count: 1,
                ..InstanceBan::default()
            }],
            None => Vec::new(),
        };
        self.say().await;
    }

    /// The next set of bans in which `wanted` holds.
    async fn bans(&mut self, wanted: impl Fn(&FleetBans) -> bool) -> FleetBans {
        loop {
            match self.player.next_but_pings().await {
                Some(Down::FleetBans(bans)) if wanted(&bans) => return bans,
                Some(_) => {}
                None => panic!("the stream ended"),
            }
        }
    }

    /// Waits until it is asked to look at an instance.
    async fn asked(&mut self) -> Vec<String> {
        loop {
            match self.player.next_but_pings().await {
                Some(Down::Probe(probe)) => {
                    return probe.instances.into_iter().map(|instance| instance.host).collect();
                }
                Some(_) => {}
                None => panic!("the stream ended"),
            }
        }
    }
}

async fn proxies<const N: usize>(control: &Control, zones: [&str; N]) -> Vec<Proxy> {
    control.put(cluster()).await;
    let mut proxies = Vec::new();
    for (number, zone) in zones.into_iter().enumerate() {
        proxies.push(Proxy::start(control, &format!("p{number}"), zone).await);
    }
    let fleet = control.fleet.clone();
    poll("all views are there", || watchers(&fleet) == N && fleet.bans().majority).await;
    proxies
}

fn watchers(fleet: &Fleet) -> usize {
    fleet.instances().first().map_or(0, |instance| instance.watchers)
}

fn hosts(bans: &FleetBans) -> Vec<&str> {
    bans.bans.iter().map(|ban| ban.host.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quorum_bans_everywhere_in_well_under_a_second() {
    let control = Control::start().await;
    let mut proxies = proxies(&control, ["a", "b", "c"]).await;
    let started = Instant::now();
    proxies[0].see("db-2", Some("connect_refused")).await;
    // The others are asked to look at once; one that sees it well leaves two of three.
    for number in [1, 2] {
        assert_eq!(proxies[number].asked().await, ["db-2"]);
    }
    proxies[1].see("db-2", Some("connection_reset")).await;
    proxies[2].say().await;
    for proxy in &mut proxies {
        let bans = proxy.bans(|bans| !bans.bans.is_empty()).await;
        assert_eq!(hosts(&bans), ["db-2"]);
        assert!(!bans.keep_automatic);
        let FleetBan { zone, remaining_ms, cause, .. } = &bans.bans[0];
        assert_eq!(*zone, None);
        assert!(remaining_ms.is_some_and(|left| left >= 10_000), "{remaining_ms:?}");
        let Some(Cause::Evidence(evidence)) = cause else { panic!("{cause:?}") };
        assert_eq!((evidence.witnesses.len(), evidence.voters), (2, 3));
    }
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());

    let listed = control.fleet.bans().bans;
    assert_eq!(listed.len(), 1, "the proxies' own bans stand behind the fleet's: {listed:?}");
    assert_eq!((listed[0].source, listed[0].evidence.len()), (BanSource::Fleet, 2));
    assert_eq!(listed[0].voters, Some(3));

    for number in [0, 1] {
        proxies[number].see("db-2", None).await;
    }
    for proxy in &mut proxies {
        proxy.bans(|bans| bans.bans.is_empty()).await;
    }
    let counts = control.fleet.ban_counts();
    assert_eq!((counts.banned, counts.lifted), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_alone_sees_it_failing_bans_it_alone() {
    let control = Control::start().await;
    let mut proxies = proxies(&control, ["a", "b", "c"]).await;
    proxies[0].see("db-2", Some("connect_refused")).await;
    for number in [1, 2] {
        assert_eq!(proxies[number].asked().await, ["db-2"]);
        proxies[number].say().await;
    }
    let fleet = control.fleet.clone();
    poll("the local ban is listed", || !fleet.bans().bans.is_empty()).await;
    let listed = fleet.bans().bans;
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].source, listed[0].proxy.as_deref()), (BanSource::Local, Some("p0")));
    let status = fleet.instances().into_iter().find(|it| it.host == "db-2").unwrap();
    assert_eq!((status.watchers, status.banned_by, status.busy), (3, 1, 6));
    // Manual bans come on the same streams, and nothing else with them.
    let ban = NewBan { host: "db-4", port: 5432, reason: "disk", duration: None };
    let (row, _) = control.store.ban(ban, "tester").await.unwrap();
    for proxy in &mut proxies {
        let bans = proxy.bans(|bans| !bans.bans.is_empty()).await;
        assert_eq!((hosts(&bans), bans.bans[0].remaining_ms), (vec!["db-4"], None));
    }
    let started = Instant::now();
    control.store.lift_ban(row.id, "tester").await.unwrap();
    for proxy in &mut proxies {
        proxy.bans(|bans| bans.bans.is_empty()).await;
    }
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn bans_of_the_fleet_work_while_the_database_is_away() {
    let mut control = Control::start().await;
    let mut proxies = proxies(&control, ["a", "b", "c"]).await;
    let ban = NewBan { host: "db-4", port: 5432, reason: "disk", duration: None };
    control.store.ban(ban, "tester").await.unwrap();
    proxies[0].bans(|bans| !bans.bans.is_empty()).await;
    control.postgres.stop().unwrap();
    let database = control.fleet.database();
    poll("the loss is noticed", || !database.borrow().available).await;
    for proxy in &mut proxies {
        proxy.see("db-2", Some("connect_refused")).await;
    }
    for proxy in &mut proxies {
        let bans = proxy.bans(|bans| bans.bans.len() == 2).await;
        assert_eq!(hosts(&bans), ["db-2", "db-4"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_plane_that_has_only_just_started_lifts_nothing() {
    let control = Control::start().await;
    let mut known = proxies(&control, ["a", "b", "c"]).await;
    let ban = NewBan { host: "db-4", port: 5432, reason: "disk", duration: None };
    control.store.ban(ban, "tester").await.unwrap();
    known[0].bans(|bans| !bans.bans.is_empty()).await;
    drop(known);
    let control = control.restart().await;
    let mut first = Proxy::start(&control, "p0", "a").await;
    let bans = first.bans(|bans| !bans.bans.is_empty()).await;
    assert_eq!(hosts(&bans), ["db-4"]);
    assert!(bans.keep_automatic, "one of three is no majority");
    let mut second = Proxy::start(&control, "p1", "b").await;
    second.bans(|bans| !bans.keep_automatic).await;
}
