//! Opens the control plane's database, and waits for it when it is away.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use pgherd_store::{OpenError, SecretKey, Store};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::options::Options;

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How often it is said that the database is still away.
const REMIND_EVERY: Duration = Duration::from_secs(10);
/// A server that accepts connections and answers nothing.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// Opens the database and brings its schema up to date; none when told to shut down meanwhile.
pub async fn open(
    options: &Options,
    shutdown: &CancellationToken,
) -> anyhow::Result<Option<Store>> {
    let key = if options.create_key {
        SecretKey::read_or_create(&options.secret_key_file)?
    } else {
        SecretKey::read(&options.secret_key_file)?
    };
    let store = Store::new(&options.database_url, key)
        .context("--database-url (as in postgres://user:password@host:port/name)")?;
    let started = Instant::now();
    let mut reminded = None;
    let mut pause = FIRST_PAUSE;
    loop {
        let prepared = tokio::select! {
            () = shutdown.cancelled() => return Ok(None),
            prepared = timeout(ANSWER_WITHIN, store.prepare()) => prepared,
        };
        let why = match prepared {
            Ok(Ok(())) => return Ok(Some(store)),
            Ok(Err(error)) if error.is_unavailable() => causes(&error),
            Ok(Err(error)) => return Err(error).context("the control plane's database"),
            Err(_) => format!("no answer within {} s", ANSWER_WITHIN.as_secs()),
        };
        if reminded.is_none_or(|at: Instant| at.elapsed() >= REMIND_EVERY) {
            tracing::warn!(
                "the control plane's database is away ({why}); trying again, for {} s so far",
                started.elapsed().as_secs()
            );
            reminded = Some(Instant::now());
        }
        tokio::select! {
            () = shutdown.cancelled() => return Ok(None),
            () = sleep(pause) => {}
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// The innermost cause: the outer ones only say that it is about the database.
fn causes(error: &OpenError) -> String {
    let mut cause: &dyn Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
