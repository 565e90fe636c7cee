//! A control plane for tests: real gRPC on loopback, each stream handed to the test.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use pgherd_proto::v1::{
    Down, Hello, Ping, Snapshot, SnapshotId, Up, View, Welcome, down,
    fleet_server::{Fleet, FleetServer},
    up,
};
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle, time::timeout};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming, transport::Server};

/// The control plane; it stops when this is dropped.
pub struct Control {
    pub address: SocketAddr,
    streams: mpsc::Receiver<Stream>,
    refusals: mpsc::UnboundedReceiver<()>,
    accepted_token: Arc<Mutex<String>>,
    server: JoinHandle<()>,
}

/// One stream that a proxy has opened.
pub struct Stream {
    inbound: Streaming<Up>,
    outbound: mpsc::Sender<Result<Down, Status>>,
}

struct Service {
    streams: mpsc::Sender<Stream>,
    refusals: mpsc::UnboundedSender<()>,
    accepted_token: Arc<Mutex<String>>,
}

#[tonic::async_trait]
impl Fleet for Service {
    type ConnectStream = ReceiverStream<Result<Down, Status>>;

    async fn connect(
        &self,
        request: Request<Streaming<Up>>,
    ) -> Result<Response<Self::ConnectStream>, Status> {
        let given = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
        let expected = format!("Bearer {}", self.accepted_token.lock().unwrap());
        if given != Some(expected.as_str()) {
            let _ = self.refusals.send(());
            return Err(Status::unauthenticated("no such token"));
        }
        let (outbound, messages) = mpsc::channel(16);
        let stream = Stream { inbound: request.into_inner(), outbound };
        self.streams.send(stream).await.map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Response::new(ReceiverStream::new(messages)))
    }
}

impl Control {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, streams) = mpsc::channel(16);
        let accepted_token = Arc::new(Mutex::new("good".to_owned()));
        let (refused, refusals) = mpsc::unbounded_channel();
        let service =
            Service { streams: sender, refusals: refused, accepted_token: accepted_token.clone() };
        let server = tokio::spawn(async move {
            Server::builder()
                .add_service(FleetServer::new(service))
                .serve_with_incoming(TcpListenerStream::new(listener))
                .await
                .unwrap();
        });
        Self { address, streams, refusals, accepted_token, server }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn accept_token(&self, token: &str) {
        *self.accepted_token.lock().unwrap() = token.to_owned();
    }

    /// Waits until a stream is refused for its token.
    pub async fn refusal(&mut self) {
        within(self.refusals.recv()).await.unwrap();
    }

    /// The next stream and what it began with.
    pub async fn accept(&mut self) -> (Stream, Hello) {
        let mut stream = within(self.streams.recv()).await.unwrap();
        match stream.next().await {
            Some(up::Message::Hello(hello)) => (stream, hello),
            other => panic!("the stream began with {other:?}"),
        }
    }

    /// The next stream, welcomed.
    pub async fn welcome(&mut self) -> (Stream, Hello) {
        let (mut stream, hello) = self.accept().await;
        let welcome = Welcome { proxy_number: 7, statistics_interval_seconds: 3600 };
        stream.send(down::Message::Welcome(welcome)).await;
        match stream.next().await {
            Some(up::Message::Statistics(_)) => (stream, hello),
            other => panic!("the welcome was answered with {other:?}"),
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Stream {
    pub async fn send(&mut self, message: down::Message) {
        within(self.outbound.send(Ok(Down { message: Some(message) }))).await.unwrap();
    }

    /// The next message but views, which may come at any time; `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<up::Message> {
        loop {
            match self.next_of_all().await {
                Some(up::Message::View(_)) => {}
                other => return other,
            }
        }
    }

    /// The next view.
    pub async fn view(&mut self) -> View {
        loop {
            match self.next_of_all().await {
                Some(up::Message::View(view)) => return view,
                Some(_) => {}
                None => panic!("the stream ended without a view"),
            }
        }
    }

    async fn next_of_all(&mut self) -> Option<up::Message> {
        match within(self.inbound.message()).await {
            Ok(Some(up)) => Some(up.message.unwrap()),
            Ok(None) | Err(_) => None,
        }
    }

    /// Sends a snapshot and shows the answer: `ack GENERATION` or `nack CODE POINTER`.
    pub async fn snapshot(&mut self, id: SnapshotId, document: &[u8]) -> String {
        let snapshot = Snapshot { id: Some(id.clone()), document: document.to_vec() };
        self.send(down::Message::Snapshot(snapshot)).await;
        let (answered, shown) = match self.next().await {
            Some(up::Message::Ack(ack)) => (ack.snapshot, format!("ack {}", id.generation)),
            Some(up::Message::Nack(nack)) => {
                (nack.snapshot, format!("nack {} {}", nack.code, nack.pointer))
            }
            other => panic!("the snapshot was answered with {other:?}"),
        };
        assert_eq!(answered, Some(id));
        shown.trim_end().to_owned()
    }

    /// Sends a ping and waits for its pong.
    pub async fn ping(&mut self, nonce: u64) {
        self.send(down::Message::Ping(Ping { nonce })).await;
        match self.next().await {
            Some(up::Message::Pong(pong)) => assert_eq!(pong.nonce, nonce),
            other => panic!("the ping was answered with {other:?}"),
        }
    }
}

/// Whatever a test waits for comes within this time or not at all.
pub async fn within<F: Future>(future: F) -> F::Output {
    timeout(Duration::from_secs(20), future).await.expect("nothing came within 20 s")
}
