//! The stream of a proxy over real gRPC and a real Postgres, with a proxy played by the test.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod bans;
mod control;
mod player;

use std::time::{Duration, Instant};

use pgherd_fleet::ProxyState;
use pgherd_proto::v1::{Nack, Statistics, down::Message as Down, up::Message as Up};
use pgherd_store::{Role, change::Condition};
use tonic::Code;

use crate::{
    control::{Control, author, cluster},
    player::{Player, hello, poll},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_gets_the_topology_and_each_change_within_a_second() {
    let control = Control::start().await;
    let mut player = Player::connect(&control, hello("a")).await;
    let welcome = player.welcome().await;
    assert_eq!(welcome.proxy_number, 1);
    control.put(cluster("app", 5)).await;
    let started = Instant::now();
    let first = player.snapshot().await;
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    assert_eq!(first.id.as_ref().unwrap().generation, 1);
    let topology = pgherd_config::Topology::from_json(&first.document).unwrap();
    assert_eq!(topology.clusters, [cluster("app", 5)]);
    assert_eq!(topology.content_hash(), first.id.as_ref().unwrap().content_hash);
    player.ack(&first).await;
    poll("the proxy is up to date", || control.proxy("a").up_to_date).await;
    control.put(cluster("app", 6)).await;
    assert_eq!(player.snapshot().await.id.unwrap().generation, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_by_another_control_plane_arrives_too() {
    let control = Control::start().await;
    let mut player = Player::connect(&control, hello("a")).await;
    player.welcome().await;
    // Past this control plane's own `refresh`: only the notification and the poll can tell it.
    let condition = Condition::Unstated;
    control.store.put_cluster(cluster("app", 5), condition, &author()).await.unwrap();
    let started = Instant::now();
    player.snapshot().await;
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_holds_the_topology_already_is_not_sent_it_again() {
    let control = Control::start().await;
    control.put(cluster("app", 5)).await;
    let id = control.fleet.snapshot().id();
    let mut greeting = hello("a");
    greeting.holds = Some(id);
    let mut player = Player::connect(&control, greeting).await;
    player.welcome().await;
    assert!(control.proxy("a").up_to_date);
    // Peers come after a snapshot, had there been one.
    let next = loop {
        match player.next_but_pings().await {
            Some(Down::FleetBans(_)) => {}
            next => break next,
        }
    };
    assert!(matches!(next, Some(Down::Peers(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_content_is_shown_and_not_sent_again() {
    let control = Control::start().await;
    control.put(cluster("app", 5)).await;
    let mut player = Player::connect(&control, hello("a")).await;
    player.welcome().await;
    let first = player.snapshot().await;
    player
        .say(Up::Nack(Nack {
            snapshot: first.id.clone(),
            code: "invalid".to_owned(),
            pointer: "/clusters/0".to_owned(),
            message: "no such host".to_owned(),
            retriable: false,
        }))
        .await;
    poll("the refusal is known", || control.proxy("a").last_nack.is_some()).await;
    let nack = control.proxy("a").last_nack.unwrap();
    assert_eq!((nack.generation, nack.pointer.as_str()), (1, "/clusters/0"));
    assert!(!control.proxy("a").up_to_date);
    control.put(cluster("app", 6)).await;
    assert_eq!(player.snapshot().await.id.unwrap().generation, 2);
    // Back again: the refused content under generation 3 is passed over.
    control.put(cluster("app", 5)).await;
    poll("generation 3 is served", || control.fleet.snapshot().state.generation == 3).await;
    control.put(cluster("app", 7)).await;
    let last = player.snapshot().await;
    assert_eq!(last.id.as_ref().unwrap().generation, 4);
    player.ack(&last).await;
    poll("the newer one runs", || control.proxy("a").last_nack.is_none()).await;
    drop(player);
    poll("it is gone", || control.proxy("a").state == ProxyState::Disconnected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_hear_of_each_other_and_statistics_are_kept() {
    let control = Control::start().await;
    let mut a = Player::connect(&control, hello("a")).await;
    a.welcome().await;
    let mut b = Player::connect(&control, hello("b")).await;
    assert_eq!(b.welcome().await.proxy_number, 2);
    for player in [&mut a, &mut b] {
        player.peers(&[(1, "a:6432"), (2, "b:6432")]).await;
    }
    a.say(Up::Statistics(Statistics { clients: 7, ..Statistics::default() })).await;
    poll("the numbers are there", || control.fleet.statistics().len() == 1).await;
    assert_eq!(control.proxy("a").statistics.unwrap().clients, 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_process_takes_the_place_of_an_older_one() {
    let control = Control::start().await;
    let mut old = Player::connect(&control, hello("a")).await;
    old.welcome().await;
    let mut newer = hello("a");
    newer.incarnation = "2".to_owned();
    let mut new = Player::connect(&control, newer).await;
    assert_eq!(new.welcome().await.proxy_number, 1);
    assert_eq!(old.refusal().await, "replaced");
    assert_eq!(control.proxy("a").state, ProxyState::Connected);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_checked_at_the_start_and_while_the_stream_lives() {
    let control = Control::start().await;
    let wrong = Player::try_connect(&control.address, "nonsense", hello("a")).await;
    assert_eq!(wrong.err().unwrap().code(), Code::Unauthenticated);
    let viewer = control.token("viewer", Role::Viewer).await;
    let wrong = Player::try_connect(&control.address, &viewer.text, hello("a")).await;
    assert_eq!(wrong.err().unwrap().code(), Code::PermissionDenied);
    let token = control.token("other", Role::Proxy).await;
    let mut player = Player::try_connect(&control.address, &token.text, hello("a")).await.unwrap();
    player.welcome().await;
    control.store.revoke_token(token.row.id, "tester").await.unwrap();
    assert_eq!(player.refusal().await, "token_revoked");
}

#[tokio::test(flavor = "multi_thread")]
async fn known_proxies_are_served_while_the_database_is_away() {
    let mut control = Control::start().await;
    control.put(cluster("app", 5)).await;
    let mut before = Player::connect(&control, hello("a")).await;
    before.welcome().await;
    drop(before);
    control.postgres.stop().unwrap();
    let database = control.fleet.database();
    poll("the loss is noticed", || !database.borrow().available).await;
    let refused =
        || database.borrow().detail.as_ref().is_some_and(|detail| detail.contains("refused"));
    poll("the reason is known", refused).await;
    let mut known = Player::connect(&control, hello("a")).await;
    assert_eq!(known.welcome().await.proxy_number, 1);
    assert_eq!(known.snapshot().await.id.unwrap().generation, 1);
    let mut new = Player::connect(&control, hello("new")).await;
    assert_eq!(new.failure().await.code(), Code::Unavailable);
    control.postgres.restart().unwrap();
    poll("the return is noticed", || database.borrow().available).await;
    control.put(cluster("app", 6)).await;
    assert_eq!(known.snapshot().await.id.unwrap().generation, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_topology_that_is_not_valid_is_not_sent() {
    let control = Control::start().await;
    control.put(cluster("app", 5)).await;
    let mut player = Player::connect(&control, hello("a")).await;
    player.welcome().await;
    let held = player.snapshot().await;
    player.ack(&held).await;
    // As an older version, or another hand, might have left it.
    let mut database = control.postgres.superuser("control").unwrap();
    database.rows("update clusters set document = jsonb_set(document, '{users}', '[]')").unwrap();
    database.rows("update fleet_state set generation = 2, revision = 2").unwrap();
    control.fleet.refresh().await;
    assert_eq!(control.fleet.snapshot().state.generation, 1);
    assert!(control.fleet.database().borrow().available, "the database is not at fault");
    let mut repaired = cluster("app", 6);
    repaired.pool_size = 7;
    control.put(repaired).await;
    assert_eq!(player.snapshot().await.id.unwrap().generation, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_of_a_proxy_survives_a_restart() {
    let control = Control::start().await;
    control.put(cluster("app", 5)).await;
    let mut player = Player::connect(&control, hello("a")).await;
    player.welcome().await;
    let snapshot = player.snapshot().await;
    player.ack(&snapshot).await;
    poll("the answer is there", || control.proxy("a").up_to_date).await;
    let again = control.restart().await;
    // An error and not a refusal, after which proxies would keep away for longer.
    assert_eq!(player.failure().await.code(), Code::Unavailable);
    let proxy = again.proxy("a");
    assert_eq!((proxy.state, proxy.up_to_date), (ProxyState::Disconnected, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_does_not_greet_properly_is_refused() {
    let control = Control::start().await;
    let mut nameless = Player::connect(&control, hello("")).await;
    assert_eq!(nameless.refusal().await, "bad_hello");
    let mut twice = Player::connect(&control, hello("a")).await;
    twice.welcome().await;
    twice.say(Up::Hello(hello("b"))).await;
    assert_eq!(twice.refusal().await, "bad_hello");
}
