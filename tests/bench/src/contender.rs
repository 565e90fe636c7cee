//! The servers that are compared, all running on loopback before the same Postgres.

use std::net::SocketAddr;

use anyhow::Result;
use pgherd_harness::haproxy::HaProxy;
use pgherd_harness::postgres::Postgres;
use pgherd_harness::proxy::{Proxy, ProxyConfig};

use crate::options::{Options, Plan, Target};
use crate::pgbench;
use crate::pgbouncer::PgBouncer;

/// A running pooler, or none.
#[derive(Debug)]
pub enum Contender {
    Direct(SocketAddr),
    PgBouncer(PgBouncer),
    HaProxy(HaProxy),
    Pgherd(Proxy),
    /// The replica with it.
    Routed(Box<(Proxy, Postgres)>),
}

/// Those that could be started, and why the others could not.
#[derive(Debug)]
pub struct Contenders {
    pub running: Vec<Contender>,
    pub missing: Vec<(Target, String)>,
}

/// A Postgres that is not what limits the figures: everything in memory, nothing in the background.
pub fn start_postgres() -> Result<Postgres> {
    Postgres::builder()
        .setting("shared_buffers", "512MB")
        .setting("max_wal_size", "4GB")
        .setting("synchronous_commit", "off")
        .setting("autovacuum", "off")
        .setting("max_connections", "300")
        .start()
}

// === impl Contenders ===

impl Contenders {
    /// Starts what the plan names; that one is missing is no reason not to measure the others.
    pub fn start(postgres: &Postgres, plan: &Plan, options: &Options) -> Result<Self> {
        let mut contenders = Self { running: Vec::new(), missing: Vec::new() };
        for &target in &plan.targets {
            match Contender::start(target, postgres, options) {
                Ok(contender) => contenders.running.push(contender),
                Err(error) => {
                    eprintln!("bench: left out: {target}: {error:#}");
                    contenders.missing.push((target, format!("{error:#}")));
                }
            }
        }
        anyhow::ensure!(!contenders.running.is_empty(), "nothing to measure could be started");
        Ok(contenders)
    }
}

// === impl Contender ===

impl Contender {
    /// Starts one with a transaction pool (HAProxy has none).
    pub fn start(target: Target, postgres: &Postgres, options: &Options) -> Result<Self> {
        Ok(match target {
            Target::Direct => Self::Direct(postgres.addr()),
            Target::PgBouncer => Self::PgBouncer(PgBouncer::start(postgres, options.pool_size)?),
            Target::HaProxy => Self::HaProxy(HaProxy::start(&[postgres.addr().into()])?),
            Target::Pgherd => Self::Pgherd(Proxy::start(&pgherd(postgres, options).to_toml())?),
            Target::Routed => {
                let replica = postgres.streaming_replica()?;
                pgbench::warm(&replica)?;
                let config = pgherd(postgres, options).replica(&replica);
                let config = config.cluster_setting("reads", "\"replicas\"");
                Self::Routed(Box::new((Proxy::start(&config.to_toml())?, replica)))
            }
        })
    }

    /// Which one it is.
    pub fn target(&self) -> Target {
        match self {
            Self::Direct(_) => Target::Direct,
            Self::PgBouncer(_) => Target::PgBouncer,
            Self::HaProxy(_) => Target::HaProxy,
            Self::Pgherd(_) => Target::Pgherd,
            Self::Routed(_) => Target::Routed,
        }
    }

    /// Where pgbench connects.
    pub fn addr(&self) -> SocketAddr {
        match self {
            Self::Direct(addr) => *addr,
            Self::PgBouncer(pgbouncer) => pgbouncer.addr(),
            Self::HaProxy(haproxy) => haproxy.addr(),
            Self::Pgherd(proxy) => proxy.addr(),
            Self::Routed(routed) => routed.0.addr(),
        }
    }

    /// The process whose CPU time and memory count; nobody's for a direct connection.
    pub fn pid(&self) -> Option<u32> {
        match self {
            Self::Direct(_) => None,
            Self::PgBouncer(pgbouncer) => Some(pgbouncer.pid()),
            Self::HaProxy(haproxy) => Some(haproxy.pid()),
            Self::Pgherd(proxy) => Some(proxy.pid()),
            Self::Routed(routed) => Some(routed.0.pid()),
        }
    }
}

fn pgherd(postgres: &Postgres, options: &Options) -> ProxyConfig {
    let config = ProxyConfig::transaction(postgres).pool_size(options.pool_size);
    config.proxy_setting("workers", &options.workers.to_string())
}
