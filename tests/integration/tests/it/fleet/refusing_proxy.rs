//! A proxy that refuses what it is sent, played by the test itself.

use std::time::Duration;

use anyhow::{Context, Result};
use pgherd_harness::control::Control;
use pgherd_harness::poll;
use pgherd_harness::postgres::Postgres;
use pgherd_harness::proxy::ProxyConfig;
use pgherd_proto::v1::fleet_client::FleetClient;
use pgherd_proto::v1::{Ack, Down, Hello, Nack, Pong, Snapshot, SnapshotId, Up, down, up};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;
use tonic::{Code, Request, Streaming};

const SOON: Duration = Duration::from_secs(10);
const ID: &str = "proxy-odd";

/// The proxy's end of the stream.
struct FakeProxy {
    up: mpsc::Sender<Up>,
    down: Streaming<Down>,
}

impl FakeProxy {
    async fn connect(url: String, token: &str) -> Result<Self, tonic::Status> {
        let unavailable =
            |error: tonic::transport::Error| tonic::Status::unavailable(error.to_string());
        let endpoint = Endpoint::from_shared(url).map_err(unavailable)?;
        let mut client = FleetClient::new(endpoint.connect().await.map_err(unavailable)?);
        let (up, messages) = mpsc::channel(16);
        let mut request = Request::new(ReceiverStream::new(messages));
        let header = format!("Bearer {token}").parse();
        let header = header.map_err(|_| tonic::Status::invalid_argument("token"))?;
        request.metadata_mut().insert("authorization", header);
        let hello = Hello {
            proxy_id: ID.to_owned(),
            incarnation: "incarnation".to_owned(),
            version: "0.0.0-test".to_owned(),
            advertise_address: "127.0.0.1:1".to_owned(),
            ..Hello::default()
        };
        // Said before the call: the server may answer only once it knows who calls.
        let hello = Up { message: Some(up::Message::Hello(hello)) };
        up.send(hello).await.map_err(|_| tonic::Status::internal("the channel is new"))?;
        let down = client.connect(request).await?.into_inner();
        Ok(Self { up, down })
    }

    async fn say(&self, message: up::Message) -> Result<()> {
        Ok(self.up.send(Up { message: Some(message) }).await?)
    }

    /// The next snapshot, if one comes in time; pings are answered meanwhile.
    async fn snapshot(&mut self, wait: Duration) -> Result<Option<Snapshot>> {
        let deadline = tokio::time::Instant::now() + wait;
        loop {
            let Ok(message) = tokio::time::timeout_at(deadline, self.down.message()).await else {
                return Ok(None);
            };
            match message?.context("the stream ended")?.message {
                Some(down::Message::Snapshot(snapshot)) => return Ok(Some(snapshot)),
                Some(down::Message::Ping(ping)) => {
                    self.say(up::Message::Pong(Pong { nonce: ping.nonce })).await?;
                }
                _ => {}
            }
        }
    }

    async fn refuse(&self, snapshot: Option<SnapshotId>) -> Result<()> {
        self.say(up::Message::Nack(Nack {
            snapshot,
            code: "out_of_order".to_owned(),
            pointer: "/clusters/0".to_owned(),
            message: "not to this proxy's taste".to_owned(),
            retriable: false,
        }))
        .await
    }
}

async fn listed(control: &Control) -> Result<Value> {
    Ok(control.rest().get(&format!("/api/v1/proxies/{ID}")).await?.success()?.body)
}

#[tokio::test]
async fn a_nack_is_shown_and_the_same_content_not_sent_again() -> Result<()> {
    let postgres = Postgres::start()?;
    let control = Control::start_on(&postgres)?;
    let mut cluster = ProxyConfig::for_address("transaction", "127.0.0.1", 5432)
        .named("shop", "shop")
        .to_cluster_json();
    control.rest().put_cluster(&cluster).await?;

    let token = std::fs::read_to_string(control.proxy_token_file())?;
    let mut proxy = FakeProxy::connect(control.url(), token.trim()).await?;
    let first = proxy.snapshot(SOON).await?.context("no snapshot after Hello")?;
    let document: Value = serde_json::from_slice(&first.document)?;
    assert_eq!(document["clusters"][0]["name"], "shop");
    // A proxy needs the secrets that REST never shows.
    assert_eq!(document["clusters"][0]["users"][0]["password"], "secret");

    proxy.refuse(first.id.clone()).await?;
    poll::until_async(SOON, "the nack in the list", async || {
        let nack = listed(&control).await?["last_nack"].clone();
        Ok((nack["code"] == "out_of_order" && nack["pointer"] == "/clusters/0").then_some(()))
    })
    .await?;
    assert_eq!(listed(&control).await?["up_to_date"], false);
    let again = proxy.snapshot(Duration::from_millis(1500)).await?;
    assert!(again.is_none(), "refused content was sent again: {:?}", again.map(|it| it.id));

    cluster["pool_size"] = json!(3);
    control.rest().put_cluster(&cluster).await?;
    let second = proxy.snapshot(SOON).await?.context("no snapshot after the change")?;
    let generation = |snapshot: &Snapshot| snapshot.id.as_ref().map(|id| id.generation);
    assert!(generation(&second) > generation(&first));
    proxy.say(up::Message::Ack(Ack { snapshot: second.id })).await?;
    poll::until_async(SOON, "the list to say that all is well", async || {
        let listed = listed(&control).await?;
        let well = listed["up_to_date"] == true && listed["last_nack"].is_null();
        Ok(well.then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_stream_without_a_proxys_token_is_refused() -> Result<()> {
    let postgres = Postgres::start()?;
    let control = Control::start_on(&postgres)?;
    let viewer = json!({ "name": "watcher", "role": "viewer" });
    let answer = control.rest().post("/api/v1/tokens", &viewer).await?.success()?;
    let viewer = answer.body["token"].as_str().context("no token")?.to_owned();
    for (token, code) in [
        ("", Code::Unauthenticated),
        ("wrong", Code::Unauthenticated),
        (&viewer, Code::PermissionDenied),
    ] {
        let refused = match FakeProxy::connect(control.url(), token).await {
            Err(status) => status.code(),
            Ok(mut proxy) => match proxy.down.message().await {
                Err(status) => status.code(),
                Ok(message) => panic!("{token:?} was let in: {message:?}"),
            },
        };
        assert_eq!(refused, code, "{token:?}");
    }
    Ok(())
}
