//! The console of the admin database: what an operator can see and do with psql.
//!
//! One file for each command under `commands/`, and one line for it in [`commands::COMMANDS`];
//! `SHOW HELP` and the hints of errors follow from that list. Columns are called as PgBouncer
//! calls them wherever they mean the same, so that dashboards and scripts go on working.

mod authorise;
mod commands;
mod console;
mod control;
mod table;
#[cfg(test)]
mod testing;
mod words;

pub use console::Console;
pub use control::{Control, ReloadError};
