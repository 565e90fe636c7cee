//! The bars that pgherd has to clear, and whether it does.

use serde::Serialize;

use crate::options::{Protocol, Target};
use crate::summary::Summary;
use crate::window::Figures;

/// The number of clients at which speed is judged.
const CLIENTS: usize = 16;
/// Ratio to PgBouncer, which does what pgherd does.
const PGBOUNCER: f64 = 1.2;
/// Ratio to HAProxy, which does less: the floor of any relay.
const HAPROXY: f64 = 1.6;
/// Percent of throughput that routing may cost.
const ROUTING: f64 = 10.0;
/// KiB per idle client.
const IDLE: f64 = 8.0;

/// One bar with what was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    pub what: String,
    pub bar: f64,
    /// Nothing when one side was not measured.
    pub measured: Option<f64>,
}

impl Verdict {
    /// In words.
    pub fn outcome(&self) -> &'static str {
        match self.measured {
            None => "not measured",
            Some(measured) if measured <= self.bar => "met",
            Some(_) => "MISSED",
        }
    }
}

/// Judges what was measured.
pub fn judge(summary: &Summary) -> Vec<Verdict> {
    let cases = [
        (Protocol::Simple, Target::PgBouncer, PGBOUNCER),
        (Protocol::Extended, Target::PgBouncer, PGBOUNCER),
        (Protocol::Prepared, Target::HaProxy, HAPROXY),
    ];
    let mut verdicts = Vec::new();
    for (protocol, other, bar) in cases {
        let of = |target| summary.figures(protocol, CLIENTS, target);
        let pair = of(Target::Pgherd).zip(of(other));
        let name = protocol.name();
        verdicts.push(Verdict {
            what: format!("CPU per transaction / {other}'s, {name}, {CLIENTS} clients"),
            bar,
            measured: pair.and_then(|(ours, theirs)| cpu_ratio(ours, theirs)),
        });
        verdicts.push(Verdict {
            what: format!("p50 / {other}'s, {name}, {CLIENTS} clients"),
            bar,
            measured: pair.map(|(ours, theirs)| ours.p50 / theirs.p50),
        });
    }
    for protocol in [Protocol::Simple, Protocol::Extended, Protocol::Prepared] {
        let of = |target| summary.figures(protocol, CLIENTS, target);
        let pair = of(Target::Pgherd).zip(of(Target::Routed));
        verdicts.push(Verdict {
            what: format!(
                "% of throughput lost by routing, {}, {CLIENTS} clients",
                protocol.name()
            ),
            bar: ROUTING,
            measured: pair.map(|(off, on)| 100.0 * (1.0 - on.throughput / off.throughput)),
        });
    }
    let idle = summary.idle.iter().find(|idle| idle.target == Target::Pgherd);
    verdicts.push(Verdict {
        what: "KiB per idle client".to_owned(),
        bar: IDLE,
        measured: idle.map(crate::idle::Idle::per_client_kib),
    });
    verdicts
}

/// CPU time against CPU time, where both have a pooler.
pub fn cpu_ratio(ours: &Figures, theirs: &Figures) -> Option<f64> {
    let (ours, theirs) = ours.cpu.zip(theirs.cpu)?;
    (theirs > 0.0).then(|| ours / theirs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_measured_is_neither_met_nor_missed() {
        let verdict = |measured| Verdict { what: String::new(), bar: 1.2, measured }.outcome();
        assert_eq!(verdict(None), "not measured");
        assert_eq!(verdict(Some(1.2)), "met");
        assert_eq!(verdict(Some(1.21)), "MISSED");
    }
}
