//! The session parameters that a client starts with.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pgherd_pool::{Pool, ServerError};
use pgherd_wire::startup::{self, Startup};
use pgherd_wire::{ParamSet, params};

use super::LoginError;
use crate::routing::wishes;

/// What a fresh connection to the instance reports, and what this client starts with. Parameters
/// that the client brings are tried on the instance once, which also says how it writes them.
pub(super) async fn session_parameters(
    pool: &Arc<Pool>,
    worker: usize,
    limit: Duration,
    asked: &[(String, String)],
) -> Result<(Arc<ParamSet>, Arc<ParamSet>), LoginError> {
    if let (Some(welcome), Some(params)) = (pool.welcome(), pool.accepted(asked)) {
        return Ok((welcome, params));
    }
    let mut lease =
        pool.checkout(worker, Instant::now(), limit).await.map_err(LoginError::Checkout)?;
    let welcome = pool.welcome().unwrap_or_default();
    let mut wanted = welcome.settable();
    for (name, value) in pool.base().iter() {
        wanted.set(name, value);
    }
    for (name, value) in asked {
        wanted.set(name, value);
    }
    let sql = lease.params.sql_to(&wanted);
    if !sql.is_empty() {
        match lease.execute(&sql).await {
            Ok(_) => {}
            Err(ServerError::Reported(report)) => {
                // The connection is whole; what was set before the error was undone with it.
                lease.release();
                return Err(LoginError::Parameters(ServerError::Reported(report)));
            }
            Err(error) => return Err(LoginError::Parameters(error)),
        }
        // Reported parameters are now in the server's spelling; of the others it says nothing.
        let reported = lease.params.iter().filter(|(name, _)| welcome.get(name).is_some());
        for (name, value) in reported {
            wanted.set(name, value);
        }
    }
    let params = pool.accept(asked.to_vec(), wanted);
    lease.params = Arc::clone(&params);
    lease.release();
    Ok((welcome, params))
}

/// The session parameters that a startup packet asks for. Those of the proxy itself are custom
/// parameters for the server, which takes any value.
pub(super) fn asked(startup: &Startup<'_>) -> Result<Vec<(String, String)>, LoginError> {
    let asked = asked_parameters(startup)?;
    for (name, value) in &asked {
        if wishes::is_own(name) && wishes::read(name, value).is_none() {
            let (name, value) = (name.to_ascii_lowercase(), value.clone());
            return Err(LoginError::OwnParameter { name, value });
        }
    }
    Ok(asked)
}

/// The session parameters in a startup packet, in Postgres's spelling where it matters here.
fn asked_parameters(startup: &Startup<'_>) -> Result<Vec<(String, String)>, LoginError> {
    let mut asked = Vec::new();
    let mut ask = |name: &str, value: &str| {
        let name = params::known_name(name).map_or_else(|| name.to_owned(), str::to_owned);
        asked.retain(|(other, _): &(String, String)| *other != name);
        asked.push((name, value.to_owned()));
    };
    // Postgres applies options first, then what stands in the packet by itself.
    if let Some(options) = startup.param("options") {
        for (name, value) in startup::parse_options(options).ok_or(LoginError::Options)? {
            ask(&name, &value);
        }
    }
    for (name, value) in &startup.params {
        let special = matches!(*name, "user" | "database" | "options" | "replication");
        if !special && !name.starts_with("_pq_.") {
            ask(name, value);
        }
    }
    asked.sort();
    Ok(asked)
}
