//! The API over a real Postgres, called in process.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod access;
mod bans;
mod call;
mod clusters;
mod events;
mod history;
mod hygiene;
