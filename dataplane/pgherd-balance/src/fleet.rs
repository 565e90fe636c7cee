//! The bans of the whole fleet, decided from what its proxies report.

mod ban;
mod decide;
mod report;
mod state;

pub use ban::{Cause, FleetBan, Scope};
pub use decide::{
    Circumstances, Decision, FleetHeldBack, FleetRules, ProbeRequest, ShardMembers, Spared, decide,
};
pub use report::{Condition, ProxyId, Report, Sighting};
pub use state::FleetState;
