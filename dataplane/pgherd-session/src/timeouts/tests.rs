//! The sweep with a clock of its own.

use super::*;
use crate::clients::{ClientIdentity, ClientRegistry};

const MS: Duration = Duration::from_millis(1);

fn watch(limits: ClientTimeouts) -> Watch {
    let registry = Arc::<ClientRegistry>::default();
    let who = ClientIdentity {
        user: "app".into(),
        database: "app".into(),
        address: None,
        application_name: "".into(),
        replication: None,
        tls: None,
        version: pgherd_wire::startup::VERSION_3_0,
    };
    let entry = Arc::clone(&registry.add(who, 0).expect("there is room").entry);
    let now = Instant::now();
    let seen = Seen {
        activity: Activity::Idle,
        statements: 0,
        transactions: 0,
        heard: 0,
        silent_since: now,
        since: now,
        transaction_since: now,
        cancelled: None,
    };
    Watch {
        limits,
        entry,
        activity: Cell::new(Activity::Idle),
        heard: Cell::new(0),
        statements: Cell::new(0),
        transactions: Cell::new(0),
        expired: Cell::new(None),
        cancelling: Cell::new(false),
        seen: Cell::new(seen),
    }
}

/// What has expired after each of these steps of 10 ms, when `act` is done before each.
fn expired(watch: &Watch, steps: u32, mut act: impl FnMut(u32, &Watch)) -> Vec<(u32, Expired)> {
    let begun = Instant::now();
    let mut found = Vec::new();
    for step in 1..=steps {
        act(step, watch);
        watch.look(begun + 10 * MS * step);
        found.extend(watch.expired.take().map(|expired| (step, expired)));
    }
    found
}

#[test]
fn a_query_is_cancelled_again_and_given_up_in_the_end() {
    let watch = watch(ClientTimeouts { query: Some(200 * MS), ..ClientTimeouts::default() });
    watch.activity.set(Activity::Running);
    let found = expired(&watch, 700, |_, _| {});
    let steps: Vec<u32> = found.iter().map(|(step, _)| *step).collect();
    // Seen first at step 1; the limit is 20 steps later, and then each second.
    assert_eq!(steps[..7], [21, 121, 221, 321, 421, 521, 621]);
    let kinds: Vec<Expired> = found.iter().map(|(_, expired)| *expired).collect();
    assert_eq!(kinds[..5], [Expired::Query; 5]);
    assert_eq!(kinds[5], Expired::Cancel);
}

#[test]
fn statements_that_follow_each_other_are_not_one() {
    let limits = ClientTimeouts {
        query: Some(50 * MS),
        transaction: Some(50 * MS),
        idle_in_transaction: Some(50 * MS),
        idle: Some(50 * MS),
        stall: None,
    };
    for activity in [Activity::Idle, Activity::Waiting, Activity::Running] {
        let watch = watch(limits);
        let found = expired(&watch, 100, |_, watch| {
            watch.activity.set(activity);
            watch.statement_ended();
            watch.transaction_ended();
        });
        assert_eq!(found, [], "{activity:?}");
    }
}

#[test]
fn a_transaction_of_many_statements_is_one() {
    let limits = ClientTimeouts { transaction: Some(100 * MS), ..ClientTimeouts::default() };
    let watch = watch(limits);
    let found = expired(&watch, 11, |step, watch| {
        watch.statement_ended();
        watch.activity.set(match step % 2 {
            0 => Activity::Running,
            _ => Activity::IdleInTransaction,
        });
    });
    assert_eq!(found, [(11, Expired::Transaction)]);
}

#[test]
fn doing_nothing_expires_inside_and_outside_of_transactions() {
    let limits = ClientTimeouts {
        idle_in_transaction: Some(30 * MS),
        idle: Some(60 * MS),
        ..ClientTimeouts::default()
    };
    let inside = watch(limits);
    inside.activity.set(Activity::IdleInTransaction);
    assert_eq!(expired(&inside, 4, |_, _| {}), [(4, Expired::IdleInTransaction)]);
    let outside = watch(limits);
    let first = expired(&outside, 7, |_, _| {});
    assert_eq!(first.first().map(|(_, expired)| *expired), Some(Expired::Idle));
    let waiting = watch(limits);
    waiting.activity.set(Activity::Waiting);
    assert_eq!(expired(&waiting, 100, |_, _| {}), []);
}

#[test]
fn silence_is_looked_into_again_and_again_and_words_end_it() {
    let limits = ClientTimeouts { stall: Some(100 * MS), ..ClientTimeouts::default() };
    let silent = watch(limits);
    silent.activity.set(Activity::Running);
    let found = expired(&silent, 25, |_, _| {});
    assert_eq!(found, [(10, Expired::Stall), (20, Expired::Stall)]);
    let slow = watch(limits);
    slow.activity.set(Activity::Running);
    let found = expired(&slow, 100, |step, watch| {
        if step % 9 == 0 {
            watch.server_spoke();
        }
    });
    assert_eq!(found, []);
    for activity in [Activity::Idle, Activity::Waiting, Activity::IdleInTransaction] {
        let idle = watch(limits);
        idle.activity.set(activity);
        assert_eq!(expired(&idle, 100, |_, _| {}), [], "{activity:?}");
    }
}
