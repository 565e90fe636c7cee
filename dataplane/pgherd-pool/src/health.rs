//! Watching the instances: a monitor for each, whichever clusters name it, and what follows from
//! what they see.

mod board;
mod catalog_reader;
mod checkup;
mod lag;
mod ledger;
mod monitor;
mod roles;
mod vitals;

pub(crate) use board::Health;
pub(crate) use catalog_reader::Catalog;
pub(crate) use checkup::Outcome;
pub use ledger::Sight;
pub(crate) use ledger::{Ledger, LedgerRules};
pub(crate) use monitor::{Monitor, MonitorPlan, evidence};
pub use roles::Doubt;
pub use vitals::Vitals;
