//! A proxy played by the test.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use pgherd_proto::v1::{
    Ack, Down, Hello, Pong, Snapshot, Up, Welcome, down::Message as Said,
    fleet_client::FleetClient, up::Message,
};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status, Streaming, transport::Endpoint};

use crate::control::Control;

const PATIENCE: Duration = Duration::from_secs(20);

pub struct Player {
    up: mpsc::Sender<Up>,
    down: Streaming<Down>,
}

/// A greeting that is in order.
pub fn hello(id: &str) -> Hello {
    Hello {
        proxy_id: id.to_owned(),
        incarnation: "1".to_owned(),
        version: "test".to_owned(),
        advertise_address: format!("{id}:6432"),
        ..Hello::default()
    }
}

/// Waits until something is so.
pub async fn poll(what: &str, mut so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !so() {
        assert!(started.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

impl Player {
    pub async fn connect(control: &Control, hello: Hello) -> Self {
        Self::try_connect(&control.address, &control.token, hello).await.unwrap()
    }

    pub async fn try_connect(
        address: &SocketAddr,
        token: &str,
        hello: Hello,
    ) -> Result<Self, Status> {
        // Not `FleetClient::connect`: that is the name of the service's own method.
        let channel = Endpoint::try_from(format!("http://{address}")).unwrap();
        let mut client = FleetClient::new(channel.connect().await.unwrap());
        let (up, sent) = mpsc::channel(16);
        up.send(Up { message: Some(Message::Hello(hello)) }).await.unwrap();
        let mut request = Request::new(ReceiverStream::new(sent));
        let bearer = format!("Bearer {token}").parse().unwrap();
        request.metadata_mut().insert("authorization", bearer);
        let down = client.connect(request).await?.into_inner();
        Ok(Self { up, down })
    }

    pub async fn say(&self, message: Message) {
        self.up.send(Up { message: Some(message) }).await.unwrap();
    }

    pub async fn ack(&self, snapshot: &Snapshot) {
        self.say(Message::Ack(Ack { snapshot: snapshot.id.clone() })).await;
    }

    /// The next message that is not a ping; pings are answered.
    pub async fn next_but_pings(&mut self) -> Option<Said> {
        self.next().await.unwrap()
    }

    /// The same, where the stream may end with an error.
    async fn next(&mut self) -> Result<Option<Said>, Status> {
        loop {
            let next = timeout(PATIENCE, self.down.message()).await.expect("it says nothing");
            let Some(message) = next?.and_then(|down| down.message) else { return Ok(None) };
            match message {
                Said::Ping(ping) => {
                    let pong = Message::Pong(Pong { nonce: ping.nonce });
                    // The stream may have been ended meanwhile; what follows says why.
                    let _ = self.up.send(Up { message: Some(pong) }).await;
                }
                message => return Ok(Some(message)),
            }
        }
    }

    pub async fn welcome(&mut self) -> Welcome {
        match self.next_but_pings().await {
            Some(Said::Welcome(welcome)) => welcome,
            other => panic!("no welcome but {other:?}"),
        }
    }

    /// The next snapshot.
    pub async fn snapshot(&mut self) -> Snapshot {
        loop {
            match self.next_but_pings().await {
                Some(Said::Snapshot(snapshot)) => return snapshot,
                Some(Said::Peers(_) | Said::FleetBans(_)) => {}
                other => panic!("no snapshot but {other:?}"),
            }
        }
    }

    /// Waits until the list of peers is this one.
    pub async fn peers(&mut self, expected: &[(u32, &str)]) {
        loop {
            if let Some(Said::Peers(peers)) = self.next_but_pings().await {
                let peers = peers.peers.iter();
                let listed: Vec<_> =
                    peers.map(|p| (p.proxy_number, p.advertise_address.as_str())).collect();
                if listed == expected {
                    return;
                }
            }
        }
    }

    /// The code with which the control plane ends the stream.
    pub async fn refusal(&mut self) -> String {
        loop {
            match self.next_but_pings().await.expect("the stream ended without a word") {
                Said::Refused(refused) => return refused.code,
                Said::Snapshot(_) | Said::Peers(_) | Said::FleetBans(_) => {}
                other => panic!("no refusal but {other:?}"),
            }
        }
    }
}

impl Player {
    /// The error with which the stream ends.
    pub async fn failure(&mut self) -> Status {
        loop {
            match self.next().await {
                Err(status) => return status,
                Ok(Some(_)) => {}
                Ok(None) => panic!("the stream ended without an error"),
            }
        }
    }
}
