//! The end of a transaction on all of its branches: all of them commit, or none.

use std::rc::Rc;

use super::branch::Wrote;
use super::branches::Branches;
use super::failure::Failure;
use super::front::Front;
use super::sites::Sites;

/// Commits. All branches are idle in a transaction that has not failed. Afterwards none is in a
/// transaction: on `Ok` all have committed, on an error none has (or `08007`: it is not known).
/// Those of which the connection broke stay among the branches and are not alive.
pub(crate) async fn finish(
    branches: &mut Branches,
    _front: &Rc<Front>,
    _sites: &Rc<Sites>,
) -> Result<(), Failure> {
    if branches.len() > 1 {
        for branch in branches.iter_mut().filter(|it| it.wrote == Wrote::Perhaps) {
            let sql = "SELECT pg_catalog.pg_current_xact_id_if_assigned() IS NOT NULL";
            let answer = branch.simple(sql).await?;
            let assigned = answer.rows.first().and_then(|row| row.first()?.as_deref());
            branch.wrote = if assigned == Some(b"f") { Wrote::No } else { Wrote::Yes };
        }
    }
    let writers = branches.iter().filter(|it| it.wrote != Wrote::No).count();
    if writers > 1 {
        for branch in branches.iter_mut() {
            branch.simple("ROLLBACK").await?;
        }
        return Err(Failure::unsupported(
            "a transaction that writes to several shards",
            "Write to one shard in each transaction.",
        ));
    }
    // Those that only read go first: when one of them fails nothing is committed.
    for writes in [false, true] {
        for branch in branches.iter_mut().filter(|it| (it.wrote != Wrote::No) == writes) {
            let answer = branch.simple("COMMIT").await?;
            if answer.tag == "ROLLBACK" {
                return Err(Failure::error("40000", "a shard has rolled the transaction back"));
            }
        }
    }
    Ok(())
}
