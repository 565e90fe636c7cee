//! The rules of bans, one by one; `any` has them under any sequence of events.

mod any;

use std::time::Duration;

use pgherd_config::EvidenceClass::{
    self, CheckoutTimeout, ConnectRefused, ConnectTimeout, ConnectionReset, HealthCheckFailed,
    Manual, QueryTimeout, ReplicationLag, ServerShutdown,
};

use super::{
    BanRules, Book, HeldBack, Lifted, Probed, ReadsFromPrimary, Role, Source, Standing, Verdict,
};
use crate::fleet::{Cause, Condition, FleetBan, Scope};
use crate::{Evidence, InstanceKey};

const PRIMARY: usize = 0;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn key(index: usize) -> InstanceKey {
    InstanceKey::new(format!("10.0.0.{index}"), 5432)
}

fn evidence(class: EvidenceClass, at: u64) -> Evidence {
    Evidence::new(class, seconds(at), format!("{class} at {at}"))
}

fn failed_probe(at: u64) -> Evidence {
    evidence(HealthCheckFailed, at).since(seconds(at))
}

/// One primary and so many replicas.
fn book(replicas: usize) -> Book {
    with_rules(BanRules::default(), replicas)
}

fn with_rules(rules: BanRules, replicas: usize) -> Book {
    Book::new(rules, (0..=replicas).map(key).collect())
}

fn roles(book: &Book) -> Vec<Role> {
    let role = |index| if index == PRIMARY { Role::Primary } else { Role::Replica };
    (0..book.instances().len()).map(role).collect()
}

fn view(book: &Book, at: u64, reads: ReadsFromPrimary) -> Vec<Standing> {
    book.view(seconds(at), &roles(book), reads)
}

/// One letter for each instance: `.` open, `B` banned, `l` held back by the limit, `n` because
/// nothing is left.
#[track_caller]
fn check(book: &Book, at: u64, reads: ReadsFromPrimary, expected: &str) {
    let letter = |standing: &Standing| match standing {
        Standing::Open => '.',
        Standing::Banned(_) => 'B',
        Standing::HeldBack(_, HeldBack::Limit) => 'l',
        Standing::HeldBack(_, HeldBack::NothingLeft) => 'n',
    };
    let shown: String = view(book, at, reads).iter().map(letter).collect();
    assert_eq!(shown, expected, "at {at}");
}

fn succeeds(book: &mut Book, index: usize, at: u64) -> Probed {
    book.probe_started(index, seconds(at));
    book.on_probe_succeeded(index, seconds(at), seconds(at))
}

// === what bans ===

#[test]
fn each_class_bans_if_the_settings_say_so() {
    for class in EvidenceClass::ALL {
        let bans = |ban_on: Vec<EvidenceClass>| {
            let mut book = with_rules(BanRules { ban_on, ..BanRules::default() }, 2);
            let evidence = evidence(class, 10).since(seconds(5));
            let verdict = book.on_evidence(1, &evidence, None);
            check(
                &book,
                10,
                ReadsFromPrimary::No,
                match verdict {
                    Verdict::Banned(1) => ".B.",
                    _ => "...",
                },
            );
            verdict
        };
        assert_eq!(bans(vec![]), Verdict::Spared, "{class}");
        let expected = if class == Manual { Verdict::Spared } else { Verdict::Banned(1) };
        assert_eq!(bans(vec![class]), expected, "{class}");
        let spared = [ReplicationLag, Manual].contains(&class);
        let expected = if spared { Verdict::Spared } else { Verdict::Banned(1) };
        assert_eq!(bans(BanRules::default().ban_on), expected, "{class} by default");
    }
}

/// pgcat's four reasons and its administrator's ban, each alone.
#[test]
fn the_reasons_of_pgcat_are_there() {
    for class in [HealthCheckFailed, ConnectionReset, QueryTimeout] {
        let mut book = book(2);
        assert_eq!(book.on_evidence(1, &evidence(class, 1), None), Verdict::Banned(1));
    }
    let mut book = book(2);
    book.ban_manually(1, "maintenance", seconds(1), None);
    check(&book, 1, ReadsFromPrimary::No, ".B.");
}

#[test]
fn saturation_is_not_failure() {
    let waited = || evidence(CheckoutTimeout, 20).since(seconds(15));
    let rows = [
        (waited(), None, Verdict::Banned(1)),
        (waited(), Some(14), Verdict::Banned(1)),
        (waited(), Some(15), Verdict::Saturated),
        (waited(), Some(19), Verdict::Saturated),
        // Nobody knows how long that client had waited.
        (evidence(CheckoutTimeout, 20), None, Verdict::Saturated),
    ];
    for (evidence, finished, expected) in rows {
        let verdict = book(2).on_evidence(1, &evidence, finished.map(seconds));
        assert_eq!(verdict, expected, "finished at {finished:?}");
    }
}

#[test]
fn what_began_before_an_instance_was_found_well_is_no_news() {
    let mut book = book(2);
    book.on_evidence(1, &evidence(QueryTimeout, 10), None);
    assert_eq!(succeeds(&mut book, 1, 13), Probed::Lifted);
    let rows = [
        (evidence(ConnectionReset, 14).since(seconds(9)), Verdict::Stale),
        (evidence(QueryTimeout, 12), Verdict::Stale),
        (evidence(CheckoutTimeout, 17).since(seconds(12)), Verdict::Stale),
        (evidence(ConnectionReset, 14).since(seconds(13)), Verdict::Banned(2)),
        (evidence(ConnectRefused, 14), Verdict::Banned(2)),
    ];
    for (evidence, expected) in rows {
        assert_eq!(book.clone().on_evidence(1, &evidence, None), expected, "{evidence:?}");
    }
}

// === the way back ===

#[test]
fn a_first_ban_ends_with_one_probe_and_with_nothing_else() {
    let mut book = book(2);
    book.on_evidence(1, &evidence(ConnectRefused, 10), None);
    assert_eq!(book.on_evidence(1, &evidence(ConnectionReset, 11), None), Verdict::Already);
    for at in [11, 69, 70, 71, 1_000_000] {
        check(&book, at, ReadsFromPrimary::Yes, ".B.");
    }
    let Standing::Banned(ban) = &view(&book, 75, ReadsFromPrimary::Yes)[1] else { panic!() };
    assert_eq!((ban.source, ban.class, ban.count), (Source::Local, ConnectRefused, 1));
    assert_eq!((ban.since, ban.until), (seconds(10), Some(seconds(70))));
    assert!(ban.is_on_probation(seconds(75)) && !ban.is_on_probation(seconds(69)));
    assert_eq!(ban.remaining(seconds(60)), Some(seconds(10)));
    // It began before the ban.
    assert_eq!(book.on_probe_succeeded(1, seconds(9), seconds(12)), Probed::Needs(1));
    assert_eq!(succeeds(&mut book, 1, 12), Probed::Lifted);
    check(&book, 12, ReadsFromPrimary::Yes, "...");
    assert_eq!(succeeds(&mut book, 1, 13), Probed::Fine);
}

/// Bans at `at` and lets it recover at once; the number of successes that took, one a second.
fn ban_and_recover(book: &mut Book, at: u64) -> u64 {
    assert!(matches!(book.on_evidence(1, &evidence(ConnectRefused, at), None), Verdict::Banned(_)));
    let lifted = (1..100).find(|second| succeeds(book, 1, at + second) == Probed::Lifted);
    lifted.expect("it is lifted in the end")
}

#[test]
fn a_flapping_instance_needs_ever_more_successes() {
    let mut book = book(2);
    let needed: Vec<_> = [100, 110, 120, 130, 150, 180, 210]
        .into_iter()
        .map(|at| ban_and_recover(&mut book, at))
        .collect();
    assert_eq!(needed, [1, 2, 4, 8, 16, 16, 16]);
}

#[test]
fn time_in_service_is_forgiving() {
    // The bans end at 101 and 112, the third, with four successes, at 124.
    let rows = [(125, 8), (183, 8), (184, 4), (243, 4), (244, 2), (303, 2), (304, 1), (5000, 1)];
    for (next, expected) in rows {
        let mut book = book(2);
        for at in [100, 110, 120] {
            ban_and_recover(&mut book, at);
        }
        assert_eq!(ban_and_recover(&mut book, next), expected, "banned again at {next}");
    }
}

#[test]
fn a_failure_begins_the_count_of_successes_anew() {
    let mut book = book(2);
    for at in [100, 110] {
        ban_and_recover(&mut book, at);
    }
    book.on_evidence(1, &evidence(ConnectionReset, 120), None);
    assert_eq!(succeeds(&mut book, 1, 121), Probed::Needs(3));
    assert_eq!(succeeds(&mut book, 1, 122), Probed::Needs(2));
    assert_eq!(book.on_probe_failed(1, &failed_probe(123)), Verdict::Already);
    assert_eq!(succeeds(&mut book, 1, 124), Probed::Needs(3));
    // Queries reach it when it is held back; what tells of before the ban is old.
    book.on_evidence(1, &evidence(ConnectionReset, 125).since(seconds(90)), None);
    assert_eq!(succeeds(&mut book, 1, 126), Probed::Needs(2));
    book.on_evidence(1, &evidence(ConnectRefused, 126), None);
    assert_eq!(succeeds(&mut book, 1, 127), Probed::Needs(3));
    // Two probes at the same time are one.
    assert_eq!(succeeds(&mut book, 1, 127), Probed::Needs(3));
}

#[test]
fn when_the_time_of_a_ban_is_over_one_success_is_enough_but_needed() {
    let mut book = book(2);
    for at in [100, 110, 120] {
        ban_and_recover(&mut book, at);
    }
    assert_eq!(book.on_evidence(1, &evidence(ConnectRefused, 130), None), Verdict::Banned(4));
    // 60 s, doubled three times.
    assert_eq!(succeeds(&mut book, 1, 609), Probed::Needs(7));
    book.on_probe_failed(1, &failed_probe(611));
    check(&book, 700, ReadsFromPrimary::Yes, ".B.");
    assert_eq!(succeeds(&mut book, 1, 701), Probed::Lifted);
}

#[test]
fn a_ban_doubles_up_to_its_longest() {
    let rules = BanRules::default();
    let spans: Vec<_> = [1, 2, 3, 4, 5, 6, 22, 40, u32::MAX].map(|n| rules.span(n)).into();
    assert_eq!(spans, [60, 120, 240, 480, 600, 600, 600, 600, 600].map(seconds));
    let unlimited = BanRules { max_ban_time: seconds(0), ..BanRules::default() };
    assert_eq!(unlimited.span(3), seconds(60), "never shorter than the first");
    let none = BanRules { ban_time: seconds(0), ..BanRules::default() };
    assert_eq!((none.span(9), none.count_after(9, seconds(0))), (seconds(0), 1));
}

#[test]
fn probes_are_due_at_once_and_then_each_second() {
    let mut book = book(2);
    assert!(book.due_probes(seconds(5)).is_empty());
    book.probe_started(1, seconds(9));
    book.on_evidence(1, &evidence(ConnectRefused, 10), None);
    assert_eq!(book.due_probes(seconds(10)), [1], "the last one began before the ban");
    book.probe_started(1, seconds(10));
    assert!(book.due_probes(Duration::from_millis(10_999)).is_empty());
    assert_eq!(book.due_probes(seconds(11)), [1]);
    assert_eq!(book.due_probes(seconds(100_000)), [1], "when the time is over, too");
    succeeds(&mut book, 1, 100_000);
    book.ban_manually(2, "", seconds(100_001), None);
    assert!(book.due_probes(seconds(100_002)).is_empty(), "an order is no question");
}

// === limits ===

#[test]
fn limits_of_a_shard() {
    use ReadsFromPrimary::{AsLastResort, No, Yes};
    // What fails in the order of its failing; 0 is the primary, the rest are replicas.
    let rows: [(usize, u8, ReadsFromPrimary, &[usize], &str); 22] = [
        (4, 100, No, &[2, 3], "..BB."),
        (4, 100, No, &[1, 2, 3], ".BBB."),
        (4, 100, No, &[1, 2, 3, 4], ".nnnn"),
        (4, 100, AsLastResort, &[1, 2, 3, 4], ".BBBB"),
        (4, 100, AsLastResort, &[1, 2, 3, 4, 0], "nnnnn"),
        (4, 100, Yes, &[0, 1], "BB..."),
        (4, 100, Yes, &[1, 2, 3, 4], ".BBBB"),
        (4, 100, Yes, &[0, 1, 2, 3], "BBBB."),
        // A primary that gets no reads leaves nothing, and its own ban is not held back for them.
        (4, 100, No, &[0, 1, 2, 3, 4], "Bnnnn"),
        (4, 50, No, &[4, 3, 2], "..lBB"),
        (4, 50, No, &[1, 2, 3], ".BBl."),
        (4, 50, No, &[1, 2, 3, 4], ".nnnn"),
        (4, 50, AsLastResort, &[1, 2, 3, 4], ".BBll"),
        (4, 0, No, &[1, 2], ".ll.."),
        (3, 33, No, &[3, 2], "..lB"),
        (2, 10, No, &[2, 1], ".nn"),
        (2, 10, No, &[2], "..B"),
        (1, 10, AsLastResort, &[1], ".B"),
        (1, 100, No, &[1], ".n"),
        (0, 100, Yes, &[0], "n"),
        (0, 100, AsLastResort, &[0], "n"),
        (0, 0, Yes, &[0], "n"),
    ];
    for (replicas, max_banned_percent, reads, failing, expected) in rows {
        let rules = BanRules { max_banned_percent, ..BanRules::default() };
        let mut book = with_rules(rules, replicas);
        for (at, index) in failing.iter().enumerate() {
            book.on_evidence(*index, &evidence(ConnectRefused, at as u64), None);
        }
        check(&book, 10, reads, expected);
    }
}

#[test]
fn hard_evidence_is_banned_before_soft_whoever_came_first() {
    let rules = BanRules { max_banned_percent: 25, ..BanRules::default() };
    let mut book = with_rules(rules, 4);
    book.on_evidence(1, &evidence(ConnectTimeout, 1), None);
    check(&book, 2, ReadsFromPrimary::No, ".B...");
    book.on_evidence(3, &evidence(ServerShutdown, 2), None);
    check(&book, 2, ReadsFromPrimary::No, ".l.B.");
}

#[test]
fn roles_count_as_they_are_now() {
    let mut book = with_rules(BanRules { max_banned_percent: 50, ..BanRules::default() }, 2);
    for index in 0..3 {
        book.on_evidence(index, &evidence(ConnectRefused, 1), None);
    }
    let open = |roles: [Role; 3]| {
        let standings = book.view(seconds(2), &roles, ReadsFromPrimary::AsLastResort);
        standings.iter().map(Standing::is_open).collect::<Vec<_>>()
    };
    use Role::{Other, Primary, Replica};
    assert_eq!(open([Primary, Replica, Replica]), [true, true, true], "nothing is left");
    assert_eq!(open([Other, Primary, Replica]), [false, true, true], "a fenced one stays away");
    assert_eq!(open([Other, Other, Other]), [false, false, false]);
    assert_eq!(book.view(seconds(2), &[], ReadsFromPrimary::No).len(), 3);
}

// === orders ===

#[test]
fn a_manual_ban_is_lifted_by_hand_only() {
    let mut book = book(2);
    book.ban_manually(1, "maintenance", seconds(10), None);
    book.ban_manually(2, "for a minute", seconds(10), Some(seconds(60)));
    assert_eq!(book.next_change(seconds(10)), Some(seconds(70)));
    succeeds(&mut book, 1, 20);
    check(&book, 69, ReadsFromPrimary::No, ".BB");
    check(&book, 70, ReadsFromPrimary::No, ".B.");
    check(&book, u64::MAX / 2, ReadsFromPrimary::No, ".B.");
    book.reload(BanRules::default(), vec![key(2), key(1)]);
    assert_eq!(book.bans(1, seconds(99))[0].reason, "maintenance", "a reload keeps it");
    let lifted = Lifted { manual: true, local: false, fleet_remains: false };
    assert_eq!(book.unban(1, seconds(100)), lifted);
    assert_eq!(book.unban(1, seconds(100)), Lifted::default());
}

#[test]
fn an_order_comes_before_evidence_and_is_not_held_back() {
    let mut book = book(1);
    book.on_evidence(1, &evidence(ConnectRefused, 5), None);
    check(&book, 6, ReadsFromPrimary::No, ".n");
    book.ban_manually(1, "maintenance", seconds(7), None);
    check(&book, 8, ReadsFromPrimary::No, ".B");
    let sources: Vec<_> = book.bans(1, seconds(8)).iter().map(|ban| ban.source).collect();
    assert_eq!(sources, [Source::Manual, Source::Local]);
    let lifted = Lifted { manual: true, local: true, fleet_remains: false };
    assert_eq!(book.unban(1, seconds(9)), lifted);
    check(&book, 9, ReadsFromPrimary::No, "..");
    // What was in flight does not ban it again, and what is new counts from one.
    let old = evidence(ConnectionReset, 10).since(seconds(6));
    assert_eq!(book.on_evidence(1, &old, None), Verdict::Stale);
    assert_eq!(book.on_evidence(1, &evidence(ConnectRefused, 10), None), Verdict::Banned(1));
}

// === the fleet ===

fn fleet_ban(index: usize, scope: Scope, remaining: u64) -> FleetBan {
    FleetBan {
        instance: key(index),
        scope,
        cause: Cause::Evidence {
            class: ConnectTimeout,
            detail: "seen by two".to_owned(),
            witnesses: vec!["a".to_owned(), "b".to_owned()],
            voters: 3,
        },
        elapsed: seconds(2),
        remaining: Some(seconds(remaining)),
    }
}

#[test]
fn the_fleet_s_bans_hold_in_their_zone_until_they_are_taken_back() {
    let bans = [
        fleet_ban(1, Scope::Zone("a".to_owned()), 30),
        fleet_ban(2, Scope::Zone("b".to_owned()), 30),
        fleet_ban(9, Scope::All, 30),
    ];
    let mut book = book(3);
    book.set_fleet_bans(seconds(10), &bans, Some("a"));
    check(&book, 10, ReadsFromPrimary::No, ".B..");
    book.set_fleet_bans(seconds(11), &bans, None);
    check(&book, 11, ReadsFromPrimary::No, "....");
    book.set_fleet_bans(seconds(11), &[fleet_ban(3, Scope::All, 30)], None);
    check(&book, 11, ReadsFromPrimary::No, "...B");
    let ban = &book.bans(3, seconds(12))[0];
    assert_eq!((ban.source, ban.since, ban.until), (Source::Fleet, seconds(9), Some(seconds(41))));
    book.set_fleet_bans(seconds(12), &[], None);
    check(&book, 12, ReadsFromPrimary::No, "....");
}

#[test]
fn a_fleet_ban_that_is_not_repeated_ends_after_a_probe_of_our_own() {
    let mut book = book(3);
    succeeds(&mut book, 1, 9);
    book.set_fleet_bans(seconds(10), &[fleet_ban(1, Scope::All, 30)], None);
    check(&book, 100, ReadsFromPrimary::No, ".B..");
    assert_eq!(book.due_probes(seconds(10)), [1]);
    succeeds(&mut book, 1, 15);
    assert_eq!(book.next_change(seconds(15)), Some(seconds(40)));
    check(&book, 39, ReadsFromPrimary::No, ".B..");
    check(&book, 40, ReadsFromPrimary::No, "....");
    assert!(book.due_probes(seconds(41)).is_empty());
    // Heard of again, it is a new one.
    book.set_fleet_bans(seconds(50), &[fleet_ban(1, Scope::All, 30)], None);
    check(&book, 90, ReadsFromPrimary::No, ".B..");
}

#[test]
fn orders_of_the_fleet_are_manual_bans_that_only_the_fleet_lifts() {
    let order = FleetBan {
        cause: Cause::Manual { reason: "rack moves".to_owned() },
        remaining: None,
        ..fleet_ban(1, Scope::All, 0)
    };
    let mut book = book(1);
    book.set_fleet_bans(seconds(10), &[fleet_ban(1, Scope::All, 20), order], None);
    check(&book, 1_000, ReadsFromPrimary::No, ".B");
    let sources: Vec<_> = book.bans(1, seconds(11)).iter().map(|ban| ban.source).collect();
    assert_eq!(sources, [Source::Manual, Source::Fleet]);
    let lifted = Lifted { manual: false, local: false, fleet_remains: true };
    assert_eq!(book.unban(1, seconds(12)), lifted);
    check(&book, 1_000, ReadsFromPrimary::No, ".B");
}

#[test]
fn evidence_of_here_and_of_the_fleet_is_limited_together() {
    let rules = BanRules { max_banned_percent: 50, ..BanRules::default() };
    let mut book = with_rules(rules, 4);
    book.on_evidence(2, &evidence(ConnectRefused, 1), None);
    let bans = [fleet_ban(3, Scope::All, 30), fleet_ban(4, Scope::All, 30)];
    book.set_fleet_bans(seconds(5), &bans, None);
    check(&book, 6, ReadsFromPrimary::No, "..BBl");
}

#[test]
fn the_fleet_is_told_what_this_proxy_itself_sees() {
    let mut book = book(3);
    book.on_evidence(1, &evidence(ConnectRefused, 10), None);
    succeeds(&mut book, 2, 11);
    book.ban_manually(2, "", seconds(12), None);
    book.set_fleet_bans(seconds(12), &[fleet_ban(3, Scope::All, 30)], None);
    let sightings = book.sightings(seconds(14));
    assert!(sightings.iter().map(|sighting| &sighting.instance).eq(book.instances()));
    let conditions: Vec<_> = sightings.into_iter().map(|sighting| sighting.condition).collect();
    let healthy = |ago| Condition::Healthy { seen_ago: seconds(ago) };
    let detail = "connect_refused at 10".to_owned();
    let failing = Condition::Failing { class: ConnectRefused, detail, lasting: seconds(4) };
    assert_eq!(conditions, [healthy(14), failing, healthy(3), healthy(14)]);
}
