//! What a shard is found to be, from checks, evidence and what the fleet says.

use pgherd_balance::fleet::{Cause, Scope};
use pgherd_config::Cluster;

use super::*;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn rules(max_lag: Option<u64>) -> LedgerRules {
    let bans = BanRules::of(&Cluster::default());
    LedgerRules { bans, from_primary: ReadsFromPrimary::AsLastResort, max_lag: max_lag.map(secs) }
}

fn key(host: &str) -> InstanceKey {
    InstanceKey::new(host, 5432)
}

/// The first is the primary, the others replicas.
fn ledger(hosts: &[&str], max_lag: Option<u64>) -> Ledger {
    let instances = hosts.iter().enumerate().map(|(index, host)| match index {
        0 => (key(host), InstanceRole::Primary, Role::Primary),
        _ => (key(host), InstanceRole::Replica, Role::Replica),
    });
    Ledger::new(rules(max_lag), instances)
}

fn well(in_recovery: bool, lsn: u64) -> Outcome {
    let vitals = Vitals { in_recovery, lsn: Some(lsn), safe_lsn: Some(lsn), ..Vitals::default() };
    Outcome::Well(vitals)
}

fn silent() -> Outcome {
    Outcome::Failed(EvidenceClass::HealthCheckFailed, "no answer".to_owned())
}

fn check(ledger: &mut Ledger, index: usize, at: u64, outcome: &Outcome) {
    ledger.check_started(index, secs(at));
    ledger.note_check(index, secs(at), secs(at), outcome);
}

fn fleet_ban(host: &str) -> FleetBan {
    FleetBan {
        instance: key(host),
        scope: Scope::All,
        cause: Cause::Evidence {
            class: EvidenceClass::HealthCheckFailed,
            detail: "no answer".to_owned(),
            witnesses: vec!["one".to_owned(), "two".to_owned()],
            voters: 3,
        },
        elapsed: secs(0),
        remaining: Some(secs(60)),
    }
}

#[test]
fn silence_that_only_others_see_ends_nothing_here() {
    let mut ledger = ledger(&["a", "b", "c"], None);
    ledger.set_fleet_bans(secs(1), &[fleet_ban("b")], None);
    let sight = &ledger.sights(secs(1))[1];
    assert!(!sight.takes_reads() && !sight.is_silent, "{sight:?}");
    // Now it sees it, too, although the ban of the fleet stood first.
    check(&mut ledger, 1, 2, &silent());
    assert!(ledger.sights(secs(2))[1].is_silent);
}

#[test]
fn an_order_does_not_hide_silence() {
    let mut ledger = ledger(&["a", "b", "c"], None);
    ledger.ban(1, "new disk", secs(1), None);
    assert!(!ledger.sights(secs(1))[1].is_silent);
    check(&mut ledger, 1, 2, &silent());
    assert!(ledger.sights(secs(2))[1].is_silent);
}

#[test]
fn what_fails_is_banned_until_it_answers() {
    let mut ledger = ledger(&["a", "b"], None);
    check(&mut ledger, 1, 1, &silent());
    assert!(!ledger.sights(secs(1))[1].takes_reads() && ledger.is_troubled(1, secs(1)));
    check(&mut ledger, 1, 2, &well(true, 5));
    assert!(ledger.sights(secs(2))[1].takes_reads());
}

#[test]
fn who_refuses_the_checks_lives() {
    let mut ledger = ledger(&["a", "b"], None);
    check(&mut ledger, 1, 1, &Outcome::Refused("no password".to_owned()));
    let sight = &ledger.sights(secs(1))[1];
    assert!(sight.takes_reads() && !sight.reachable, "{sight:?}");
}

#[test]
fn a_replica_too_far_behind_takes_no_reads_until_it_has_caught_up() {
    let mut ledger = ledger(&["a", "b"], Some(5));
    check(&mut ledger, 0, 10, &well(false, 100));
    check(&mut ledger, 0, 11, &well(false, 200));
    check(&mut ledger, 1, 15, &well(true, 100));
    assert_eq!(ledger.sights(secs(15))[1].lag, Some(secs(4)));
    assert!(ledger.sights(secs(15))[1].takes_reads());
    check(&mut ledger, 1, 17, &well(true, 100));
    let sight = &ledger.sights(secs(17))[1];
    assert!(sight.is_lagging && !sight.takes_reads(), "{sight:?}");
    assert_eq!(sight.lag_bytes, Some(100));
    check(&mut ledger, 1, 18, &well(true, 200));
    assert!(ledger.sights(secs(18))[1].takes_reads());
}

#[test]
fn what_was_known_lives_through_a_new_topology() {
    let mut before = ledger(&["a", "b", "c"], None);
    check(&mut before, 0, 1, &well(false, 100));
    check(&mut before, 2, 1, &silent());
    before.ban(1, "new disk", secs(1), None);
    let instances = [
        (key("c"), InstanceRole::Auto, Role::Unknown),
        (key("a"), InstanceRole::Auto, Role::Unknown),
        (key("b"), InstanceRole::Auto, Role::Unknown),
    ];
    let after = Ledger::new(rules(None), instances).after(&before);
    let sights = after.sights(secs(2));
    // It is found again by what it said; the others have said nothing so far.
    assert_eq!(sights[1].role, Role::Primary);
    assert_eq!(after.bans(2, secs(2)).first().map(|ban| ban.source), Some(Source::Manual));
    assert_eq!(after.bans(0, secs(2)).first().map(|ban| ban.source), Some(Source::Local));
}
