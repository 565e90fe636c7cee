//! `pgherd.unique_id()` is made on all shards when it is named for the first time.

use pgherd_plan::unique_id;
use pgherd_pool::Need;
use pgherd_wire::ErrorResponse;

use super::branch::Branch;
use super::coordinator::Coordinator;
use super::failure::Failure;

impl Coordinator {
    /// Makes the function if this text names it and the database does not have it. By itself, not
    /// as a part of the client's transaction.
    pub(crate) async fn provide_unique_ids(&mut self, text: &str) -> Result<(), Failure> {
        if !text.contains("unique_id") {
            return Ok(());
        }
        if self.catalog().await?.catalog.function("unique_id").is_some() {
            return Ok(());
        }
        for shard in 0..self.sites.count() {
            let mut branch = Branch::open(&self.front, &self.sites, shard, Need::WRITE).await?;
            branch.is_quiet = true;
            match branch.simple(&unique_id::install(shard)).await {
                Ok(_) => {}
                Err(Failure::Reported(report)) => {
                    let text = format!("{}() cannot be made", unique_id::FUNCTION);
                    let detail = format!("Shard {shard} says: {}", report.message());
                    let hint = "The user needs CREATE on the database; or let an administrator run \
                                the statements in docs/sharding.md.";
                    let error = ErrorResponse::error("42501", text).detail(detail).hint(hint);
                    return Err(Failure::refused(error));
                }
                Err(failure) => return Err(failure),
            }
        }
        self.forget_catalog();
        Ok(())
    }
}
