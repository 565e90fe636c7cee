//! Rules for one cluster: its pools, users, shards and instances.

use crate::{Cluster, InstanceRole, Shard, User};

use super::{Findings, endpoint, health, limits, name, password, rule::Rule, sharding, tls};

pub(super) fn check(cluster: &Cluster, at: &str, findings: &mut Findings) {
    name::check_cluster(&cluster.name, &format!("{at}/name"), findings);
    check_pool_size(cluster.pool_size, &format!("{at}/pool_size"), findings);
    check_reserve(cluster.reserve_pool_size, &format!("{at}/reserve_pool_size"), findings);
    check_connect_query(cluster, at, findings);
    let zero = cluster.checkout_timeout.limit().is_none();
    findings.reject_if(zero, format!("{at}/checkout_timeout"), Rule::PeriodZero);
    let zero = cluster.connect_timeout.limit().is_none();
    findings.reject_if(zero, format!("{at}/connect_timeout"), Rule::PeriodZero);
    tls::check_server(&cluster.server_tls, &format!("{at}/server_tls"), findings);
    health::check(cluster, at, findings);
    check_users(cluster, at, findings);
    check_min_pool_size(cluster, at, findings);
    check_shards(cluster, at, findings);
    sharding::check(cluster, at, findings);
}

fn check_pool_size(size: usize, at: &str, findings: &mut Findings) {
    let most = limits::POOL_SIZE;
    let rule = Rule::OutOfRange { what: "pool_size", least: 1, most };
    findings.reject_if(!(1..=most).contains(&size), at, rule);
}

fn check_reserve(size: usize, at: &str, findings: &mut Findings) {
    let most = limits::POOL_SIZE;
    let rule = Rule::OutOfRange { what: "reserve_pool_size", least: 0, most };
    findings.reject_if(size > most, at, rule);
}

fn check_connect_query(cluster: &Cluster, at: &str, findings: &mut Findings) {
    if let Some(query) = &cluster.connect_query {
        let at = format!("{at}/connect_query");
        findings.reject_if(query.trim().is_empty(), &at, Rule::StatementEmpty);
        findings.reject_if(query.contains('\0'), &at, Rule::StatementMalformed);
    }
}

// === users ===

fn check_users(cluster: &Cluster, at: &str, findings: &mut Findings) {
    let at = format!("{at}/users");
    let (count, most) = (cluster.users.len(), limits::USERS);
    findings.reject_if(count == 0, &at, Rule::NoUsers);
    if count > most {
        return findings.reject(&at, Rule::TooMany { what: "users", count, most });
    }
    let names = cluster.users.iter().map(|user| user.name.as_str());
    findings.reject_duplicates("user", names, |index| format!("{at}/{index}/name"));
    for (index, user) in cluster.users.iter().enumerate() {
        check_user(user, &format!("{at}/{index}"), findings);
    }
}

fn check_user(user: &User, at: &str, findings: &mut Findings) {
    name::check(&user.name, &format!("{at}/name"), findings);
    if let Some(server_user) = &user.server_user {
        name::check(server_user, &format!("{at}/server_user"), findings);
    }
    password::check(&user.password, &format!("{at}/password"), findings);
    password::check_for_server(user, at, findings);
    if let Some(size) = user.pool_size {
        check_pool_size(size, &format!("{at}/pool_size"), findings);
    }
    if let Some(size) = user.reserve_pool_size {
        check_reserve(size, &format!("{at}/reserve_pool_size"), findings);
    }
    let zero = user.checkout_timeout.is_some_and(|timeout| timeout.limit().is_none());
    findings.reject_if(zero, format!("{at}/checkout_timeout"), Rule::PeriodZero);
}

/// `min_pool_size` holds for every user, also for those with a smaller pool of their own.
fn check_min_pool_size(cluster: &Cluster, at: &str, findings: &mut Findings) {
    let min = cluster.min_pool_size;
    let tightest = cluster
        .users
        .iter()
        .enumerate()
        .map(|(index, user)| (cluster.effective_pool_size(user), index, user))
        .min_by_key(|(size, index, _)| (*size, *index));
    if let Some((size, index, user)) = tightest
        && min > size
    {
        let at = match user.pool_size {
            Some(_) => format!("{at}/users/{index}/pool_size"),
            None => format!("{at}/min_pool_size"),
        };
        findings.reject(at, Rule::MinAboveSize { min, size, user: user.name.clone() });
    }
}

// === shards ===

fn check_shards(cluster: &Cluster, at: &str, findings: &mut Findings) {
    let at = format!("{at}/shards");
    findings.reject_if(cluster.shards.is_empty(), &at, Rule::NoShards);
    let (count, most) = (cluster.shards.len(), limits::SHARDS);
    if count > most {
        return findings.reject(&at, Rule::TooMany { what: "shards", count, most });
    }
    for (index, shard) in cluster.shards.iter().enumerate() {
        check_shard(shard, &format!("{at}/{index}/instances"), findings);
    }
}

fn check_shard(shard: &Shard, at: &str, findings: &mut Findings) {
    findings.reject_if(shard.instances.is_empty(), at, Rule::NoInstances);
    let (count, most) = (shard.instances.len(), limits::INSTANCES);
    if count > most {
        return findings.reject(at, Rule::TooMany { what: "instances", count, most });
    }
    let addresses: Vec<String> =
        shard.instances.iter().map(|instance| instance.address().to_lowercase()).collect();
    let names = addresses.iter().map(String::as_str);
    findings.reject_duplicates("instance", names, |index| format!("{at}/{index}"));
    for (index, instance) in shard.instances.iter().enumerate() {
        let at = format!("{at}/{index}");
        endpoint::check(instance, &at, findings);
        if let Some(server_tls) = &instance.server_tls {
            tls::check_server(server_tls, &format!("{at}/server_tls"), findings);
        }
        if let Some(database) = &instance.database {
            name::check(database, &format!("{at}/database"), findings);
        }
    }
    check_roles(shard, at, findings);
}

fn check_roles(shard: &Shard, at: &str, findings: &mut Findings) {
    let mut primaries = shard
        .instances
        .iter()
        .enumerate()
        .filter(|(_, instance)| instance.role == InstanceRole::Primary);
    if let Some((_, first)) = primaries.next() {
        for (index, _) in primaries {
            let first = first.address();
            findings.reject(format!("{at}/{index}/role"), Rule::SecondPrimary { first });
        }
    } else if shard.instances.len() > 1 {
        let auto = shard.instances.iter().any(|instance| instance.role == InstanceRole::Auto);
        findings.reject_if(!auto, at, Rule::PrimaryMissing);
    }
}
