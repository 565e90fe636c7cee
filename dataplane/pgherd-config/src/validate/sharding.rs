//! Rules for the placement of rows: algorithms, keys, and the shards that they name.

use std::collections::HashMap;

use pgherd_types::Type;

use crate::sharding::is_reserved;
use crate::{ByteSize, Cluster, KeyedShard, PoolMode, ShardedTable, ShardingAlgorithm};

use super::{
    Findings, name,
    rule::{Caution, Rule},
};

/// Less than this is a mistake of units.
const LEAST_GATHER_LIMIT: ByteSize = ByteSize(64 * 1024);

pub(super) fn check(cluster: &Cluster, at: &str, findings: &mut Findings) {
    let shards = cluster.shards.len();
    let too_small = cluster.gather_limit < LEAST_GATHER_LIMIT;
    let rule = Rule::SizeTooSmall { least: LEAST_GATHER_LIMIT };
    findings.reject_if(too_small, format!("{at}/gather_limit"), rule);
    match shards {
        0 => {}
        1 => warn_of_settings_without_effect(cluster, at, findings),
        _ => check_several(cluster, at, findings),
    }
    check_tables(cluster, at, findings);
    for (index, rule) in cluster.sharded_tables.iter().enumerate() {
        check_rule(rule, shards, &format!("{at}/sharded_tables/{index}"), findings);
    }
    let at = format!("{at}/sharded_schemas");
    let names = cluster.sharded_schemas.iter().map(|it| it.schema.as_str());
    findings.reject_duplicates("schema", names, |index| format!("{at}/{index}/schema"));
    for (index, schema) in cluster.sharded_schemas.iter().enumerate() {
        check_schema(&schema.schema, &format!("{at}/{index}/schema"), findings);
        if let Some(shard) = schema.shard {
            check_shard(shard, shards, &format!("{at}/{index}/shard"), findings);
        }
    }
}

/// A name, or the beginning of names and a star.
fn check_schema(schema: &str, at: &str, findings: &mut Findings) {
    name::check(schema, at, findings);
    let beginning = schema.strip_suffix('*').unwrap_or(schema);
    let malformed = beginning.contains('*') || beginning.is_empty() && !schema.is_empty();
    findings.reject_if(malformed, at, Rule::SchemaMalformed { name: schema.to_owned() });
    let reserved = is_reserved(beginning);
    findings.reject_if(reserved, at, Rule::SchemaReserved { name: schema.to_owned() });
}

fn check_shard(shard: usize, shards: usize, at: &str, findings: &mut Findings) {
    findings.reject_if(shard >= shards, at, Rule::UnknownShard { shard, shards });
}

fn check_rule(rule: &ShardedTable, shards: usize, at: &str, findings: &mut Findings) {
    name::check(&rule.column, &format!("{at}/column"), findings);
    findings.reject_if(rule.column_type.trim().is_empty(), format!("{at}/type"), Rule::NameEmpty);
    let listed = format!("{at}/shards");
    match rule.algorithm {
        ShardingAlgorithm::Hash => {
            findings.reject_if(!rule.shards.is_empty(), &listed, Rule::HashWithKeys);
            return;
        }
        ShardingAlgorithm::List | ShardingAlgorithm::Range => {
            findings.reject_if(rule.shards.is_empty(), &listed, Rule::NoKeys);
        }
    }
    for (index, keyed) in rule.shards.iter().enumerate() {
        let at = format!("{listed}/{index}");
        check_shard(keyed.shard, shards, &format!("{at}/shard"), findings);
        check_entry(keyed, rule.algorithm, &at, findings);
    }
    // A type of the database's own is known when its catalog has been read, and checked then.
    let Some(data_type) = Type::named(&rule.column_type) else { return };
    let problems = match rule.algorithm {
        ShardingAlgorithm::Range => rule.range_keys(&data_type).err(),
        _ => rule.list_keys(&data_type).err(),
    };
    for problem in problems.into_iter().flatten() {
        let at = problem.entry().map_or(listed.clone(), |entry| format!("{listed}/{entry}"));
        findings.reject(at, Rule::Keys(problem));
    }
}

/// Settings of one algorithm mean nothing to the other.
fn check_entry(
    keyed: &KeyedShard,
    algorithm: ShardingAlgorithm,
    at: &str,
    findings: &mut Findings,
) {
    let is_list = algorithm == ShardingAlgorithm::List;
    let word = if is_list { "list" } else { "range" };
    let foreign = [
        ("values", !is_list && !keyed.values.is_empty()),
        ("nulls", !is_list && keyed.nulls),
        ("from", is_list && keyed.from.is_some()),
        ("to", is_list && keyed.to.is_some()),
    ];
    for (setting, given) in foreign {
        let rule = Rule::KeysOfOtherAlgorithm { setting, algorithm: word };
        findings.reject_if(given, format!("{at}/{setting}"), rule);
    }
    let limited = keyed.from.is_some() || keyed.to.is_some();
    findings.reject_if(keyed.default && limited, at, Rule::DefaultWithRange);
    let takes_nothing = is_list && keyed.values.is_empty() && !keyed.nulls && !keyed.default;
    findings.reject_if(takes_nothing, at, Rule::NoKeys);
}

// === what several shards need ===

fn check_several(cluster: &Cluster, at: &str, findings: &mut Findings) {
    let shards = cluster.shards.len();
    let placed = !cluster.sharded_tables.is_empty()
        || !cluster.sharded_schemas.is_empty()
        || !cluster.reference_tables.is_empty();
    findings.reject_if(!placed, format!("{at}/shards"), Rule::NothingPlaced { shards });
    findings.reject_if(cluster.name == "*", format!("{at}/name"), Rule::ShardsForEveryName);
    // Each statement would be free to see another moment of each shard, and nothing is atomic.
    let by_statement = cluster.pool_mode == PoolMode::Statement;
    findings.reject_if(by_statement, format!("{at}/pool_mode"), Rule::StatementModeWithShards);
    for (index, user) in cluster.users.iter().enumerate() {
        let by_statement = user.pool_mode == Some(PoolMode::Statement);
        let at = format!("{at}/users/{index}/pool_mode");
        findings.reject_if(by_statement, at, Rule::StatementModeWithShards);
    }
    check_databases(cluster, at, findings);
}

/// Two shards in one database would find each row twice.
fn check_databases(cluster: &Cluster, at: &str, findings: &mut Findings) {
    let mut seen = HashMap::new();
    for (number, shard) in cluster.shards.iter().enumerate() {
        for (index, instance) in shard.instances.iter().enumerate() {
            let database = instance.database.as_deref().unwrap_or(&cluster.name);
            let place = (instance.address().to_lowercase(), database.to_owned());
            let earlier = *seen.entry(place).or_insert(number);
            if earlier != number {
                let (address, database) = (instance.address(), database.to_owned());
                let rule = Rule::DatabaseOfOtherShard { address, database, earlier };
                findings.reject(format!("{at}/shards/{number}/instances/{index}"), rule);
            }
        }
    }
}

/// Each table is placed by one rule.
fn check_tables(cluster: &Cluster, at: &str, findings: &mut Findings) {
    let references = format!("{at}/reference_tables");
    let names = cluster.reference_tables.iter().map(String::as_str);
    findings.reject_duplicates("table", names, |index| format!("{references}/{index}"));
    for (index, table) in cluster.reference_tables.iter().enumerate() {
        check_table(table, &format!("{references}/{index}"), findings);
        check_not_in_schema(cluster, table, &format!("{references}/{index}"), findings);
    }
    let tables = format!("{at}/sharded_tables");
    let mut seen = HashMap::new();
    for (index, rule) in cluster.sharded_tables.iter().enumerate() {
        let at = format!("{tables}/{index}");
        if let Some(table) = &rule.table {
            check_table(table, &format!("{at}/table"), findings);
            check_not_in_schema(cluster, table, &format!("{at}/table"), findings);
            let both = cluster.reference_tables.contains(table);
            let rule = Rule::ReferenceAndSharded { table: table.clone() };
            findings.reject_if(both, format!("{at}/table"), rule);
        }
        // Which of two rules counts would depend on their order.
        let (what, name) = match &rule.table {
            Some(table) => ("table", table),
            None => ("column", &rule.column),
        };
        let earlier = *seen.entry((what, name)).or_insert(index);
        if earlier != index {
            let earlier = crate::document::readable(&format!("{tables}/{earlier}"));
            let name = name.clone();
            findings.reject(format!("{at}/{what}"), Rule::Duplicate { what, name, earlier });
        }
    }
}

/// What is in such a schema is on its shard.
fn check_not_in_schema(cluster: &Cluster, table: &str, at: &str, findings: &mut Findings) {
    let Some((schema, _)) = table.split_once('.') else { return };
    let rule = cluster.sharded_schemas.iter().find(|it| it.fits(schema).is_some());
    if let Some(rule) = rule {
        let (table, schema) = (table.to_owned(), rule.schema.clone());
        findings.reject(at, Rule::TableOfShardedSchema { table, schema });
    }
}

fn check_table(table: &str, at: &str, findings: &mut Findings) {
    let parts: Vec<&str> = table.split('.').collect();
    let whole = parts.len() <= 2 && parts.iter().all(|part| !part.is_empty());
    if !whole {
        return findings.reject(at, Rule::TableMalformed { name: table.to_owned() });
    }
    parts.iter().for_each(|part| name::check(part, at, findings));
}

// === warnings ===

/// A setting counts as set when it differs from its default; what was written is not known here.
fn warn_of_settings_without_effect(cluster: &Cluster, at: &str, findings: &mut Findings) {
    let settings = [
        ("sharded_tables", !cluster.sharded_tables.is_empty()),
        ("sharded_schemas", !cluster.sharded_schemas.is_empty()),
        ("reference_tables", !cluster.reference_tables.is_empty()),
    ];
    for (setting, set) in settings {
        let caution = Caution::NoEffectWithOneShard { setting };
        findings.warn_if(set, format!("{at}/{setting}"), caution);
    }
}
