//! What travels between proxies and the decision: views up, bans and requests to look down.

use std::time::Duration;

use pgherd_balance::{
    EvidenceClass, InstanceKey,
    fleet::{Cause, Condition, FleetBan, ProxyId, Report, Scope, Sighting},
};
use pgherd_proto::v1;
use tokio::time::Instant;

use super::{Decided, HOLDS_FOR, Manual};
use crate::convert::shortened;

/// Instances in one view that are looked at.
pub const MAX_VIEW: usize = 20_000;

/// What a proxy's view says about bans.
pub fn report(view: &v1::View, proxy: ProxyId, zone: Option<String>, votes: bool) -> Report {
    Report {
        proxy,
        incarnation: view.epoch,
        sequence: view.sequence,
        zone,
        votes,
        complete: true,
        sightings: view.instances.iter().take(MAX_VIEW).filter_map(sighting).collect(),
    }
}

fn sighting(seen: &v1::InstanceView) -> Option<Sighting> {
    let instance = InstanceKey::new(shortened(&seen.host), u16::try_from(seen.port).ok()?);
    let condition = match &seen.failing {
        Some(failing) => Condition::Failing {
            class: class(&failing.class)?,
            detail: shortened(&failing.detail),
            lasting: Duration::from_millis(failing.lasting_ms),
        },
        // One that nobody has looked at yet says nothing.
        None => Condition::Healthy { seen_ago: Duration::from_millis(seen.seen_ago_ms?) },
    };
    Some(Sighting { instance, condition })
}

/// A class of evidence by its word; none for one that only a newer version knows.
pub fn class(word: &str) -> Option<EvidenceClass> {
    EvidenceClass::ALL.into_iter().find(|class| class.as_str() == word)
}

impl Decided {
    /// What every proxy is told.
    pub fn message(&self, now: Instant) -> v1::FleetBans {
        let age = now - self.at;
        let automatic = self.decision.bans.iter().map(|ban| automatic(ban, age));
        let manual = self.manual.iter().filter_map(|ban| ban.message(now));
        v1::FleetBans { bans: automatic.chain(manual).collect(), keep_automatic: !self.majority }
    }

    /// Whether there is something that proxies forget unless they are told again.
    pub fn needs_repeating(&self) -> bool {
        !self.decision.bans.is_empty()
    }
}

fn automatic(ban: &FleetBan, age: Duration) -> v1::FleetBan {
    let zone = match &ban.scope {
        Scope::All => None,
        Scope::Zone(zone) => Some(zone.clone()),
    };
    let cause = match &ban.cause {
        Cause::Evidence { class, detail, witnesses, voters } => {
            v1::fleet_ban::Cause::Evidence(v1::FleetEvidence {
                class: class.as_str().to_owned(),
                detail: detail.clone(),
                witnesses: witnesses.clone(),
                voters: u32::try_from(*voters).unwrap_or(u32::MAX),
            })
        }
        Cause::Manual { reason } => {
            v1::fleet_ban::Cause::Manual(v1::ManualBan { reason: reason.clone() })
        }
    };
    v1::FleetBan {
        host: ban.instance.host.clone(),
        port: ban.instance.port.into(),
        zone,
        elapsed_ms: milliseconds(ban.elapsed + age),
        remaining_ms: Some(milliseconds(HOLDS_FOR)),
        cause: Some(cause),
    }
}

impl Manual {
    /// For how long it has been in force, by the two machines' clocks.
    pub(super) fn elapsed(&self) -> Duration {
        (chrono::Utc::now() - self.row.created_at).to_std().unwrap_or_default()
    }

    /// None when its time is over.
    fn message(&self, now: Instant) -> Option<v1::FleetBan> {
        let remaining = match self.until {
            Some(until) => Some(until.checked_duration_since(now).filter(|left| !left.is_zero())?),
            None => None,
        };
        let reason = self.row.reason.clone();
        Some(v1::FleetBan {
            host: self.row.host.clone(),
            port: self.row.port.into(),
            zone: None,
            elapsed_ms: milliseconds(self.elapsed()),
            remaining_ms: remaining.map(milliseconds),
            cause: Some(v1::fleet_ban::Cause::Manual(v1::ManualBan { reason })),
        })
    }
}

/// A request to look at these instances at once.
pub fn probe(instances: Vec<InstanceKey>) -> v1::Probe {
    let address = |key: InstanceKey| v1::InstanceAddress { host: key.host, port: key.port.into() };
    v1::Probe { instances: instances.into_iter().map(address).collect() }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
