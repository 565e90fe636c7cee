//! Rules for the settings by which instances are watched.

use std::time::Duration;

use crate::{Cluster, InstanceRole, Period};

use super::{Findings, rule::Rule};

/// What Linux takes for TCP_KEEPIDLE and TCP_KEEPINTVL.
const MOST_SECONDS: u64 = 32_767;
/// What it takes for TCP_KEEPCNT.
const MOST_COUNT: u32 = 127;

pub(super) fn check(cluster: &Cluster, at: &str, findings: &mut Findings) {
    let zero = cluster.health_check_timeout.limit().is_none();
    findings.reject_if(zero, format!("{at}/health_check_timeout"), Rule::PeriodZero);
    let idle = fits_kernel(cluster.tcp_keepalive_idle);
    findings.reject_if(!idle, format!("{at}/tcp_keepalive_idle"), Rule::NotKernelSeconds);
    let interval = cluster.tcp_keepalive_interval;
    let fits = fits_kernel(interval) && interval.limit().is_some();
    findings.reject_if(!fits, format!("{at}/tcp_keepalive_interval"), Rule::NotKernelSeconds);
    let most = usize::try_from(MOST_COUNT).unwrap_or(usize::MAX);
    let rule = Rule::OutOfRange { what: "tcp_keepalive_count", least: 1, most };
    let fits = (1..=MOST_COUNT).contains(&cluster.tcp_keepalive_count);
    findings.reject_if(!fits, format!("{at}/tcp_keepalive_count"), rule);
    check_user(cluster, &format!("{at}/health_check_user"), findings);
    check_auto(cluster, at, findings);
}

fn fits_kernel(period: Period) -> bool {
    period.0.subsec_nanos() == 0 && period.0 <= Duration::from_secs(MOST_SECONDS)
}

fn check_user(cluster: &Cluster, at: &str, findings: &mut Findings) {
    let Some(name) = &cluster.health_check_user else { return };
    match cluster.user(name) {
        None => findings.reject(at, Rule::UnknownUser { name: name.clone() }),
        Some(user) if user.effective_server_password().is_none() => {
            findings.reject(at, Rule::UserWithoutServerPassword { user: name.clone() });
        }
        Some(_) => {}
    }
}

/// A single instance needs no check to be the primary.
fn check_auto(cluster: &Cluster, at: &str, findings: &mut Findings) {
    let auto = cluster.shards.iter().any(|shard| {
        let auto = |role| role == InstanceRole::Auto;
        shard.instances.len() > 1 && shard.instances.iter().any(|instance| auto(instance.role))
    });
    let never = cluster.health_check_interval.limit().is_none();
    findings.reject_if(
        auto && never,
        format!("{at}/health_check_interval"),
        Rule::AutoWithoutChecks,
    );
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::{Value, json};

    use crate::Topology;

    #[track_caller]
    fn check(changes: Value, expected: Expect) {
        let mut cluster = json!({
            "name": "app",
            "users": [{"name": "u", "password": "secret"}],
            "shards": [{"instances": [{"host": "a"}, {"host": "b"}]}],
        });
        for (key, value) in changes.as_object().unwrap() {
            cluster[key] = value.clone();
        }
        let topology = json!({"clusters": [cluster]}).to_string();
        let topology = Topology::from_json(topology.as_bytes()).unwrap();
        let invalid = topology.validate().err().unwrap_or_default();
        let lines: Vec<String> = invalid
            .iter()
            .map(|found| format!("{} [{}] {}", found.pointer, found.code, found.message))
            .collect();
        expected.assert_eq(&lines.join("\n"));
    }

    #[test]
    fn what_the_kernel_does_not_take_is_refused() {
        check(json!({"tcp_keepalive_idle": "0", "tcp_user_timeout": "0"}), expect![""]);
        check(
            json!({"tcp_keepalive_idle": "500ms", "tcp_keepalive_interval": "0", "tcp_keepalive_count": 128}),
            expect![[r#"
                /clusters/0/tcp_keepalive_idle [out_of_range] must be 0 or whole seconds from 1s to 32767s, as the kernel takes them
                /clusters/0/tcp_keepalive_interval [out_of_range] must be 0 or whole seconds from 1s to 32767s, as the kernel takes them
                /clusters/0/tcp_keepalive_count [out_of_range] tcp_keepalive_count must be from 1 to 127"#]],
        );
    }

    #[test]
    fn the_checks_need_a_user_who_can_log_in() {
        check(json!({"health_check_user": "u"}), expect![""]);
        check(
            json!({"health_check_user": "nobody"}),
            expect![
                "/clusters/0/health_check_user [unknown_user] the cluster has no user `nobody`"
            ],
        );
    }

    #[test]
    fn roles_are_found_by_checks() {
        check(
            json!({"health_check_interval": "0"}),
            expect![[
                r#"/clusters/0/health_check_interval [health_checks_needed] role = "auto" is found out by health checks: health_check_interval cannot be 0"#
            ]],
        );
        check(
            json!({"health_check_interval": "0", "shards": [{"instances": [{"host": "a"}]}]}),
            expect![""],
        );
        check(
            json!({"health_check_timeout": "0"}),
            expect![
                "/clusters/0/health_check_timeout [out_of_range] must be longer than 0s: without a limit, clients would wait for ever"
            ],
        );
    }
}
