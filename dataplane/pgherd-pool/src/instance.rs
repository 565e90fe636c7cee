//! One instance as a member of its shard: what it is now, and whether statements are sent to it.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use pgherd_config::{Instance, InstanceRole};

/// An instance, whichever clusters name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceKey {
    /// Host name, IP address, or directory of a Unix socket; host names in small letters.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// What an instance is in its shard at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Role {
    /// Nobody has said so far.
    Unknown = 0,
    /// It takes writes.
    Primary = 1,
    /// It follows the primary.
    Replica = 2,
    /// It was the primary and has come back after another one took over: it gets nothing.
    Fenced = 3,
}

/// What is known of one instance of one shard. Lives as long as the topology names it there.
#[derive(Debug)]
pub struct InstanceState {
    /// Where it is.
    pub key: InstanceKey,
    index: AtomicUsize,
    configured: AtomicU8,
    weight: AtomicU32,
    role: AtomicU8,
    open: AtomicBool,
    busy: AtomicU32,
    /// The position in the log that it has written, or replayed.
    lsn: AtomicU64,
}

impl InstanceKey {
    /// Of what the settings say.
    pub fn new(host: &str, port: u16) -> Self {
        Self { host: host.to_lowercase(), port }
    }

    /// `host:port`, as shown to people.
    pub fn address(&self) -> String {
        match self.host.contains(':') && !self.host.starts_with('/') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

impl InstanceState {
    pub(crate) fn new(key: InstanceKey) -> Self {
        Self {
            key,
            index: AtomicUsize::new(0),
            configured: AtomicU8::new(0),
            weight: AtomicU32::new(1),
            role: AtomicU8::new(Role::Unknown as u8),
            open: AtomicBool::new(true),
            busy: AtomicU32::new(0),
            lsn: AtomicU64::new(0),
        }
    }

    /// Takes over what the topology says of it.
    pub(crate) fn configure(&self, instance: &Instance, index: usize) {
        let configured = match instance.role {
            InstanceRole::Auto => 0,
            InstanceRole::Primary => 1,
            InstanceRole::Replica => 2,
        };
        self.index.store(index, Ordering::Release);
        self.configured.store(configured, Ordering::Release);
        self.weight.store(instance.weight, Ordering::Release);
    }

    /// Its place in the shard, and its bit in [`crate::Need::avoid`].
    pub fn index(&self) -> usize {
        self.index.load(Ordering::Acquire)
    }

    /// What the settings say of it.
    pub fn configured(&self) -> InstanceRole {
        match self.configured.load(Ordering::Acquire) {
            1 => InstanceRole::Primary,
            2 => InstanceRole::Replica,
            _ => InstanceRole::Auto,
        }
    }

    /// Its share of reads under `weighted` load balancing.
    pub fn weight(&self) -> u32 {
        self.weight.load(Ordering::Acquire)
    }

    pub(crate) fn set_role(&self, role: Role) {
        self.role.store(role as u8, Ordering::Release);
    }

    /// What it is now.
    pub fn role(&self) -> Role {
        match self.role.load(Ordering::Acquire) {
            1 => Role::Primary,
            2 => Role::Replica,
            3 => Role::Fenced,
            _ => Role::Unknown,
        }
    }

    /// Whether reads are sent to it: not banned, not fenced, not too far behind.
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// Server connections that clients have, and clients that wait for one.
    pub fn busy(&self) -> u32 {
        self.busy.load(Ordering::Relaxed)
    }

    /// A statement has ended after so long: a proof of life.
    pub fn finished(&self, _latency: Duration) {}

    /// Whether it answers over another connection, within this time. Cancel safe.
    pub async fn probe(&self, _within: Duration) -> bool {
        true
    }

    /// One more client has a connection, or waits for one.
    pub(crate) fn busier(&self) {
        self.busy.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn less_busy(&self) {
        self.busy.fetch_sub(1, Ordering::Relaxed);
    }

    /// The position in the log up to which it has written, or, as a replica, replayed; 0 as long
    /// as that is not known.
    pub fn lsn(&self) -> u64 {
        self.lsn.load(Ordering::Acquire)
    }
}
