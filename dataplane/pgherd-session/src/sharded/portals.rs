//! Portals: statements with their parameters, executed at once or a few rows at a time.

use std::collections::VecDeque;
use std::rc::Rc;

use pgherd_wire::{backend, frame};

use super::branch::Arguments;
use super::coordinator::{Coordinator, in_failed_transaction};
use super::execute::{Done, Job};
use super::extended::{Statement, nature, no_portal, parameters};
use super::failure::Failure;
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
    Ended,
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

    /// Rows without end of their own: a SELECT and what is like it.
    fn selects(&self) -> bool {
        matches!(nature(&self.statement), Some(Nature::Reads)) && self.statement.shape.row.is_some()
    }
}

impl Coordinator {
    pub(super) async fn execute_message(&mut self, body: &[u8]) -> Result<(), Failure> {
        let malformed =
            || Failure::error(pgherd_wire::sqlstate::PROTOCOL_VIOLATION, "invalid message format");
        let end = memchr::memchr(0, body).ok_or_else(malformed)?;
        let (name, limit) = body.split_at(end);
        let limit: [u8; 4] =
            limit.get(1..).and_then(|it| it.try_into().ok()).ok_or_else(malformed)?;
        let limit = usize::try_from(i32::from_be_bytes(limit)).unwrap_or(0);
        let portal = self.extended.portals.get_mut(name).ok_or_else(|| no_portal(name))?;
        let progress = std::mem::replace(&mut portal.progress, Progress::Ended);
        let (statement, arguments) = (Rc::clone(&portal.statement), Rc::clone(&portal.arguments));
        let (formats, selects) = (portal.formats.clone(), portal.selects());
        let ends_failure = statement.verb.as_ref().is_some_and(Verb::ends_failure);
        if self.transaction.state == State::Failed && !ends_failure {
            return Err(in_failed_transaction());
        }
        match progress {
            Progress::Bound => {}
            Progress::Held { rows, done } => {
                self.hand_out(name, rows, done, limit, selects);
                return Ok(());
            }
            Progress::Ended if selects => {
                Done::tagged("SELECT 0").put(&self.front);
                return Ok(());
            }
            Progress::Ended => {
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
        let nature = match verb {
            Verb::Plan(nature) => *nature,
            _ => Nature::Reads,
        };
        let parameters = parameters(&statement.shape, &arguments);
        let job = Job {
            text: &statement.text,
            types: &statement.shape.parameters,
            arguments: &arguments,
            parameters: &parameters,
            formats: &formats,
            is_simple: false,
            nature,
            statement: statement.server.as_ref(),
        };
        let is_planned = matches!(verb, Verb::Plan(_));
        if limit == 0 || !is_planned {
            let done = match is_planned {
                true => self.execute(&job).await?,
                false => self.run_own(verb, &job).await?,
            };
            done.put(&self.front);
            return Ok(());
        }
        // The rest of the rows is kept here: other statements may come between.
        let budget = self.budget();
        let outer = self.front.begin_capture(budget);
        let done = self.execute(&job).await;
        let rows = self.front.end_capture(outer);
        self.hand_out(name, rows, done?, limit, selects);
        Ok(())
    }

    /// Gives the client the next rows of a portal; no limit is 0.
    fn hand_out(
        &mut self,
        name: &[u8],
        mut rows: VecDeque<Vec<u8>>,
        done: Done,
        limit: usize,
        selects: bool,
    ) {
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
        if selects {
            Done::tagged(&format!("SELECT {count}")).put(&self.front);
        } else {
            done.put(&self.front);
        }
    }
}
