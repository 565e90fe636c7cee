//! The tests of tokio-postgres.

mod cancel;
mod copy;
mod errors;
mod large;
mod notifications;
mod pipelining;
mod portals;
mod session;
mod statements;
mod transactions;
mod types;
