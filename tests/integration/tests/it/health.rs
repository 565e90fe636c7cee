//! How the proxy sees the health of instances: real primaries and streaming replicas that are
//! killed, frozen, promoted and held back.

mod bans;
mod roles;
mod stand;
