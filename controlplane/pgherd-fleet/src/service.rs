//! The gRPC entry: who may open a stream, and its start.

use std::{pin::Pin, sync::Arc};

use futures_util::Stream;
use pgherd_proto::v1::{Down, Up, fleet_server};
use pgherd_store::Role;
use tonic::{Request, Response, Status, Streaming};

use crate::{Fleet, Identity, outbox::Outbox, stream::ProxyStream};

/// Implements `pgherd.fleet.v1.Fleet`.
pub struct FleetService {
    fleet: Fleet,
}

impl FleetService {
    /// A service over what `fleet` knows.
    pub fn new(fleet: Fleet) -> Self {
        Self { fleet }
    }

    fn authenticate(&self, request: &Request<Streaming<Up>>) -> Result<Identity, Status> {
        let header = request.metadata().get("authorization");
        let identity = header
            .and_then(|value| value.to_str().ok())
            .and_then(|value| self.fleet.authenticate(value))
            .ok_or_else(|| Status::unauthenticated("the token is missing, wrong or revoked"))?;
        if !identity.role.includes(Role::Proxy) {
            return Err(Status::permission_denied(format!(
                "the token {:?} has the role {}; a proxy needs one with the role proxy",
                identity.name, identity.role
            )));
        }
        Ok(identity)
    }
}

#[tonic::async_trait]
impl fleet_server::Fleet for FleetService {
    type ConnectStream = Pin<Box<dyn Stream<Item = Result<Down, Status>> + Send>>;

    async fn connect(
        &self,
        request: Request<Streaming<Up>>,
    ) -> Result<Response<Self::ConnectStream>, Status> {
        let identity = self.authenticate(&request)?;
        let outbox = Arc::new(Outbox::default());
        let stream = ProxyStream::new(self.fleet.clone(), identity, Arc::clone(&outbox));
        self.fleet.inner.streams.spawn(stream.run(request.into_inner()));
        Ok(Response::new(Box::pin(outbox.into_stream())))
    }
}
