//! The end of a transaction on all of its branches: all of them commit, or none.
//!
//! What decides when several have written, and which step follows which, is
//! [`pgherd_plan::commit`]; here these steps are done, and what others have left is finished.

mod book;
mod cleaner;
mod readiness;
mod resolver;
mod roles;
mod steps;

use std::collections::BTreeSet;
use std::rc::Rc;

use pgherd_wire::ErrorResponse;
use pgherd_wire::owed::Audience;

use super::branch::{Answer, Branch, Wrote};
use super::branches::Branches;
use super::coordinator::Coordinator;
use super::failure::Failure;
use super::front::Front;
use super::sites::Sites;

pub use book::{Commits, Tally};
pub use resolver::settle_transactions;

use readiness::make_ready;

/// `transaction_resolution_unknown`
const UNKNOWN: &str = "08007";
/// `transaction_rollback`
const ROLLED_BACK: &str = "40000";

/// Commits. All branches are idle in a transaction that has not failed. Afterwards none is in a
/// transaction: on `Ok` all have committed, on an error none has (or `08007`: it is not known).
/// Those of which the connection broke stay among the branches and are not alive.
///
/// Cancel safe as far as the databases go: what was begun is finished by somebody else, all or
/// nothing.
pub(crate) async fn finish(
    branches: &mut Branches,
    front: &Rc<Front>,
    sites: &Rc<Sites>,
) -> Result<(), Failure> {
    if branches.len() > 1 {
        ask_what_was_written(branches).await?;
    }
    let writers: Vec<usize> =
        branches.iter().filter(|it| it.wrote != Wrote::No).map(|it| it.shard).collect();
    if writers.len() > 1 {
        // A client that does not read must not stop what has begun.
        front.relieve().await?;
        // Also where nobody knew before that several would write: nothing is committed yet.
        make_ready(front, sites, &writers).await?;
    }
    // When one of those that only read fails nothing is committed.
    for branch in branches.iter_mut().filter(|it| it.wrote == Wrote::No) {
        commit(branch).await?;
    }
    match writers.as_slice() {
        [] => Ok(()),
        [shard] => {
            let Some(branch) = branches.get(*shard) else { return Ok(()) };
            match commit(branch).await {
                // Nobody has written down what became of it.
                Err(Failure::Broken(shard) | Failure::Silent(shard)) => Err(unknown(shard)),
                committed => committed,
            }
        }
        _ => steps::commit(branches, front, sites, &writers).await,
    }
}

impl Coordinator {
    /// Whether the transaction, or the statement that is one, can write to these shards besides
    /// those to which it has written: asked before each statement that writes, so that nothing is
    /// written that cannot be committed. Costs nothing for one shard, and where it is known.
    pub(crate) async fn may_write(&self, shards: &[usize]) -> Result<(), Failure> {
        let wrote = self.branches.iter().filter(|it| it.wrote == Wrote::Yes).map(|it| it.shard);
        let all: BTreeSet<usize> = wrote.chain(shards.iter().copied()).collect();
        if all.len() < 2 {
            return Ok(());
        }
        let all: Vec<usize> = all.into_iter().collect();
        make_ready(&self.front, &self.sites, &all).await.map(drop)
    }
}

async fn ask_what_was_written(branches: &mut Branches) -> Result<(), Failure> {
    for branch in branches.iter_mut().filter(|it| it.wrote == Wrote::Perhaps) {
        let sql = "SELECT pg_catalog.pg_current_xact_id_if_assigned() IS NOT NULL";
        let answer = branch.simple(sql).await?;
        let assigned = answer.rows.first().and_then(|row| row.first()?.as_deref());
        branch.wrote = if assigned == Some(b"f") { Wrote::No } else { Wrote::Yes };
    }
    Ok(())
}

async fn commit(branch: &mut Branch) -> Result<(), Failure> {
    let answer = for_client(branch, "COMMIT").await?;
    match answer.tag.as_str() {
        "ROLLBACK" => Err(Failure::error(ROLLED_BACK, "a shard has rolled the transaction back")),
        _ => Ok(()),
    }
}

/// Runs something that ends a transaction: the parameters that change with it are the client's.
async fn for_client(branch: &mut Branch, sql: &str) -> Result<Answer, Failure> {
    branch.send_simple(sql.as_bytes(), Audience::Client).await?;
    branch.answered().await
}

/// The answer to a COMMIT of which nobody knows what became.
fn unknown(shard: usize) -> Failure {
    let text = format!("the connection to shard {shard} broke while it committed");
    Failure::refused(ErrorResponse::error(UNKNOWN, text).detail(
        "It is not known whether the transaction was committed. It is whole or not there at all.",
    ))
}
