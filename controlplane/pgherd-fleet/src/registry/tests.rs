//! Seats, peers and what is kept of a proxy.

use std::{collections::BTreeMap, sync::Arc};

use chrono::Utc;
use pgherd_proto::v1::SnapshotId;
use pgherd_store::{Current, FleetState, NackRecord, ProxyHello};
use uuid::Uuid;

use super::Registry;
use crate::{ProxyState, Snapshot, delivery::Delivery};

fn hello(id: &str, incarnation: &str) -> ProxyHello {
    ProxyHello {
        id: id.to_owned(),
        incarnation: incarnation.to_owned(),
        version: "1".to_owned(),
        labels: BTreeMap::new(),
        address: Some(format!("{id}:6432")),
    }
}

fn empty() -> Snapshot {
    let state = FleetState { lineage: Uuid::nil(), generation: 1, revision: 1 };
    Snapshot::new(Current { state, clusters: Vec::new() }).unwrap()
}

fn refuse(seat: &super::Seat, id: &SnapshotId) {
    let mut delivery = Delivery::default();
    let refusal = delivery.refuse(id, false, std::time::Instant::now()).clone();
    let nack = NackRecord {
        generation: id.generation,
        code: "invalid".to_owned(),
        pointer: "/clusters/0".to_owned(),
        message: "no".to_owned(),
        retriable: false,
        at: Utc::now(),
    };
    seat.refused(nack, refusal);
}

#[test]
fn a_newer_stream_takes_the_seat_and_the_old_one_changes_nothing_more() {
    let registry = Arc::new(Registry::new(Vec::new()));
    let first = registry.seat(hello("a", "1"), 1, None, Arc::default(), Utc::now());
    let second = registry.seat(hello("a", "2"), 1, None, Arc::default(), Utc::now());
    assert!(first.replaced.is_cancelled());
    first.draining();
    drop(first);
    let status = &registry.statuses(&empty())[0];
    assert_eq!((status.state, status.incarnation.as_str()), (ProxyState::Connected, "2"));
    drop(second);
    assert_eq!(registry.statuses(&empty())[0].state, ProxyState::Disconnected);
}

#[test]
fn peers_are_told_only_when_they_change_and_stay_a_while() {
    let registry = Arc::new(Registry::new(Vec::new()));
    let mut peers = registry.peers();
    let now = Utc::now();
    let seat = registry.seat(hello("a", "1"), 7, None, Arc::default(), now);
    assert!(peers.has_changed().unwrap());
    let listed = peers.borrow_and_update().peers.clone();
    assert_eq!((listed[0].proxy_number, listed[0].advertise_address.as_str()), (7, "a:6432"));
    drop(seat);
    assert!(!peers.has_changed().unwrap());
    registry.refresh_peers(now + chrono::TimeDelta::minutes(11));
    assert!(peers.borrow_and_update().peers.is_empty());
}

#[test]
fn what_a_process_refused_is_known_on_its_next_stream_but_not_to_the_next_process() {
    let registry = Arc::new(Registry::new(Vec::new()));
    let seat = registry.seat(hello("a", "1"), 1, None, Arc::default(), Utc::now());
    let id = SnapshotId { lineage: "l".into(), generation: 2, content_hash: "b".into() };
    refuse(&seat, &id);
    drop(seat);
    let again = registry.seat(hello("a", "1"), 1, None, Arc::default(), Utc::now());
    assert!(again.refusal.is_some());
    assert!(registry.statuses(&empty())[0].last_nack.is_some());
    let restarted = registry.seat(hello("a", "2"), 1, None, Arc::default(), Utc::now());
    assert!(restarted.refusal.is_none());
    restarted.acknowledged(id);
    assert!(registry.statuses(&empty())[0].last_nack.is_none());
}

#[test]
fn a_connected_proxy_is_not_forgotten() {
    let registry = Arc::new(Registry::new(Vec::new()));
    let seat = registry.seat(hello("a", "1"), 1, None, Arc::default(), Utc::now());
    assert!(!registry.forget("a"));
    drop(seat);
    assert!(registry.forget("a"));
    assert!(registry.statuses(&empty()).is_empty());
}
