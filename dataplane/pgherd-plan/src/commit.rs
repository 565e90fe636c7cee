//! Committing on several shards, all or nothing: names, steps and decisions, without any IO.
//!
//! The branches that wrote are the *parts* of a transaction. The database of one of them, R, gets a
//! record; the others are prepared. The record and R's own writes are committed together, and that
//! commit is the decision:
//!
//! 1. on R, in its still open transaction, the record is inserted ([`sql::insert_record`]); on the
//!    others `PREPARE TRANSACTION`, all at once;
//! 2. `COMMIT` on R;
//! 3. `COMMIT PREPARED` on the others.
//!
//! [`Commit`] says which step follows which answers. Nothing has to be remembered outside of the
//! databases: whoever finds a prepared transaction that nobody finishes ([`in_doubt`]) asks on R
//! what became of it by inserting the opposite ([`sql::claim_record`]). The unique key makes that
//! wait for R's own transaction where it is still open, which is how one sees that a coordinator
//! lives; where there is no record, this makes one that says *aborted*, and a coordinator that
//! comes too late fails on the same key. So the outcome is settled once, by one row of one
//! database, whoever asks, however often and however slowly.
//!
//! What the record must survive are the failures of R alone: it is there for as long as a prepared
//! transaction may need it ([`sql::delete_records`]).

mod gid;
mod machine;
mod recovery;
pub mod sql;

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

pub use gid::{Gid, GidError, PREFIX, Place};
pub use machine::{Answer, Commit, Order, Outcome, Verdict};
pub use recovery::{Doubts, InDoubt, Prepared, Standing, in_doubt};
