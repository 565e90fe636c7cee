//! The statements of the steps, and of the table that holds the records.
//!
//! They run in sessions of clients: everything is named with its schema, and what the client has
//! set must not matter. Texts that hold values take only such as have one spelling (UUIDs, numbers,
//! names of ours), never what somebody else has written.

use std::fmt::Write;
use std::time::Duration;

use uuid::Uuid;

use super::gid::{Gid, PREFIX, Place};
use super::machine::Outcome;

/// Identifies a database; NULL where the system identifier is not to be had.
const SYSTEM: &str = "(SELECT s.system_identifier FROM pg_catalog.pg_control_system() s)";
const DATABASE: &str = "(SELECT d.oid FROM pg_catalog.pg_database d \
     WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database())";

/// How long the transaction with the record may wait for the others to prepare before its server
/// ends it, unless it is asked something: the proxy may have been cut off without a word.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Settings for the rest of a transaction whose outcome others depend on: what is prepared or
/// committed must survive a crash, and as far as the server waits for standbys, a failover.
const DURABLE: &str = "pg_catalog.set_config('synchronous_commit', \
     CASE WHEN pg_catalog.current_setting('synchronous_commit') \
               OPERATOR(pg_catalog.=) ANY ('{off,local}') THEN 'on' \
          ELSE pg_catalog.current_setting('synchronous_commit') END, true)";

/// Inserts the record, in the open transaction of the shard that has it; the first value is the role
/// whose record it is. Fails on the key where
/// somebody has said *aborted* by now, and where this is not the database that the names of the
/// parts say.
pub fn insert_record(transaction: Uuid, place: Place) -> String {
    let patience = PATIENCE.as_secs();
    let Place { system, database } = place;
    format!(
        "SELECT current_user, {DURABLE}, pg_catalog.set_config('row_security', 'on', true), \
         pg_catalog.set_config('idle_in_transaction_session_timeout', '{patience}s', true); \
         INSERT INTO pgherd.commits (id, outcome) VALUES ('{transaction}', \
         CASE WHEN {SYSTEM} OPERATOR(pg_catalog.=) '{system}'::pg_catalog.int8 \
               AND {DATABASE} OPERATOR(pg_catalog.=) '{database}'::pg_catalog.oid \
              THEN 'committed' END)"
    )
}

/// How long the others may take to prepare before the record is given another time.
pub const PREPARES_SOON: Duration = Duration::from_secs(10);

/// Commits it, and with it the writes of its shard. Records are deleted by their age, which is to
/// count from here: where preparing took longer than [`PREPARES_SOON`], it is set anew.
pub fn commit(transaction: Uuid, prepared_after: Duration) -> String {
    if prepared_after < PREPARES_SOON {
        return "COMMIT".to_owned();
    }
    format!(
        "UPDATE pgherd.commits SET at = DEFAULT \
         WHERE creator OPERATOR(pg_catalog.=) current_user \
           AND id OPERATOR(pg_catalog.=) '{transaction}'; COMMIT"
    )
}

/// What keeps the transaction with the record from being ended while it waits.
pub const STILL_HERE: &str = "SELECT";

/// Prepares a part.
pub fn prepare(gid: &Gid) -> String {
    format!("SELECT {DURABLE}; PREPARE TRANSACTION '{gid}'")
}

/// Finishes a part; alone in its message, outside of a transaction.
pub fn commit_prepared(gid: &Gid) -> String {
    format!("COMMIT PREPARED '{gid}'")
}

/// Undoes a part; alone in its message, outside of a transaction.
pub fn rollback_prepared(gid: &Gid) -> String {
    format!("ROLLBACK PREPARED '{gid}'")
}

/// Sees to it that there is a record, *aborted* where there was none, and says what it says; waits
/// for the transaction that is inserting one. No row where it has just been deleted, which means
/// that nothing is left to be done. To be run under READ COMMITTED, so that the second statement
/// sees what the first has waited for, and as the role that owns the prepared parts.
pub fn claim_record(transaction: Uuid) -> String {
    format!(
        "INSERT INTO pgherd.commits (id, outcome) VALUES ('{transaction}', 'aborted') \
         ON CONFLICT (creator, id) DO NOTHING; \
         SELECT outcome FROM pgherd.commits \
         WHERE creator OPERATOR(pg_catalog.=) current_user \
           AND id OPERATOR(pg_catalog.=) '{transaction}'"
    )
}

/// What the record says, from the row that answers [`claim_record`].
pub fn read_outcome(value: Option<&str>) -> Option<Outcome> {
    match value? {
        "committed" => Some(Outcome::Committed),
        "aborted" => Some(Outcome::Aborted),
        _ => None,
    }
}

/// How the sessions of those who finish what others have left begin: their own settings, whatever
/// the roles and the database have, and short waits for locks, since what they wait for may live.
pub const SETTLE: &str = "SET default_transaction_isolation = 'read committed'; \
     SET default_transaction_read_only = off; SET default_transaction_deferrable = off; \
     SET synchronous_commit = 'on'; SET row_security = on; SET search_path = pg_catalog; \
     SET lock_timeout = '500ms'; SET statement_timeout = '5s'; \
     SET standard_conforming_strings = on; SET client_min_messages = warning";

/// The parts of ours that are prepared in a database, and which one it is. At least one row: the
/// [`Place`] of the database and whether its server is in recovery, then the name of a part, its
/// owner and the seconds since it was prepared, or NULL in all three.
pub fn list_prepared() -> String {
    format!(
        "SELECT {SYSTEM}, {DATABASE}, pg_catalog.pg_is_in_recovery(), p.gid, p.owner, \
         pg_catalog.date_part('epoch', pg_catalog.clock_timestamp()) \
         OPERATOR(pg_catalog.-) pg_catalog.date_part('epoch', p.prepared) \
         FROM (VALUES (1)) AS one LEFT JOIN pg_catalog.pg_prepared_xacts p \
         ON pg_catalog.starts_with(p.gid, '{PREFIX}') \
         AND p.database OPERATOR(pg_catalog.=) pg_catalog.current_database()"
    )
}

/// Records that nobody asks for any more, if nothing is prepared of their transactions: those that
/// are old enough, the oldest first. A coordinator that does not hear what became of its COMMIT must
/// have asked, or given up, before its record is that old. Of the *committed* ones all parts have been prepared before
/// they could be seen, so that those that are not finished are in the lists that are made
/// **after** this; only then may the others be deleted ([`delete_records`]).
pub fn old_records(keep_committed: Duration, keep_aborted: Duration, most: usize) -> String {
    let (committed, aborted) = (keep_committed.as_secs(), keep_aborted.as_secs());
    format!(
        "SELECT creator, id FROM pgherd.commits \
         WHERE at OPERATOR(pg_catalog.<) (pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) \
             CASE outcome WHEN 'committed' THEN '{committed}s'::pg_catalog.interval \
                  ELSE '{aborted}s'::pg_catalog.interval END) \
         ORDER BY at LIMIT {most}"
    )
}

/// Deletes records, as the role that has made them.
pub fn delete_records(transactions: &[Uuid]) -> String {
    let mut ids = String::new();
    for (index, id) in transactions.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        write!(ids, "{comma}{id}").expect("writing to a String cannot fail");
    }
    format!(
        "DELETE FROM pgherd.commits WHERE creator OPERATOR(pg_catalog.=) current_user \
         AND id OPERATOR(pg_catalog.=) ANY ('{{{ids}}}'::pg_catalog.uuid[])"
    )
}

/// What must be known of a database before something is committed on it and on others: its
/// [`Place`], how many transactions may be prepared there, whether there is a table for records,
/// and whether this user may use it.
pub fn readiness() -> String {
    format!(
        "SELECT {SYSTEM}, {DATABASE}, \
         pg_catalog.current_setting('max_prepared_transactions'), \
         t.oid IS NOT NULL, \
         COALESCE(pg_catalog.has_schema_privilege(n.oid, 'USAGE') \
              AND pg_catalog.has_table_privilege(t.oid, 'SELECT') \
              AND pg_catalog.has_table_privilege(t.oid, 'INSERT'), false) \
         FROM (VALUES (1)) AS one \
         LEFT JOIN pg_catalog.pg_namespace n ON n.nspname OPERATOR(pg_catalog.=) 'pgherd' \
         LEFT JOIN pg_catalog.pg_class t ON t.relnamespace OPERATOR(pg_catalog.=) n.oid \
              AND t.relname OPERATOR(pg_catalog.=) 'commits'"
    )
}

/// Makes the table of records, where it is missing; one message, one transaction. An administrator
/// may run the same where the users of the cluster have no right to.
///
/// The lock keeps two proxies from making it at once, which `IF NOT EXISTS` does not. Each role has
/// records of its own, which all may see and nobody else can make or delete: what becomes of a
/// transaction is decided by nobody who could not decide it anyway.
pub const CREATE_TABLE: &str = "\
BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
SELECT pg_catalog.pg_advisory_xact_lock(8099568014297473);
CREATE SCHEMA IF NOT EXISTS pgherd;
GRANT USAGE ON SCHEMA pgherd TO PUBLIC;
CREATE TABLE IF NOT EXISTS pgherd.commits (
    creator name NOT NULL DEFAULT current_user,
    id uuid NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('committed', 'aborted')),
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (creator, id)
);
COMMENT ON TABLE pgherd.commits IS 'Outcomes of transactions on several shards';
GRANT SELECT, INSERT, UPDATE, DELETE ON pgherd.commits TO PUBLIC;
ALTER TABLE pgherd.commits ENABLE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS own ON pgherd.commits;
DROP POLICY IF EXISTS seen ON pgherd.commits;
CREATE POLICY own ON pgherd.commits
    USING (creator = current_user) WITH CHECK (creator = current_user);
CREATE POLICY seen ON pgherd.commits FOR SELECT USING (true);
COMMIT";
