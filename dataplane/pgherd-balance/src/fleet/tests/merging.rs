//! What holds for any messages: states join, and orders, repetition and delays change nothing.

use proptest::prelude::{
    Just, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest,
};

use super::{
    BTreeSet, Circumstances, Condition, Decision, Duration, FleetRules, FleetState, InstanceKey,
    Report, Scope, ShardMembers, Sighting, TTL, decide, key, millis,
};
use crate::EvidenceClass;
use crate::bans::most_banned;

const INSTANCES: usize = 5;

/// What a proxy sends and when, on a clock that all in the test share.
#[derive(Clone, Debug)]
struct Sent {
    report: Report,
    at: Duration,
}

fn condition() -> impl Strategy<Value = Condition> {
    let class = || prop::sample::select(EvidenceClass::ALL.to_vec());
    let failing = |class: EvidenceClass, lasting| Condition::Failing {
        class,
        detail: class.to_string(),
        lasting: millis(lasting),
    };
    prop_oneof![
        1 => Just(Condition::Unwatched),
        4 => (0..2_000_u64).prop_map(|ago| Condition::Healthy { seen_ago: millis(ago) }),
        4 => (class(), 0..5_000_u64).prop_map(move |(class, lasting)| failing(class, lasting)),
    ]
}

fn sightings() -> impl Strategy<Value = Vec<Sighting>> {
    prop::collection::vec(prop::option::weighted(0.8, condition()), INSTANCES).prop_map(|seen| {
        let numbered = seen.into_iter().enumerate();
        let sighting = |(index, condition): (usize, Option<Condition>)| {
            Some(Sighting { instance: key(index), condition: condition? })
        };
        numbered.filter_map(sighting).collect()
    })
}

/// What proxies send: the later in the list, the higher its sequence, so that no two reports of a
/// proxy's incarnation have the same.
fn sent(most: usize) -> impl Strategy<Value = Vec<Sent>> {
    let zone = prop::option::of("[xy]");
    let report = ("[a-e]", 1..3_u64, zone, prop::bool::weighted(0.9), any::<bool>(), sightings());
    prop::collection::vec((report, 0..400_u64), 0..most).prop_map(|reports| {
        let mut at = millis(20_000);
        let numbered = reports.into_iter().enumerate();
        let sent = |(index, ((proxy, incarnation, zone, votes, complete, sightings), later))| {
            at += millis(later);
            let sequence = index as u64;
            let report = Report { proxy, incarnation, sequence, zone, votes, complete, sightings };
            Sent { report, at }
        };
        numbered.map(sent).collect()
    })
}

fn state(sent: &[Sent]) -> FleetState {
    let mut state = FleetState::default();
    sent.iter().for_each(|sent| state.absorb(&sent.report, sent.at, TTL));
    state
}

fn merged(one: &FleetState, other: &FleetState) -> FleetState {
    let mut merged = one.clone();
    merged.merge(other);
    merged
}

fn shards(percent: u8) -> Vec<ShardMembers> {
    let shard = |replicas: Vec<InstanceKey>, primary| ShardMembers {
        replicas,
        primary,
        max_banned_percent: percent,
    };
    vec![
        shard((1..INSTANCES).map(key).collect(), Some(key(0))),
        shard(vec![key(1), key(2)], Some(key(3))),
    ]
}

fn decision(
    state: &FleetState,
    shards: &[ShardMembers],
    manual: &BTreeSet<InstanceKey>,
    now: Duration,
) -> Decision {
    let at = Circumstances {
        now,
        shards,
        manual,
        known_proxies: 1,
        known_control_planes: 1,
        visible_control_planes: 1,
        in_force: &[],
    };
    decide(state, &FleetRules::default(), &at)
}

fn now_after(sent: &[Sent]) -> Duration {
    sent.last().map_or(millis(20_000), |sent| sent.at)
}

proptest! {
    #[test]
    fn states_join(one in sent(12), two in sent(12), three in sent(12)) {
        let (one, two, three) = (state(&one), state(&two), state(&three));
        prop_assert_eq!(merged(&one, &two), merged(&two, &one));
        prop_assert_eq!(
            merged(&merged(&one, &two), &three),
            merged(&one, &merged(&two, &three))
        );
        prop_assert_eq!(&merged(&one, &one), &one);
        let both = merged(&one, &two);
        prop_assert_eq!(&merged(&both, &one), &both);
    }

    #[test]
    fn order_and_repetition_mean_nothing(
        (sent, shuffled) in sent(20).prop_flat_map(|sent| {
            let twice: Vec<_> = sent.iter().chain(&sent).cloned().collect();
            (Just(sent), Just(twice).prop_shuffle())
        }),
    ) {
        prop_assert_eq!(state(&sent), state(&shuffled));
    }

    /// Two control planes hear different things in different orders, and tell each other.
    #[test]
    fn who_heard_what_first_means_nothing(sent in sent(20), to in any::<u64>(), percent in 0..=100_u8) {
        let half = |second: bool| -> Vec<Sent> {
            let goes = |index: &usize| ((to >> (index % 64)) & 1 == 1) == second;
            sent.iter().enumerate().filter(|(index, _)| goes(index)).map(|(_, s)| s.clone()).collect()
        };
        let now = now_after(&sent);
        let (mut one, mut other) = (state(&half(true)), state(&half(false)));
        let (from_one, from_other) = (one.gossip(now), other.gossip(now));
        one.hear(&from_other, now);
        other.hear(&from_one, now);
        let (shards, manual) = (shards(percent), BTreeSet::new());
        let expected = decision(&state(&sent), &shards, &manual, now);
        prop_assert_eq!(&decision(&one, &shards, &manual, now), &expected);
        prop_assert_eq!(&decision(&other, &shards, &manual, now), &expected);
        // Hearing it again later does not make it live longer.
        let later = now + millis(3_000);
        let again = other.gossip(later);
        one.hear(&again, later);
        prop_assert_eq!(one, other);
    }

    /// Messages under way for up to a second; what is soft has lasted longer than that difference.
    #[test]
    fn delays_mean_nothing(
        (sent, delayed) in sent(20).prop_flat_map(|sent| {
            let delays = prop::collection::vec(0..1_000_u64, sent.len());
            let settled: Vec<_> = sent.into_iter().map(settle).collect();
            (Just(settled), delays).prop_map(|(sent, delays)| {
                let mut delayed: Vec<_> = sent.iter().zip(delays).map(|(sent, delay)| {
                    Sent { at: sent.at + millis(delay), ..sent.clone() }
                }).collect();
                delayed.sort_by_key(|sent| sent.at);
                (sent, delayed)
            })
        }),
        percent in 0..=100_u8,
    ) {
        // All have arrived, and none has expired yet.
        let now = now_after(&sent) + millis(1_000);
        let (shards, manual) = (shards(percent), BTreeSet::new());
        let bans = |sent: &[Sent]| {
            let decision = decision(&state(sent), &shards, &manual, now);
            let held_back = decision.held_back.into_iter().map(|held| (held.ban, Some(held.spared)));
            let bans = decision.bans.into_iter().map(|ban| (ban, None)).chain(held_back);
            bans.map(|(ban, spared)| (ban.instance, ban.scope, spared)).collect::<Vec<_>>()
        };
        prop_assert_eq!(bans(&sent), bans(&delayed));
    }

    #[test]
    fn limits_hold_in_every_zone(
        sent in sent(20),
        percent in 0..=100_u8,
        manual in prop::collection::btree_set((0..INSTANCES).prop_map(key), 0..3),
    ) {
        let shards = shards(percent);
        let decision = decision(&state(&sent), &shards, &manual, now_after(&sent));
        for (shard, zone) in shards.iter().flat_map(|shard| [None, Some("x"), Some("y")].map(|z| (shard, z))) {
            let banned: BTreeSet<_> = decision
                .bans
                .iter()
                .filter(|ban| ban.scope.holds_in(zone) && shard.replicas.contains(&ban.instance))
                .map(|ban| &ban.instance)
                .collect();
            prop_assert!(banned.len() <= most_banned(shard.replicas.len(), percent));
            let left = shard.replicas.iter().filter(|r| !manual.contains(r) && !banned.contains(r));
            prop_assert!(banned.is_empty() || left.count() > 0, "{:?}", decision);
        }
        for ban in &decision.bans {
            prop_assert!(!manual.contains(&ban.instance));
            prop_assert!(ban.remaining.is_some_and(|remaining| remaining <= TTL));
        }
        let identities: BTreeSet<_> = decision.bans.iter().map(|b| (&b.instance, &b.scope)).collect();
        prop_assert_eq!(identities.len(), decision.bans.len());
        for (one, other) in decision.bans.iter().zip(decision.bans.iter().skip(1)) {
            let both = one.instance == other.instance && one.scope == Scope::All;
            prop_assert!(!both, "for all and for a zone: {:?}", one);
        }
    }

    /// Nothing changes by itself before the time that is said.
    #[test]
    fn the_next_change_is_foretold(sent in sent(20), ahead in 0..20_000_u64) {
        let (state, shards, manual) = (state(&sent), shards(100), BTreeSet::new());
        let now = now_after(&sent);
        let identities = |decision: &Decision| -> Vec<_> {
            decision.bans.iter().map(|ban| (ban.instance.clone(), ban.scope.clone())).collect()
        };
        let first = decision(&state, &shards, &manual, now);
        if first.again_in.is_none_or(|again_in| millis(ahead) < again_in) {
            let later = decision(&state, &shards, &manual, now + millis(ahead));
            prop_assert_eq!(identities(&first), identities(&later));
        }
    }

    #[test]
    fn forgetting_what_has_expired_decides_nothing(sent in sent(20), ahead in 0..40_000_u64) {
        let (mut state, shards, manual) = (state(&sent), shards(50), BTreeSet::new());
        let now = now_after(&sent) + millis(ahead);
        let before = decision(&state, &shards, &manual, now);
        state.expire(now);
        prop_assert_eq!(before, decision(&state, &shards, &manual, now));
    }

    #[test]
    fn what_travels_survives_being_written_and_read(sent in sent(10)) {
        let state = state(&sent);
        let now = now_after(&sent);
        let gossip = state.gossip(now);
        let json = serde_json::to_string(&gossip).unwrap();
        prop_assert_eq!(serde_json::from_str::<super::super::Gossip>(&json).unwrap(), gossip);
        for Sent { report, .. } in sent {
            let json = serde_json::to_string(&report).unwrap();
            prop_assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
        }
    }
}

/// Makes soft evidence so old that a second of delay does not matter.
fn settle(mut sent: Sent) -> Sent {
    for sighting in &mut sent.report.sightings {
        if let Condition::Failing { lasting, .. } = &mut sighting.condition {
            *lasting += millis(2_000);
        }
    }
    sent
}
