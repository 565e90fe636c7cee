//! The simple protocol: a text with any number of statements, answered one by one.

use std::borrow::Cow;

use pgherd_wire::backend;
use pgherd_wire::frontend::{definition_text, tag};

use super::branch::Arguments;
use super::coordinator::{Coordinator, in_failed_transaction};
use super::execute::{Done, Job};
use super::failure::Failure;
use super::malformed::{fault, malformed};
use super::texts::Piece;
use super::transaction::State;
use super::verb::{Nature, Verb};
use crate::end::End;

impl Coordinator {
    /// Answers a Query.
    pub(crate) async fn query(&mut self, body: &[u8]) -> Result<(), End> {
        self.extended.forget_unnamed();
        let asked = match fault(tag::QUERY, body) {
            Some(_) => Err(malformed(tag::QUERY, body)),
            None => self.run_query(definition_text(body)).await,
        };
        self.answered(asked).await
    }

    /// What follows a request that stands by itself: its failure, the end of its transaction, and
    /// ReadyForQuery.
    pub(super) async fn answered(&mut self, asked: Result<(), Failure>) -> Result<(), End> {
        match asked {
            Ok(()) => {}
            Err(Failure::End(end)) => return Err(end),
            Err(failure) => self.fail(&failure).await,
        }
        if self.transaction.state == State::Implicit {
            // A last statement that was none, such as a COMMIT outside of transactions.
            match self.finish_transaction().await {
                Ok(()) => {}
                Err(Failure::End(end)) => return Err(end),
                Err(failure) => self.fail(&failure).await,
            }
        }
        if !self.transaction.is_open() {
            self.extended.close_portals();
        }
        self.ready().await
    }

    async fn run_query(&mut self, text: &[u8]) -> Result<(), Failure> {
        let readable = self.readable(text)?;
        let text = &*readable;
        if let Some(done) = self.run_command(text.as_bytes(), true)? {
            done.put(&self.front);
            return Ok(());
        }
        self.route(text.as_bytes());
        if self.run_directed(text).await? {
            return Ok(());
        }
        if let Some(done) = self.run_known(text).await? {
            done.put(&self.front);
            return Ok(());
        }
        let pieces = self.pieces(text).await?;
        if pieces.is_empty() {
            self.front.put(|out| backend::put_empty(out, backend::tag::EMPTY_QUERY));
        }
        let count = pieces.len();
        for (index, piece) in pieces.into_iter().enumerate() {
            if count > 1 {
                self.begin_implicit();
            }
            let done = match self.run_piece(&piece).await {
                Ok(done) => done,
                Err(Failure::Reported(report)) => {
                    return Err(Failure::Reported(report.shifted(piece.offset)));
                }
                Err(failure) => return Err(failure),
            };
            // The last one is said to be done when it is durable.
            if index + 1 == count && self.transaction.state == State::Implicit {
                self.finish_transaction().await?;
            }
            done.put(&self.front);
        }
        Ok(())
    }

    async fn run_piece(&mut self, piece: &Piece) -> Result<Done, Failure> {
        if self.transaction.state == State::Failed && !piece.verb.ends_failure() {
            return Err(in_failed_transaction());
        }
        if let Some(done) = self.run_command(piece.text.as_bytes(), true)? {
            return Ok(done);
        }
        static NOTHING: Arguments = Arguments::NONE;
        let nature = match piece.verb {
            Verb::Plan(nature) => nature,
            _ => Nature::Reads,
        };
        let job = Job {
            text: &piece.text,
            types: &[],
            arguments: &NOTHING,
            parameters: &[],
            formats: &[],
            is_simple: true,
            nature,
            statement: None,
        };
        match piece.verb {
            Verb::Plan(_) => self.execute(&job).await,
            _ => self.run_own(&piece.verb, &job).await,
        }
    }

    /// A statement that is the session's own business. Its rows are in text.
    pub(crate) async fn run_own(&mut self, verb: &Verb, job: &Job<'_>) -> Result<Done, Failure> {
        let text = job.text;
        let tag: Cow<'static, str> = match verb {
            Verb::Transaction(control) => self.control(control, text).await?.into(),
            Verb::Set(setting) => self.set(setting, text).await?.into(),
            Verb::Command => {
                let done = self.run_command(text.as_bytes(), job.is_simple)?;
                return done.ok_or_else(super::coordinator::not_understood);
            }
            Verb::SetConfig => return self.set_config(job).await,
            Verb::Show => return self.show(text, job.is_simple).await,
            Verb::DiscardAll => self.discard_all().await?.into(),
            Verb::Nothing(tag) => (*tag).into(),
            Verb::Deallocate(name) => self.deallocate(name.as_deref())?.into(),
            Verb::CloseCursor(name) => self.close_cursor(name.as_deref()).await?.into(),
            Verb::Prepare { name } => return self.prepare_sql(name, job.text).await,
            Verb::Execute { name } => {
                return self.execute_sql(name, job).await;
            }
            Verb::Declare { name, holds } => return self.declare(name, *holds, job).await,
            Verb::Fetch { name, moves } => return self.fetch(name, *moves, job).await,
            Verb::Explain => return self.explain(job).await,
            Verb::Refused(construct) => {
                return Err(Failure::unsupported(
                    *construct,
                    "It is the business of one connection to one server.",
                ));
            }
            Verb::Plan(_) => return Err(super::coordinator::not_understood()),
        };
        Ok(Done::tagged(&tag))
    }
}
