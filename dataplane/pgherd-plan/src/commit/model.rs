//! Every interleaving of a commit over two and three shards with everything that can go wrong: the
//! coordinator, its servers and its connections may stop between any two steps, others finish what
//! they find, as slowly as they like, and one deletes records. In each state that can be
//! reached, the outcome is one for all shards, and it is what the client was told.
//!
//! The machine is the real one; the servers are a model of Postgres, with the unique key on which
//! one transaction waits for another.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};

use super::{Answer, Commit, Order, Outcome, Verdict};

/// The shard with the record.
const R: usize = 0;

/// What has become of the writes on a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Fate {
    /// In a transaction of the coordinator's session.
    Open,
    Prepared,
    Committed,
    Aborted,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Shard {
    fate: Fate,
    /// The coordinator still has its connection.
    linked: bool,
    /// Sent, and not executed yet; may be on its way when the connection is gone.
    request: Option<Order>,
    reply: Option<(Order, Answer)>,
}

/// Somebody who finishes what is prepared.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Resolver {
    Idle,
    /// Has looked at the shards below this one.
    Listing(usize, u8),
    Claimed(u8),
    Finishing(Outcome, u8),
}

/// Who plays.
#[derive(Clone, Copy, Debug)]
struct Cast {
    shards: usize,
    resolvers: usize,
    cleaner: bool,
}

/// Somebody who deletes the record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Cleaner {
    Idle,
    /// Has seen the record, and looked at the shards below this one.
    Listing(usize),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    coordinator: Option<Commit>,
    /// It asks over a new connection.
    asking: Option<bool>,
    told: Option<Verdict>,
    shards: Vec<Shard>,
    /// The record in the open transaction of `R`, and the one that is committed.
    inserted: bool,
    record: Option<Outcome>,
    resolvers: Vec<Resolver>,
    cleaner: Option<Cleaner>,
}

/// What the coordinator may do wrong, to show that the model would notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    /// Resolvers read the record without making one.
    NoClaim,
    /// The cleaner looks for prepared transactions before it looks for the record.
    HastyCleaner,
    /// A lost answer to COMMIT counts as an error.
    LostMeansAborted,
}

impl World {
    fn new(cast: Cast) -> Self {
        let others: Vec<usize> = (1..cast.shards).collect();
        let (commit, orders) = Commit::begin(R, &others);
        let shard = Shard { fate: Fate::Open, linked: true, request: None, reply: None };
        let mut world = Self {
            coordinator: Some(commit),
            asking: None,
            told: None,
            shards: vec![shard; cast.shards],
            inserted: false,
            record: None,
            resolvers: vec![Resolver::Idle; cast.resolvers],
            cleaner: cast.cleaner.then_some(Cleaner::Idle),
        };
        world.send(&orders);
        world
    }

    fn send(&mut self, orders: &[Order]) {
        for &order in orders {
            match order {
                Order::Ask(_) => self.asking = Some(false),
                Order::Record(shard)
                | Order::Prepare(shard)
                | Order::Commit(shard)
                | Order::CommitPrepared(shard)
                | Order::RollbackPrepared(shard)
                | Order::Rollback(shard) => {
                    let shard = &mut self.shards[shard];
                    assert!(shard.reply.is_none(), "two at a time");
                    if shard.linked {
                        assert!(shard.request.is_none(), "two at a time");
                        shard.request = Some(order);
                    } else {
                        shard.reply = Some((order, Answer::Lost));
                    }
                }
            }
        }
    }

    /// The coordinator hears an answer.
    fn hear(&mut self, order: Order, mut answer: Answer, flaw: Flaw) {
        let Some(commit) = &mut self.coordinator else { return };
        if flaw == Flaw::LostMeansAborted && answer == Answer::Lost {
            answer = Answer::Refused;
        }
        let orders = commit.answer(order, answer);
        if let Some(verdict) = commit.verdict() {
            assert!(self.told.is_none_or(|told| told == verdict), "another word: {self:?}");
            self.told = Some(verdict);
        }
        self.send(&orders);
    }

    /// The server executes what was sent; `well` where nothing speaks against it.
    fn execute(&mut self, index: usize, well: bool) {
        let record = self.record;
        let shard = &mut self.shards[index];
        let Some(order) = shard.request.take() else { return };
        let is_open = shard.fate == Fate::Open;
        let well = well && (is_open || !matches!(order, Order::Record(_) | Order::Prepare(_)));
        let mut answer = if well { Answer::Done } else { Answer::Refused };
        match order {
            // An error leaves the transaction as it is: only ROLLBACK can follow.
            Order::Record(_) if well && record.is_none() => self.inserted = true,
            Order::Record(_) => answer = Answer::Refused,
            Order::Prepare(_) => shard.fate = if well { Fate::Prepared } else { Fate::Aborted },
            Order::Commit(_) if is_open && well => {
                shard.fate = Fate::Committed;
                if std::mem::take(&mut self.inserted) {
                    assert!(record.is_none(), "two records: {record:?}");
                    self.record = Some(Outcome::Committed);
                }
            }
            Order::Commit(_) | Order::Rollback(_) => {
                self.roll_back(index);
                if matches!(order, Order::Commit(_)) {
                    answer = Answer::Refused;
                }
            }
            Order::CommitPrepared(_) => self.finish(index, Outcome::Committed),
            Order::RollbackPrepared(_) => self.finish(index, Outcome::Aborted),
            Order::Ask(_) => unreachable!("asked elsewhere"),
        }
        let shard = &mut self.shards[index];
        if shard.linked {
            shard.reply = Some((order, answer));
        }
    }

    fn roll_back(&mut self, index: usize) {
        let shard = &mut self.shards[index];
        if shard.fate == Fate::Open {
            shard.fate = Fate::Aborted;
            if index == R {
                self.inserted = false;
            }
        }
    }

    /// What is not prepared any more has been finished by somebody else.
    fn finish(&mut self, index: usize, outcome: Outcome) {
        let shard = &mut self.shards[index];
        if shard.fate == Fate::Prepared {
            shard.fate = match outcome {
                Outcome::Committed => Fate::Committed,
                Outcome::Aborted => Fate::Aborted,
            };
        }
    }

    /// The coordinator's connection is gone; what it has sent may arrive yet.
    fn cut(&mut self, index: usize) {
        let shard = &mut self.shards[index];
        if std::mem::take(&mut shard.linked) {
            let order = shard.reply.take().map(|(order, _)| order).or(shard.request);
            if self.coordinator.is_some() {
                shard.reply = order.map(|order| (order, Answer::Lost));
            }
        }
    }

    /// The server and all of its sessions end.
    fn crash(&mut self, index: usize) {
        self.cut(index);
        self.shards[index].request = None;
        self.roll_back(index);
    }

    fn vanish(&mut self) {
        self.coordinator = None;
        self.asking = None;
        for index in 0..self.shards.len() {
            self.cut(index);
            self.shards[index].reply = None;
        }
    }

    /// `INSERT … ON CONFLICT DO NOTHING`; whether it can end now.
    fn claim(&mut self) -> bool {
        if self.record.is_none() {
            if self.inserted {
                return false;
            }
            self.record = Some(Outcome::Aborted);
        }
        true
    }

    /// All that can happen next.
    fn next(&self, flaw: Flaw, mut add: impl FnMut(Self)) {
        let mut with = |act: &mut dyn FnMut(&mut Self)| {
            let mut world = self.clone();
            act(&mut world);
            add(world);
        };
        for index in 0..self.shards.len() {
            let shard = &self.shards[index];
            if shard.request.is_some() {
                with(&mut |world| world.execute(index, true));
                with(&mut |world| world.execute(index, false));
                if !shard.linked {
                    with(&mut |world| world.shards[index].request = None);
                }
            } else if !shard.linked && shard.fate == Fate::Open {
                with(&mut |world| world.roll_back(index));
            }
            if let Some((order, answer)) = shard.reply {
                with(&mut |world| {
                    world.shards[index].reply = None;
                    world.hear(order, answer, flaw);
                });
            }
            if shard.linked {
                with(&mut |world| world.cut(index));
            }
            with(&mut |world| world.crash(index));
        }
        if self.coordinator.is_some() {
            with(&mut |world| world.vanish());
        }
        match self.asking {
            None => {}
            Some(false) => {
                with(&mut |world| {
                    if world.claim() {
                        world.asking = Some(true);
                    }
                });
                with(&mut |world| {
                    world.asking = None;
                    world.hear(Order::Ask(R), Answer::Lost, flaw);
                });
            }
            Some(true) => with(&mut |world| {
                world.asking = None;
                let answer = world.record.map_or(Answer::Lost, Answer::Is);
                world.hear(Order::Ask(R), answer, flaw);
            }),
        }
        for index in 0..self.resolvers.len() {
            with(&mut |world| world.resolve(index, flaw));
        }
        if self.cleaner.is_some() {
            with(&mut |world| world.clean(flaw));
        }
    }

    /// One step of a resolver. It takes what it has seen for true, however long ago that was.
    fn resolve(&mut self, index: usize, flaw: Flaw) {
        let next = match self.resolvers[index] {
            // Nothing is ever prepared on the shard with the record.
            Resolver::Idle => Resolver::Listing(R + 1, 0),
            Resolver::Listing(shard, seen) if shard < self.shards.len() => {
                let is_prepared = self.shards[shard].fate == Fate::Prepared;
                Resolver::Listing(shard + 1, seen | u8::from(is_prepared) << shard)
            }
            Resolver::Listing(_, 0) => Resolver::Idle,
            Resolver::Listing(_, seen) => match flaw {
                Flaw::NoClaim => Resolver::Finishing(self.record.unwrap_or(Outcome::Aborted), seen),
                _ if self.claim() => Resolver::Claimed(seen),
                _ => return,
            },
            Resolver::Claimed(seen) => match self.record {
                Some(outcome) => Resolver::Finishing(outcome, seen),
                // Deleted meanwhile: it is asked again.
                None => Resolver::Idle,
            },
            Resolver::Finishing(_, 0) => Resolver::Idle,
            Resolver::Finishing(outcome, seen) => {
                let shard = seen.trailing_zeros();
                self.finish(shard as usize, outcome);
                Resolver::Finishing(outcome, seen & !(1 << shard))
            }
        };
        self.resolvers[index] = next;
    }

    /// One step of the deletion of records. They are kept for longer than a coordinator takes to
    /// hear what became of its COMMIT, or to give up.
    fn clean(&mut self, flaw: Flaw) {
        let is_old = self.coordinator.is_none() || self.told.is_some();
        let is_there = self.record == Some(Outcome::Committed) && is_old;
        let next = match self.cleaner.clone().unwrap_or(Cleaner::Idle) {
            Cleaner::Idle if is_there || flaw == Flaw::HastyCleaner => Cleaner::Listing(R + 1),
            Cleaner::Idle => Cleaner::Idle,
            Cleaner::Listing(shard) if shard < self.shards.len() => {
                if self.shards[shard].fate == Fate::Prepared {
                    Cleaner::Idle
                } else {
                    Cleaner::Listing(shard + 1)
                }
            }
            Cleaner::Listing(_) => {
                if is_there {
                    self.record = None;
                }
                Cleaner::Idle
            }
        };
        self.cleaner = Some(next);
    }

    /// What is wrong here.
    fn wrong(&self, flaw: Flaw) -> Option<&'static str> {
        let any = |fate: Fate| self.shards.iter().any(|shard| shard.fate == fate);
        if any(Fate::Committed) && any(Fate::Aborted) {
            return Some("half done");
        }
        let decided = self.shards[R].fate == Fate::Committed;
        if any(Fate::Committed) && !decided {
            return Some("committed before the decision");
        }
        match self.told {
            Some(Verdict::Committed) if !decided => return Some("told of a commit too early"),
            Some(Verdict::Aborted) if decided => return Some("told of a rollback that was none"),
            _ => {}
        }
        // From here on the coordinator is gone, and somebody comes to look.
        let mut end = self.clone();
        end.vanish();
        (0..self.shards.len()).for_each(|index| end.crash(index));
        end.resolvers = vec![Resolver::Idle];
        for _ in 0..3 * self.shards.len() {
            end.resolve(0, flaw);
        }
        let first = end.shards[R].fate;
        if end.shards.iter().any(|shard| shard.fate != first) {
            return Some("cannot be finished");
        }
        let commits = first == Fate::Committed;
        match self.told {
            Some(Verdict::Committed) if !commits => Some("told of a commit that was none"),
            Some(Verdict::Aborted) if commits => Some("told of a rollback that was none"),
            _ => None,
        }
    }
}

/// Goes through all states; how many there are, or the first that is wrong.
fn explore(cast: Cast, flaw: Flaw) -> Result<usize, Box<(&'static str, World)>> {
    // Hashes instead of states: that two of a few million share one hides a state, at worst.
    let hasher = RandomState::new();
    let (mut seen, mut queue) = (HashSet::new(), VecDeque::from([World::new(cast)]));
    while let Some(world) = queue.pop_front() {
        if let Some(what) = world.wrong(flaw) {
            return Err(Box::new((what, world)));
        }
        world.next(flaw, |next| {
            if seen.insert(hasher.hash_one(&next)) {
                queue.push_back(next);
            }
        });
    }
    Ok(seen.len())
}

#[test]
fn whatever_happens_all_shards_end_alike() {
    for (cast, least) in [
        (Cast { shards: 2, resolvers: 2, cleaner: true }, 10_000),
        (Cast { shards: 3, resolvers: 1, cleaner: false }, 10_000),
    ] {
        match explore(cast, Flaw::None) {
            Ok(states) => {
                assert!(states > least, "only {states} states: something never happens");
            }
            Err(wrong) => panic!("{}: {:#?}", wrong.0, wrong.1),
        }
    }
}

#[test]
fn the_model_notices_what_is_wrong() {
    let cast = Cast { shards: 2, resolvers: 1, cleaner: true };
    for flaw in [Flaw::NoClaim, Flaw::HastyCleaner, Flaw::LostMeansAborted] {
        let found = explore(cast, flaw);
        assert!(found.is_err(), "{flaw:?} is not noticed in {found:?} states");
    }
}
