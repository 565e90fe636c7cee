//! Portals: statements with their parameters, executed at once or a few rows at a time.

use std::collections::VecDeque;
use std::rc::Rc;

use pgherd_plan::{Parameter, Plan};
use pgherd_wire::frontend::tag;
use pgherd_wire::owed::Audience;
use pgherd_wire::{backend, frame};

use super::branch::{Arguments, Completed, Wrote};
use super::coordinator::{Coordinator, in_failed_transaction};
use super::cursors::{ALL, Step, only_forward};
use super::execute::{Done, Job};
use super::extended::{Statement, nature, no_portal, parameters};
use super::failure::Failure;
use super::malformed::malformed;
use super::shapes::Shape;
use super::transaction::State;
use super::verb::{Nature, Verb};

/// A bound statement.
pub(crate) struct Portal {
    statement: Rc<Statement>,
    arguments: Rc<Arguments>,
    formats: Vec<i16>,
    progress: Progress,
}

/// How far its execution is.
enum Progress {
    Bound,
    /// These rows wait for the next Execute.
    Held {
        rows: VecDeque<Vec<u8>>,
        done: Done,
    },
    /// It is on this shard's branch, under this name.
    On(usize, String),
    /// All rows are out. With the tag, where there may have been some.
    Ended(Option<Done>),
}

// === impl Portal ===

impl Portal {
    pub(super) fn new(statement: Rc<Statement>, arguments: Arguments, formats: Vec<i16>) -> Self {
        Self { statement, arguments: Rc::new(arguments), formats, progress: Progress::Bound }
    }

    pub(super) fn parts(&self) -> (Rc<Statement>, Rc<Arguments>) {
        (Rc::clone(&self.statement), Rc::clone(&self.arguments))
    }

    pub(super) fn statement(&self) -> &Statement {
        &self.statement
    }

    /// The body of its RowDescription.
    pub(super) fn row(&self) -> Option<Vec<u8>> {
        self.statement.shape.row_in(&self.formats)
    }

    pub(super) fn shape(&self) -> Rc<Shape> {
        Rc::clone(&self.statement.shape)
    }

    fn returns_rows(&self) -> bool {
        self.statement.shape.row.is_some()
    }
}

/// No limit is 0.
fn of_wire(limit: usize) -> u32 {
    u32::try_from(limit).unwrap_or(0)
}

fn job_of<'a>(
    statement: &'a Statement,
    arguments: &'a Arguments,
    parameters: &'a [Parameter<'a>],
    formats: &'a [i16],
) -> Job<'a> {
    Job {
        text: &statement.text,
        types: &statement.shape.parameters,
        arguments,
        parameters,
        formats,
        is_simple: false,
        nature: nature(statement).unwrap_or(Nature::Reads),
        statement: statement.server.as_ref(),
    }
}

impl Coordinator {
    pub(super) async fn execute_message(&mut self, body: &[u8]) -> Result<(), Failure> {
        let malformed = || malformed(tag::EXECUTE, body);
        let end = memchr::memchr(0, body).ok_or_else(malformed)?;
        let (name, limit) = body.split_at(end);
        let limit: [u8; 4] =
            limit.get(1..).and_then(|it| it.try_into().ok()).ok_or_else(malformed)?;
        let limit = usize::try_from(i32::from_be_bytes(limit)).unwrap_or(0);
        if self.cursors.contains_key(&*String::from_utf8_lossy(name)) {
            return self.execute_cursor(&String::from_utf8_lossy(name), limit).await;
        }
        let portal = self.extended.portals.get_mut(name).ok_or_else(|| no_portal(name))?;
        let progress = std::mem::replace(&mut portal.progress, Progress::Ended(None));
        let (statement, arguments) = (Rc::clone(&portal.statement), Rc::clone(&portal.arguments));
        let (formats, returns_rows) = (portal.formats.clone(), portal.returns_rows());
        let ends_failure = statement.verb.as_ref().is_some_and(Verb::ends_failure);
        if self.transaction.state == State::Failed && !ends_failure {
            return Err(in_failed_transaction());
        }
        match progress {
            Progress::Bound => {}
            Progress::Held { rows, done } => {
                self.hand_out(name, rows, done, limit);
                return Ok(());
            }
            Progress::On(shard, there) => {
                let branch = self.branch(shard).await?;
                let completed = branch.go_on(&there, of_wire(limit)).await?;
                self.paused(name, shard, there, completed);
                return Ok(());
            }
            Progress::Ended(Some(done)) => {
                done.with_count(0).put(&self.front);
                self.end_portal(name, done);
                return Ok(());
            }
            Progress::Ended(None) => {
                let name = String::from_utf8_lossy(name);
                return Err(Failure::error("55000", format!("portal \"{name}\" cannot be run")));
            }
        }
        let Some(verb) = &statement.verb else {
            self.front.put(|out| backend::put_empty(out, backend::tag::EMPTY_QUERY));
            return Ok(());
        };
        let is_alone = self.is_alone();
        self.route_batch(&statement, is_alone);
        if !is_alone {
            self.begin_implicit();
        }
        let parameters = parameters(&statement.shape, &arguments);
        let job = job_of(&statement, &arguments, &parameters, &formats);
        if limit == 0 || !returns_rows {
            let done = self.execute_verb(verb, &job).await?;
            done.put(&self.front);
            if returns_rows {
                self.end_portal(name, done);
            }
            return Ok(());
        }
        let shard = match verb {
            Verb::Plan(Nature::Reads) if self.transaction.is_open() => {
                match self.plan(&job).await? {
                    Plan::Single(shard) => Some(shard),
                    Plan::Any => Some(self.shard_for(job.text)),
                    _ => None,
                }
            }
            _ => None,
        };
        if let Some(shard) = shard {
            // One shard has all rows, and keeps those that are not asked for yet.
            let there = self.extended.next_portal();
            let branch = self.branch(shard).await?;
            branch.wrote = branch.wrote.max(Wrote::Perhaps);
            let question = job.question(job.text);
            let completed = branch.open_portal(&question, &there, of_wire(limit)).await?;
            self.paused(name, shard, there, completed);
            return Ok(());
        }
        // The rest of the rows is kept here: other statements may come between.
        let budget = self.budget();
        let outer = self.front.begin_capture(budget);
        let done = self.execute_verb(verb, &job).await;
        let rows = self.front.end_capture(outer);
        self.hand_out(name, rows, done?, limit);
        Ok(())
    }

    /// FETCH and MOVE of a portal as if it were a cursor.
    pub(super) async fn fetch_portal(
        &mut self,
        name: &str,
        moves: bool,
        step: Step,
        job: &Job<'_>,
    ) -> Result<Done, Failure> {
        let count = match step {
            Step::Forward(ALL) => usize::MAX,
            Step::Forward(count) if count > 0 => usize::try_from(count).unwrap_or(usize::MAX),
            _ => return Err(only_forward()),
        };
        let name = name.as_bytes();
        self.begin_portal(name).await?;
        let there = match self.extended.portals.get(name).map(|it| &it.progress) {
            Some(Progress::On(shard, there)) => Some((*shard, there.clone())),
            _ => None,
        };
        if let Some((shard, there)) = there {
            if !moves && job.formats.iter().any(|&format| format != 0) {
                return Err(Failure::unsupported(
                    "FETCH from a portal in binary",
                    "Execute the portal, or declare a cursor.",
                ));
            }
            let verb = if moves { "MOVE" } else { "FETCH" };
            let many = if count == usize::MAX { "ALL".to_owned() } else { count.to_string() };
            let sql = format!("{verb} {many} FROM {there}");
            let branch = self.branch(shard).await?;
            branch.send_simple(sql.as_bytes(), Audience::Client).await?;
            return Ok(Done::of(branch.forward(job.passing()).await?));
        }
        let portal = self.extended.portals.get_mut(name).ok_or_else(|| no_portal(name))?;
        let is_text = portal.formats.iter().chain(job.formats).all(|&format| format == 0);
        let mut taken = Vec::new();
        if let Progress::Held { rows, .. } = &mut portal.progress {
            taken.extend(rows.drain(..count.min(rows.len())));
        }
        if moves {
            return Ok(Done::tagged(&format!("MOVE {}", taken.len())));
        }
        if !is_text {
            return Err(Failure::unsupported(
                "FETCH from a portal in binary",
                "Execute the portal, or declare a cursor.",
            ));
        }
        let row = portal.row();
        if let Some(row) = row.filter(|_| job.is_simple) {
            self.front.put(|out| {
                frame::put(out, backend::tag::ROW_DESCRIPTION, |out| out.extend_from_slice(&row));
            });
        }
        for row in &taken {
            self.front.put_row(row)?;
        }
        Ok(Done::tagged(&format!("FETCH {}", taken.len())))
    }

    /// Runs a portal that was only bound; its rows are kept.
    async fn begin_portal(&mut self, name: &[u8]) -> Result<(), Failure> {
        let Some(portal) = self.extended.portals.get_mut(name) else { return Ok(()) };
        let (Progress::Bound, Some(verb)) = (&portal.progress, portal.statement.verb.clone())
        else {
            return Ok(());
        };
        portal.progress = Progress::Ended(None);
        let (statement, arguments) = portal.parts();
        let formats = portal.formats.clone();
        let parameters = parameters(&statement.shape, &arguments);
        let job = job_of(&statement, &arguments, &parameters, &formats);
        let outer = self.front.begin_capture(self.budget());
        let done = self.execute_verb(&verb, &job).await;
        let rows = self.front.end_capture(outer);
        let progress = Progress::Held { rows, done: done? };
        if let Some(portal) = self.extended.portals.get_mut(name) {
            portal.progress = progress;
        }
        Ok(())
    }

    /// A shard has executed a portal as far as was asked.
    fn paused(&mut self, name: &[u8], shard: usize, there: String, completed: Completed) {
        if completed.is_suspended {
            self.front.put(|out| backend::put_empty(out, backend::tag::PORTAL_SUSPENDED));
            if let Some(portal) = self.extended.portals.get_mut(name) {
                portal.progress = Progress::On(shard, there);
            }
            return;
        }
        let done = Done::of(completed);
        done.put(&self.front);
        self.end_portal(name, done);
    }

    /// What is on a shard of a portal that is closed.
    pub(super) async fn close_portal(&mut self, name: &[u8]) -> Result<(), Failure> {
        let portal = self.extended.portals.remove(name);
        let Some(Progress::On(shard, there)) = portal.map(|it| it.progress) else { return Ok(()) };
        if self.transaction.state != State::Failed
            && let Some(branch) = self.branches.get(shard)
        {
            branch.simple(&format!("CLOSE {there}")).await?;
        }
        Ok(())
    }

    async fn execute_verb(&mut self, verb: &Verb, job: &Job<'_>) -> Result<Done, Failure> {
        match verb {
            Verb::Plan(_) => self.execute(job).await,
            _ => self.run_own(verb, job).await,
        }
    }

    fn end_portal(&mut self, name: &[u8], done: Done) {
        if let Some(portal) = self.extended.portals.get_mut(name) {
            portal.progress = Progress::Ended(Some(done));
        }
    }

    /// Gives the client the next rows of a portal; no limit is 0.
    fn hand_out(&mut self, name: &[u8], mut rows: VecDeque<Vec<u8>>, done: Done, limit: usize) {
        let count = if limit == 0 { rows.len() } else { limit.min(rows.len()) };
        for row in rows.drain(..count) {
            self.front.put(|out| {
                frame::put(out, backend::tag::DATA_ROW, |body| body.extend_from_slice(&row));
            });
        }
        if limit > 0 && count == limit {
            // As in Postgres, which does not look whether there are more.
            self.front.put(|out| backend::put_empty(out, backend::tag::PORTAL_SUSPENDED));
            if let Some(portal) = self.extended.portals.get_mut(name) {
                portal.progress = Progress::Held { rows, done };
            }
            return;
        }
        // The count is that of the rows that were given now.
        done.with_count(count).put(&self.front);
        self.end_portal(name, done);
    }
}
