//! The rules of the fleet's bans, one by one; `merging` has what holds for any messages.

mod limits;
mod merging;

use std::{collections::BTreeSet, time::Duration};

use super::{
    Cause, Circumstances, Condition, Decision, FleetBan, FleetRules, FleetState, ProxyId, Report,
    Scope, ShardMembers, Sighting, Spared, decide,
};
use crate::EvidenceClass::{self, ConnectRefused, ConnectTimeout, ConnectionReset};
use crate::InstanceKey;

const TTL: Duration = Duration::from_secs(15);

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The primary of the shard is 0.
fn key(index: usize) -> InstanceKey {
    InstanceKey::new(format!("10.0.0.{index}"), 5432)
}

fn healthy() -> Condition {
    Condition::Healthy { seen_ago: Duration::ZERO }
}

fn failing(class: EvidenceClass, lasting: u64) -> Condition {
    Condition::Failing { class, detail: class.to_string(), lasting: millis(lasting) }
}

fn dead() -> Condition {
    failing(ConnectRefused, 0)
}

/// A fleet and what is known of it, at ten seconds of the clock.
struct Fleet {
    state: FleetState,
    sequence: u64,
    now: Duration,
    shards: Vec<ShardMembers>,
    manual: BTreeSet<InstanceKey>,
    known_proxies: usize,
    control_planes: (usize, usize),
    in_force: Vec<FleetBan>,
}

impl Fleet {
    /// One shard of a primary and so many replicas.
    fn new(known_proxies: usize, replicas: usize) -> Self {
        let shard = ShardMembers {
            replicas: (1..=replicas).map(key).collect(),
            primary: Some(key(0)),
            max_banned_percent: 100,
        };
        Self {
            state: FleetState::default(),
            sequence: 0,
            now: millis(10_000),
            shards: vec![shard],
            manual: BTreeSet::new(),
            known_proxies,
            control_planes: (1, 1),
            in_force: Vec::new(),
        }
    }

    /// A complete report: what is not in `unwell` is healthy. The zone is what stands before the
    /// slash in the name.
    fn report(&mut self, proxy: &str, unwell: &[(usize, Condition)]) {
        let instances = 0..=self.shards[0].replicas.len();
        let condition = |index| {
            let unwell = unwell.iter().find(|(unwell, _)| *unwell == index);
            unwell.map_or_else(healthy, |(_, condition)| condition.clone())
        };
        let sightings = instances.map(|i| Sighting { instance: key(i), condition: condition(i) });
        let report = Report {
            proxy: proxy.to_owned(),
            incarnation: 1,
            sequence: self.sequence,
            zone: proxy.split_once('/').map(|(zone, _)| zone.to_owned()),
            votes: true,
            complete: true,
            sightings: sightings.collect(),
        };
        self.sequence += 1;
        self.state.absorb(&report, self.now, TTL);
    }

    fn decide(&self) -> Decision {
        let (known_control_planes, visible_control_planes) = self.control_planes;
        let at = Circumstances {
            now: self.now,
            shards: &self.shards,
            manual: &self.manual,
            known_proxies: self.known_proxies,
            known_control_planes,
            visible_control_planes,
            in_force: &self.in_force,
        };
        decide(&self.state, &FleetRules::default(), &at)
    }

    /// The bans as `index` or `index@zone`, in order; what is held back in parentheses.
    #[track_caller]
    fn check(&self, expected: &str) {
        assert_eq!(shown(&self.decide()), expected);
    }
}

fn shown(decision: &Decision) -> String {
    let name = |ban: &FleetBan| {
        let index = ban.instance.host.rsplit('.').next().unwrap_or_default();
        match &ban.scope {
            Scope::All => index.to_owned(),
            Scope::Zone(zone) => format!("{index}@{zone}"),
        }
    };
    let held_back = |held: &super::FleetHeldBack| {
        let why = match held.spared {
            Spared::Limit => "limit",
            Spared::LastReplica => "last",
            Spared::Minority => "minority",
        };
        format!("({} {why})", name(&held.ban))
    };
    let bans = decision.bans.iter().map(name);
    bans.chain(decision.held_back.iter().map(held_back)).collect::<Vec<_>>().join(" ")
}

// === quorum ===

#[test]
fn a_quorum_is_two_and_more_than_half_of_those_that_watch() {
    // Proxies, those that see replica 1 dead, and what is decided.
    let rows =
        [(1, 1, "1"), (2, 1, ""), (2, 2, "1"), (3, 1, ""), (3, 2, "1"), (4, 2, ""), (5, 3, "1")];
    for (proxies, witnesses, expected) in rows {
        let mut fleet = Fleet::new(proxies, 3);
        for proxy in 0..proxies {
            let unwell: &[_] = if proxy < witnesses { &[(1, dead())] } else { &[] };
            fleet.report(&format!("p{proxy}"), unwell);
        }
        assert_eq!(shown(&fleet.decide()), expected, "{witnesses} of {proxies}");
    }
}

#[test]
fn only_those_that_watch_an_instance_count() {
    let mut fleet = Fleet::new(5, 3);
    for proxy in ["a", "b"] {
        fleet.report(proxy, &[(1, dead())]);
    }
    for proxy in ["c", "d", "e"] {
        fleet.report(proxy, &[(1, Condition::Unwatched)]);
    }
    fleet.check("1");
    let ban = &fleet.decide().bans[0];
    let Cause::Evidence { class, witnesses, voters, .. } = &ban.cause else { panic!("{ban:?}") };
    assert_eq!(
        (*class, witnesses.as_slice(), *voters),
        (ConnectRefused, &["a".to_owned(), "b".to_owned()][..], 2)
    );
    // One that is alone in watching is no quorum in a larger fleet.
    let mut fleet = Fleet::new(3, 3);
    fleet.report("a", &[(1, dead())]);
    fleet.report("b", &[(1, Condition::Unwatched)]);
    fleet.report("c", &[(1, Condition::Unwatched)]);
    fleet.check("");
}

#[test]
fn who_drains_has_no_vote() {
    let mut fleet = Fleet::new(4, 3);
    fleet.report("a", &[(1, dead())]);
    fleet.report("b", &[(1, dead())]);
    fleet.report("c", &[]);
    fleet.report("d", &[]);
    fleet.check("");
    let leaving = Report {
        proxy: "d".to_owned(),
        incarnation: 1,
        sequence: 99,
        zone: None,
        votes: false,
        complete: false,
        sightings: Vec::new(),
    };
    fleet.state.absorb(&leaving, fleet.now, TTL);
    fleet.check("1");
}

#[test]
fn a_vote_expires_and_so_does_the_ban() {
    let mut fleet = Fleet::new(3, 3);
    for proxy in ["a", "b", "c"] {
        fleet.report(proxy, &[(1, dead())]);
        fleet.now += millis(1_000);
    }
    let decision = fleet.decide();
    // Two of three witnesses are needed, and the second expires 15 s after it has reported.
    assert_eq!(decision.bans[0].remaining, Some(millis(13_000)));
    assert_eq!(decision.again_in, Some(millis(12_000)), "the first expires");
    fleet.now += millis(12_999);
    fleet.check("1");
    fleet.now += millis(1);
    fleet.check("");
}

// === sureness ===

#[test]
fn soft_evidence_counts_when_it_lasts_and_the_sooner_the_more_see_it() {
    // Witnesses of five, for how long, and when it will count.
    let rows = [
        (3, 600, Some(67)),
        (3, 667, None),
        (4, 499, Some(1)),
        (4, 500, None),
        (5, 399, Some(1)),
        (5, 400, None),
    ];
    for (witnesses, lasting, ripe_in) in rows {
        let mut fleet = Fleet::new(5, 3);
        for proxy in 0..5 {
            let soft = [(2, failing(ConnectTimeout, lasting))];
            fleet.report(&format!("p{proxy}"), if proxy < witnesses { &soft } else { &[] });
        }
        let decision = fleet.decide();
        let row = format!("{witnesses} witnesses, {lasting} ms");
        assert_eq!(decision.bans.len(), usize::from(ripe_in.is_none()), "{row}");
        if let Some(ripe_in) = ripe_in {
            let again_in = decision.again_in.unwrap();
            assert!(again_in <= millis(ripe_in) && again_in + millis(1) > millis(ripe_in), "{row}");
            fleet.now += again_in;
            fleet.check("2");
        }
    }
}

#[test]
fn hard_evidence_counts_at_once_and_speaks_for_the_ban() {
    let mut fleet = Fleet::new(2, 3);
    fleet.report("a", &[(2, failing(ConnectTimeout, 5_000))]);
    fleet.report("b", &[(2, failing(ConnectionReset, 0))]);
    let ban = fleet.decide().bans.remove(0);
    let Cause::Evidence { class, detail, .. } = ban.cause else { panic!() };
    assert_eq!(
        (class, detail.as_str(), ban.elapsed),
        (ConnectionReset, "connection_reset", millis(5_000))
    );
}

// === doubt ===

#[test]
fn a_proxy_that_fails_against_many_loses_its_vote_and_no_other_does() {
    // Of a primary and four replicas; those that `c` sees failing too.
    let rows: [(&[usize], bool); 5] = [
        (&[1], false),
        (&[1, 2], false),
        (&[1, 2, 3], true),
        (&[0, 1, 2, 3, 4], true),
        (&[2, 3], false),
    ];
    for (unwell, doubts) in rows {
        let mut fleet = Fleet::new(5, 4);
        for proxy in ["a", "b"] {
            fleet.report(proxy, &[(1, dead())]);
        }
        let unwell: Vec<_> = unwell.iter().map(|index| (*index, dead())).collect();
        fleet.report("c", &unwell);
        fleet.report("d", &[]);
        fleet.report("e", &[]);
        let doubted: &[ProxyId] = if doubts { &["c".to_owned()] } else { &[] };
        let decision = fleet.decide();
        assert_eq!(decision.doubted, doubted, "{unwell:?}");
        let third = !doubts && unwell.iter().any(|(index, _)| *index == 1);
        assert_eq!(shown(&decision), if third { "1" } else { "" }, "{unwell:?}");
    }
    let mut fleet = Fleet::new(1, 0);
    fleet.report("a", &[(0, dead())]);
    assert_eq!(fleet.decide().doubted, Vec::<ProxyId>::new(), "one instance is not many");
}

#[test]
fn proxies_that_are_cut_off_together_ban_nothing() {
    let mut fleet = Fleet::new(5, 2);
    for proxy in ["a", "b", "c"] {
        fleet.report(proxy, &[(0, dead()), (1, dead()), (2, dead())]);
    }
    fleet.report("d", &[]);
    fleet.report("e", &[]);
    fleet.check("");
}

// === zones ===

#[test]
fn a_ban_holds_where_the_instance_is_seen_failing() {
    let rows: [(&[&str], &[&str], &str); 8] = [
        (&["x/1", "x/2", "x/3"], &["y/1"], "1@x"),
        (&["x/1", "x/2"], &["y/1", "y/2"], "1@x"),
        (&["x/1", "y/1"], &["y/2"], "1"),
        (&["x/1", "y/1"], &["x/2", "y/2"], ""),
        (&["x/1", "x/2"], &["x/3", "x/4", "y/1"], ""),
        (&["x/1", "x/2", "y/1", "y/2"], &["z/1", "z/2", "z/3", "z/4"], "1@x 1@y"),
        (&["x/1", "x/2"], &["x/3"], "1"),
        (&["x/1"], &["y/1", "y/2"], ""),
    ];
    for (failing, well, expected) in rows {
        let mut fleet = Fleet::new(failing.len() + well.len(), 3);
        failing.iter().for_each(|proxy| fleet.report(proxy, &[(1, dead())]));
        well.iter().for_each(|proxy| fleet.report(proxy, &[]));
        assert_eq!(shown(&fleet.decide()), expected, "{failing:?} against {well:?}");
    }
}

#[test]
fn proxies_without_a_zone_are_a_zone() {
    let mut fleet = Fleet::new(4, 3);
    ["1", "2"].iter().for_each(|proxy| fleet.report(proxy, &[(1, dead())]));
    ["y/1", "y/2"].iter().for_each(|proxy| fleet.report(proxy, &[]));
    fleet.check("1@");
    let scope = &fleet.decide().bans[0].scope;
    assert!(scope.holds_in(None) && !scope.holds_in(Some("y")));
}

// === sides ===

#[test]
fn without_a_majority_nothing_new_is_banned() {
    // Known proxies of which three are there; known and visible control planes.
    let rows = [
        (3, (1, 1), "1"),
        (5, (1, 1), "1"),
        (6, (1, 1), "(1 minority)"),
        (5, (2, 1), "(1 minority)"),
        (5, (3, 2), "1"),
        (5, (3, 1), "(1 minority)"),
        (5, (0, 1), "1"),
    ];
    for (known_proxies, control_planes, expected) in rows {
        let mut fleet = Fleet::new(known_proxies, 3);
        fleet.control_planes = control_planes;
        ["a", "b", "c"].iter().for_each(|proxy| fleet.report(proxy, &[(1, dead())]));
        assert_eq!(shown(&fleet.decide()), expected, "{known_proxies} {control_planes:?}");
    }
}

#[test]
fn without_a_majority_what_was_banned_stays_so_while_the_evidence_lasts() {
    let mut fleet = Fleet::new(3, 3);
    ["a", "b", "c"].iter().for_each(|proxy| fleet.report(proxy, &[(1, dead())]));
    fleet.in_force = fleet.decide().bans;
    fleet.control_planes = (3, 1);
    ["a", "b", "c"].iter().for_each(|proxy| fleet.report(proxy, &[(1, dead()), (2, dead())]));
    fleet.check("1 (2 minority)");
    ["a", "b", "c"].iter().for_each(|proxy| fleet.report(proxy, &[(2, dead())]));
    fleet.check("(2 minority)");
}

// === probes ===

#[test]
fn those_that_have_not_looked_since_are_asked_to() {
    let asked = |fleet: &Fleet| {
        let mut probes = fleet.decide().probes;
        assert!(probes.len() <= 1, "{probes:?}");
        probes.pop().map(|probe| (probe.instance, probe.proxies)).unwrap_or((key(9), Vec::new()))
    };
    let mut fleet = Fleet::new(4, 3);
    ["a", "b", "c", "d"].iter().for_each(|proxy| fleet.report(proxy, &[]));
    assert_eq!(asked(&fleet).1, Vec::<ProxyId>::new());
    fleet.now += millis(700);
    fleet.report("a", &[(1, dead())]);
    assert_eq!(asked(&fleet), (key(1), ["b", "c", "d"].map(str::to_owned).into()));
    fleet.now += millis(5);
    fleet.report("b", &[(1, dead())]);
    fleet.report("c", &[]);
    // `b` has seen it failing after all; `c` has looked and found it well.
    assert_eq!(asked(&fleet), (key(1), vec!["d".to_owned()]));
    fleet.now += millis(300);
    fleet.report("c", &[]);
    fleet.report("d", &[(1, dead())]);
    assert_eq!(asked(&fleet).1, Vec::<ProxyId>::new(), "all have looked");
    fleet.check("1");
    fleet.now += millis(1_000);
    fleet.report("a", &[(1, failing(ConnectRefused, 1_305))]);
    assert_eq!(asked(&fleet).1, Vec::<ProxyId>::new(), "the same failure is no news");
}
