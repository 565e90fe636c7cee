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

/// What one shard does for all of them: where no rows of shards are around it is called on the first
/// one, always, so that what it tells and locks and keeps is in one place.
const ON_THE_FIRST: &[&str] = &[
    "lo_close",
    "lo_creat",
    "lo_create",
    "lo_from_bytea",
    "lo_get",
    "lo_lseek",
    "lo_lseek64",
    "lo_open",
    "lo_put",
    "lo_tell",
    "lo_tell64",
    "lo_truncate",
    "lo_truncate64",
    "lo_unlink",
    "loread",
    "lowrite",
    "pg_advisory_xact_lock",
    "pg_advisory_xact_lock_shared",
    "pg_backend_pid",
    "pg_current_xact_id",
    "pg_try_advisory_xact_lock",
    "pg_try_advisory_xact_lock_shared",
    "txid_current",
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
        _ if matches!(name, "nextval" | "setval") => Volatility::Sequence,
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
    // Views and drivers ask the catalogs by them.
    if schema == Some("information_schema") && !sharded {
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
        // No lock of a session outlives its statement here; drivers call it to reset sessions.
        Some(_) if name == "pg_advisory_unlock_all" && !sharded => None,
        Some(_) if ON_THE_FIRST.contains(&name) && !sharded => None,
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

/// Built-in aggregates.
const AGGREGATES: &[&str] = &[
    "any_value",
    "array_agg",
    "avg",
    "bit_and",
    "bit_or",
    "bit_xor",
    "bool_and",
    "bool_or",
    "corr",
    "count",
    "covar_pop",
    "covar_samp",
    "cume_dist",
    "dense_rank",
    "every",
    "json_agg",
    "json_agg_strict",
    "json_object_agg",
    "json_object_agg_strict",
    "json_object_agg_unique",
    "json_object_agg_unique_strict",
    "jsonb_agg",
    "jsonb_agg_strict",
    "jsonb_object_agg",
    "jsonb_object_agg_strict",
    "jsonb_object_agg_unique",
    "jsonb_object_agg_unique_strict",
    "max",
    "min",
    "mode",
    "percent_rank",
    "percentile_cont",
    "percentile_disc",
    "range_agg",
    "range_intersect_agg",
    "rank",
    "regr_avgx",
    "regr_avgy",
    "regr_count",
    "regr_intercept",
    "regr_r2",
    "regr_slope",
    "regr_sxx",
    "regr_sxy",
    "regr_syy",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "string_agg",
    "sum",
    "var_pop",
    "var_samp",
    "variance",
    "xmlagg",
];
/// Window functions, of no use without OVER.
const WINDOW_FUNCTIONS: &[&str] = &[
    "cume_dist",
    "dense_rank",
    "first_value",
    "lag",
    "last_value",
    "lead",
    "nth_value",
    "ntile",
    "percent_rank",
    "rank",
    "row_number",
];
/// Stable built-ins that depend on nothing but their arguments and the session's settings.
const SAME_ON_ALL: &[&str] = &[
    "array_to_json",
    "array_to_string",
    "concat",
    "concat_ws",
    "convert_from",
    "convert_to",
    "date",
    "date_add",
    "date_part",
    "date_subtract",
    "date_trunc",
    "enum_first",
    "enum_last",
    "enum_range",
    "extract",
    "format",
    "generate_series",
    "json_build_array",
    "json_build_object",
    "jsonb_build_array",
    "jsonb_build_object",
    "length",
    "make_timestamptz",
    "money",
    "numeric",
    "overlaps",
    "phraseto_tsquery",
    "plainto_tsquery",
    "quote_literal",
    "quote_nullable",
    "row_to_json",
    "time",
    "timestamp",
    "timestamptz",
    "timetz",
    "to_char",
    "to_json",
    "to_jsonb",
    "to_number",
    "to_timestamp",
    "to_date",
    "to_tsquery",
    "to_tsvector",
    "ts_headline",
    "websearch_to_tsquery",
];

/// What a call is to those who would have the shards answer it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call<'t> {
    /// The same on every shard.
    Plain,
    /// A built-in aggregate, if OVER does not make a window function of it.
    Aggregate(&'t str),
    Unknown,
}

pub fn call<'t>(call: FuncCall<'t>, catalog: &Catalog) -> Call<'t> {
    let names = texts(call.funcname());
    let name = match names.as_slice() {
        [name] | ["pg_catalog", name] => *name,
        [_, name] => {
            let plain = catalog.function(name) == Some(true) && !catalog.is_special(name);
            return if plain && !is_marked(call) { Call::Plain } else { Call::Unknown };
        }
        _ => return Call::Unknown,
    };
    if catalog.function(name).is_some() && names.len() == 1 {
        let plain = catalog.function(name) == Some(true)
            && !catalog.is_special(name)
            && builtin(name).is_none();
        return if plain && !is_marked(call) { Call::Plain } else { Call::Unknown };
    }
    if AGGREGATES.contains(&name) {
        return Call::Aggregate(name);
    }
    if WINDOW_FUNCTIONS.contains(&name) {
        return if call.over().is_some() { Call::Plain } else { Call::Unknown };
    }
    let same = IMMUTABLE.contains(name)
        || SAME_ON_ALL.contains(&name)
        || name == "age" && call.args().len() == 2;
    if same && !is_marked(call) { Call::Plain } else { Call::Unknown }
}

/// Words in the names of built-in functions that give sets of rows.
const SETS: &[&str] = &[
    "array_elements",
    "aclexplode",
    "each",
    "generate_",
    "matches",
    "object_keys",
    "path_query",
    "recordset",
    "_table",
    "ts_debug",
    "ts_parse",
    "ts_stat",
    "ts_token_type",
    "unnest",
];

/// Whether a call may give more or fewer than one row.
pub fn may_give_sets(call: FuncCall<'_>, catalog: &Catalog) -> bool {
    let names = texts(call.funcname());
    let Some(name) = names.last() else { return true };
    catalog.function(name).is_some()
        || name.starts_with("pg_")
        || SETS.iter().any(|it| name.contains(it))
}

/// Written as only aggregates and window functions are.
fn is_marked(call: FuncCall<'_>) -> bool {
    call.over().is_some()
        || call.agg_star()
        || call.agg_distinct()
        || call.agg_within_group()
        || call.agg_filter().is_some()
        || !call.agg_order().is_empty()
}

static IMMUTABLE: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    volatilities().filter(|(_, volatility)| *volatility == 'i').map(|(name, _)| name).collect()
});

static STABLE: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    volatilities().filter(|(_, volatility)| *volatility == 's').map(|(name, _)| name).collect()
});
