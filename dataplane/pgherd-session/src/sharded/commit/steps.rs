//! The steps of a commit on several shards, done over the branches that wrote.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use pgherd_plan::commit::{Answer, Commit, Gid, Order, Outcome, Place, Verdict, sql};
use pgherd_wire::{ErrorResponse, TransactionStatus, sqlstate};
use uuid::Uuid;

use super::readiness::make_ready;
use super::roles::{ANSWER, RoleError, open_as};
use super::{ROLLED_BACK, for_client, unknown};
use crate::sharded::branch::Branch;
use crate::sharded::branches::Branches;
use crate::sharded::failure::Failure;
use crate::sharded::front::Front;
use crate::sharded::sites::Sites;

/// How long the client waits for the others, once it is decided: they are finished in any case.
const FINISH: Duration = Duration::from_secs(2);
/// How long a COMMIT may be silent before its answer counts as lost. Much less than records are
/// kept for.
const COMMIT: Duration = Duration::from_secs(100);
/// How long is asked, at most, what became of it.
const ASK: Duration = Duration::from_secs(30);
/// Between two questions.
const PAUSE: Duration = Duration::from_millis(100);
/// How often the transaction with the record is shown that somebody is there.
const STILL_HERE: Duration = Duration::from_secs(20);

/// `unique_violation`
const UNIQUE_VIOLATION: &str = "23505";
/// `not_null_violation`
const NOT_NULL_VIOLATION: &str = "23502";
/// `undefined_object`: no prepared transaction has that name any more.
const UNDEFINED_OBJECT: &str = "42704";

/// What the steps of one transaction have in common.
struct Context<'a> {
    front: &'a Front,
    sites: &'a Sites,
    id: Uuid,
    /// The shard with the record, and its database.
    record: usize,
    place: Place,
    began: Instant,
    /// As whom the session inserts the record.
    role: RefCell<String>,
    failures: RefCell<Vec<Failure>>,
}

/// What is under way on a branch.
type Step<'b> = Pin<Box<dyn Future<Output = (&'b mut Branch, Option<(Order, Answer)>)> + 'b>>;

/// Commits on these shards, of which each has written.
pub(super) async fn commit(
    branches: &mut Branches,
    front: &Rc<Front>,
    sites: &Rc<Sites>,
    writers: &[usize],
) -> Result<(), Failure> {
    let Some((&record, others)) = writers.split_first() else { return Ok(()) };
    let places = make_ready(front, sites, writers).await?;
    let Some(&place) = places.first() else { return Ok(()) };
    let shared = &front.worker.shared;
    let working = shared.commits.begin(&front.entry.database);
    let id = working.id;
    let context = Context {
        front,
        sites,
        id,
        record,
        place,
        began: Instant::now(),
        role: RefCell::default(),
        failures: RefCell::default(),
    };
    let (machine, first) = Commit::begin(record, others);
    let branches = branches.iter_mut().filter(|it| writers.contains(&it.shard));
    let machine = context.run(branches.collect(), machine, first).await;
    if machine.left().next().is_none() {
        working.finished();
    } else {
        // Whoever finishes it begins now.
        drop(working);
        shared.commits.until_settled(id, FINISH).await;
    }
    match machine.verdict() {
        Some(Verdict::Committed) => Ok(()),
        Some(Verdict::Aborted) => Err(context.why()),
        Some(Verdict::Unknown) | None => Err(unknown(record)),
    }
}

impl Context<'_> {
    /// Goes on until nothing is under way, or the client has waited long enough for what is
    /// decided.
    async fn run<'b>(
        &'b self,
        branches: Vec<&'b mut Branch>,
        mut machine: Commit,
        first: Vec<Order>,
    ) -> Commit {
        let mut free: Vec<&'b mut Branch> = branches;
        let mut steps: FuturesUnordered<Step<'b>> = FuturesUnordered::new();
        let mut orders = first;
        let mut enough: Option<tokio::time::Instant> = None;
        let mut pulse = tokio::time::interval(STILL_HERE);
        pulse.reset();
        let mut waiting = Vec::new();
        loop {
            waiting.append(&mut orders);
            waiting.retain(|&order| {
                let at = free.iter().position(|branch| branch.shard == shard_of(order));
                if let Some(at) = at {
                    steps.push(Box::pin(self.step(free.swap_remove(at), order)));
                }
                at.is_none()
            });
            if machine.is_over() {
                return machine;
            }
            if machine.verdict().is_some() && enough.is_none() {
                enough = Some(tokio::time::Instant::now() + FINISH);
            }
            let limit = async {
                match enough {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                Some((branch, done)) = steps.next() => {
                    free.push(branch);
                    if let Some((order, answer)) = done {
                        orders = machine.answer(order, answer);
                    }
                }
                () = limit => return machine,
                _ = pulse.tick() => {
                    let own = free.iter().position(|branch| branch.shard == self.record);
                    if let Some(at) = own.filter(|_| machine.verdict().is_none()) {
                        steps.push(Box::pin(still_here(free.swap_remove(at))));
                    }
                }
            }
        }
    }

    async fn step<'b>(
        &self,
        branch: &'b mut Branch,
        order: Order,
    ) -> (&'b mut Branch, Option<(Order, Answer)>) {
        let answer = match order {
            Order::Ask(_) => self.ask().await,
            Order::Rollback(_) if branch.status() == TransactionStatus::Idle => Answer::Done,
            _ => self.tell(branch, order).await,
        };
        (branch, Some((order, answer)))
    }

    async fn tell(&self, branch: &mut Branch, order: Order) -> Answer {
        let shard = branch.shard;
        let (sql, tag) = match order {
            Order::Record(_) => (sql::insert_record(self.id, self.place), "INSERT 0 1"),
            Order::Prepare(_) => (sql::prepare(&self.gid(shard)), "PREPARE TRANSACTION"),
            Order::Commit(_) => (sql::commit(self.id, self.began.elapsed()), "COMMIT"),
            Order::CommitPrepared(_) => (sql::commit_prepared(&self.gid(shard)), "COMMIT PREPARED"),
            Order::RollbackPrepared(_) => {
                (sql::rollback_prepared(&self.gid(shard)), "ROLLBACK PREPARED")
            }
            Order::Rollback(_) | Order::Ask(_) => ("ROLLBACK".to_owned(), "ROLLBACK"),
        };
        let said = match order {
            Order::Commit(_) => {
                let said = tokio::time::timeout(COMMIT, for_client(branch, &sql)).await;
                said.unwrap_or(Err(Failure::Broken(shard)))
            }
            Order::Record(_) => branch.simple(&sql).await,
            _ => for_client(branch, &sql).await,
        };
        match said {
            Ok(answer) if answer.tag == tag => {
                if let Order::Record(_) = order {
                    let row = answer.rows.first().and_then(|row| row.first()?.as_deref());
                    *self.role.borrow_mut() =
                        String::from_utf8_lossy(row.unwrap_or_default()).into_owned();
                }
                Answer::Done
            }
            Ok(answer) => {
                let text = format!("shard {shard} has rolled the transaction back: {}", answer.tag);
                self.note(Failure::error(ROLLED_BACK, text));
                Answer::Refused
            }
            Err(Failure::Reported(report)) => {
                let finishes =
                    matches!(order, Order::CommitPrepared(_) | Order::RollbackPrepared(_));
                if finishes && report.code() == UNDEFINED_OBJECT {
                    // Somebody was quicker.
                    return Answer::Done;
                }
                if finishes {
                    let error = report.message();
                    tracing::warn!(shard, transaction = %self.id, "left prepared: {error}");
                    return Answer::Refused;
                }
                let is_record = matches!(order, Order::Record(_));
                self.note(match &*report.code() {
                    UNIQUE_VIOLATION if is_record => taken_over(),
                    NOT_NULL_VIOLATION if is_record => self.moved(shard),
                    _ => Failure::Reported(report),
                });
                Answer::Refused
            }
            Err(failure) => {
                if matches!(order, Order::Record(_) | Order::Prepare(_)) {
                    self.note(failure);
                }
                Answer::Lost
            }
        }
    }

    /// What became of the transaction, over another connection. Makes it *aborted* where nothing
    /// did.
    async fn ask(&self) -> Answer {
        let limit = self.sites.rules().checkout_timeout.min(ASK);
        let begun = Instant::now();
        let role = self.role.borrow().clone();
        loop {
            match self.ask_once(&role).await {
                Ok(outcome) => {
                    if outcome == Outcome::Aborted {
                        self.note(broke_before_commit(self.record));
                    }
                    return Answer::Is(outcome);
                }
                Err(error) => {
                    tracing::debug!(transaction = %self.id, "what became of it? {error}");
                }
            }
            if begun.elapsed() >= limit {
                return Answer::Lost;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn ask_once(&self, role: &str) -> Result<Outcome, RoleError> {
        let directory = &self.front.worker.shared.directory;
        let primaries = directory.primaries(&self.front.entry.database);
        let primaries = primaries.ok_or(RoleError::NoPrimary)?;
        let mut errand = open_as(&primaries, self.record, role).await?;
        let rows = errand.ask_within(&sql::claim_record(self.id), ANSWER).await;
        let rows = rows.map_err(RoleError::Failed)?;
        sql::read_outcome(rows.first().and_then(|row| row.first()?.as_deref()))
            .ok_or(RoleError::NoRecord)
    }

    fn gid(&self, shard: usize) -> Gid {
        let number = |shard: usize| u32::try_from(shard).unwrap_or(u32::MAX);
        Gid {
            transaction: self.id,
            record: number(self.record),
            shard: number(shard),
            place: self.place,
        }
    }

    fn note(&self, failure: Failure) {
        self.failures.borrow_mut().push(failure);
    }

    /// The database is another one than it was: the next transaction looks again.
    fn moved(&self, shard: usize) -> Failure {
        self.front.worker.shared.commits.ready.lock().clear();
        let text = format!("shard {shard} has become another database");
        Failure::error(sqlstate::CANNOT_CONNECT_NOW, text)
    }

    /// Why nothing was committed: what was heard first.
    fn why(&self) -> Failure {
        let mut failures = self.failures.take();
        if failures.is_empty() {
            return Failure::error(ROLLED_BACK, "the transaction has been rolled back");
        }
        failures.swap_remove(0)
    }
}

async fn still_here(branch: &mut Branch) -> (&mut Branch, Option<(Order, Answer)>) {
    if let Err(failure) = branch.simple(sql::STILL_HERE).await {
        tracing::debug!(?failure, "the shard with the record does not answer");
    }
    (branch, None)
}

fn taken_over() -> Failure {
    Failure::error(
        ROLLED_BACK,
        "the transaction was rolled back by another proxy, which took this one for dead",
    )
}

fn broke_before_commit(shard: usize) -> Failure {
    let text = format!("the connection to shard {shard} broke while it committed");
    Failure::refused(
        ErrorResponse::error(sqlstate::CONNECTION_FAILURE, text)
            .detail("The transaction has been rolled back on all shards."),
    )
}

fn shard_of(order: Order) -> usize {
    match order {
        Order::Record(shard)
        | Order::Prepare(shard)
        | Order::Commit(shard)
        | Order::Ask(shard)
        | Order::CommitPrepared(shard)
        | Order::RollbackPrepared(shard)
        | Order::Rollback(shard) => shard,
    }
}
