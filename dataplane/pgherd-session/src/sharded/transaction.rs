//! The client's transaction over all shards that take part in it.
//!
//! BEGIN opens nothing: a branch begins when a statement needs its shard, with all that the
//! transaction has set and its savepoints so far.

use std::time::SystemTime;

use pgherd_pool::Need;
use pgherd_wire::owed::Audience;
use pgherd_wire::{ErrorResponse, Severity, TransactionStatus, sqlstate};

use super::branch::{Branch, Wrote};
use super::commit;
use super::coordinator::Coordinator;
use super::failure::Failure;
use super::verb::Control;

/// How far the transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum State {
    /// Each statement is a transaction.
    #[default]
    None,
    /// Several statements that came together are one.
    Implicit,
    /// Between BEGIN and its end.
    Block,
    /// An error has ended it, but for its ROLLBACK.
    Failed,
}

/// The transaction of a session.
#[derive(Debug, Default)]
pub(crate) struct Transaction {
    pub(crate) state: State,
    /// What its branches begin with.
    begin: String,
    /// What they repeat.
    log: Vec<Logged>,
    /// Something was SET that lasts.
    pub(crate) sets: bool,
    /// The schema was changed.
    pub(crate) defines: bool,
    /// The search path that it has set, with the version of the catalog.
    pub(crate) path: Option<(u64, std::sync::Arc<[String]>)>,
    /// A branch broke, and with it what it had done: no savepoint brings that back.
    has_lost: bool,
    /// When it had its first branch.
    pub(crate) began: Option<SystemTime>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Logged {
    Savepoint(String),
    Set(String),
    /// A cursor was declared, which a rollback to an earlier savepoint drops.
    Cursor(String),
}

/// Connections that break before the transaction has begun there.
const MAX_BROKEN: usize = 3;

/// `no_active_sql_transaction`
const NO_TRANSACTION: &str = "25P01";
/// `active_sql_transaction`
const ACTIVE_TRANSACTION: &str = "25001";
/// `in_failed_sql_transaction`
pub(crate) const IN_FAILED_TRANSACTION: &str = "25P02";
/// `savepoint_exception`
const NO_SAVEPOINT: &str = "3B001";

// === impl Transaction ===

impl Transaction {
    pub(crate) fn status(&self) -> TransactionStatus {
        match self.state {
            State::None | State::Implicit => TransactionStatus::Idle,
            State::Block => TransactionStatus::InTransaction,
            State::Failed => TransactionStatus::Failed,
        }
    }

    /// Whether statements are part of something larger.
    pub(crate) fn is_open(&self) -> bool {
        self.state != State::None
    }

    /// Whether something was set in it, perhaps for as long as it lasts.
    pub(crate) fn has_settings(&self) -> bool {
        self.log.iter().any(|it| matches!(it, Logged::Set(_)))
    }

    fn savepoint(&self, name: &str) -> Result<usize, Failure> {
        let named = |it: &Logged| matches!(it, Logged::Savepoint(other) if other == name);
        self.log.iter().rposition(named).ok_or_else(|| {
            Failure::error(NO_SAVEPOINT, format!("savepoint \"{name}\" does not exist"))
        })
    }

    /// The name of the innermost savepoint.
    pub(crate) fn last_savepoint(&self) -> Option<&str> {
        self.log.iter().rev().find_map(|it| match it {
            Logged::Savepoint(name) => Some(name.as_str()),
            Logged::Set(_) | Logged::Cursor(_) => None,
        })
    }

    /// A SET inside of the transaction, for branches that begin later.
    pub(crate) fn log_set(&mut self, text: &str) {
        self.path = None;
        self.log.push(Logged::Set(text.trim().trim_end_matches(';').to_owned()));
    }

    /// A cursor was declared.
    pub(crate) fn log_cursor(&mut self, name: &str) {
        self.log.push(Logged::Cursor(name.to_owned()));
    }

    /// What a branch begins with.
    fn prologue(&self) -> String {
        let mut sql = if self.begin.is_empty() { "BEGIN".to_owned() } else { self.begin.clone() };
        for logged in &self.log {
            match logged {
                Logged::Savepoint(name) => {
                    sql.push_str("; SAVEPOINT ");
                    sql.push_str(&quoted(name));
                }
                Logged::Set(text) => {
                    sql.push_str("; ");
                    sql.push_str(text);
                }
                Logged::Cursor(_) => {}
            }
        }
        sql
    }
}

/// An identifier in quotes.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn warning(code: &'static str, text: &'static str) -> ErrorResponse<'static> {
    ErrorResponse { severity: Severity::Warning, ..ErrorResponse::error(code, text) }
}

impl Coordinator {
    /// BEGIN, COMMIT and their kin. Returns the tag.
    pub(crate) async fn control(
        &mut self,
        control: &Control,
        text: &str,
    ) -> Result<&'static str, Failure> {
        match control {
            Control::Begin { starts } => {
                match self.transaction.state {
                    State::None | State::Implicit => {
                        self.begin_implicit();
                        self.transaction.state = State::Block;
                        if self.branches.is_empty() {
                            text.trim()
                                .trim_end_matches(';')
                                .clone_into(&mut self.transaction.begin);
                            self.judge_begin().await?;
                        }
                    }
                    _ => {
                        let text = "there is already a transaction in progress";
                        self.front.put(|out| warning(ACTIVE_TRANSACTION, text).put(out));
                    }
                }
                Ok(if *starts { "START TRANSACTION" } else { "BEGIN" })
            }
            Control::Commit { chain } => self.commit(*chain).await,
            Control::Rollback { chain } => self.rollback(*chain).await,
            Control::Savepoint(name) => {
                self.in_block("SAVEPOINT")?;
                self.tell_branches(&format!("SAVEPOINT {}", quoted(name))).await?;
                self.transaction.log.push(Logged::Savepoint(name.clone()));
                Ok("SAVEPOINT")
            }
            Control::Release(name) => {
                self.in_block("RELEASE SAVEPOINT")?;
                let at = self.transaction.savepoint(name)?;
                self.tell_branches(&format!("RELEASE SAVEPOINT {}", quoted(name))).await?;
                let mut index = 0;
                self.transaction.log.retain(|it| {
                    index += 1;
                    index <= at || !matches!(it, Logged::Savepoint(_))
                });
                Ok("RELEASE")
            }
            Control::RollbackTo(name) => {
                self.in_block("ROLLBACK TO SAVEPOINT")?;
                let at = self.transaction.savepoint(name)?;
                if self.transaction.has_lost {
                    return Err(Failure::error(
                        sqlstate::CONNECTION_FAILURE,
                        "the connection to a shard broke: the transaction can only be rolled back as a whole",
                    ));
                }
                let sql = format!("ROLLBACK TO SAVEPOINT {}", quoted(name));
                for undone in self.transaction.log.split_off(at + 1) {
                    if let Logged::Cursor(name) = undone {
                        self.cursors.remove(&name);
                    }
                }
                self.transaction.path = None;
                self.tell_branches(&sql).await?;
                self.transaction.state = State::Block;
                Ok("ROLLBACK")
            }
        }
    }

    /// What follows is one transaction, if none is open.
    pub(crate) fn begin_implicit(&mut self) {
        if self.transaction.state == State::None {
            // Those that have answered by themselves have not begun one.
            self.branches.clear();
            self.transaction.state = State::Implicit;
        }
    }

    fn in_block(&self, what: &str) -> Result<(), Failure> {
        match self.transaction.state {
            State::Block | State::Failed => Ok(()),
            State::None | State::Implicit => Err(Failure::error(
                NO_TRANSACTION,
                format!("{what} can only be used in transaction blocks"),
            )),
        }
    }

    /// A BEGIN with options that may be wrong opens a branch at once, so that its shard says so.
    async fn judge_begin(&mut self) -> Result<(), Failure> {
        let plain = ["begin", "begin transaction", "begin work", "start transaction"];
        if plain.iter().any(|it| self.transaction.begin.eq_ignore_ascii_case(it)) {
            return Ok(());
        }
        let shard = self.any_shard();
        match self.branch(shard).await {
            Ok(_) => Ok(()),
            Err(failure) => {
                self.end_transaction();
                Err(failure)
            }
        }
    }

    /// The same statement on all branches, one after the other.
    pub(crate) async fn tell_branches(&mut self, sql: &str) -> Result<(), Failure> {
        for branch in self.branches.iter_mut() {
            branch.send_simple(sql.as_bytes(), Audience::Proxy).await?;
        }
        let mut failed = None;
        for branch in self.branches.iter_mut() {
            if let Err(failure) = branch.answered().await {
                failed.get_or_insert(failure);
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn commit(&mut self, chain: bool) -> Result<&'static str, Failure> {
        match self.transaction.state {
            State::Failed => return self.rollback(chain).await,
            State::None | State::Implicit if chain => {
                return Err(Failure::error(
                    NO_TRANSACTION,
                    "COMMIT AND CHAIN can only be used in transaction blocks",
                ));
            }
            State::None | State::Implicit => {
                let text = "there is no transaction in progress";
                self.front.put(|out| warning(NO_TRANSACTION, text).put(out));
            }
            State::Block => {}
        }
        let begin = self.transaction.begin.clone();
        self.finish_transaction().await?;
        if chain {
            self.transaction.state = State::Block;
            self.transaction.begin = begin;
        }
        Ok("COMMIT")
    }

    /// Commits on all branches, and gives them back.
    pub(crate) async fn finish_transaction(&mut self) -> Result<(), Failure> {
        // From here on it is all or nothing: nobody ends a statement of it.
        self.front.party.take();
        let committed = if self.branches.is_empty() {
            Ok(())
        } else {
            commit::finish(&mut self.branches, &self.front, &self.sites).await
        };
        if committed.is_ok()
            && self.transaction.sets
            && let Err(failure) = self.take_settings().await
        {
            // What is committed is not said to have failed.
            if let Failure::End(_) = failure {
                return Err(failure);
            }
            let text = "what the transaction has set is lost with it: its values cannot be read";
            self.front.put(|out| warning(sqlstate::CONNECTION_FAILURE, text).put(out));
        }
        if self.transaction.defines {
            self.forget_catalog();
        }
        self.wishes.end_transaction(committed.is_ok());
        self.end_transaction();
        committed
    }

    pub(crate) async fn rollback(&mut self, chain: bool) -> Result<&'static str, Failure> {
        match self.transaction.state {
            State::None | State::Implicit if chain => {
                return Err(Failure::error(
                    NO_TRANSACTION,
                    "ROLLBACK AND CHAIN can only be used in transaction blocks",
                ));
            }
            State::None | State::Implicit => {
                let text = "there is no transaction in progress";
                self.front.put(|out| warning(NO_TRANSACTION, text).put(out));
            }
            State::Block | State::Failed => {}
        }
        let begin = std::mem::take(&mut self.transaction.begin);
        self.abort_transaction().await;
        if chain {
            self.transaction.state = State::Block;
            self.transaction.begin = begin;
        }
        Ok("ROLLBACK")
    }

    /// Rolls back on all branches, and gives them back; one that cannot is closed.
    pub(crate) async fn abort_transaction(&mut self) {
        for branch in self.branches.iter_mut().filter(|it| it.is_alive() && it.is_idle()) {
            if branch.status() != TransactionStatus::Idle
                && branch.send_simple(b"ROLLBACK", Audience::Client).await.is_err()
            {
                tracing::debug!(shard = branch.shard, "cannot roll back");
            }
        }
        for branch in self.branches.iter_mut().filter(|it| it.is_alive() && !it.is_idle()) {
            // What it reports are parameters as they were before.
            if let Err(failure) = branch.forward(super::branch::Passing::NOTHING).await {
                tracing::debug!(shard = branch.shard, ?failure, "cannot roll back");
            }
        }
        if self.transaction.defines {
            self.forget_private_catalog();
        }
        self.wishes.end_transaction(false);
        self.end_transaction();
    }

    /// Nothing of the transaction is left but what it has done.
    pub(crate) fn end_transaction(&mut self) {
        self.transaction = Transaction::default();
        self.reads.end();
        self.front.party.take();
        self.release_branches();
        self.extended.close_portals();
        self.cursors.clear();
    }

    /// What an error has left unfinished on other shards is cancelled.
    pub(crate) async fn give_up_unfinished(&mut self) {
        let unfinished = self.branches.iter_mut().filter(|it| it.is_alive() && !it.is_idle());
        futures_util::future::join_all(unfinished.map(Branch::give_up)).await;
    }

    /// An error outside of a block ends what was implicit; inside, the block has failed.
    pub(crate) async fn note_failure(&mut self) {
        if self.transaction.is_open() {
            self.give_up_unfinished().await;
        }
        match self.transaction.state {
            State::None => self.release_branches(),
            State::Implicit => self.abort_transaction().await,
            State::Block | State::Failed => {
                self.transaction.state = State::Failed;
                // One that broke takes no more part; the transaction cannot commit any more.
                self.transaction.has_lost |= self.branches.iter().any(|it| !it.is_alive());
                self.branches.retain(|branch| branch.is_alive());
            }
        }
    }

    /// The branch of a shard, which takes part in the transaction if one is open.
    pub(crate) async fn branch(&mut self, shard: usize) -> Result<&mut Branch, Failure> {
        if !self.branches.has(shard) {
            let need = self.need(shard).await?;
            let branch = self.begin_branch(shard, need).await?;
            self.branches.add(branch);
            self.note_branch();
        }
        let translation = self.oids.of(shard);
        let branch = self.branches.get(shard).ok_or(Failure::Broken(shard))?;
        branch.translation = translation;
        Ok(branch)
    }

    /// A connection to a shard, in the transaction if one is open.
    async fn begin_branch(&mut self, shard: usize, need: Need) -> Result<Branch, Failure> {
        let mut broken = 0;
        loop {
            let mut branch = Branch::open(&self.front, &self.sites, shard, need).await?;
            if !self.transaction.is_open() {
                return Ok(branch);
            }
            branch.is_quiet = true;
            let begun = branch.simple(&self.transaction.prologue()).await;
            branch.is_quiet = false;
            match begun {
                Ok(_) => return Ok(branch),
                // Nothing of the client's was sent.
                Err(Failure::Broken(_)) if broken < MAX_BROKEN => broken += 1,
                Err(failure) => return Err(failure),
            }
        }
    }

    /// The branches of several shards, opened in their order.
    pub(crate) async fn open_branches(&mut self, shards: &[usize]) -> Result<(), Failure> {
        let mut shards = shards.to_vec();
        shards.sort_unstable();
        for shard in shards {
            self.branch(shard).await?;
        }
        Ok(())
    }

    /// A shard for what any of them can do: one that takes part already, if there is one.
    pub(crate) fn any_shard(&self) -> usize {
        let own = self.transaction.is_open().then(|| self.branches.first()).flatten();
        let own = self.shard_of_path.filter(|it| *it < self.sites.count()).or(own);
        own.unwrap_or_else(|| self.home % self.sites.count().max(1))
    }

    /// A statement has run on a branch.
    pub(crate) fn note_write(&mut self, shard: usize, wrote: Wrote) {
        if let Some(branch) = self.branches.get(shard).filter(|it| it.on_primary) {
            branch.wrote = branch.wrote.max(wrote);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_begins_with_what_has_been() {
        let mut transaction =
            Transaction { begin: "BEGIN READ ONLY".into(), ..Transaction::default() };
        transaction.log_set("SET LOCAL work_mem = 1;");
        transaction.log.push(Logged::Savepoint("a\"b".into()));
        assert_eq!(
            transaction.prologue(),
            "BEGIN READ ONLY; SET LOCAL work_mem = 1; SAVEPOINT \"a\"\"b\""
        );
        assert!(transaction.savepoint("x").is_err());
    }
}
