//! Which bans hold, and for how long.

use std::time::{Duration, SystemTime};

use pgherd_proto::v1;
use tokio::time::Instant;

use super::{FleetBans, Kept};

fn manual(host: &str, remaining: Option<u64>) -> v1::FleetBan {
    v1::FleetBan {
        host: host.to_owned(),
        port: 5432,
        remaining_ms: remaining.map(|seconds| seconds * 1000),
        cause: Some(v1::fleet_ban::Cause::Manual(v1::ManualBan { reason: "disk".to_owned() })),
        ..v1::FleetBan::default()
    }
}

fn automatic(host: &str, remaining: u64) -> v1::FleetBan {
    let evidence =
        v1::FleetEvidence { class: "connect_refused".to_owned(), ..v1::FleetEvidence::default() };
    v1::FleetBan {
        cause: Some(v1::fleet_ban::Cause::Evidence(evidence)),
        ..manual(host, Some(remaining))
    }
}

fn message(bans: &[v1::FleetBan], keep_automatic: bool) -> v1::FleetBans {
    v1::FleetBans { bans: bans.to_vec(), keep_automatic }
}

/// Hosts with what is left of their times, in seconds.
fn shown(bans: &FleetBans, now: Instant) -> String {
    let shown = bans.current(now).into_iter().map(|ban| match ban.remaining {
        Some(left) => format!("{} {}", ban.instance.host, left.as_secs()),
        None => ban.instance.host,
    });
    shown.collect::<Vec<_>>().join(", ")
}

#[test]
fn a_ban_holds_until_its_time_is_over_or_the_next_message_lacks_it() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut bans = FleetBans::default();
    bans.take(message(&[automatic("a", 30), manual("b", None)], false), start);
    assert_eq!(shown(&bans, at(10)), "a 20, b");
    assert_eq!(shown(&bans, at(30)), "b");
    bans.take(message(&[automatic("c", 30)], false), at(5));
    assert_eq!(shown(&bans, at(5)), "c 30");
    bans.take(message(&[], false), at(6));
    assert_eq!(shown(&bans, at(6)), "");
}

#[test]
fn a_control_plane_that_knows_too_little_lifts_only_manual_bans() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut bans = FleetBans::default();
    bans.take(message(&[automatic("a", 30), automatic("b", 30), manual("c", None)], false), start);
    bans.take(message(&[automatic("b", 30)], true), at(10));
    assert_eq!(shown(&bans, at(10)), "b 30, a 20");
    bans.take(message(&[], true), at(20));
    assert_eq!(shown(&bans, at(29)), "b 11, a 1");
}

#[test]
fn what_is_not_understood_is_left_out_alone() {
    let mut bans = FleetBans::default();
    let mut port = manual("a", None);
    port.port = 70_000;
    let mut class = automatic("b", 30);
    class.cause = Some(v1::fleet_ban::Cause::Evidence(v1::FleetEvidence {
        class: "moonlight".to_owned(),
        ..v1::FleetEvidence::default()
    }));
    let mut cause = manual("c", None);
    cause.cause = None;
    let now = Instant::now();
    bans.take(message(&[port, class, cause, manual("", None), manual("d", None)], false), now);
    assert_eq!(shown(&bans, now), "d");
}

#[test]
fn manual_bans_survive_on_disk_for_as_long_as_they_hold() {
    let now = Instant::now();
    let clock = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    let mut bans = FleetBans::default();
    let said = [automatic("a", 60), manual("b", Some(60)), manual("c", None)];
    bans.take(message(&said, false), now);
    let text = serde_json::to_string(&bans.to_keep(now, clock)).unwrap();
    #[track_caller]
    fn check(text: &str, clock: SystemTime, expected: &str) {
        let kept: Kept = serde_json::from_str(text).unwrap();
        let now = Instant::now();
        assert_eq!(shown(&FleetBans::from_kept(kept, now, clock), now), expected);
    }
    check(&text, clock, "b 60, c");
    check(&text, clock + Duration::from_secs(20), "b 40, c");
    check(&text, clock + Duration::from_secs(60), "c");
    // A clock that was set back.
    check(&text, clock - Duration::from_secs(500), "b 60, c");
}

#[test]
fn the_same_bans_are_written_once() {
    let now = Instant::now();
    let clock = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    let later = Duration::from_secs(10);
    let kept = |said: &[v1::FleetBan], after: Duration| {
        let mut bans = FleetBans::default();
        bans.take(message(said, false), now + after);
        bans.to_keep(now + after, clock + after)
    };
    let first = kept(&[manual("a", Some(60)), manual("b", None)], Duration::ZERO);
    assert!(kept(&[manual("a", Some(50)), manual("b", None)], later).same_as(&first));
    assert!(!kept(&[manual("a", Some(60)), manual("b", None)], later).same_as(&first));
    assert!(!kept(&[manual("b", None)], later).same_as(&first));
}
