//! Decides which instance of a shard a statement goes to and which instances are banned.
//!
//! All of it is pure: values in, values out. The clock is an argument (the time since some fixed
//! moment of the process), and so is every random number.
//!
//! - [`choose`] picks one of the [`Candidate`]s by a strategy, one file each.
//! - [`Book`] keeps the bans of one shard: what this proxy has seen, what the fleet says, what an
//!   administrator orders. The rules stand at the top of `bans.rs`.
//! - [`fleet`] decides the bans of the whole fleet from what all proxies report.

mod bans;
mod evidence;
pub mod fleet;
mod instance;
mod primary;
mod strategy;

pub use bans::{
    Ban, BanRules, Book, HeldBack, Lifted, Probed, ReadsFromPrimary, Role, Source, Standing,
    Verdict,
};
pub use evidence::{Evidence, EvidenceClass, Severity};
pub use instance::InstanceKey;
pub use primary::for_write;
pub use strategy::{Candidate, PeakEwma, Strategy, choose, strategy_for};
