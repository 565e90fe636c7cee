//! How many of a shard's replicas the fleet bans.

use super::{
    ConnectTimeout, Fleet, InstanceKey, Report, ShardMembers, Sighting, TTL, dead, failing,
    healthy, key, shown,
};

#[test]
fn limits_of_a_shard() {
    /// Replicas, percent, those that fail, those that administrators have banned, the decision.
    type Row = (usize, u8, &'static [usize], &'static [usize], &'static str);
    let rows: [Row; 11] = [
        (4, 100, &[1, 2], &[], "1 2"),
        (4, 100, &[2, 3, 4], &[], "2 3 4"),
        (4, 50, &[4, 3, 2], &[], "2 3 (4 limit)"),
        (4, 0, &[1], &[], "(1 limit)"),
        (2, 10, &[2], &[], "2"),
        (2, 100, &[2, 1], &[], "1 (2 last)"),
        (1, 100, &[1], &[], "(1 last)"),
        (3, 100, &[1, 2], &[3], "1 (2 last)"),
        (3, 100, &[1], &[1], ""),
        (3, 100, &[1], &[2, 3], "(1 last)"),
        (3, 100, &[0], &[], "0"),
    ];
    for (replicas, max_banned_percent, unwell, manual, expected) in rows {
        let mut fleet = Fleet::new(2, replicas);
        // So many healthy ones that nobody doubts itself.
        let others = (20..40).map(key).collect();
        fleet.shards.push(ShardMembers {
            replicas: others,
            primary: None,
            max_banned_percent: 100,
        });
        fleet.shards[0].max_banned_percent = max_banned_percent;
        fleet.manual = manual.iter().copied().map(key).collect();
        for proxy in ["a", "b"] {
            let mut sightings: Vec<_> = (0..=replicas)
                .map(|index| Sighting {
                    instance: key(index),
                    condition: if unwell.contains(&index) { dead() } else { healthy() },
                })
                .collect();
            sightings.extend((20..40).map(|i| Sighting { instance: key(i), condition: healthy() }));
            let report = Report {
                proxy: proxy.to_owned(),
                incarnation: 1,
                sequence: 1,
                zone: None,
                votes: true,
                complete: true,
                sightings,
            };
            fleet.state.absorb(&report, fleet.now, TTL);
        }
        assert_eq!(shown(&fleet.decide()), expected, "{unwell:?} of {replicas}, manual {manual:?}");
    }
}

#[test]
fn hard_evidence_and_bans_for_all_come_first() {
    let mut fleet = Fleet::new(2, 4);
    fleet.shards[0].max_banned_percent = 25;
    for proxy in ["a", "b"] {
        fleet.report(proxy, &[(1, failing(ConnectTimeout, 5_000)), (3, dead())]);
    }
    fleet.check("3 (1 limit)");

    let mut fleet = Fleet::new(4, 4);
    fleet.shards[0].max_banned_percent = 25;
    for proxy in ["x/1", "x/2"] {
        fleet.report(proxy, &[(1, dead()), (3, failing(ConnectTimeout, 5_000))]);
    }
    for proxy in ["y/1", "y/2"] {
        fleet.report(proxy, &[(3, failing(ConnectTimeout, 5_000))]);
    }
    fleet.check("3 (1@x limit)");
}

#[test]
fn zones_are_limited_each_for_itself() {
    let mut fleet = Fleet::new(4, 4);
    fleet.shards[0].max_banned_percent = 25;
    ["x/1", "x/2"].iter().for_each(|proxy| fleet.report(proxy, &[(1, dead())]));
    ["y/1", "y/2"].iter().for_each(|proxy| fleet.report(proxy, &[(2, dead()), (3, dead())]));
    fleet.check("1@x 2@y (3@y limit)");
}

#[test]
fn an_instance_of_two_shards_keeps_the_limits_of_both() {
    let mut fleet = Fleet::new(2, 4);
    let other = ShardMembers { replicas: vec![key(1)], primary: None, max_banned_percent: 100 };
    fleet.shards.push(other);
    ["a", "b"].iter().for_each(|proxy| fleet.report(proxy, &[(1, dead()), (2, dead())]));
    fleet.check("2 (1 last)");
}

#[test]
fn what_is_in_no_shard_or_behind_a_unix_socket_is_nobody_s_business() {
    let mut fleet = Fleet::new(2, 4);
    let socket = InstanceKey::new("/run/postgresql", 5432);
    fleet.shards[0].replicas.push(socket.clone());
    for (sequence, proxy) in ["a", "b"].iter().enumerate() {
        fleet.report(proxy, &[]);
        let unwell = [socket.clone(), key(77)];
        let report = Report {
            proxy: (*proxy).to_owned(),
            incarnation: 1,
            sequence: 10 + sequence as u64,
            zone: None,
            votes: true,
            complete: false,
            sightings: unwell.map(|instance| Sighting { instance, condition: dead() }).into(),
        };
        fleet.state.absorb(&report, fleet.now, TTL);
    }
    fleet.check("");
}
