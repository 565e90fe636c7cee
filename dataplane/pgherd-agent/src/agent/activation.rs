//! Turns a snapshot, from the stream or from disk, into the topology that the proxy serves.

use std::sync::Arc;

use pgherd_config::{Invalid, Topology};
use pgherd_proto::v1::{Ack, Nack, Snapshot, SnapshotId, Up, up};

use crate::{Agent, Cache, Rejection, Stored, ledger::Judgement};

impl Agent {
    /// Activates the best snapshot on disk and says which, so that the proxy serves at once; the
    /// manual bans on disk hold before that.
    ///
    /// `None` when there is no cache, or nothing in it that can be used.
    pub fn activate_cached(&mut self) -> Option<SnapshotId> {
        self.restore_bans();
        let candidates: Vec<Stored> = self.cache.as_ref()?.load_good().collect();
        for stored in candidates {
            match self.activate(&stored.id, &stored.document) {
                Ok(()) => {
                    self.end_activation(None);
                    let id = stored.id.clone();
                    tracing::info!(generation = id.generation, "serving from the cached snapshot");
                    self.ledger.hold(stored.id);
                    return Some(id);
                }
                Err(rejection) => {
                    self.end_activation(Some(&rejection));
                    tracing::warn!(
                        generation = stored.id.generation,
                        code = rejection.code,
                        pointer = rejection.pointer,
                        reason = rejection.message,
                        "a cached snapshot is refused"
                    );
                }
            }
        }
        None
    }

    /// Decides on a snapshot, activates and keeps it if it is new, and returns the answer to it.
    pub(crate) fn receive(&mut self, snapshot: Snapshot) -> Up {
        let id = snapshot.id.unwrap_or_default();
        let outcome = match self.ledger.judge(&id) {
            Judgement::Refuse(rejection) => Err(rejection),
            Judgement::AlreadyActive => {
                if self.ledger.held() != Some(&id) {
                    self.keep(&id, snapshot.document);
                    self.ledger.hold(id.clone());
                }
                Ok(())
            }
            Judgement::Activate => self.replace(&id, snapshot.document),
        };
        let generation = id.generation;
        let message = match outcome {
            Ok(()) => {
                tracing::info!(generation, "the snapshot is active");
                up::Message::Ack(Ack { snapshot: Some(id) })
            }
            Err(rejection) => {
                let Rejection { code, pointer, message, retriable } = rejection;
                tracing::warn!(
                    generation,
                    code,
                    pointer,
                    reason = message,
                    "a snapshot is refused"
                );
                up::Message::Nack(Nack { snapshot: Some(id), code, pointer, message, retriable })
            }
        };
        Up { message: Some(message) }
    }

    fn replace(&mut self, id: &SnapshotId, document: Vec<u8>) -> Result<(), Rejection> {
        if self.cache.as_ref().is_some_and(|cache| cache.is_deadly(&id.content_hash)) {
            return Err(Rejection::deadly());
        }
        match self.activate(id, &document) {
            Ok(()) => {
                self.keep(id, document);
                self.ledger.hold(id.clone());
                Ok(())
            }
            Err(rejection) => {
                self.end_activation(Some(&rejection));
                self.ledger.refuse(&id.content_hash, &rejection);
                Err(rejection)
            }
        }
    }

    /// Parses, validates and hands over, with a note on disk for the case that this kills us.
    fn activate(&mut self, id: &SnapshotId, document: &[u8]) -> Result<(), Rejection> {
        self.on_cache(|cache| cache.begin(&id.content_hash));
        let topology = Topology::from_json(document).map_err(first)?;
        for warning in topology.validate().map_err(first)? {
            tracing::warn!(pointer = warning.pointer, "{}", warning.message);
        }
        self.proxy.activate(id, Arc::new(topology))
    }

    fn end_activation(&mut self, refused: Option<&Rejection>) {
        self.on_cache(|cache| match refused {
            Some(_) => cache.abandon(),
            None => cache.survive(),
        });
    }

    fn keep(&mut self, id: &SnapshotId, document: Vec<u8>) {
        self.on_cache(|cache| cache.commit(&Stored { id: id.clone(), document }));
    }

    /// A full disk must not keep a topology from being served: it is told to people and borne.
    fn on_cache(&mut self, act: impl FnOnce(&mut Cache) -> Result<(), crate::CacheError>) {
        if let Some(cache) = &mut self.cache
            && let Err(error) = act(cache)
        {
            let reason = crate::session::with_sources(&error);
            tracing::error!(%reason, "the snapshot cache cannot be written");
        }
    }
}

/// A nack carries one reason: the first, with a count of the others.
fn first(found: Vec<Invalid>) -> Rejection {
    let others = found.len().saturating_sub(1);
    match found.into_iter().next() {
        Some(Invalid { pointer, code, mut message }) => {
            if others > 0 {
                message = format!("{message} (and {others} more)");
            }
            Rejection { code: code.to_owned(), pointer, message, retriable: false }
        }
        None => Rejection::malformed("the document is not valid"),
    }
}
