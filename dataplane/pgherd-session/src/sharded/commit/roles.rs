//! Being the role that owns what is prepared.

use std::time::Duration;

use pgherd_plan::commit::sql;
use pgherd_pool::{Errand, ErrandError, Primaries};

/// How long a login may take.
pub(super) const CONNECT: Duration = Duration::from_secs(3);
/// How long a statement may take: somewhat longer than the server's own limit.
pub(super) const ANSWER: Duration = Duration::from_secs(7);

/// Why one cannot be that role on that shard.
#[derive(Debug, thiserror::Error)]
pub(super) enum RoleError {
    #[error("the shard has no primary at the moment")]
    NoPrimary,
    #[error("no user of the cluster can be the role \"{0}\"")]
    NoUser(String),
    #[error("the record has been deleted")]
    NoRecord,
    #[error("{0}")]
    Failed(#[source] ErrandError),
}

/// A connection to a shard's primary as a role: logged in as it, or as one that may become it.
///
/// Cancel safe: dropped, the connection is closed.
pub(super) async fn open_as(
    primaries: &Primaries,
    shard: usize,
    role: &str,
) -> Result<Errand, RoleError> {
    let roles = primaries.roles();
    let first = roles.first().ok_or(RoleError::NoPrimary)?;
    if primaries.endpoint(shard, first).is_none() {
        return Err(RoleError::NoPrimary);
    }
    if let Some(endpoint) = primaries.endpoint(shard, role) {
        return Errand::open(&endpoint, sql::SETTLE, CONNECT).await.map_err(RoleError::Failed);
    }
    let quoted = role.replace('"', "\"\"");
    let become_it = format!("{}; SET ROLE \"{quoted}\"", sql::SETTLE);
    for other in roles {
        let Some(endpoint) = primaries.endpoint(shard, other) else { continue };
        match Errand::open(&endpoint, &become_it, CONNECT).await {
            Ok(errand) => return Ok(errand),
            Err(error) if error.is_answer() => {}
            Err(error) => return Err(RoleError::Failed(error)),
        }
    }
    Err(RoleError::NoUser(role.to_owned()))
}
