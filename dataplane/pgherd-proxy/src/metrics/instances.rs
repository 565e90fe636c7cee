//! Metrics of the instances, by cluster, shard and instance as they are in the settings.

use pgherd_balance::fleet::Condition;
use pgherd_config::EvidenceClass;
use pgherd_pool::{Directory, InstanceStatus, Role};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::families::{Family, families};

/// Which instance of which shard.
#[derive(Clone, Debug, EncodeLabelSet)]
pub(super) struct InstanceLabels {
    cluster: String,
    shard: u64,
    instance: String,
}

/// What it is.
#[derive(Clone, Debug, EncodeLabelSet)]
pub(super) struct RoleLabels {
    #[prometheus(flatten)]
    instance: InstanceLabels,
    role: RoleValue,
}

/// Why it was banned.
#[derive(Clone, Debug, EncodeLabelSet)]
pub(super) struct ClassLabels {
    #[prometheus(flatten)]
    instance: InstanceLabels,
    class: ClassValue,
}

#[derive(Clone, Copy, Debug)]
struct RoleValue(Role);

impl EncodeLabelValue for RoleValue {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> std::fmt::Result {
        self.0.as_str().encode(encoder)
    }
}

#[derive(Clone, Copy, Debug)]
struct ClassValue(EvidenceClass);

impl EncodeLabelValue for ClassValue {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> std::fmt::Result {
        self.0.as_str().encode(encoder)
    }
}

type Gauges<V = u64> = Family<InstanceLabels, ConstGauge<V>>;

families! {
    /// How the instances are.
    InstanceMetrics {
        /// Whether this proxy sees nothing that speaks against the instance (1) or does (0).
        up: Gauges = "pgherd_instance_up";
        /// What the instance is: 1 for its present role.
        role: Family<RoleLabels, ConstGauge<u64>> = "pgherd_instance_role";
        /// Whether reads are sent to the instance.
        open: Gauges = "pgherd_instance_open";
        /// Whether the instance is banned, by whomever, and no read is sent to it for that reason.
        banned: Gauges = "pgherd_instance_banned";
        /// Times that this proxy banned the instance for what it saw.
        bans: Family<ClassLabels, ConstCounter<u64>> = "pgherd_instance_bans";
        /// How far the replica is behind the primary.
        lag: Gauges<f64> = "pgherd_instance_replication_lag", Seconds;
        /// How much of the log the replica has not replayed yet.
        lag_bytes: Gauges = "pgherd_instance_replication_lag", Bytes;
        /// Server connections that clients have, and clients that wait for one.
        busy: Gauges = "pgherd_instance_busy";
        /// Time that the last health check took; none while it fails.
        check: Gauges<f64> = "pgherd_instance_check", Seconds;
        /// The timeline of the instance; a promotion counts it up.
        timeline: Gauges = "pgherd_instance_timeline";
    }
}

impl InstanceMetrics {
    /// The values of this moment.
    pub(super) fn read(directory: &Directory) -> Self {
        let all = directory.instances();
        Self {
            up: gauges(&all, |it| {
                Some(u64::from(!matches!(it.condition, Condition::Failing { .. })))
            }),
            role: Family(
                all.iter()
                    .map(|it| {
                        let role = RoleValue(it.sight.role);
                        (RoleLabels { instance: labels(it), role }, ConstGauge::new(1))
                    })
                    .collect(),
            ),
            open: gauges(&all, |it| Some(u64::from(it.instance.is_open()))),
            banned: gauges(&all, |it| Some(u64::from(!it.sight.standing.is_open()))),
            bans: Family(all.iter().flat_map(bans).collect()),
            lag: gauges(&all, |it| it.sight.lag.map(|lag| lag.as_secs_f64())),
            lag_bytes: gauges(&all, |it| it.sight.lag_bytes),
            busy: gauges(&all, |it| Some(u64::from(it.instance.busy()))),
            check: gauges(&all, |it| it.instance.last_check().0.map(|it| it.as_secs_f64())),
            timeline: gauges(&all, |it| it.sight.vitals?.timeline.map(u64::from)),
        }
    }
}

fn labels(status: &InstanceStatus) -> InstanceLabels {
    InstanceLabels {
        cluster: status.cluster.clone(),
        shard: u64::try_from(status.shard).unwrap_or(u64::MAX),
        instance: status.instance.key.to_string(),
    }
}

/// Classes that have not occurred have no series, which would be eight for each instance.
fn bans(status: &InstanceStatus) -> Vec<(ClassLabels, ConstCounter<u64>)> {
    let counts =
        EvidenceClass::ALL.into_iter().map(|class| (class, status.instance.ban_count(class)));
    counts
        .filter(|(_, count)| *count > 0)
        .map(|(class, count)| {
            let class = ClassValue(class);
            (ClassLabels { instance: labels(status), class }, ConstCounter::new(count))
        })
        .collect()
}

fn gauges<V>(all: &[InstanceStatus], value: fn(&InstanceStatus) -> Option<V>) -> Gauges<V> {
    let known = all.iter().filter_map(|it| Some((labels(it), ConstGauge::new(value(it)?))));
    Family(known.collect())
}
