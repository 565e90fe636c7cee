//! Decides whether a snapshot is to be activated, from what is held and what was refused before.

use std::collections::VecDeque;

use pgherd_proto::v1::SnapshotId;

use crate::Rejection;

/// Refused contents that are remembered; a control plane sends few before somebody looks.
const REMEMBERED: usize = 64;

/// What this proxy holds, and the contents that it has refused for good.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    held: Option<SnapshotId>,
    refused: VecDeque<(String, Rejection)>,
}

/// What to do with a snapshot.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// It is new: parse, validate and activate it.
    Activate,
    /// Its content is what is active; only its name may be new.
    AlreadyActive,
    /// It is refused without a look at its content.
    Refuse(Rejection),
}

impl Ledger {
    pub(crate) fn held(&self) -> Option<&SnapshotId> {
        self.held.as_ref()
    }

    pub(crate) fn judge(&self, id: &SnapshotId) -> Judgement {
        if id.lineage.is_empty() || id.content_hash.is_empty() {
            return Judgement::Refuse(Rejection::malformed("the snapshot has no complete id"));
        }
        // A new lineage is a control plane restored from backup: its generations start anew.
        if let Some(held) = self.held.as_ref().filter(|held| held.lineage == id.lineage) {
            if id.generation < held.generation {
                return Judgement::Refuse(Rejection::stale(id.generation, held.generation));
            }
            if id.generation == held.generation && id.content_hash != held.content_hash {
                let message = "two contents have the same generation";
                return Judgement::Refuse(Rejection::malformed(message));
            }
        }
        if self.held.as_ref().is_some_and(|held| held.content_hash == id.content_hash) {
            return Judgement::AlreadyActive;
        }
        match self.refused.iter().find(|(hash, _)| *hash == id.content_hash) {
            Some((_, rejection)) => Judgement::Refuse(rejection.clone()),
            None => Judgement::Activate,
        }
    }

    pub(crate) fn hold(&mut self, id: SnapshotId) {
        self.held = Some(id);
    }

    /// Remembers a refused content, unless it may be accepted at another time.
    pub(crate) fn refuse(&mut self, content_hash: &str, rejection: &Rejection) {
        if rejection.retriable {
            return;
        }
        if self.refused.len() == REMEMBERED {
            self.refused.pop_front();
        }
        self.refused.push_back((content_hash.to_owned(), rejection.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::{Judgement, Ledger, Rejection, SnapshotId};

    fn id(lineage: &str, generation: u64, hash: &str) -> SnapshotId {
        SnapshotId { lineage: lineage.into(), generation, content_hash: hash.into() }
    }

    #[track_caller]
    fn check(ledger: &Ledger, lineage: &str, generation: u64, hash: &str, expected: &str) {
        let shown = match ledger.judge(&id(lineage, generation, hash)) {
            Judgement::Activate => "activate".to_owned(),
            Judgement::AlreadyActive => "already active".to_owned(),
            Judgement::Refuse(rejection) => rejection.code,
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn generations_only_rise_within_a_lineage() {
        let mut ledger = Ledger::default();
        check(&ledger, "a", 5, "x", "activate");
        ledger.hold(id("a", 5, "x"));
        check(&ledger, "a", 5, "x", "already active");
        check(&ledger, "a", 6, "x", "already active");
        check(&ledger, "a", 6, "y", "activate");
        check(&ledger, "a", 4, "y", "stale_generation");
        check(&ledger, "a", 4, "x", "stale_generation");
        check(&ledger, "a", 5, "y", "malformed");
        check(&ledger, "b", 1, "y", "activate");
        check(&ledger, "b", 1, "x", "already active");
        check(&ledger, "", 1, "x", "malformed");
        check(&ledger, "a", 6, "", "malformed");
    }

    #[test]
    fn a_refused_content_is_not_tried_again_under_any_name() {
        let mut ledger = Ledger::default();
        let rejection = |retriable| Rejection {
            code: "bad".into(),
            pointer: String::new(),
            message: String::new(),
            retriable,
        };
        ledger.refuse("x", &rejection(false));
        ledger.refuse("y", &rejection(true));
        check(&ledger, "a", 1, "x", "bad");
        check(&ledger, "b", 9, "x", "bad");
        check(&ledger, "a", 1, "y", "activate");
        for n in 0..super::REMEMBERED {
            ledger.refuse(&n.to_string(), &rejection(false));
        }
        check(&ledger, "a", 1, "x", "activate");
        assert_eq!(ledger.refused.len(), super::REMEMBERED);
    }
}
