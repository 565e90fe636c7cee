//! What the strategies make of many choices.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use pgherd_config::{Cluster, Instance, InstanceRole, Reads, Shard};
use proptest::prelude::{Strategy as _, any, prop, prop_assert, prop_assert_eq, proptest};

use super::{Candidate, PeakEwma, Strategy, choose, strategy_for};

const ALL: [Strategy; 5] = [
    Strategy::Random,
    Strategy::LeastConnections,
    Strategy::RoundRobin,
    Strategy::Weighted,
    Strategy::PeakEwma,
];

/// A generator with a fixed seed (SplitMix64): the same choices in each run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

fn idle(index: usize, weight: u32) -> Candidate {
    Candidate { index, weight, busy: 0, latency: 1000.0 }
}

/// How often each index is chosen in turns `from..to`.
fn counts(strategy: Strategy, candidates: &[Candidate], from: u64, to: u64) -> Vec<u64> {
    let mut dice = Dice(from);
    let mut counts = vec![0; 1 + candidates.iter().map(|c| c.index).max().unwrap_or_default()];
    for turn in from..to {
        counts[choose(strategy, candidates, turn, dice.roll()).unwrap()] += 1;
    }
    counts
}

/// Each share in percent, which must be within `tolerance` of what is expected.
#[track_caller]
fn check_shares(what: Strategy, counts: &[u64], expected: &[f64], tolerance: f64) {
    let total: u64 = counts.iter().sum();
    let shares: Vec<_> = counts.iter().map(|n| 100.0 * *n as f64 / total as f64).collect();
    let near = |(share, expected): (&f64, &f64)| (share - expected).abs() <= tolerance;
    assert_eq!(shares.len(), expected.len(), "{what:?}");
    assert!(shares.iter().zip(expected).all(near), "{what:?}: {shares:.1?}, not {expected:?}");
}

#[test]
fn equal_instances_get_equal_shares() {
    let four: Vec<_> = (0..4).map(|index| idle(index, 1)).collect();
    for strategy in ALL {
        check_shares(strategy, &counts(strategy, &four, 0, 40_000), &[25.0; 4], 1.0);
    }
}

/// The case that pgcat got wrong: two of four replicas are banned.
#[test]
fn survivors_of_a_ban_share_evenly_from_the_first_query_on() {
    for banned in [[0, 1], [1, 2], [0, 2], [1, 3], [2, 3], [0, 3]] {
        let open: Vec<_> =
            (0..4).filter(|i| !banned.contains(i)).map(|index| idle(index, 1)).collect();
        let expected: Vec<_> =
            (0..=open[1].index).map(|i| if banned.contains(&i) { 0.0 } else { 50.0 }).collect();
        for strategy in ALL {
            check_shares(strategy, &counts(strategy, &open, 7, 20_007), &expected, 1.5);
        }
        // Whatever turn it was when the ban came, nobody gets two in a row.
        for turn in 0..8 {
            let shares = counts(Strategy::RoundRobin, &open, turn, turn + 10);
            check_shares(Strategy::RoundRobin, &shares, &expected, 0.0);
        }
    }
}

#[test]
fn shares_follow_the_weights() {
    let unequal = [idle(0, 1), idle(1, 2), idle(2, 0), idle(3, 3)];
    let expected = [100.0 / 6.0, 200.0 / 6.0, 0.0, 50.0];
    for strategy in [Strategy::Weighted, Strategy::LeastConnections] {
        check_shares(strategy, &counts(strategy, &unequal, 0, 40_000), &expected, 1.0);
    }
    let none: Vec<_> = (0..4).map(|index| idle(index, 0)).collect();
    for strategy in ALL {
        check_shares(strategy, &counts(strategy, &none, 0, 40_000), &[25.0; 4], 1.0);
    }
}

#[test]
fn the_least_busy_for_its_weight_is_chosen() {
    let rows: [(&[(u32, u32)], &[usize]); 6] = [
        (&[(1, 3), (1, 2), (1, 5)], &[1]),
        (&[(1, 2), (2, 3), (1, 2)], &[1]),
        (&[(1, 1), (2, 2)], &[0, 1]),
        (&[(0, 0), (1, 900)], &[1]),
        (&[(0, 4), (0, 3)], &[1]),
        (&[(u32::MAX, u32::MAX), (u32::MAX, u32::MAX - 1)], &[1]),
    ];
    for (instances, expected) in rows {
        let candidates: Vec<_> = instances
            .iter()
            .enumerate()
            .map(|(index, &(weight, busy))| Candidate { index, weight, busy, latency: 0.0 })
            .collect();
        let mut dice = Dice(1);
        let mut chosen: Vec<_> = (0..100)
            .filter_map(|turn| choose(Strategy::LeastConnections, &candidates, turn, dice.roll()))
            .collect();
        chosen.sort_unstable();
        chosen.dedup();
        assert_eq!(chosen, expected, "{instances:?}");
    }
}

// === a slow replica ===

/// Clients that send one query after the other to replicas with fixed service times.
struct Simulation {
    strategy: Strategy,
    service: Vec<Duration>,
    now: Duration,
    busy: Vec<u32>,
    latency: Vec<PeakEwma>,
    /// When a query ends, on which replica, and when it began.
    running: BinaryHeap<Reverse<(Duration, usize, Duration)>>,
    dice: Dice,
    turn: u64,
}

impl Simulation {
    fn new(strategy: Strategy, clients: usize, service: &[u64]) -> Self {
        let count = service.len();
        let mut simulation = Self {
            strategy,
            service: service.iter().map(|millis| Duration::from_millis(*millis)).collect(),
            now: Duration::from_secs(1),
            busy: vec![0; count],
            latency: vec![PeakEwma::default(); count],
            running: BinaryHeap::new(),
            dice: Dice(42),
            turn: 0,
        };
        (0..clients).for_each(|_| simulation.start());
        simulation
    }

    fn start(&mut self) {
        let candidates: Vec<_> = (0..self.service.len())
            .map(|index| Candidate {
                index,
                weight: 1,
                busy: self.busy[index],
                latency: self.latency[index].value(self.now),
            })
            .collect();
        let random = self.dice.roll();
        let index = choose(self.strategy, &candidates, self.turn, random).unwrap();
        self.turn += 1;
        self.busy[index] += 1;
        // Up to a tenth longer, so that nothing runs in step.
        let jitter = self.service[index].mul_f64((self.dice.roll() % 100) as f64 / 1000.0);
        self.running.push(Reverse((self.now + self.service[index] + jitter, index, self.now)));
    }

    /// How many queries each replica has finished meanwhile.
    fn run(&mut self, seconds: u64) -> Vec<u64> {
        let end = self.now + Duration::from_secs(seconds);
        let mut finished = vec![0; self.service.len()];
        while let Some(Reverse((ends, index, began))) = self.running.pop() {
            self.now = ends;
            self.busy[index] -= 1;
            self.latency[index].observe(ends, ends - began);
            finished[index] += 1;
            self.start();
            if ends > end {
                break;
            }
        }
        finished
    }
}

#[test]
fn equal_replicas_share_evenly_under_load() {
    for strategy in ALL {
        let finished = Simulation::new(strategy, 16, &[2, 2, 2, 2]).run(20);
        check_shares(strategy, &finished, &[25.0; 4], 2.0);
    }
}

#[test]
fn a_slow_replica_gets_little_where_the_strategy_looks_at_it() {
    // 40 times slower; what does not look gives it its full share, and all wait for it.
    for (strategy, most) in [(Strategy::LeastConnections, 4.0), (Strategy::PeakEwma, 1.0)] {
        let finished = Simulation::new(strategy, 16, &[2, 80, 2, 2]).run(30);
        let share = 100.0 * finished[1] as f64 / finished.iter().sum::<u64>() as f64;
        assert!(share > 0.0 && share < most, "{strategy:?}: {share:.2} %");
        let others = [finished[0], finished[2], finished[3]];
        check_shares(strategy, &others, &[100.0 / 3.0; 3], 2.0);
    }
    for strategy in [Strategy::Random, Strategy::RoundRobin, Strategy::Weighted] {
        let finished = Simulation::new(strategy, 16, &[2, 80, 2, 2]).run(30);
        check_shares(strategy, &finished, &[25.0; 4], 2.0);
    }
}

#[test]
fn a_replica_that_was_slow_is_tried_again_and_gets_its_share_back() {
    for (clients, within) in [(1, 30), (16, 30)] {
        let mut simulation = Simulation::new(Strategy::PeakEwma, clients, &[2, 200]);
        let slow = simulation.run(30);
        assert!(slow[1] * 20 < slow[0], "{clients} clients: {slow:?}");
        simulation.service[1] = Duration::from_millis(2);
        simulation.run(within);
        let finished = simulation.run(10);
        let share = 100.0 * finished[1] as f64 / finished.iter().sum::<u64>() as f64;
        assert!(share > 40.0, "{clients} clients: {share:.1} %");
    }
}

#[test]
fn one_new_replica_does_not_draw_everything() {
    let known = |index, busy| Candidate { index, weight: 1, busy, latency: 5000.0 };
    let mut new = Candidate { index: 1, weight: 1, busy: 0, latency: 0.0 };
    let mut dice = Dice(3);
    let mut chosen = |candidates: &[Candidate]| {
        let times = 0..10_000;
        let new =
            times.filter(|_| choose(Strategy::PeakEwma, candidates, 0, dice.roll()) == Some(1));
        new.count()
    };
    assert_eq!(chosen(&[known(0, 1), new]), 10_000, "it is less busy");
    new.busy = 1;
    assert!((4_500..5_500).contains(&chosen(&[known(0, 1), new])), "a tie goes either way");
    new.busy = 2;
    assert_eq!(chosen(&[known(0, 1), new]), 0, "it is busier");
}

// === the average ===

#[test]
fn the_average_rises_at_once_falls_slowly_and_fades() {
    let (second, millis) = (Duration::from_secs, Duration::from_millis);
    let mut average = PeakEwma::default();
    assert_eq!(average.value(second(9)), 0.0, "nothing is known");
    average.observe(second(10), millis(1));
    assert_eq!(average.value(second(10)), 1_000.0);
    average.observe(second(10), millis(100));
    assert_eq!(average.value(second(10)), 100_000.0, "a peak counts in full");
    average.observe(second(11), millis(1));
    let soon = average.value(second(11));
    assert!((80_000.0..90_000.0).contains(&soon), "{soon}");
    (12..60).for_each(|at| average.observe(second(at), millis(1)));
    let later = average.value(second(60));
    assert!((500.0..1_100.0).contains(&later), "{later}");
    assert_eq!(average.value(second(300)), 0.0, "after long silence nothing is known any more");
    average.observe(second(5), millis(1));
    assert!(average.value(second(5)).is_finite(), "times out of order do no harm");
}

// === the default ===

#[test]
fn without_a_setting_the_strategy_follows_from_the_instances() {
    use InstanceRole::{Auto, Primary, Replica};
    let rows: [(Reads, &[(InstanceRole, u32)], Strategy); 7] = [
        (Reads::Replicas, &[(Primary, 1), (Replica, 1), (Replica, 1)], Strategy::Random),
        (Reads::Replicas, &[(Primary, 9), (Replica, 1), (Replica, 1)], Strategy::Random),
        (Reads::Replicas, &[(Primary, 1), (Replica, 1), (Replica, 2)], Strategy::LeastConnections),
        (Reads::Replicas, &[(Auto, 1), (Auto, 1)], Strategy::Random),
        (Reads::Any, &[(Primary, 1), (Replica, 1)], Strategy::LeastConnections),
        (Reads::Any, &[(Auto, 1), (Auto, 1)], Strategy::LeastConnections),
        (Reads::Primary, &[(Primary, 1)], Strategy::Random),
    ];
    for (reads, instances, expected) in rows {
        let instances = instances.iter().map(|&(role, weight)| Instance {
            host: "127.0.0.1".to_owned(),
            port: 5432,
            database: None,
            role,
            weight,
            max_server_connections: 0,
            server_tls: None,
        });
        let shard = Shard { instances: instances.collect() };
        let mut cluster = Cluster { reads, ..Cluster::default() };
        assert_eq!(strategy_for(&cluster, &shard), expected, "{reads:?} {shard:?}");
        cluster.load_balancing = Some(Strategy::PeakEwma);
        assert_eq!(strategy_for(&cluster, &shard), Strategy::PeakEwma);
    }
}

// === anything ===

fn candidates() -> impl proptest::strategy::Strategy<Value = Vec<Candidate>> {
    let one = (any::<u32>(), any::<u32>(), any::<f64>());
    prop::collection::vec(one, 0..70).prop_map(|instances| {
        let number = |(index, (weight, busy, latency))| Candidate {
            index: index * 3,
            weight: if weight % 3 == 0 { 0 } else { weight },
            busy,
            latency,
        };
        instances.into_iter().enumerate().map(number).collect()
    })
}

proptest! {
    #[test]
    fn one_is_chosen_whenever_there_is_one(
        candidates in candidates(),
        turn in any::<u64>(),
        random in any::<u64>(),
    ) {
        for strategy in ALL {
            let chosen = choose(strategy, &candidates, turn, random);
            prop_assert_eq!(chosen.is_some(), !candidates.is_empty());
            let Some(chosen) = candidates.iter().find(|c| Some(c.index) == chosen) else { continue };
            let weights = matches!(strategy, Strategy::Weighted | Strategy::LeastConnections);
            if weights && candidates.iter().any(|c| c.weight > 0) {
                prop_assert!(chosen.weight > 0, "{:?} chose weight 0", strategy);
            }
        }
    }

    #[test]
    fn an_average_is_a_number_whatever_is_observed(
        seen in prop::collection::vec((any::<u32>(), any::<u64>()), 1..50),
    ) {
        let mut average = PeakEwma::default();
        for (at, latency) in seen {
            let at = Duration::from_millis(at.into());
            average.observe(at, Duration::from_micros(latency));
            let value = average.value(at);
            prop_assert!(value.is_finite() && value >= 0.0);
        }
    }
}
