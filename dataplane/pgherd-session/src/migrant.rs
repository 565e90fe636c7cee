//! A client between two workers: idle, without a server connection, with nothing half done.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ahash::AHashMap;
use bytes::Bytes;
use pgherd_pool::{Pool, Socket, Statement, Targets, Unnamed};
use pgherd_wire::ParamSet;

use crate::admission::Admission;
use crate::clients::Registration;
use crate::login::Client;
use crate::routing::Written;
use crate::session::Session;
use crate::shared::Worker;

/// A client on its way to another worker. Dropped, it closes the client's connection.
#[derive(Debug)]
pub struct Migrant {
    /// The worker to which it moves.
    pub to: usize,
    client: Socket,
    registration: Registration,
    pool: Arc<Pool>,
    targets: Arc<Targets>,
    written: Written,
    admission: Admission,
    generation: u64,
    params: Arc<ParamSet>,
    startup_params: Arc<ParamSet>,
    statements: AHashMap<Bytes, Arc<Statement>>,
    unnamed: Option<Unnamed>,
    portal_sets: bool,
    discarding: bool,
}

impl Session {
    /// Whether the client has worked here, and nothing but what a [`Migrant`] carries would be lost
    /// by a move.
    pub(crate) fn can_move(&self) -> bool {
        self.has_worked
            && self.lease.is_none()
            && !self.routing.has_lost_transaction
            && [&self.from_client, &self.from_server].into_iter().all(|direction| {
                direction.is_between_messages()
                    && direction.outbox.is_empty()
                    && direction.buffer.is_empty()
            })
    }

    /// Takes the client off this worker.
    pub(crate) fn depart(self, to: usize) -> Migrant {
        debug_assert!(self.can_move());
        Migrant {
            to,
            client: self.client,
            registration: self.registration,
            pool: self.pool,
            targets: self.targets,
            written: self.routing.written,
            admission: self.admission,
            generation: self.generation,
            params: self.params,
            startup_params: self.startup_params,
            statements: self.statements,
            unnamed: self.unnamed,
            portal_sets: self.portal_sets,
            discarding: self.discarding,
        }
    }

    /// Settles a client on this worker. Fails when its socket cannot be registered here.
    pub(crate) fn arrive(worker: Rc<Worker>, migrant: Migrant) -> std::io::Result<Self> {
        worker.shared.moved.fetch_add(1, Ordering::Relaxed);
        let login = Client {
            registration: migrant.registration,
            pool: migrant.pool,
            targets: migrant.targets,
            // Who has several stays where it is.
            shards: None,
            admission: migrant.admission,
            generation: migrant.generation,
            params: migrant.params,
            unread: Vec::new(),
        };
        let mut session = Self::new(worker, migrant.client.rehome()?, login);
        session.startup_params = migrant.startup_params;
        session.statements = migrant.statements;
        session.unnamed = migrant.unnamed;
        session.portal_sets = migrant.portal_sets;
        session.discarding = migrant.discarding;
        session.routing.written = migrant.written;
        Ok(session)
    }
}
