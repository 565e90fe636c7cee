//! Whether a write over several shards can be committed, asked before anything is written.

use std::rc::Rc;

use futures_util::future::join_all;
use pgherd_plan::commit::{Place, sql};
use pgherd_pool::{Errand, ErrandError, Primaries};
use pgherd_wire::{ErrorResponse, sqlstate};

use super::book::{Ready, Site};
use super::roles::{ANSWER, CONNECT};
use crate::sharded::failure::Failure;
use crate::sharded::front::Front;
use crate::sharded::sites::Sites;

/// `object_not_in_prerequisite_state`, which is what Postgres says when it cannot prepare.
const NOT_PREPARED: &str = "55000";

/// What a database says of itself.
struct Said {
    place: Option<Place>,
    max_prepared: String,
    has_table: bool,
    may_use: bool,
}

/// Sees to it that a transaction can be committed on these shards, all or nothing: asks each of
/// them once under a topology, and makes the table of records where it is missing. Costs nothing
/// when that is known. The databases, in the order of `shards`.
///
/// Over connections of its own: those of the session are in a transaction.
pub(crate) async fn make_ready(
    front: &Rc<Front>,
    sites: &Rc<Sites>,
    shards: &[usize],
) -> Result<Vec<Place>, Failure> {
    let asked = join_all(shards.iter().map(|&shard| of_shard(front, sites, shard))).await;
    asked.into_iter().collect()
}

async fn of_shard(front: &Front, sites: &Sites, shard: usize) -> Result<Place, Failure> {
    let shared = &front.worker.shared;
    let (cluster, user) = (front.entry.database.to_string(), front.entry.user.to_string());
    let site = Site { cluster, user, shard };
    let generation = sites.generation();
    let known = shared.commits.ready.lock().get(&site).copied();
    if let Some(ready) = known.filter(|ready| ready.generation == generation) {
        return Ok(ready.place);
    }
    let no_primary = || {
        let text = format!("shard {shard} has no primary at the moment");
        Failure::error(sqlstate::CANNOT_CONNECT_NOW, text)
    };
    let primaries = shared.directory.primaries(&site.cluster).ok_or_else(no_primary)?;
    let role = primaries.role_of(&site.user).ok_or_else(no_primary)?.to_owned();
    let place = ask(&primaries, shard, &role).await?;
    shared.commits.ready.lock().insert(site, Ready { generation, place });
    Ok(place)
}

async fn ask(primaries: &Primaries, shard: usize, role: &str) -> Result<Place, Failure> {
    let Some(endpoint) = primaries.endpoint(shard, role) else {
        let text = format!("shard {shard} has no primary at the moment");
        return Err(Failure::error(sqlstate::CANNOT_CONNECT_NOW, text));
    };
    let open = || Errand::open(&endpoint, sql::SETTLE, CONNECT);
    let failed = |error: ErrandError| not_asked(shard, &error);
    let mut errand = open().await.map_err(failed)?;
    let mut said = Said::read(&mut errand, shard).await?;
    if said.max_prepared == "0" {
        let text = format!(
            "a write to several shards needs prepared transactions, which are disabled on shard {shard}"
        );
        return Err(Failure::refused(ErrorResponse::error(NOT_PREPARED, text).hint(
            "Set max_prepared_transactions on every shard to at least max_connections, and \
             restart it.",
        )));
    }
    if !said.may_use {
        let made = errand.ask_within(sql::CREATE_TABLE, ANSWER).await;
        // Somebody else may have made it meanwhile; and an error leaves its transaction open.
        errand = open().await.map_err(failed)?;
        said = Said::read(&mut errand, shard).await?;
        if !said.may_use {
            let reason = made.err().map_or_else(String::new, |error| error.to_string());
            tracing::warn!(shard, role, "the table pgherd.commits cannot be used: {reason}");
            let what = if said.has_table { "used" } else { "created" };
            let text = format!(
                "a write to several shards needs the table pgherd.commits, which cannot be {what} \
                 on shard {shard}"
            );
            return Err(Failure::refused(
                ErrorResponse::error(sqlstate::INSUFFICIENT_PRIVILEGE, text).detail(reason).hint(
                    format!("An administrator must run this once there: {}", sql::CREATE_TABLE),
                ),
            ));
        }
        tracing::info!(shard, role, "the table pgherd.commits is there from now on");
    }
    said.place.ok_or_else(|| {
        let text = format!("shard {shard} does not tell its system identifier");
        Failure::refused(
            ErrorResponse::error(sqlstate::INSUFFICIENT_PRIVILEGE, text)
                .hint("Grant EXECUTE on pg_control_system() to the users of the cluster."),
        )
    })
}

impl Said {
    async fn read(errand: &mut Errand, shard: usize) -> Result<Self, Failure> {
        let rows = errand.ask_within(&sql::readiness(), ANSWER).await;
        let rows = rows.map_err(|error| not_asked(shard, &error))?;
        let text = |index: usize| rows.first().and_then(|row| row.get(index)?.as_deref());
        Ok(Self {
            place: Place::read(text(0), text(1)),
            max_prepared: text(2).unwrap_or_default().to_owned(),
            has_table: text(3) == Some("t"),
            may_use: text(4) == Some("t"),
        })
    }
}

fn not_asked(shard: usize, error: &ErrandError) -> Failure {
    tracing::info!(shard, "cannot ask whether a write over shards is possible: {error}");
    let text =
        format!("shard {shard} does not say whether it can take part in a write over shards");
    let code = error.code().filter(|_| error.is_answer()).map(str::to_owned);
    Failure::refused(match code {
        Some(code) => {
            let error =
                ErrorResponse::error(sqlstate::INTERNAL_ERROR, text).detail(error.to_string());
            ErrorResponse { code: code.into(), ..error }
        }
        None => ErrorResponse::error(sqlstate::CONNECTION_FAILURE, text),
    })
}
