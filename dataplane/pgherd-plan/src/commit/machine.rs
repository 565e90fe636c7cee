//! Which step of a commit follows which answers.

/// What is to be done on one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Order {
    /// Insert the record on its shard, in the transaction that is open there.
    Record(usize),
    /// `PREPARE TRANSACTION`.
    Prepare(usize),
    /// `COMMIT` on the shard with the record: the decision.
    Commit(usize),
    /// Over a new connection to the shard with the record: what became of the transaction?
    Ask(usize),
    /// `COMMIT PREPARED`.
    CommitPrepared(usize),
    /// `ROLLBACK PREPARED`.
    RollbackPrepared(usize),
    /// `ROLLBACK`, unless the connection is idle already.
    Rollback(usize),
}

/// How an order ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// It is done.
    Done,
    /// The server has said that it is not, and will not be.
    Refused,
    /// Nobody has said anything: the connection is gone.
    Lost,
    /// To [`Order::Ask`].
    Is(Outcome),
}

/// What the record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// All of it.
    Committed,
    /// Nothing of it.
    Aborted,
}

/// What the client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// All of it is there, or will be without anybody's doing.
    Committed,
    /// Nothing of it.
    Aborted,
    /// Nobody can say before the shard with the record is back.
    Unknown,
}

/// One transaction on its way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Commit {
    record: usize,
    /// Whether the record's shard can be told to roll back.
    record_part: Part,
    parts: Vec<(usize, Part)>,
    stage: Stage,
}

/// How the transaction of one shard stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Part {
    /// An order is under way.
    Waiting,
    /// What was asked for first is done: the record inserted, the transaction prepared.
    Ready,
    /// It has refused.
    Refused,
    /// Nobody knows.
    Lost,
    /// Nothing more is to be done here.
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Stage {
    /// The record is being inserted, the others prepare.
    Preparing,
    /// One has refused or is lost: nothing is committed, whatever the others say.
    Failing,
    /// `COMMIT` is under way.
    Committing,
    /// Its answer is lost.
    Asking,
    /// It is known what the others must do.
    Finishing(Verdict),
}

impl Commit {
    /// Begins; what is to be done first, all at once. `record` is none of `others`.
    pub fn begin(record: usize, others: &[usize]) -> (Self, Vec<Order>) {
        let parts: Vec<_> = others.iter().map(|&shard| (shard, Part::Waiting)).collect();
        let prepare = others.iter().map(|&shard| Order::Prepare(shard));
        let orders = std::iter::once(Order::Record(record)).chain(prepare).collect();
        (Self { record, record_part: Part::Waiting, parts, stage: Stage::Preparing }, orders)
    }

    /// Takes the answer to an order; what is to be done next, all at once.
    pub fn answer(&mut self, order: Order, answer: Answer) -> Vec<Order> {
        match (self.stage, order) {
            (Stage::Preparing | Stage::Failing, Order::Record(_)) => {
                self.record_part = part(answer);
                self.prepared()
            }
            (Stage::Preparing | Stage::Failing, Order::Prepare(shard)) => {
                self.set(shard, part(answer));
                self.prepared()
            }
            (Stage::Committing, Order::Commit(_)) => match answer {
                Answer::Done | Answer::Is(Outcome::Committed) => self.finish(Outcome::Committed),
                Answer::Refused | Answer::Is(Outcome::Aborted) => self.finish(Outcome::Aborted),
                Answer::Lost => {
                    self.stage = Stage::Asking;
                    vec![Order::Ask(self.record)]
                }
            },
            (Stage::Asking, Order::Ask(_)) => match answer {
                Answer::Is(outcome) => self.finish(outcome),
                Answer::Done | Answer::Refused | Answer::Lost => {
                    self.stage = Stage::Finishing(Verdict::Unknown);
                    self.record_part = Part::Over;
                    self.parts.iter_mut().for_each(|(_, part)| *part = Part::Lost);
                    Vec::new()
                }
            },
            (_, Order::CommitPrepared(shard) | Order::RollbackPrepared(shard)) => {
                // What is refused now is not for us to judge: it stays prepared.
                self.set(shard, if answer == Answer::Done { Part::Over } else { Part::Lost });
                Vec::new()
            }
            (_, Order::Rollback(shard)) => {
                // A connection that is gone takes its transaction with it.
                self.set(shard, Part::Over);
                Vec::new()
            }
            // Answers to what was never asked.
            _ => Vec::new(),
        }
    }

    /// What the client can be told, if that is known by now.
    pub fn verdict(&self) -> Option<Verdict> {
        match self.stage {
            Stage::Preparing | Stage::Committing | Stage::Asking => None,
            // Without a COMMIT on the record's shard there is none anywhere.
            Stage::Failing => Some(Verdict::Aborted),
            Stage::Finishing(verdict) => Some(verdict),
        }
    }

    /// Whether nothing is under way any more.
    pub fn is_over(&self) -> bool {
        let is_waiting = |part: Part| part == Part::Waiting;
        self.verdict().is_some()
            && !is_waiting(self.record_part)
            && !self.parts.iter().any(|&(_, part)| is_waiting(part))
    }

    /// The shards on which something may be prepared still. Somebody else must look after these,
    /// also when the rest is not waited for.
    pub fn left(&self) -> impl Iterator<Item = usize> {
        let over = |part: Part| matches!(part, Part::Over | Part::Refused);
        self.parts.iter().filter(move |(_, part)| !over(*part)).map(|&(shard, _)| shard)
    }

    /// What follows from what is known while the others prepare.
    fn prepared(&mut self) -> Vec<Order> {
        let all = || self.parts.iter().map(|&(_, part)| part).chain([self.record_part]);
        if all().any(|part| matches!(part, Part::Refused | Part::Lost)) {
            self.stage = Stage::Failing;
        } else if self.stage == Stage::Preparing && all().all(|part| part == Part::Ready) {
            self.stage = Stage::Committing;
            self.record_part = Part::Waiting;
            return vec![Order::Commit(self.record)];
        }
        if self.stage != Stage::Failing {
            return Vec::new();
        }
        // Those that have answered need not wait for the others.
        let mut orders = Vec::new();
        if matches!(self.record_part, Part::Ready | Part::Refused) {
            self.record_part = Part::Waiting;
            orders.push(Order::Rollback(self.record));
        }
        for (shard, part) in &mut self.parts {
            match part {
                Part::Ready => orders.push(Order::RollbackPrepared(*shard)),
                Part::Refused => orders.push(Order::Rollback(*shard)),
                Part::Waiting | Part::Lost | Part::Over => continue,
            }
            *part = Part::Waiting;
        }
        orders
    }

    fn finish(&mut self, outcome: Outcome) -> Vec<Order> {
        let (verdict, order): (_, fn(usize) -> Order) = match outcome {
            Outcome::Committed => (Verdict::Committed, Order::CommitPrepared),
            Outcome::Aborted => (Verdict::Aborted, Order::RollbackPrepared),
        };
        let rolls_back = outcome == Outcome::Aborted && self.stage == Stage::Committing;
        self.stage = Stage::Finishing(verdict);
        self.record_part = if rolls_back { Part::Waiting } else { Part::Over };
        self.parts.iter_mut().for_each(|(_, part)| *part = Part::Waiting);
        let own = rolls_back.then_some(Order::Rollback(self.record));
        own.into_iter().chain(self.parts.iter().map(|&(shard, _)| order(shard))).collect()
    }

    fn set(&mut self, shard: usize, to: Part) {
        if shard == self.record {
            self.record_part = to;
        } else if let Some((_, part)) = self.parts.iter_mut().find(|(it, _)| *it == shard) {
            *part = to;
        }
    }
}

fn part(answer: Answer) -> Part {
    match answer {
        Answer::Done => Part::Ready,
        Answer::Refused => Part::Refused,
        Answer::Lost | Answer::Is(_) => Part::Lost,
    }
}
