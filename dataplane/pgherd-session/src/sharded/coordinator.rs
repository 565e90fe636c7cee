//! The life of a client of a cluster with several shards: its messages by turns, then the end.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use pgherd_pool::{Socket, WorkerStats};
use pgherd_wire::{ErrorResponse, backend, frontend, sqlstate};

use super::branch::Answer;
use super::branches::Branches;
use super::catalog::Loaded;
use super::failure::Failure;
use super::front::{Front, Message};
use super::oids::Oids;
use super::sites::Sites;
use super::transaction::Transaction;
use super::wishes::Wishes;
use crate::admission::Admission;
use crate::clients::{ClientState, Registration};
use crate::end::End;
use crate::login::Client;
use crate::session::say;
use crate::shared::Worker;
use crate::timeouts::{Activity, Watch};

/// What a session over several shards consists of.
pub(crate) struct Coordinator {
    pub(crate) front: Rc<Front>,
    pub(crate) sites: Rc<Sites>,
    pub(crate) branches: Branches,
    pub(crate) transaction: Transaction,
    /// The catalog as the open transaction has changed it.
    pub(crate) private: Option<Arc<Loaded>>,
    /// Where the catalog is that all sessions share.
    pub(crate) cell: Option<Arc<super::catalog::Cell>>,
    /// The catalog that was seen last, and the search path under it and these parameters.
    pub(crate) seen: super::catalog::Seen,
    /// What clients are told instead of the shards' own OIDs.
    pub(crate) oids: Arc<Oids>,
    /// What the client asks of the proxy itself.
    pub(crate) wishes: Wishes,
    /// Where statements go by what they do.
    pub(crate) reads: super::reads::Reads,
    pub(crate) extended: super::extended::Extended,
    pub(crate) cursors: super::cursors::Cursors,
    pub(crate) shapes: super::shapes::Shapes,
    /// Custom parameters that were SET.
    pub(crate) custom: Vec<String>,
    /// Where statements go that any shard can answer.
    pub(crate) home: usize,
    /// The shard of the schemas of the search path, if they are on one.
    pub(crate) shard_of_path: Option<usize>,
    _registration: Registration,
    _admission: Admission,
}

/// Serves a client after its login until it ends. Not cancel safe.
pub(crate) async fn serve(worker: Rc<Worker>, socket: Socket, login: Client) {
    match Coordinator::new(worker, socket, login) {
        Ok(mut coordinator) => {
            let end = coordinator.run().await;
            coordinator.finish(&end).await;
        }
        Err(end) => tracing::info!("client session ended: {end}"),
    }
}

impl Coordinator {
    fn new(worker: Rc<Worker>, socket: Socket, login: Client) -> Result<Self, End> {
        let entry = Arc::clone(&login.registration.entry);
        let sites = Rc::new(Sites::find(Rc::clone(&worker), Arc::clone(&entry))?);
        let wishes = Wishes::of(&login.params);
        let front = Front::new(worker, entry, socket, &login.unread, login.params);
        let mut coordinator = Self {
            front,
            sites,
            branches: Branches::default(),
            transaction: Transaction::default(),
            private: None,
            cell: None,
            seen: super::catalog::Seen::default(),
            oids: Arc::default(),
            wishes,
            reads: super::reads::Reads::default(),
            extended: super::extended::Extended::default(),
            cursors: super::cursors::Cursors::default(),
            shapes: super::shapes::Shapes::default(),
            custom: Vec::new(),
            home: rand::random::<u32>() as usize,
            shard_of_path: None,
            _registration: login.registration,
            _admission: login.admission,
        };
        coordinator.watch();
        Ok(coordinator)
    }

    fn watch(&mut self) {
        let limits = self.sites.rules().timeouts;
        let same = self.front.watch.borrow().as_ref().is_some_and(|it| it.limits() == limits);
        if !same {
            let watch = Watch::begin(&self.front.worker, limits, &self.front.entry);
            *self.front.watch.borrow_mut() = watch;
        }
    }

    async fn run(&mut self) -> End {
        let front = Rc::clone(&self.front);
        loop {
            let is_free = !self.transaction.is_open() && !self.extended.is_open();
            front.note_activity(if is_free { Activity::Idle } else { Activity::IdleInTransaction });
            if is_free {
                front.entry.set_state(ClientState::Idle);
            }
            let message = match front.next(self.longest_message(), is_free).await {
                Ok(message) => message,
                Err(end) => return end,
            };
            if is_free {
                match self.sites.refresh() {
                    Ok(true) => self.watch(),
                    Ok(false) => {}
                    Err(end) => return end,
                }
            }
            front.note_activity(Activity::Running);
            front.entry.set_state(ClientState::Active);
            if let Some(party) = &*front.party.borrow() {
                party.begin();
            }
            let handled = front.guarding(self.handle_all(message)).await;
            if let Some(party) = &*front.party.borrow() {
                party.end();
            }
            match handled {
                Ok(Ok(())) => {}
                Ok(Err(end)) | Err(end) => return end,
            }
            if front.is_cut.get() {
                return End::ServerClosed;
            }
        }
    }

    /// What a message may be at most: it is held as a whole.
    fn longest_message(&self) -> usize {
        usize::try_from(self.sites.cluster().gather_limit.0).unwrap_or(usize::MAX)
    }

    /// A message, and those behind it that have come already: up to the end of a batch, where
    /// the process may want something else.
    async fn handle_all(&mut self, first: Message) -> Result<(), End> {
        use frontend::tag;
        let front = Rc::clone(&self.front);
        let most = self.longest_message();
        let mut message = first;
        loop {
            self.handle(&message).await?;
            let is_over = matches!(message.tag, tag::SYNC | tag::QUERY | tag::FUNCTION_CALL);
            front.recycle(message);
            if is_over || front.is_cut.get() {
                return Ok(());
            }
            match front.message_ahead(most) {
                Some(next) => message = next,
                None => return Ok(()),
            }
        }
    }

    async fn handle(&mut self, message: &Message) -> Result<(), End> {
        use frontend::tag;
        match message.tag {
            tag::TERMINATE => Err(End::Terminated),
            // Left over from a COPY that has ended: Postgres ignores them too.
            tag::COPY_DATA | tag::COPY_DONE | tag::COPY_FAIL => Ok(()),
            _ if self.extended.is_skipping() && message.tag != tag::SYNC => Ok(()),
            tag::QUERY | tag::FUNCTION_CALL if !self.see_bound().await? => {
                self.skip();
                self.front.flush().await
            }
            tag::QUERY if message.is_too_long => self.answer_too_long().await,
            tag::QUERY => self.query(&message.body).await,
            tag::FUNCTION_CALL => self.function_call(&message.body).await,
            _ => self.extended_message(message).await,
        }
    }

    async fn answer_too_long(&mut self) -> Result<(), End> {
        let failure = self.too_long();
        self.fail(&failure).await;
        self.ready().await
    }

    /// The error about a message that is longer than is held.
    pub(crate) fn too_long(&self) -> Failure {
        let most = self.longest_message();
        Failure::refused(
            ErrorResponse::error("54000", format!("the message is longer than {most} bytes"))
                .hint("Raise gather_limit of the cluster."),
        )
    }

    /// Says that a statement has failed, and what follows for the transaction.
    pub(crate) async fn fail(&mut self, failure: &Failure) {
        if let Failure::Reported(report) = failure {
            tracing::trace!(shard = report.shard, code = %report.code(), "a statement has failed");
        }
        self.front.take_back();
        if self.front.is_cut.get() {
            // Nothing can be said in the middle of a message: the session ends.
            return;
        }
        self.front.put(|out| failure.put(out));
        self.note_failure().await;
        self.let_go(failure).await;
    }

    /// Says that the session is ready, and what has been put before.
    pub(crate) async fn ready(&mut self) -> Result<(), End> {
        if self.front.is_cut.get() {
            return Err(End::ServerClosed);
        }
        let status = self.transaction.status();
        self.front.report_changed();
        self.front.put(|out| backend::put_ready(out, status));
        self.end_statement();
        if let Some(watch) = &*self.front.watch.borrow() {
            watch.statement_ended();
            if !self.transaction.is_open() {
                watch.transaction_ended();
            }
        }
        self.front.flush().await
    }

    /// Outside of transactions nothing is kept.
    fn end_statement(&mut self) {
        let (received, sent) = (self.front.received.take(), self.front.sent.take());
        if let Some(stats) = self.branches.iter().next().and_then(|branch| branch.stats()) {
            WorkerStats::add(&stats.bytes_received, received);
            WorkerStats::add(&stats.bytes_sent, sent);
        }
        if !self.transaction.is_open() {
            self.reads.end();
            self.release_branches();
        }
    }

    /// Gives all server connections back.
    pub(crate) fn release_branches(&mut self) {
        if let Some(stats) = self.branches.iter().next().and_then(|branch| branch.stats()) {
            WorkerStats::add(&stats.transactions, 1);
        }
        self.branches.clear();
    }

    /// A question of the proxy that any shard can answer, in the transaction if one has begun.
    pub(crate) async fn ask_any(&mut self, sql: &str) -> Result<Answer, Failure> {
        self.ask(self.any_shard(), sql).await
    }

    /// The same of one shard.
    pub(crate) async fn ask(&mut self, shard: usize, sql: &str) -> Result<Answer, Failure> {
        let branch = self.branch(shard).await?;
        branch.is_quiet = true;
        let answer = branch.simple(sql).await;
        branch.is_quiet = false;
        answer
    }

    async fn finish(mut self, end: &End) {
        let entry = &self.front.entry;
        match end {
            End::Terminated | End::ClientGone | End::ShuttingDown => {
                tracing::debug!(user = %entry.user, "client session ended: {end}");
            }
            _ => tracing::info!(
                user = %entry.user,
                database = %entry.database,
                cause = std::error::Error::source(end).map(ToString::to_string),
                "client session ended: {end}",
            ),
        }
        // What they do is salvaged, or ends with their connections.
        self.branches.clear();
        if let Some(response) = end.for_client().filter(|_| !self.front.is_cut.get()) {
            let flushed = tokio::time::timeout(Duration::from_secs(1), self.front.flush()).await;
            if matches!(flushed, Ok(Ok(()))) {
                say(&mut self.front.take_socket(), &response).await;
            }
        }
    }
}

/// The error in a transaction that has failed.
pub(crate) fn in_failed_transaction() -> Failure {
    Failure::error(
        super::transaction::IN_FAILED_TRANSACTION,
        "current transaction is aborted, commands ignored until end of transaction block",
    )
}

/// The error about what the proxy does not understand.
pub(crate) fn not_understood() -> Failure {
    Failure::error(
        sqlstate::FEATURE_NOT_SUPPORTED,
        "the proxy does not understand this statement, so that it cannot be sent to shards",
    )
}
