//! What clients were told of what they wrote, and whether the database agrees.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use pgherd_harness::raw::Client;

/// How many accounts there are.
pub const ACCOUNTS: u64 = 20;
/// What is in each of them at first.
const INITIAL: i64 = 1000;

/// What a client knows of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was told so.
    Committed,
    /// It never asked for the commit, or was told that there is none.
    RolledBack,
    /// It asked, and did not hear.
    Unknown,
}

/// Where something was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// One row for each transfer.
    Ledger,
    /// As many rows for each COPY as are given here.
    Copied(u64),
    /// As many rows for each pipeline.
    Piped(u64),
}

/// All writes of all clients.
#[derive(Debug, Default)]
pub struct Books(Mutex<BTreeMap<(Table, u64), Fate>>);

/// What the database said.
#[derive(Debug, Default)]
pub struct Audit {
    pub committed: usize,
    pub rolled_back: usize,
    /// Of unknown fate, and found committed.
    pub unknown_committed: usize,
    pub unknown_lost: usize,
}

/// The tables that the clients use.
pub fn schema() -> String {
    format!(
        "CREATE TABLE accounts (id int PRIMARY KEY, balance bigint NOT NULL); \
         INSERT INTO accounts SELECT id, {INITIAL} FROM generate_series(1, {ACCOUNTS}) id; \
         CREATE TABLE ledger (id bigint, source int, target int, amount bigint); \
         CREATE TABLE copied (id bigint, n int); CREATE TABLE piped (id bigint, n int); \
         CREATE TABLE victims (token text); \
         GRANT ALL ON accounts, ledger, copied, piped, victims TO PUBLIC"
    )
}

/// What is in all accounts together, always.
pub fn total() -> i64 {
    INITIAL * ACCOUNTS as i64
}

impl Books {
    /// Writes down what is known now.
    pub fn note(&self, table: Table, id: u64, fate: Fate) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert((table, id), fate);
    }

    /// Compares with what is there: nothing that was committed is lost, nothing is there twice,
    /// nothing that was rolled back is there, and the accounts agree with the ledger.
    pub fn audit(&self, primary: &mut Client) -> Result<Audit> {
        let sums = primary.rows("SELECT sum(balance), count(*) FROM accounts")?;
        ensure!(sums == [[total().to_string(), ACCOUNTS.to_string()]], "the accounts: {sums:?}");
        let wrong = primary.rows(&format!(
            "SELECT id, balance FROM accounts a WHERE balance <> {INITIAL} \
             - coalesce((SELECT sum(amount) FROM ledger WHERE source = a.id), 0) \
             + coalesce((SELECT sum(amount) FROM ledger WHERE target = a.id), 0)"
        ))?;
        ensure!(wrong.is_empty(), "accounts that disagree with the ledger: {wrong:?}");
        let mut found = BTreeMap::new();
        for name in ["ledger", "copied", "piped"] {
            for row in primary.rows(&format!("SELECT id, count(*) FROM {name} GROUP BY id"))? {
                let [id, count] = row.as_slice() else { continue };
                found.insert((name, id.parse::<u64>()?), count.parse::<u64>()?);
            }
        }
        let mut audit = Audit::default();
        for (&(table, id), &fate) in &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            let (name, whole) = match table {
                Table::Ledger => ("ledger", 1),
                Table::Copied(rows) => ("copied", rows),
                Table::Piped(rows) => ("piped", rows),
            };
            let rows = found.remove(&(name, id)).unwrap_or(0);
            let agrees = match fate {
                Fate::Committed => rows == whole,
                Fate::RolledBack => rows == 0,
                Fate::Unknown => rows == 0 || rows == whole,
            };
            ensure!(agrees, "{name} {id} is {fate:?} and has {rows} rows, not {whole}");
            match fate {
                Fate::Committed => audit.committed += 1,
                Fate::RolledBack => audit.rolled_back += 1,
                Fate::Unknown if rows > 0 => audit.unknown_committed += 1,
                Fate::Unknown => audit.unknown_lost += 1,
            }
        }
        let stranger = found.first_key_value();
        stranger.map_or(Some(()), |_| None).with_context(|| {
            format!("rows that no client wrote: {:?}", stranger.map(|(key, _)| key))
        })?;
        Ok(audit)
    }
}
