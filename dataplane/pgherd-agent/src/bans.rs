//! The bans of the fleet as the control plane says them, and what is left of their times.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pgherd_balance::{
    EvidenceClass, InstanceKey,
    fleet::{Cause, FleetBan, Scope},
};
use pgherd_proto::v1;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// Most bans that are taken from one message.
const MOST: usize = 100_000;

/// The bans that hold, each with the moment at which its times counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct FleetBans {
    held: Vec<(FleetBan, Instant)>,
}

/// Why a ban in a message says nothing that this proxy understands.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadBan {
    #[error("the port {0} is none")]
    Port(u32),
    #[error("the host is empty")]
    Host,
    #[error("there is no cause that this version knows")]
    Cause,
    #[error("the class of evidence {0:?} is not known to this version")]
    Class(String),
}

/// Manual bans as they are kept on disk, dated by this machine's clock.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    at: Duration,
    bans: Vec<FleetBan>,
}

// === impl FleetBans ===

impl FleetBans {
    /// Takes in what the control plane says, instead of what it said before. One that has only just
    /// started does not know all evidence yet: the automatic bans that hold are kept then.
    pub(crate) fn take(&mut self, message: v1::FleetBans, now: Instant) {
        let mut bans: Vec<(FleetBan, Instant)> = Vec::new();
        for ban in message.bans.into_iter().take(MOST) {
            match fleet_ban(ban) {
                Ok(ban) => bans.push((ban, now)),
                Err(error) => tracing::warn!(%error, "a ban of the fleet is not understood"),
            }
        }
        if message.keep_automatic {
            let kept = self.held.drain(..).filter(|(old, _)| {
                let said_anew = |(new, _): &(FleetBan, _)| {
                    (&new.instance, &new.scope) == (&old.instance, &old.scope)
                };
                !is_manual(old) && !bans.iter().any(said_anew)
            });
            let kept: Vec<_> = kept.collect();
            bans.extend(kept);
        }
        self.held = bans;
    }

    /// The bans whose time is not over, with what is left of it.
    pub(crate) fn current(&self, now: Instant) -> Vec<FleetBan> {
        let current = self.held.iter().filter_map(|(ban, said)| aged(ban, now - *said));
        current.collect()
    }

    /// The manual ones, to be kept on disk.
    pub(crate) fn to_keep(&self, now: Instant, clock: SystemTime) -> Kept {
        let manual = self.current(now).into_iter().filter(is_manual);
        Kept { at: since_1970(clock), bans: manual.collect() }
    }

    /// The ones that were kept on disk. This machine's clock may have been set meanwhile; that can
    /// only make a ban longer or shorter, and the control plane says the truth soon.
    pub(crate) fn from_kept(kept: Kept, now: Instant, clock: SystemTime) -> Self {
        let age = since_1970(clock).saturating_sub(kept.at);
        let bans = kept.bans.iter().filter(|ban| is_manual(ban));
        Self { held: bans.filter_map(|ban| Some((aged(ban, age)?, now))).collect() }
    }
}

// === impl Kept ===

impl Kept {
    /// Whether both say the same, but for the moment at which they say it.
    pub(crate) fn same_as(&self, other: &Self) -> bool {
        let end = |kept: &Self, ban: &FleetBan| {
            // Times are rounded on their way; nobody needs the half second.
            ban.remaining.map(|remaining| (kept.at + remaining).as_secs() / 2)
        };
        let told = |kept: &Self| {
            let bans = kept.bans.iter();
            let told = bans.map(|ban| (ban.instance.clone(), ban.cause.clone(), end(kept, ban)));
            told.collect::<Vec<_>>()
        };
        told(self) == told(other)
    }
}

fn is_manual(ban: &FleetBan) -> bool {
    match ban.cause {
        Cause::Manual { .. } => true,
        Cause::Evidence { .. } => false,
    }
}

/// The same ban so much later; none when its time is over.
fn aged(ban: &FleetBan, by: Duration) -> Option<FleetBan> {
    let remaining = match ban.remaining {
        Some(remaining) => Some(remaining.checked_sub(by).filter(|left| !left.is_zero())?),
        None => None,
    };
    Some(FleetBan { remaining, elapsed: ban.elapsed.saturating_add(by), ..ban.clone() })
}

fn since_1970(clock: SystemTime) -> Duration {
    clock.duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn fleet_ban(ban: v1::FleetBan) -> Result<FleetBan, BadBan> {
    let instance = instance(ban.host, ban.port)?;
    let cause = match ban.cause {
        Some(v1::fleet_ban::Cause::Evidence(evidence)) => Cause::Evidence {
            class: class(&evidence.class)?,
            detail: evidence.detail,
            witnesses: evidence.witnesses,
            voters: usize::try_from(evidence.voters).unwrap_or(usize::MAX),
        },
        Some(v1::fleet_ban::Cause::Manual(manual)) => Cause::Manual { reason: manual.reason },
        None => return Err(BadBan::Cause),
    };
    Ok(FleetBan {
        instance,
        scope: ban.zone.map_or(Scope::All, Scope::Zone),
        cause,
        elapsed: Duration::from_millis(ban.elapsed_ms),
        remaining: ban.remaining_ms.map(Duration::from_millis),
    })
}

/// An instance by the address in a message.
pub(crate) fn instance(host: String, port: u32) -> Result<InstanceKey, BadBan> {
    if host.is_empty() {
        return Err(BadBan::Host);
    }
    Ok(InstanceKey::new(host, u16::try_from(port).map_err(|_| BadBan::Port(port))?))
}

fn class(word: &str) -> Result<EvidenceClass, BadBan> {
    let found = EvidenceClass::ALL.into_iter().find(|class| class.as_str() == word);
    found.ok_or_else(|| BadBan::Class(word.to_owned()))
}

#[cfg(test)]
mod tests;
