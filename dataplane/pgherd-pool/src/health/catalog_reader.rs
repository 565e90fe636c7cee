//! Reading the functions of a database from its catalog, now and then and when somebody asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;

use super::checkup::ask_once;
use crate::catalog::Volatilities;
use crate::shard::ShardState;

/// How old what is known of functions may become.
const MAX_AGE: Duration = Duration::from_secs(60);
/// How often it is read at most, however often somebody asks, or however often it fails.
const MIN_AGE: Duration = Duration::from_secs(1);
/// How long reading may take.
const LIMIT: Duration = Duration::from_secs(10);

/// Functions and procedures outside of `pg_catalog`, and those that somebody has put into it. A
/// function that is not volatile cannot write, as Postgres sees to itself.
const QUESTION: &str = "\
SELECT n.nspname, p.proname, pg_catalog.bool_or(p.provolatile OPERATOR(pg_catalog.=) 'v') \
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n \
  ON n.oid OPERATOR(pg_catalog.=) p.pronamespace \
WHERE (n.nspname OPERATOR(pg_catalog.<>) 'pg_catalog' \
       AND n.nspname OPERATOR(pg_catalog.<>) 'information_schema') \
   OR p.oid OPERATOR(pg_catalog.>=) 16384 \
GROUP BY n.nspname, p.proname";

/// What is known of the functions of one database of a shard.
#[derive(Debug)]
pub(crate) struct Catalog {
    pub(crate) database: String,
    known: ArcSwapOption<Volatilities>,
    wanted: AtomicBool,
    /// When reading began last.
    tried: Mutex<Option<Duration>>,
}

impl Catalog {
    pub(crate) fn new(database: &str) -> Self {
        Self {
            database: database.to_owned(),
            known: ArcSwapOption::empty(),
            wanted: AtomicBool::new(false),
            tried: Mutex::default(),
        }
    }

    pub(crate) fn volatilities(&self) -> Option<Arc<Volatilities>> {
        self.known.load_full()
    }

    /// What is known may be wrong: nothing is, until it has been read again.
    pub(crate) fn invalidate(&self) {
        self.known.store(None);
        self.wanted.store(true, Ordering::Release);
    }

    /// Whether it is to be read now; then whoever asks must do it.
    pub(crate) fn is_due(&self, now: Duration) -> bool {
        let mut tried = self.tried.lock();
        let age = tried.map(|at| now.saturating_sub(at));
        let wanted = self.wanted.load(Ordering::Acquire) || self.known.load().is_none();
        let due = age.is_none_or(|age| age >= MAX_AGE || (wanted && age >= MIN_AGE));
        if due {
            *tried = Some(now);
        }
        due
    }
}

/// Reads the catalog on an instance that can be reached.
pub(super) async fn read(shard: Arc<ShardState>, catalog: Arc<Catalog>) {
    let Some(endpoint) = shard.endpoint_for(&catalog.database) else { return };
    // Before reading: what is asked for meanwhile is asked for again.
    catalog.wanted.store(false, Ordering::Release);
    let asked = tokio::time::timeout(LIMIT, ask_once(&endpoint, QUESTION, LIMIT)).await;
    let rows = match asked {
        Ok(Ok(rows)) => rows,
        Ok(Err(error)) => {
            let (database, reason) = (&catalog.database, error.chain());
            tracing::debug!(database, "the catalog of functions cannot be read: {reason}");
            return;
        }
        Err(_) => return,
    };
    if catalog.wanted.load(Ordering::Acquire) {
        return;
    }
    let functions = rows.iter().filter_map(|row| match row.as_slice() {
        [Some(schema), Some(name), Some(writes)] => {
            let (schema, name) = (std::str::from_utf8(schema), std::str::from_utf8(name));
            Some((schema.ok()?, name.ok()?, **writes != *b"f"))
        }
        _ => None,
    });
    catalog.known.store(Some(Arc::new(Volatilities::new(functions))));
}
