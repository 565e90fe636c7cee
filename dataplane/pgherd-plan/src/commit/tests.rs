//! Rows for names, steps and decisions.

use std::time::Duration;

use uuid::Uuid;

use super::{
    Answer, Commit, Gid, GidError, InDoubt, Order, Outcome, Place, Prepared, Standing, Verdict,
    in_doubt,
};

const HOME: Place = Place { system: 7_300_000_000_000_000_000, database: 16_384 };
const AWAY: Place = Place { system: 7_300_000_000_000_000_000, database: 16_385 };

fn gid(transaction: u128, shard: u32) -> Gid {
    Gid { transaction: Uuid::from_u128(transaction), record: 0, shard, place: HOME }
}

// === names ===

#[test]
fn a_name_is_read_as_it_is_written() {
    let gid = gid(1, 2);
    let text = gid.to_string();
    let expected = "pgherd:00000000-0000-0000-0000-000000000001:0:2:7300000000000000000:16384";
    assert_eq!(text, expected);
    assert_eq!(text.parse(), Ok(gid));
    let odd = Gid {
        transaction: Uuid::max(),
        record: u32::MAX,
        shard: u32::MAX - 1,
        place: Place { system: i64::MIN, database: u32::MAX },
    };
    assert_eq!(odd.to_string().parse(), Ok(odd));
    assert!(odd.to_string().len() < 200, "Postgres takes no more");
}

#[test]
fn what_is_spelled_otherwise_is_none_of_ours() {
    let id = "00000000-0000-0000-0000-00000000000a";
    let rows = [
        String::new(),
        "pgherd:".to_owned(),
        format!("pgherd:{id}:0:1:5"),
        format!("pgherd:{id}:0:1:5:6:7"),
        format!("pgherd:{id}:0:1:5:6 "),
        format!(" pgherd:{id}:0:1:5:6"),
        format!("Pgherd:{id}:0:1:5:6"),
        format!("pgherd:{}:0:1:5:6", id.to_uppercase()),
        format!("pgherd:{{{id}}}:0:1:5:6"),
        format!("pgherd:{}:0:1:5:6", id.replace('-', "")),
        format!("pgherd:{id}:00:1:5:6"),
        format!("pgherd:{id}:0:+1:5:6"),
        format!("pgherd:{id}:0:-1:5:6"),
        format!("pgherd:{id}:1:1:5:6"),
        format!("pgherd:{id}:0:1:5:4294967296"),
        format!("pgherd:{id}:0:1:9223372036854775808:6"),
        format!("pgherd:{id}:0:1:5:6{}", " ".repeat(300)),
    ];
    for row in rows {
        assert_eq!(row.parse::<Gid>(), Err(GidError), "{row:?}");
    }
    assert!(format!("pgherd:{id}:0:1:5:6").parse::<Gid>().is_ok());
}

// === steps ===

/// Gives the answers in turn; what was ordered after each, and what the client hears at the end.
#[track_caller]
fn check(answers: &[(Order, Answer)], expected: &[&[Order]], verdict: Verdict, left: &[usize]) {
    let (mut commit, first) = Commit::begin(0, &[1, 2]);
    assert_eq!(first, [Order::Record(0), Order::Prepare(1), Order::Prepare(2)]);
    for ((order, answer), expected) in answers.iter().zip(expected) {
        assert!(!commit.is_over(), "over before {order:?}");
        assert_eq!(commit.answer(*order, *answer), *expected, "after {order:?} {answer:?}");
    }
    assert_eq!(answers.len(), expected.len());
    assert!(commit.is_over(), "{commit:?}");
    assert_eq!(commit.verdict(), Some(verdict));
    assert_eq!(commit.left().collect::<Vec<_>>(), left);
}

use Answer::{Done, Is, Lost, Refused};
use Order::{Ask, CommitPrepared, Prepare, Record, Rollback, RollbackPrepared};

const READY: [(Order, Answer); 3] = [(Record(0), Done), (Prepare(1), Done), (Prepare(2), Done)];

#[test]
fn all_goes_well() {
    let rest = [(Order::Commit(0), Done), (CommitPrepared(2), Done), (CommitPrepared(1), Done)];
    let finish: &[Order] = &[CommitPrepared(1), CommitPrepared(2)];
    let orders: [&[Order]; 6] = [&[], &[], &[Order::Commit(0)], finish, &[], &[]];
    check(&[READY, rest].concat(), &orders, Verdict::Committed, &[]);
}

#[test]
fn one_refuses_to_prepare() {
    check(
        &[
            (Prepare(2), Refused),
            (Rollback(2), Done),
            (Record(0), Done),
            (Prepare(1), Done),
            (RollbackPrepared(1), Done),
            (Rollback(0), Done),
        ],
        &[&[Rollback(2)], &[], &[Rollback(0)], &[RollbackPrepared(1)], &[], &[]],
        Verdict::Aborted,
        &[],
    );
}

#[test]
fn one_is_lost_while_it_prepares() {
    check(
        &[
            (Record(0), Done),
            (Prepare(1), Lost),
            (Prepare(2), Done),
            (Rollback(0), Done),
            (RollbackPrepared(2), Lost),
        ],
        &[&[], &[Rollback(0)], &[RollbackPrepared(2)], &[], &[]],
        Verdict::Aborted,
        &[1, 2],
    );
}

#[test]
fn the_record_is_refused() {
    check(
        &[
            (Prepare(1), Done),
            (Prepare(2), Done),
            (Record(0), Refused),
            (Rollback(0), Done),
            (RollbackPrepared(1), Done),
            (RollbackPrepared(2), Done),
        ],
        &[&[], &[], &[Rollback(0), RollbackPrepared(1), RollbackPrepared(2)], &[], &[], &[]],
        Verdict::Aborted,
        &[],
    );
}

#[test]
fn the_commit_is_refused() {
    let rest = [
        (Order::Commit(0), Refused),
        (Rollback(0), Done),
        (RollbackPrepared(1), Done),
        (RollbackPrepared(2), Done),
    ];
    let undo: &[Order] = &[Rollback(0), RollbackPrepared(1), RollbackPrepared(2)];
    let orders: [&[Order]; 7] = [&[], &[], &[Order::Commit(0)], undo, &[], &[], &[]];
    check(&[&READY[..], &rest[..]].concat(), &orders, Verdict::Aborted, &[]);
}

#[test]
fn the_answer_to_the_commit_is_lost() {
    for (outcome, finish, verdict) in [
        (Outcome::Committed, [CommitPrepared(1), CommitPrepared(2)], Verdict::Committed),
        (Outcome::Aborted, [RollbackPrepared(1), RollbackPrepared(2)], Verdict::Aborted),
    ] {
        let rest =
            [(Order::Commit(0), Lost), (Ask(0), Is(outcome)), (finish[0], Done), (finish[1], Done)];
        let orders: [&[Order]; 7] = [&[], &[], &[Order::Commit(0)], &[Ask(0)], &finish, &[], &[]];
        check(&[&READY[..], &rest[..]].concat(), &orders, verdict, &[]);
    }
    let rest = [(Order::Commit(0), Lost), (Ask(0), Lost)];
    let orders: [&[Order]; 5] = [&[], &[], &[Order::Commit(0)], &[Ask(0)], &[]];
    check(&[&READY[..], &rest[..]].concat(), &orders, Verdict::Unknown, &[1, 2]);
}

#[test]
fn a_part_that_is_lost_after_the_decision_is_left_to_others() {
    let rest = [(Order::Commit(0), Done), (CommitPrepared(1), Lost), (CommitPrepared(2), Refused)];
    let finish: &[Order] = &[CommitPrepared(1), CommitPrepared(2)];
    let orders: [&[Order]; 6] = [&[], &[], &[Order::Commit(0)], finish, &[], &[]];
    check(&[READY, rest].concat(), &orders, Verdict::Committed, &[1, 2]);
}

// === decisions ===

fn prepared(transaction: u128, shard: usize, age: u64) -> Prepared {
    Prepared {
        shard,
        owner: "app".to_owned(),
        gid: gid(transaction, u32::try_from(shard).unwrap()),
        age: Duration::from_secs(age),
    }
}

#[test]
fn what_is_old_or_left_is_finished_where_its_record_is_now() {
    let listed = [
        prepared(1, 1, 4),
        prepared(1, 2, 5),
        prepared(2, 1, 2),
        prepared(3, 1, 9),
        prepared(4, 1, 0),
    ];
    // The shard with the records has number 2 by now.
    let places = [Some(AWAY), None, Some(HOME)];
    let standing = |id: Uuid| match id.as_u128() {
        3 => Standing::Working,
        4 => Standing::Left,
        _ => Standing::Unknown,
    };
    let doubts = in_doubt(&listed, &places, Duration::from_secs(3), standing);
    let doubt = |transaction: u128, parts: &[Prepared]| InDoubt {
        transaction: Uuid::from_u128(transaction),
        owner: "app".to_owned(),
        record: 2,
        parts: parts.to_vec(),
    };
    assert_eq!(doubts.due, [doubt(1, &listed[..2]), doubt(4, &listed[4..])]);
    assert_eq!(doubts.astray, []);
}

#[test]
fn without_its_record_nothing_is_done() {
    let listed = [prepared(1, 1, 60)];
    let known = |_| Standing::Unknown;
    let grace = Duration::from_secs(3);
    let away = in_doubt(&listed, &[None, Some(AWAY)], grace, known);
    assert!(away.due.is_empty() && away.astray.is_empty(), "the record's shard may come back");
    let gone = in_doubt(&listed, &[Some(AWAY), Some(AWAY)], grace, known);
    assert!(gone.due.is_empty());
    assert_eq!(gone.astray, listed);
}
