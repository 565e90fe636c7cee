//! Rules for the placement of rows: algorithms, keys, and the shards that they name.

use pgherd_types::Type;

use crate::{Cluster, KeyedShard, ShardedTable, ShardingAlgorithm};

use super::{Findings, name, rule::Rule};

pub(super) fn check(cluster: &Cluster, at: &str, findings: &mut Findings) {
    let shards = cluster.shards.len();
    for (index, rule) in cluster.sharded_tables.iter().enumerate() {
        check_rule(rule, shards, &format!("{at}/sharded_tables/{index}"), findings);
    }
    let at = format!("{at}/sharded_schemas");
    let names = cluster.sharded_schemas.iter().map(|it| it.schema.as_str());
    findings.reject_duplicates("schema", names, |index| format!("{at}/{index}/schema"));
    for (index, schema) in cluster.sharded_schemas.iter().enumerate() {
        name::check(&schema.schema, &format!("{at}/{index}/schema"), findings);
        check_shard(schema.shard, shards, &format!("{at}/{index}/shard"), findings);
    }
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
