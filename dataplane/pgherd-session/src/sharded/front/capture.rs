//! Rows that are kept, or become data of a COPY, instead of going to the client as they are.

use std::collections::VecDeque;

use pgherd_wire::{backend, frame};

use super::Front;
use crate::sharded::branch::Budget;
use crate::sharded::failure::Failure;

/// Where rows go instead of to the client.
pub(crate) enum Capture {
    /// They are kept for a portal or cursor.
    Kept { rows: VecDeque<Vec<u8>>, budget: Budget },
    /// They become data of a COPY; `None` of a row that is malformed.
    Copied { data: Box<CopyData>, rows: u64 },
}

/// The data of a COPY for a row.
pub(crate) type CopyData = dyn FnMut(&[u8]) -> Option<Vec<u8>>;

/// What a row that is kept costs beside its bytes.
const ROW_OVERHEAD: usize = 32;

/// How much has been said, and kept, at some moment.
pub(crate) struct Mark {
    said: u64,
    kept: Option<(u64, Option<Budget>)>,
}

impl Front {
    /// From now on rows are kept instead, within a budget.
    /// Returns where they went before.
    pub(crate) fn begin_capture(&self, budget: Budget) -> Option<Capture> {
        self.capture.replace(Some(Capture::Kept { rows: VecDeque::new(), budget }))
    }

    /// The bodies of the rows that were kept; rows go again where they went before.
    pub(crate) fn end_capture(&self, outer: Option<Capture>) -> VecDeque<Vec<u8>> {
        match self.capture.replace(outer) {
            Some(Capture::Kept { rows, .. }) => rows,
            _ => VecDeque::new(),
        }
    }

    /// From now on rows go to the client as data of a COPY. Returns where they went before.
    pub(crate) fn begin_copy_data(&self, data: Box<CopyData>) -> Option<Capture> {
        self.capture.replace(Some(Capture::Copied { data, rows: 0 }))
    }

    /// How many rows went as data of a COPY; they go again where they went before.
    pub(crate) fn end_copy_data(&self, outer: Option<Capture>) -> u64 {
        match self.capture.replace(outer) {
            Some(Capture::Copied { rows, .. }) => rows,
            _ => 0,
        }
    }

    pub(crate) fn is_capturing(&self) -> bool {
        self.capture.borrow().is_some()
    }

    /// A row for the client, by the body of its message: goes to it, or is kept.
    pub(crate) fn put_row(&self, row: &[u8]) -> Result<(), Failure> {
        match &mut *self.capture.borrow_mut() {
            Some(Capture::Kept { rows, budget }) => {
                budget.take(row.len() + ROW_OVERHEAD)?;
                rows.push_back(row.to_vec());
                return Ok(());
            }
            Some(Capture::Copied { data, rows }) => {
                let malformed = || Failure::error("XX000", "a shard has sent a malformed row");
                let line = data(row).ok_or_else(malformed)?;
                *rows += 1;
                self.put(|out| {
                    frame::put(out, backend::tag::COPY_DATA, |out| out.extend_from_slice(&line));
                });
                return Ok(());
            }
            None => {}
        }
        self.put(|out| frame::put(out, backend::tag::DATA_ROW, |out| out.extend_from_slice(row)));
        Ok(())
    }

    /// How much the client has been told so far.
    pub(crate) fn said(&self) -> u64 {
        let inner = self.inner.borrow();
        self.sent.get() + (inner.output.len() - inner.written) as u64
    }

    /// To come back to by [`Front::retract`].
    pub(crate) fn mark(&self) -> Mark {
        let capture = self.capture.borrow();
        let kept = capture.as_ref().map(|it| match it {
            Capture::Kept { rows, budget } => (rows.len() as u64, Some(budget.clone())),
            Capture::Copied { rows, .. } => (*rows, None),
        });
        Mark { said: self.said(), kept }
    }

    /// Nothing of what was said since then was said, unless some of it is on its way.
    pub(crate) fn retract(&self, mark: &Mark) -> bool {
        let mut inner = self.inner.borrow_mut();
        let Some(pending) = mark.said.checked_sub(self.sent.get()) else { return false };
        let length = inner.written + usize::try_from(pending).unwrap_or(usize::MAX);
        if length > inner.output.len() || inner.held.is_some_and(|held| held > length) {
            return false;
        }
        match (&mut *self.capture.borrow_mut(), &mark.kept) {
            (Some(Capture::Kept { rows, budget }), Some((before, Some(left)))) => {
                rows.truncate(usize::try_from(*before).unwrap_or(usize::MAX));
                *budget = left.clone();
            }
            // What makes data of rows may have a memory of them.
            (Some(Capture::Copied { rows, .. }), Some((before, _))) if rows != before => {
                return false;
            }
            _ => {}
        }
        inner.output.truncate(length);
        true
    }
}
