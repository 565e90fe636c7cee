//! Where the branches of a statement go: to the primaries of their shards, or where reads go.
//!
//! The rules are those of clusters with one shard. A transaction, or what is one by itself, is
//! judged before its first statement, and all of its branches follow. What only reads is asked
//! again elsewhere when an instance fails before the client has heard anything.

use std::time::{Duration, Instant};

use pgherd_pool::{Access, Need, RoleWish};
use pgherd_wire::frontend::definition_text;

use super::coordinator::Coordinator;
use super::extended::Statement;
use super::failure::Failure;
use super::front::Mark;
use super::transaction::State;
use crate::checkout::lsn_of;
use crate::routing::batch::{Extent, Item, scan};
use crate::routing::kept::MAX_FAILURES;
use crate::routing::survival::bit;
use crate::routing::verdict::{Judge, Verdict};
use crate::routing::{Place, Written};

/// Between two attempts where nothing says that it is worth trying at once.
const PAUSE: Duration = Duration::from_millis(100);
/// How the routine is called that says that a hot standby has no serializable transactions.
const OF_STANDBY: &[u8] = b"GetSerializableTransactionSnapshot";

/// What is known of reads and writes of a session.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    /// Of what is under way; `None` is the primaries.
    decided: Option<Decided>,
    /// A replica has refused it, since it writes.
    writes: bool,
    /// By shard, the instances that have failed it.
    avoid: Vec<u64>,
    /// By shard, where the primary's log ended when this session had written last.
    written: Vec<Written>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Decided {
    place: Place,
    /// All of it only reads, whatever the client asks for.
    only_reads: bool,
}

/// Whose answer it was that has failed a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Blamed {
    pub(crate) shard: usize,
    /// Of the instance in its shard.
    pub(crate) index: usize,
    pub(crate) on_primary: bool,
}

/// The attempts at one statement.
pub(crate) struct Attempts {
    /// It is a transaction by itself.
    is_lone: bool,
    mark: Mark,
    begun: Instant,
    failures: u32,
}

// === impl Reads ===

impl Reads {
    /// Whether what is under way may be answered by replicas.
    pub(crate) fn is_elsewhere(&self) -> bool {
        !self.writes && self.decided.is_some_and(|it| it.place != Place::Primary)
    }

    /// The transaction has ended.
    pub(crate) fn end(&mut self) {
        self.decided = None;
        self.writes = false;
        self.avoid.clear();
    }

    fn avoid(&mut self, blamed: Blamed) {
        if self.avoid.len() <= blamed.shard {
            self.avoid.resize(blamed.shard + 1, 0);
        }
        if let Some(bits) = self.avoid.get_mut(blamed.shard) {
            *bits |= bit(blamed.index);
        }
    }

    fn written(&mut self, shard: usize) -> &mut Written {
        if self.written.len() <= shard {
            self.written.resize(shard + 1, Written::Nothing);
        }
        &mut self.written[shard]
    }
}

impl Coordinator {
    /// Decides where a text goes that is about to be run as a whole, if no transaction is open.
    pub(crate) fn route(&mut self, text: &[u8]) {
        if self.transaction.state != State::None || !self.sites.has_choice() {
            return;
        }
        let verdict = self.needs_look(text).then(|| self.judging(|judge| judge.text(text)));
        self.decide(verdict.unwrap_or(Verdict::WRITES));
    }

    /// The same for a prepared statement that is executed, with all that comes in its batch.
    pub(crate) fn route_batch(&mut self, statement: &Statement, is_alone: bool) {
        if self.transaction.state != State::None || !self.sites.has_choice() {
            return;
        }
        if !self.needs_look(statement.text.as_bytes()) {
            return self.decide(Verdict::WRITES);
        }
        let verdict = self.judging(|judge| {
            let of = |statement: &Statement| match &statement.server {
                Some(server)
                    if definition_text(&server.definition) == statement.text.as_bytes() =>
                {
                    judge.statement(server)
                }
                _ => judge.text(statement.text.as_bytes()),
            };
            let mut all = Joined::default();
            all.add(of(statement));
            if is_alone {
                return all.verdict();
            }
            // What was bound before may be executed, too.
            self.extended.bound().for_each(|it| all.add(of(it)));
            self.front.look_ahead(|bytes| {
                let extent = scan(bytes, |item| match item {
                    Item::Parse { text, .. } | Item::Query(text) => all.add(judge.text(text)),
                    // One that is not known yet is of this batch, and was judged above.
                    Item::Uses(name) => {
                        if let Some(known) = self.extended.known(name) {
                            all.add(of(known));
                        }
                    }
                    Item::Closes => {}
                    Item::Opaque => all.add(Verdict::WRITES),
                });
                if extent != Extent::Whole {
                    all.add(Verdict::WRITES);
                }
            });
            all.verdict()
        });
        self.decide(verdict);
    }

    /// Whether anything can lead a text away from the primaries.
    fn needs_look(&self, text: &[u8]) -> bool {
        self.sites.splits_reads()
            || self.wishes.role().is_some()
            || self.wishes.primary_reads().is_some()
            || memchr::memmem::find(text, b"pgherd:").is_some()
    }

    fn judging(&self, judge: impl FnOnce(&Judge<'_>) -> Verdict) -> Verdict {
        let shards = self.sites.shards();
        // The shards have the same functions.
        let volatilities = shards.targets(0).and_then(|targets| targets.volatilities());
        judge(&Judge::new(&self.front.worker, volatilities, &self.front.params()))
    }

    fn decide(&mut self, verdict: Verdict) {
        let wish = verdict.role.unwrap_or_else(|| self.wishes.role());
        let place = Place::of(wish, verdict.access);
        self.reads.end();
        self.reads.decided = Some(Decided { place, only_reads: verdict.access == Access::Read });
        // What has only helped to understand the statement is where it need not go.
        let is_elsewhere = self.reads.is_elsewhere();
        self.branches.retain(|branch| branch.is_alone || branch.on_primary != is_elsewhere);
    }

    /// What a branch of a shard must be.
    pub(crate) async fn need(&mut self, shard: usize) -> Result<Need, Failure> {
        let Some(decided) = self.reads.decided else {
            if self.transaction.is_open() {
                *self.reads.written(shard) = Written::Unknown;
            }
            return Ok(Need::WRITE);
        };
        let place = if self.reads.writes { Place::Primary } else { decided.place };
        let avoid = self.reads.avoid.get(shard).copied().unwrap_or(0);
        let role = place.role(self.wishes.primary_reads());
        let need = Need { role, avoid, ..Need::WRITE };
        if !decided.only_reads || self.reads.writes {
            *self.reads.written(shard) = Written::Unknown;
            return Ok(need);
        }
        let mut need = Need { access: Access::Read, ..need };
        if place != Place::Primary && self.wishes.reads_own_writes() {
            if *self.reads.written(shard) == Written::Unknown {
                let primary = Need { role: Some(RoleWish::Primary), ..Need::WRITE };
                let lease = self.sites.lease(shard, primary).await?;
                match lsn_of(lease).await {
                    Some(lsn) => *self.reads.written(shard) = Written::UpTo(lsn),
                    // Nobody but the primary surely has it.
                    None => return Ok(primary),
                }
            }
            if let Written::UpTo(lsn) = *self.reads.written(shard) {
                need.min_lsn = Some(lsn);
            }
        }
        Ok(need)
    }

    /// Before a statement is tried for the first time.
    pub(crate) fn attempts(&self) -> Attempts {
        self.front.blamed.set(None);
        Attempts {
            is_lone: self.transaction.state == State::None,
            mark: self.front.mark(),
            begun: Instant::now(),
            failures: 0,
        }
    }

    /// Whether a statement that has failed is to be tried again: then nothing is left of the first
    /// attempt.
    pub(crate) async fn tries_again(
        &mut self,
        attempts: &mut Attempts,
        failure: &Failure,
        text: &str,
    ) -> bool {
        let Some(blamed) = self.front.blamed.take() else { return false };
        let limit = self.sites.rules().checkout_timeout;
        if !attempts.is_lone || attempts.begun.elapsed() >= limit {
            return false;
        }
        let only_reads = self.reads.decided.is_some_and(|it| it.only_reads);
        let is_asked_for = self.wishes.role() == Some(RoleWish::Replica);
        let on_replica = !blamed.on_primary;
        let mut waits = false;
        match failure {
            Failure::Broken(_) | Failure::Silent(_) if only_reads && self.sites.has_choice() => {}
            Failure::Reported(report) => match &*report.code() {
                // It was read only by its looks.
                "25006" if on_replica && !is_asked_for && !self.reads.writes => {
                    self.front.worker.refuted.insert(text.as_bytes());
                    self.reads.writes = true;
                }
                // A hot standby cannot do everything that a primary can, and may not have heard
                // of the schema that the statement was planned for.
                "0A000" if on_replica && only_reads && report.field(b'R') == Some(OF_STANDBY) => {
                    self.reads.writes = true;
                }
                code if on_replica
                    && only_reads
                    && !is_asked_for
                    && super::execute::is_about_names(code) =>
                {
                    self.reads.writes = true;
                }
                // The primary has become a replica, and has done nothing of this. Another one may
                // be found any moment.
                "25006" if blamed.on_primary && !self.is_read_only() => waits = true,
                // In the way of the replay.
                "40001" if on_replica && only_reads => {}
                _ => return false,
            },
            // The rows are others than the primary says.
            Failure::Refused(error)
                if on_replica
                    && only_reads
                    && !is_asked_for
                    && super::execute::is_about_names(&error.code) =>
            {
                self.reads.writes = true;
            }
            _ => return false,
        }
        // A primary that was replaced is waited for as long as for a connection.
        if !waits && attempts.failures >= MAX_FAILURES || !self.front.retract(&attempts.mark) {
            return false;
        }
        attempts.failures += 1;
        if !self.reads.writes && !waits {
            self.reads.avoid(blamed);
        }
        tracing::debug!(shard = blamed.shard, "a statement is sent again");
        let decided = (self.reads.decided, self.reads.writes, self.reads.avoid.clone());
        self.leave_attempt().await;
        (self.reads.decided, self.reads.writes, self.reads.avoid) = decided;
        if waits {
            tokio::time::sleep(PAUSE).await;
        }
        true
    }

    /// What an attempt has begun is ended; nobody has heard of it.
    async fn leave_attempt(&mut self) {
        match self.transaction.state {
            State::Implicit => {
                self.give_up_unfinished().await;
                self.abort_transaction().await;
            }
            State::None | State::Block | State::Failed => self.branches.clear(),
        }
    }

    fn is_read_only(&self) -> bool {
        self.front.params().get("default_transaction_read_only") == Some("on")
    }
}

/// What several statements need that go together.
struct Joined(Verdict);

impl Default for Joined {
    fn default() -> Self {
        Self(Verdict { access: Access::Read, role: None })
    }
}

impl Joined {
    fn add(&mut self, other: Verdict) {
        if other.access == Access::Write {
            self.0.access = Access::Write;
        }
        // Where they ask for different things the primary has all.
        self.0.role = match (self.0.role, other.role) {
            (None, role) | (role, None) => role,
            (one, another) if one == another => one,
            _ => Some(Some(RoleWish::Primary)),
        };
    }

    fn verdict(&self) -> Verdict {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_that_go_together_go_where_all_can() {
        let reads = Verdict { access: Access::Read, role: None };
        let on_replica = Verdict { role: Some(Some(RoleWish::Replica)), ..reads };
        let on_primary = Verdict { role: Some(Some(RoleWish::Primary)), ..reads };
        for (verdicts, expected) in [
            (vec![reads, reads], reads),
            (vec![reads, Verdict::WRITES], Verdict::WRITES),
            (vec![reads, on_replica], on_replica),
            (vec![on_replica, on_primary], on_primary),
        ] {
            let mut joined = Joined::default();
            verdicts.iter().for_each(|it| joined.add(*it));
            assert_eq!(joined.verdict(), expected, "{verdicts:?}");
        }
    }
}
