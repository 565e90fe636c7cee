//! Real Postgres servers, real pgherd binaries and raw protocol clients for tests, the demo and the bench.
//!
//! Nothing started here outlives the process that started it, not even when that is killed: each
//! child runs under `setpriv --pdeathsig KILL`. Starters block the calling thread until the server
//! answers; dropping a value stops the server and removes what it wrote. When a test panics, the
//! last lines of each server's log are printed.
//!
//! ```no_run
//! use pgherd_harness::{postgres::Postgres, proxy::{Proxy, ProxyConfig}, raw::Client};
//!
//! let postgres = Postgres::start()?;                 // or Postgres::builder().setting("work_mem", "8MB").start()?
//! let replica = postgres.streaming_replica()?;
//! let proxy = Proxy::start(&ProxyConfig::transaction(&postgres).pool_size(2).to_toml())?;
//! println!("psql {}", proxy.url("app"));             // user app, password secret
//! let mut client = Client::login(proxy.addr())?;
//! assert_eq!(client.rows("SELECT 1")?, [["1"]]);
//! replica.sigstop()?;                                // a black hole
//! # anyhow::Ok(())
//! ```
//!
//! Environment: `PGHERD_PG_BIN` (directory with `postgres` and `initdb`; default: `pg_config
//! --bindir`, then the newest of Debian's), `PGHERD_PG_USER` (who runs Postgres when we are root;
//! default `postgres`), `PGHERD_BIN_DIR` (where `pgherd-proxy` and `pgherd-control` are; default:
//! beside the running executable), `PGHERD_SCRATCH` (default: `pgherd-UID` in the temporary
//! directory).

pub mod binaries;
pub mod certificates;
pub mod control;
pub mod faults;
pub mod haproxy;
pub mod netns;
pub mod patroni;
pub mod poll;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod raw;
pub mod rest;
pub mod scratch;
pub mod sharded;
pub mod turns;
