//! Decides whether a proxy is sent the current snapshot.

use std::time::{Duration, Instant};

use pgherd_proto::v1::SnapshotId;

/// How long a proxy that refused a snapshot for a passing reason is left alone.
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// A content that a proxy refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    content_hash: String,
    /// When the same content may be sent again; never, when a retry makes no sense.
    retry_at: Option<Instant>,
}

/// What one process of a proxy has and refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    held: Option<SnapshotId>,
    /// Sent and not yet answered.
    pending: Option<SnapshotId>,
    refused: Option<Refusal>,
}

impl Delivery {
    /// For a proxy that has just connected; `refused` is what the same process refused before.
    pub fn new(held: Option<SnapshotId>, refused: Option<Refusal>) -> Self {
        Self { held, pending: None, refused }
    }

    /// Whether `current` is to be sent now. A content that was refused is not sent again.
    pub fn wants(&self, current: &SnapshotId, now: Instant) -> bool {
        if self.pending.as_ref().or(self.held.as_ref()) == Some(current) {
            return false;
        }
        match &self.refused {
            Some(refusal) if refusal.content_hash == current.content_hash => {
                refusal.retry_at.is_some_and(|at| at <= now)
            }
            _ => true,
        }
    }

    /// Notes that a snapshot was sent.
    pub fn sent(&mut self, id: SnapshotId) {
        self.pending = Some(id);
    }

    /// Notes that the proxy runs a snapshot.
    pub fn acknowledged(&mut self, id: SnapshotId) {
        if self.pending.as_ref() == Some(&id) {
            self.pending = None;
        }
        self.held = Some(id);
        self.refused = None;
    }

    /// Notes that the proxy refused a snapshot and keeps what it has.
    pub fn refuse(&mut self, id: &SnapshotId, retriable: bool, now: Instant) -> &Refusal {
        if self.pending.as_ref() == Some(id) {
            self.pending = None;
        }
        self.refused.insert(Refusal {
            content_hash: id.content_hash.clone(),
            retry_at: retriable.then(|| now + RETRY_AFTER),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Delivery, RETRY_AFTER, SnapshotId};

    fn id(generation: u64, content: &str) -> SnapshotId {
        SnapshotId { lineage: "l".to_owned(), generation, content_hash: content.to_owned() }
    }

    #[test]
    fn a_snapshot_is_sent_once_and_not_to_who_holds_it() {
        let now = Instant::now();
        let mut delivery = Delivery::new(Some(id(1, "a")), None);
        assert!(!delivery.wants(&id(1, "a"), now));
        assert!(delivery.wants(&id(2, "b"), now));
        delivery.sent(id(2, "b"));
        assert!(!delivery.wants(&id(2, "b"), now));
        delivery.acknowledged(id(2, "b"));
        assert!(!delivery.wants(&id(2, "b"), now));
        assert!(delivery.wants(&id(1, "a"), now), "a database put back to an older state");
    }

    #[test]
    fn a_refused_content_is_not_sent_again_under_another_generation() {
        let now = Instant::now();
        let mut delivery = Delivery::new(Some(id(1, "a")), None);
        delivery.sent(id(2, "b"));
        delivery.refuse(&id(2, "b"), false, now);
        assert!(!delivery.wants(&id(2, "b"), now));
        assert!(!delivery.wants(&id(4, "b"), now + Duration::from_secs(3600)));
        assert!(delivery.wants(&id(3, "c"), now));
    }

    #[test]
    fn a_refusal_that_may_pass_is_tried_again_later() {
        let now = Instant::now();
        let mut delivery = Delivery::default();
        delivery.sent(id(2, "b"));
        delivery.refuse(&id(2, "b"), true, now);
        assert!(!delivery.wants(&id(2, "b"), now));
        assert!(delivery.wants(&id(2, "b"), now + RETRY_AFTER));
    }

    #[test]
    fn an_answer_to_an_older_snapshot_does_not_settle_the_newer_one() {
        let now = Instant::now();
        let mut delivery = Delivery::default();
        delivery.sent(id(2, "b"));
        delivery.sent(id(3, "c"));
        delivery.acknowledged(id(2, "b"));
        assert!(!delivery.wants(&id(3, "c"), now));
    }
}
