//! The bans of the whole fleet, decided from what its proxies report.
//!
//! Every proxy reports what it sees itself ([`Report`], from [`crate::Book::sightings`]); a control
//! plane keeps the newest of each proxy ([`FleetState`]); [`decide`] makes the bans of it. Nothing
//! else decides: two control planes with the same state, topology and orders say the same, without
//! a leader. Lengths of time travel, never points in time.
//!
//! | rule | |
//! |---|---|
//! | who votes | a proxy that was heard of lately, does not drain, watches the instance, and does not doubt itself |
//! | self-doubt | it fails against all of two or more instances, or against three or more and more than half of those it watches |
//! | what counts | hard evidence at once; soft evidence after a second, or 2/n of a second with n > 2 witnesses |
//! | quorum | two witnesses, and more than half of the voters; in a fleet of one, that one |
//! | for whom | all, if proxies of two zones see it failing or all that watch it are in one zone; else the zones that see it, where their own voters make a quorum |
//! | limits | in each zone, `max_banned_percent` of a shard's replicas (at least one, unless it is 0), and never the last that no order has banned; bans for all come before those of zones, hard evidence before soft, then by name |
//! | sides | without a majority of the control planes and of the known proxies in sight, no ban is made that is not in force already |
//! | ends | when the quorum is gone: proxies go on probing what is banned; or when nobody says it again |
//! | who must probe | all that vote and have not seen the instance alive since the last that fails began to |
//!
//! An instance behind a Unix socket is another one on each host, and never banned by the fleet.
//!
//! **Merging.** For each proxy the newest incarnation counts; in it, for each instance, the highest
//! sequence. A complete report also ends the sightings of older reports that it does not repeat.
//! Two copies of one sighting that took different ways keep the earliest of their times: what
//! arrives later has only been under way for longer. So states form a join semilattice: order,
//! repetition and grouping of messages do not matter.

mod ban;
mod decide;
mod gossip;
mod limits;
mod report;
mod state;
mod vote;

pub use ban::{Cause, FleetBan, Scope};
pub use decide::{
    Circumstances, Decision, FleetHeldBack, FleetRules, ProbeRequest, ShardMembers, Spared, decide,
};
pub use gossip::Gossip;
pub use report::{Condition, ProxyId, Report, Sighting};
pub use state::FleetState;

#[cfg(test)]
mod tests;
