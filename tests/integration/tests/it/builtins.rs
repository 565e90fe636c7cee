//! What `pgherd-sql` knows of built-in functions, compared with the server at hand.
//!
//! `UPDATE_EXPECT=1` adds what this server has; run it against every major (`make test-versions`
//! has them) to make the table anew.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::Result;
use pgherd_harness::postgres::Postgres;
use pgherd_harness::raw::Message;
use pgherd_sql::{Builtin, builtin, volatilities};

const TABLE: &str = "../../dataplane/pgherd-sql/src/builtins.tsv";

/// Names in `pg_catalog` with their most volatile overload.
fn of_the_server(postgres: &Postgres) -> Result<BTreeMap<String, char>> {
    let rows = postgres.sql(
        "SELECT proname, substr('isv', max(strpos('isv', provolatile::text)), 1) FROM pg_proc \
         WHERE pronamespace = 'pg_catalog'::regnamespace GROUP BY 1",
    )?;
    let pairs = rows.into_iter().filter_map(|row| {
        let mut row = row.into_iter();
        Some((row.next()?, row.next()?.chars().next()?))
    });
    Ok(pairs.collect())
}

/// The more volatile of two.
fn worse(one: char, two: char) -> char {
    let rank = |it| "isv".find(it);
    if rank(one) > rank(two) { one } else { two }
}

#[test]
fn every_builtin_function_of_the_server_is_known() -> Result<()> {
    let postgres = Postgres::start()?;
    let server = of_the_server(&postgres)?;
    assert!(server.len() > 2_000, "{} functions", server.len());
    let mut table: BTreeMap<String, char> =
        volatilities().map(|(name, volatility)| (name.to_owned(), volatility)).collect();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        for (name, volatility) in server {
            let entry = table.entry(name).or_insert(volatility);
            *entry = worse(*entry, volatility);
        }
        let mut text = String::new();
        for (name, volatility) in table {
            writeln!(text, "{name}\t{volatility}")?;
        }
        fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(TABLE), text)?;
        return Ok(());
    }
    let wrong: Vec<String> = server
        .iter()
        .filter(|(name, volatility)| {
            table.get(*name).is_none_or(|known| worse(*known, **volatility) != *known)
        })
        .map(|(name, volatility)| format!("{name} {volatility}"))
        .collect();
    assert!(wrong.is_empty(), "UPDATE_EXPECT=1 adds what is missing: {wrong:?}");
    Ok(())
}

/// Calls that a hot standby answers, each of a function that counts as reading: no error may say
/// that the server is in recovery, or that the transaction is read-only.
#[test]
fn what_counts_as_reading_runs_on_a_hot_standby() -> Result<()> {
    let primary = Postgres::start()?;
    let standby = primary.streaming_replica()?;
    // All functions without arguments, and those whose arguments are easily made.
    let calls = primary.sql(
        "SELECT DISTINCT proname, CASE pronargs WHEN 0 THEN '' \
             ELSE array_to_string(array_fill('NULL'::text, ARRAY[pronargs::int]), ', ') END \
         FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND prokind = 'f' \
             AND pronargs - pronargdefaults <= 2 AND provariadic = 0 \
             AND prorettype <> ALL ('{internal,trigger,event_trigger}'::regtype[]) \
             AND NOT 'internal'::regtype = ANY (proargtypes::oid[]) ORDER BY 1",
    )?;
    let mut refused = Vec::new();
    let mut tried = 0;
    let mut client = standby.superuser("postgres")?;
    for row in &calls {
        let (Some(name), Some(arguments)) = (row.first(), row.get(1)) else { continue };
        if !matches!(builtin(name), Some((_, Builtin::Reads))) || name.starts_with("pg_sleep") {
            continue;
        }
        tried += 1;
        let sql = format!("SELECT pg_catalog.\"{name}\"({arguments})");
        let state = client.simple(&sql)?.iter().find_map(Message::sqlstate);
        // read_only_sql_transaction, object_not_in_prerequisite_state ("recovery is in progress").
        if matches!(state.as_deref(), Some("25006" | "55000")) {
            refused.push(format!("{name}: {state:?}"));
        }
    }
    assert!(tried > 1_000, "only {tried} functions were tried");
    assert!(refused.is_empty(), "{refused:?}");
    Ok(())
}
