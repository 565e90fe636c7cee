//! Which functions may be called where rows come from several shards.

use std::collections::HashSet;
use std::sync::LazyLock;

use pgherd_parser::FuncCall;
use pgherd_sql::{Builtin, builtin, volatilities};

use crate::catalog::Catalog;
use crate::plan::Refusal;
use crate::walk::texts;

/// They run SQL given as text or read tables by name, on whatever shard they are called.
const READ_TABLES: &[&str] = &[
    "cursor_to_xml",
    "cursor_to_xmlschema",
    "database_to_xml",
    "database_to_xml_and_xmlschema",
    "database_to_xmlschema",
    "query_to_xml",
    "query_to_xml_and_xmlschema",
    "query_to_xmlschema",
    "schema_to_xml",
    "schema_to_xml_and_xmlschema",
    "schema_to_xmlschema",
    "table_to_xml",
    "table_to_xml_and_xmlschema",
    "table_to_xmlschema",
    "ts_rewrite",
    "ts_stat",
];
/// They tell of this very database, each shard another thing; `pg_…` besides.
const TELL_OF_THE_SHARD: &[&str] = &["row_security_active", "has_table_privilege"];
/// `pg_…` that do not.
const HARMLESS: &[&str] = &[
    "pg_typeof",
    "pg_sleep",
    "pg_sleep_for",
    "pg_sleep_until",
    "pg_size_pretty",
    "pg_size_bytes",
    "pg_column_size",
    "pg_input_is_valid",
    "pg_backend_pid",
    "pg_client_encoding",
];

/// VOLATILE, but each call is independent of all others: shards may call them for their own rows.
const INDEPENDENT: &[&str] = &[
    "array_sample",
    "array_shuffle",
    "clock_timestamp",
    "gen_random_uuid",
    "random",
    "random_normal",
    "timeofday",
    "uuidv4",
    "uuidv7",
];
/// Those of extensions that come with Postgres.
const INDEPENDENT_OF_EXTENSIONS: &[&str] = &[
    "gen_random_bytes",
    "gen_salt",
    "uuid_generate_v1",
    "uuid_generate_v1mc",
    "uuid_generate_v4",
    "uuid_generate_v7",
];
/// The same for all rows of a statement, but not in the sessions of two shards.
const OF_SESSION: &[&str] = &[
    "current_database",
    "current_schema",
    "current_user",
    "getpgusername",
    "now",
    "session_user",
    "statement_timestamp",
    "transaction_timestamp",
    "user",
];
/// `pgherd.unique_id()`
const UNIQUE_ID: &[&str] = &["pgherd", "unique_id"];

/// How far the calls in an expression may be spread over shards; later ones are harder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Volatility {
    /// The same on every shard, as the sessions have the same settings.
    Everywhere,
    /// Another value each time, wherever that is.
    Independent,
    /// One value for the whole statement, which one session must say.
    OfSession,
    /// From a sequence, which is on the first shard.
    Sequence,
    /// It may read or write anything.
    Unknown,
}

pub fn volatility(call: FuncCall<'_>, catalog: &Catalog) -> Volatility {
    let names = texts(call.funcname());
    let (own, name) = match names.as_slice() {
        [name] => (catalog.function(name), *name),
        ["pg_catalog", name] => (None, *name),
        _ if names == UNIQUE_ID => return Volatility::Independent,
        [_, name] => (Some(catalog.function(name).unwrap_or(false)), *name),
        _ => return Volatility::Unknown,
    };
    match own {
        Some(true) => return Volatility::Everywhere,
        Some(false) if INDEPENDENT_OF_EXTENSIONS.contains(&name) => return Volatility::Independent,
        Some(false) => return Volatility::Unknown,
        None => {}
    }
    match builtin(name) {
        _ if INDEPENDENT.contains(&name) => Volatility::Independent,
        _ if OF_SESSION.contains(&name) => Volatility::OfSession,
        _ if name == "nextval" => Volatility::Sequence,
        _ if IMMUTABLE.contains(name) => Volatility::Everywhere,
        Some((_, Builtin::Reads)) if STABLE.contains(name) => {
            match objection(call, catalog, true) {
                Some(_) => Volatility::Unknown,
                None => Volatility::Everywhere,
            }
        }
        _ => Volatility::Unknown,
    }
}

/// Why a call cannot be planned, if so. `sharded`: rows of sharded tables are around.
pub fn objection(call: FuncCall<'_>, catalog: &Catalog, sharded: bool) -> Option<Refusal> {
    let names = texts(call.funcname());
    let (schema, name) = match names.as_slice() {
        [name] => (None, *name),
        [schema, name] => (Some(*schema), *name),
        _ => return Some(Refusal::over_shards("a function with a name of three parts")),
    };
    let refused = |why: &str| {
        let construct = format!("the function {name}(), which {why},");
        Some(Refusal::new(
            construct,
            "Call it on one shard by itself, or declare it IMMUTABLE if it is.",
        ))
    };
    let is_builtin = schema.is_none_or(|it| it == "pg_catalog");
    if names == UNIQUE_ID {
        return None;
    }
    if schema != Some("pg_catalog") {
        match catalog.function(name) {
            Some(true) => return None,
            Some(false) => return refused("may read or write tables"),
            None => {}
        }
    }
    match builtin(name).filter(|_| is_builtin) {
        _ if READ_TABLES.contains(&name) => refused("reads tables"),
        Some((_, Builtin::MayWrite)) => refused("changes state or tells of one shard"),
        Some((_, Builtin::Reads)) if sharded => {
            let of_shard = TELL_OF_THE_SHARD.contains(&name)
                || name.starts_with("pg_") && !HARMLESS.contains(&name);
            if of_shard { refused("tells of one shard") } else { None }
        }
        Some((_, Builtin::Reads)) => None,
        // The server will say that it does not exist, if the catalog is not outdated.
        None => refused("is not known"),
    }
}

static IMMUTABLE: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    volatilities().filter(|(_, volatility)| *volatility == 'i').map(|(name, _)| name).collect()
});

static STABLE: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    volatilities().filter(|(_, volatility)| *volatility == 's').map(|(name, _)| name).collect()
});
