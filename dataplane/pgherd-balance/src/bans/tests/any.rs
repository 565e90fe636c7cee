//! What holds under any sequence of events.

use proptest::prelude::{
    Just, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest,
};

use super::{
    BanRules, Book, Cause, Duration, Evidence, EvidenceClass, FleetBan, HeldBack, InstanceKey,
    Probed, ReadsFromPrimary, Role, Scope, Source, Standing, Verdict, key,
};

/// Something that happens to one instance, so long after what happened before.
#[derive(Clone, Debug)]
enum Event {
    Evidence { class: EvidenceClass, ago: Option<Duration>, finished_ago: Option<Duration> },
    ProbeStarted,
    ProbeSucceeded { ago: Duration },
    ProbeFailed { ago: Duration },
    Ban { lasting: Option<Duration> },
    Unban,
    FleetBans(Vec<FleetBan>),
}

type Step = (Duration, usize, Event);

const INSTANCES: usize = 6;

fn millis(most: u64) -> impl Strategy<Value = Duration> {
    (0..most).prop_map(Duration::from_millis)
}

fn class() -> impl Strategy<Value = EvidenceClass> {
    prop::sample::select(EvidenceClass::ALL.to_vec())
}

fn fleet_ban() -> impl Strategy<Value = FleetBan> {
    let scope = prop_oneof![
        Just(Scope::All),
        Just(Scope::Zone("here".to_owned())),
        Just(Scope::Zone("there".to_owned()))
    ];
    let cause = prop_oneof![
        class().prop_map(|class| Cause::Evidence {
            class,
            detail: class.to_string(),
            witnesses: Vec::new(),
            voters: 2
        }),
        "[a-c]".prop_map(|reason| Cause::Manual { reason }),
    ];
    let remaining = prop::option::of(millis(100_000));
    (0..INSTANCES, scope, cause, millis(1_000), remaining).prop_map(
        |(index, scope, cause, elapsed, remaining)| FleetBan {
            instance: key(index),
            scope,
            cause,
            elapsed,
            remaining,
        },
    )
}

fn event() -> impl Strategy<Value = Event> {
    let evidence = (class(), prop::option::of(millis(20_000)), prop::option::of(millis(20_000)))
        .prop_map(|(class, ago, finished_ago)| Event::Evidence { class, ago, finished_ago });
    prop_oneof![
        6 => evidence,
        1 => Just(Event::ProbeStarted),
        4 => millis(3_000).prop_map(|ago| Event::ProbeSucceeded { ago }),
        2 => millis(3_000).prop_map(|ago| Event::ProbeFailed { ago }),
        1 => prop::option::of(millis(100_000)).prop_map(|lasting| Event::Ban { lasting }),
        1 => Just(Event::Unban),
        1 => prop::collection::vec(fleet_ban(), 0..6).prop_map(Event::FleetBans),
    ]
}

fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let step = (prop_oneof![millis(2_000), millis(200_000)], 0..INSTANCES + 1, event());
    prop::collection::vec(step, 0..most)
}

fn rules() -> impl Strategy<Value = BanRules> {
    let classes = prop::sample::subsequence(EvidenceClass::ALL.to_vec(), 0..=9);
    let times = (millis(100_000), millis(1_000_000));
    (times, 0..=100_u8, classes).prop_map(|((ban_time, max_ban_time), percent, ban_on)| BanRules {
        ban_time,
        max_ban_time,
        max_banned_percent: percent,
        ban_on,
        ..BanRules::default()
    })
}

fn roles() -> impl Strategy<Value = Vec<Role>> {
    let others = prop::sample::select(vec![Role::Replica, Role::Replica, Role::Other]);
    (prop::option::of(0..INSTANCES), prop::collection::vec(others, INSTANCES)).prop_map(
        |(primary, mut roles)| {
            if let Some(primary) = primary {
                roles[primary] = Role::Primary;
            }
            roles
        },
    )
}

fn reads() -> impl Strategy<Value = ReadsFromPrimary> {
    use ReadsFromPrimary::{AsLastResort, No, Yes};
    prop::sample::select(vec![No, AsLastResort, Yes])
}

fn book(rules: &BanRules) -> Book {
    Book::new(rules.clone(), (0..INSTANCES).map(key).collect())
}

/// What came of an event.
#[derive(Debug, PartialEq)]
enum Outcome {
    Verdict(Verdict),
    Probed(Probed),
    None,
}

fn apply(book: &mut Book, now: Duration, index: usize, event: &Event) -> Outcome {
    let before = |ago: &Duration| now.saturating_sub(*ago);
    match event {
        Event::Evidence { class, ago, finished_ago } => {
            let evidence = Evidence::new(*class, now, "");
            let evidence = Evidence { since: ago.as_ref().map(before), ..evidence };
            let finished = finished_ago.as_ref().map(before);
            return Outcome::Verdict(book.on_evidence(index, &evidence, finished));
        }
        Event::ProbeStarted => book.probe_started(index, now),
        Event::ProbeSucceeded { ago } => {
            return Outcome::Probed(book.on_probe_succeeded(index, before(ago), now));
        }
        Event::ProbeFailed { ago } => {
            let evidence = Evidence::new(EvidenceClass::HealthCheckFailed, now, "");
            let evidence = evidence.since(before(ago));
            return Outcome::Verdict(book.on_probe_failed(index, &evidence));
        }
        Event::Ban { lasting } => book.ban_manually(index, "order", now, *lasting),
        Event::Unban => drop(book.unban(index, now)),
        Event::FleetBans(bans) => book.set_fleet_bans(now, bans, Some("here")),
    }
    Outcome::None
}

/// Applies all; the time at the end.
fn run(book: &mut Book, steps: &[Step]) -> Duration {
    let mut now = Duration::ZERO;
    for (later, index, event) in steps {
        now += *later;
        apply(book, now, *index, event);
    }
    now
}

fn is_order(book: &Book, index: usize, now: Duration) -> bool {
    book.bans(index, now).iter().any(|ban| ban.source == Source::Manual)
}

proptest! {
    #[test]
    fn limits_hold_and_reads_have_a_place_to_go(
        rules in rules(), roles in roles(), reads in reads(), steps in steps(40),
    ) {
        let mut book = book(&rules);
        let mut now = Duration::ZERO;
        for (later, index, event) in &steps {
            now += *later;
            apply(&mut book, now, *index, event);
            let view = book.view(now, &roles, reads);
            prop_assert_eq!(view.len(), INSTANCES);
            let replicas = roles.iter().filter(|role| **role == Role::Replica).count();
            let banned = view.iter().zip(&roles).filter(|(standing, role)| {
                let by_evidence = matches!(standing, Standing::Banned(ban) if ban.source != Source::Manual);
                **role == Role::Replica && by_evidence
            });
            prop_assert!(banned.count() <= rules.limit(replicas));
            // Only orders can leave reads without any place.
            let takes_reads = |role: &Role| match role {
                Role::Replica => true,
                Role::Primary => reads != ReadsFromPrimary::No,
                Role::Other => false,
            };
            let mut places = (0..INSTANCES).filter(|i| takes_reads(&roles[*i]) && !is_order(&book, *i, now));
            let left = places.clone().any(|i| view[i].is_open());
            prop_assert!(left || places.next().is_none(), "{:?}", view);
            for (index, standing) in view.iter().enumerate() {
                let bans = book.bans(index, now);
                prop_assert_eq!(bans.is_empty(), *standing == Standing::Open);
                prop_assert_eq!(bans.first(), standing.ban());
                let held_back = matches!(standing, Standing::HeldBack(..));
                prop_assert!(!(held_back && is_order(&book, index, now)));
                if let Standing::HeldBack(_, HeldBack::Limit) = standing {
                    prop_assert_eq!(roles[index], Role::Replica);
                }
            }
        }
    }

    #[test]
    fn neither_time_nor_evidence_nor_probes_lift_an_order(
        rules in rules(), before in steps(10), after in steps(30), index in 0..INSTANCES,
    ) {
        let mut book = book(&rules);
        let mut now = run(&mut book, &before);
        book.ban_manually(index, "order", now, None);
        for (later, other, event) in &after {
            let by_hand = matches!(event, Event::Unban | Event::Ban { .. });
            if by_hand && *other == index {
                continue;
            }
            now += *later;
            apply(&mut book, now, *other, event);
            prop_assert!(is_order(&book, index, now));
        }
        prop_assert!(is_order(&book, index, Duration::MAX));
    }

    #[test]
    fn only_probes_and_hands_end_a_local_ban(rules in rules(), steps in steps(40)) {
        let mut book = book(&rules);
        let mut now = Duration::ZERO;
        let local = |book: &Book, index, now| {
            book.bans(index, now).iter().any(|ban| ban.source == Source::Local)
        };
        for (later, index, event) in &steps {
            let was: Vec<_> = (0..INSTANCES).map(|i| local(&book, i, now)).collect();
            now += *later;
            let outcome = apply(&mut book, now, *index, event);
            for (i, was) in was.into_iter().enumerate() {
                let by_hand = matches!(event, Event::Unban);
                let lifted = outcome == Outcome::Probed(Probed::Lifted) || by_hand;
                let banned = matches!(outcome, Outcome::Verdict(Verdict::Banned(_)));
                let expected = if i != *index { was } else { (was && !lifted) || banned };
                prop_assert_eq!(local(&book, i, now), expected, "{}", i);
            }
        }
    }

    /// Sixteen probes in a row, a second apart, are enough for every ban.
    #[test]
    fn a_recovered_instance_comes_back(rules in rules(), steps in steps(40), index in 0..INSTANCES) {
        let mut book = book(&rules);
        let mut now = run(&mut book, &steps);
        for _ in 0..16 {
            now += Duration::from_secs(1);
            book.on_probe_succeeded(index, now, now);
        }
        prop_assert!(book.bans(index, now).iter().all(|ban| ban.source != Source::Local));
    }

    /// So what happens to different instances may happen in any order.
    #[test]
    fn instances_do_not_depend_on_each_other(rules in rules(), steps in steps(40)) {
        let mut together = book(&rules);
        let now = run(&mut together, &steps);
        for instance in 0..INSTANCES {
            let mut alone = Book::new(rules.clone(), vec![key(instance)]);
            let mut at = Duration::ZERO;
            for (later, index, event) in &steps {
                at += *later;
                if *index == instance || matches!(event, Event::FleetBans(_)) {
                    apply(&mut alone, at, 0, event);
                }
            }
            prop_assert_eq!(together.bans(instance, now), alone.bans(0, now));
            let due = together.due_probes(now).contains(&instance);
            prop_assert_eq!(due, !alone.due_probes(now).is_empty());
        }
    }

    /// The fleet's bans are a set, and hearing them twice changes nothing.
    #[test]
    fn the_order_of_the_fleet_s_bans_means_nothing(
        rules in rules(),
        steps in steps(20),
        bans in prop::collection::vec(fleet_ban(), 0..8).prop_shuffle(),
        seed in any::<u64>(),
    ) {
        let mut book = book(&rules);
        let now = run(&mut book, &steps);
        let mut other = book.clone();
        book.set_fleet_bans(now, &bans, Some("here"));
        let mut turned = bans;
        if !turned.is_empty() {
            let by = seed as usize % turned.len();
            turned.rotate_left(by);
            turned.reverse();
        }
        other.set_fleet_bans(now, &turned, Some("here"));
        other.set_fleet_bans(now, &turned, Some("here"));
        for index in 0..INSTANCES {
            prop_assert_eq!(book.bans(index, now), other.bans(index, now));
        }
    }

    /// Nothing changes by itself before the time that is said.
    #[test]
    fn the_next_change_is_foretold(
        rules in rules(), steps in steps(30), roles in roles(), reads in reads(), ahead in 0..400_000_u64,
    ) {
        let mut book = book(&rules);
        let now = run(&mut book, &steps);
        let open = |at| -> Vec<bool> {
            book.view(at, &roles, reads).iter().map(Standing::is_open).collect()
        };
        let later = now + Duration::from_millis(ahead);
        let next = book.next_change(now);
        if next.is_none_or(|next| later < next) {
            prop_assert_eq!(open(now), open(later));
        }
    }

    #[test]
    fn a_reload_keeps_what_is_known(rules in rules(), steps in steps(30), roles in roles(), reads in reads()) {
        let mut book = book(&rules);
        let now = run(&mut book, &steps);
        let before = book.view(now, &roles, reads);
        let turned: Vec<InstanceKey> = (0..INSTANCES).rev().map(key).collect();
        book.reload(rules, turned);
        let mut roles = roles;
        roles.reverse();
        let mut after = book.view(now, &roles, reads);
        after.reverse();
        prop_assert_eq!(before, after);
    }
}
