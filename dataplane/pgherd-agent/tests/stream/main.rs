//! An agent against a control plane over real gRPC.

#![allow(clippy::unwrap_used, reason = "a panic is a test's report, in its helpers too")]

mod bans;
mod control;
mod proxy;

use std::{fs, time::Duration};

use pgherd_agent::{Agent, AgentConfig, AgentError, SnapshotId, Timing};
use pgherd_config::Secret;
use pgherd_proto::v1::{Peer, Peers, Refused, Welcome, down, up};

use control::{Control, Stream, within};
use proxy::{cached, config, snapshot, start};

/// Sends a snapshot whose only cluster has this name and shows the answer.
async fn send(stream: &mut Stream, lineage: &str, generation: u64, name: &str) -> String {
    let (id, document) = snapshot(lineage, generation, name);
    stream.snapshot(id, &document).await
}

fn generation(id: Option<SnapshotId>) -> Option<u64> {
    id.map(|id| id.generation)
}

#[tokio::test]
async fn a_proxy_says_who_it_is_and_activates_what_it_is_sent() {
    let mut control = Control::start().await;
    let running = start(config(&control.url()));
    let (mut stream, hello) = control.welcome().await;
    assert_eq!(hello.proxy_id, "proxy-1");
    assert_eq!(hello.incarnation, "first");
    assert_eq!(hello.version, "0.1.0");
    assert_eq!(hello.labels["zone"], "a");
    assert_eq!(hello.advertise_address, "127.0.0.1:6432");
    assert_eq!(hello.holds, None);
    let peer = Peer { proxy_number: 8, advertise_address: "127.0.0.1:6433".to_owned() };
    stream.send(down::Message::Peers(Peers { peers: vec![peer] })).await;
    assert_eq!(send(&mut stream, "l", 1, "app").await, "ack 1");
    assert_eq!(running.proxy.calls(), "number 7, peers 1, activate app");
    running.stop().await;
    assert_eq!(stream.next().await, None);
}

#[tokio::test]
async fn an_invalid_snapshot_is_refused_with_its_place_and_never_activated() {
    let mut control = Control::start().await;
    let running = start(config(&control.url()));
    let (mut stream, _) = control.welcome().await;
    assert_eq!(send(&mut stream, "l", 1, "app").await, "ack 1");
    running.proxy.calls();
    let invalid = "nack name_reserved /clusters/0/name";
    assert_eq!(send(&mut stream, "l", 2, "pgherd").await, invalid);
    let mut id = snapshot("l", 3, "odd").0;
    assert_eq!(
        stream.snapshot(id.clone(), b"{\"cluster\": []}").await,
        "nack unknown_key /cluster"
    );
    id.content_hash = "other".to_owned();
    assert_eq!(stream.snapshot(id.clone(), b"{").await, "nack syntax");
    id.content_hash.clear();
    assert_eq!(stream.snapshot(id, b"{}").await, "nack malformed");
    assert_eq!(running.proxy.calls(), "");
    // What it held before is still what it holds.
    drop(stream);
    assert_eq!(generation(control.welcome().await.1.holds), Some(1));
    running.stop().await;
}

#[tokio::test]
async fn a_refused_content_is_not_activated_again_unless_a_retry_makes_sense() {
    let mut control = Control::start().await;
    let running = start(config(&control.url()));
    let (mut stream, _) = control.welcome().await;
    running.proxy.calls();
    let refused = "nack refused /clusters/0/name";
    assert_eq!(send(&mut stream, "l", 1, "refused").await, refused);
    assert_eq!(send(&mut stream, "l", 2, "refused").await, refused);
    drop(stream);
    let (mut stream, _) = control.welcome().await;
    assert_eq!(send(&mut stream, "l", 3, "refused").await, refused);
    assert_eq!(running.proxy.calls(), "activate refused, number 7");
    assert_eq!(send(&mut stream, "l", 4, "refused now").await, refused);
    assert_eq!(send(&mut stream, "l", 4, "refused now").await, refused);
    assert_eq!(running.proxy.calls(), "activate refused now, activate refused now");
    running.stop().await;
}

#[tokio::test]
async fn generations_only_rise_unless_the_lineage_is_new() {
    let mut control = Control::start().await;
    let running = start(config(&control.url()));
    let (mut stream, _) = control.welcome().await;
    running.proxy.calls();
    assert_eq!(send(&mut stream, "l", 5, "five").await, "ack 5");
    assert_eq!(send(&mut stream, "l", 4, "four").await, "nack stale_generation");
    assert_eq!(send(&mut stream, "l", 5, "five").await, "ack 5");
    // Going back is a new generation with old content; the content that is active stays so.
    assert_eq!(send(&mut stream, "l", 6, "five").await, "ack 6");
    assert_eq!(send(&mut stream, "restored", 2, "four").await, "ack 2");
    assert_eq!(running.proxy.calls(), "activate five, activate four");
    drop(stream);
    let held = control.welcome().await.1.holds.unwrap();
    assert_eq!((held.lineage.as_str(), held.generation), ("restored", 2));
    running.stop().await;
}

#[tokio::test]
async fn a_lost_stream_is_opened_again_and_told_what_is_held() {
    let mut control = Control::start().await;
    let running = start(config(&control.url()));
    let (mut stream, _) = control.welcome().await;
    assert_eq!(send(&mut stream, "l", 1, "app").await, "ack 1");
    for _ in 0..3 {
        drop(stream);
        let hello;
        (stream, hello) = control.welcome().await;
        assert_eq!(generation(hello.holds), Some(1));
    }
    let refused = Refused { code: "other_incarnation".to_owned(), message: "gone".to_owned() };
    stream.send(down::Message::Refused(refused)).await;
    assert_eq!(stream.next().await, None);
    control.welcome().await;
    running.stop().await;
}

#[tokio::test]
async fn a_control_plane_that_is_away_is_left_for_another() {
    let gone = Control::start().await.url();
    let mut control = Control::start().await;
    let urls = vec![gone, control.url()];
    let running = start(AgentConfig { control_plane: urls, ..config("") });
    control.welcome().await;
    running.stop().await;
}

#[tokio::test]
async fn a_wrong_token_is_tried_again_until_it_is_accepted() {
    let mut control = Control::start().await;
    control.accept_token("later");
    let running = start(config(&control.url()));
    for _ in 0..3 {
        control.refusal().await;
    }
    assert!(!running.task.is_finished());
    control.accept_token("good");
    control.welcome().await;
    running.stop().await;
}

#[tokio::test]
async fn pings_keep_a_stream_alive_and_their_absence_ends_it() {
    let mut control = Control::start().await;
    let deadline = Duration::from_secs(1);
    let mut config = config(&control.url());
    config.timing.ping_deadline = deadline;
    let running = start(config);
    let (mut stream, _) = control.welcome().await;
    for nonce in 0..8 {
        stream.ping(nonce).await;
        tokio::time::sleep(deadline / 5).await;
    }
    // A control plane that is alive but stuck: the connection stands, nothing comes.
    assert_eq!(stream.next().await, None);
    control.welcome().await;
    running.stop().await;
}

#[tokio::test]
async fn statistics_go_up_as_often_as_the_welcome_says() {
    let mut control = Control::start().await;
    let running = start(config(&control.url()));
    let (mut stream, _) = control.accept().await;
    let welcome = Welcome { proxy_number: 1, statistics_interval_seconds: 1 };
    stream.send(down::Message::Welcome(welcome)).await;
    for _ in 0..2 {
        match stream.next().await {
            Some(up::Message::Statistics(statistics)) => assert_eq!(statistics.clients, 3),
            other => panic!("{other:?}"),
        }
    }
    running.stop().await;
}

#[tokio::test]
async fn draining_is_told_once_to_each_stream() {
    let mut control = Control::start().await;
    let running = start(config(&control.url()));
    let (mut stream, _) = control.welcome().await;
    running.handle.drain();
    assert!(matches!(stream.next().await, Some(up::Message::Draining(_))));
    drop(stream);
    let (mut stream, _) = control.accept().await;
    assert!(matches!(stream.next().await, Some(up::Message::Draining(_))));
    running.stop().await;
}

#[tokio::test]
async fn what_was_active_is_served_from_disk_while_the_control_plane_is_away() {
    let dir = tempfile::tempdir().unwrap();
    let mut control = Control::start().await;
    let running = start(cached(&control.url(), dir.path()));
    assert_eq!(running.cached, None);
    let (mut stream, _) = control.welcome().await;
    for (generation, name) in [(1, "one"), (2, "two"), (3, "pgherd"), (4, "four")] {
        send(&mut stream, "l", generation, name).await;
    }
    running.stop().await;
    drop(control);

    let running = start(cached("http://127.0.0.1:1", dir.path()));
    assert_eq!(generation(running.cached.clone()), Some(4));
    assert_eq!(running.proxy.calls(), "activate four");
    running.stop().await;

    // The newest file is damaged: the one before serves, and is what the control plane is told.
    let mut files: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("snapshot."))
        .collect();
    files.sort();
    let newest = files.pop().unwrap();
    let bytes = fs::read(&newest).unwrap();
    fs::write(&newest, &bytes[..bytes.len() - 1]).unwrap();
    let mut control = Control::start().await;
    let running = start(cached(&control.url(), dir.path()));
    assert_eq!(generation(control.welcome().await.1.holds), Some(2));
    assert_eq!(running.proxy.calls(), "activate two, number 7");
    running.stop().await;
}

#[tokio::test]
async fn a_proxy_that_died_of_a_snapshot_starts_from_the_one_before() {
    let dir = tempfile::tempdir().unwrap();
    let mut control = Control::start().await;
    for death in 1..=2 {
        let running = start(cached(&control.url(), dir.path()));
        let (mut stream, _) = control.welcome().await;
        if death == 1 {
            assert_eq!(send(&mut stream, "l", 1, "app").await, "ack 1");
        }
        let (id, document) = snapshot("l", 2, "deadly");
        let deadly = pgherd_proto::v1::Snapshot { id: Some(id), document };
        stream.send(down::Message::Snapshot(deadly)).await;
        assert!(within(running.task).await.unwrap_err().is_panic());
    }
    let running = start(cached(&control.url(), dir.path()));
    assert_eq!(running.proxy.calls(), "activate app");
    let (mut stream, hello) = control.welcome().await;
    assert_eq!(generation(hello.holds), Some(1));
    assert_eq!(send(&mut stream, "l", 2, "deadly").await, "nack died_while_activating");
    assert_eq!(send(&mut stream, "l", 3, "other").await, "ack 3");
    running.stop().await;
}

#[tokio::test]
async fn a_snapshot_of_many_megabytes_arrives() {
    let mut control = Control::start().await;
    let running = start(config(&control.url()));
    let (mut stream, _) = control.welcome().await;
    let (id, document) = snapshot("l", 1, "app");
    let mut document = String::from_utf8(document).unwrap();
    document.push_str(&" ".repeat((16 << 20) - document.len()));
    assert_eq!(stream.snapshot(id, document.as_bytes()).await, "ack 1");
    let (id, _) = snapshot("l", 2, "larger");
    document.push(' ');
    assert_eq!(stream.snapshot(id, document.as_bytes()).await, "nack document_too_large");
    running.stop().await;
}

#[tokio::test]
async fn a_configuration_that_cannot_work_is_refused_before_anything_starts() {
    let dir = tempfile::tempdir().unwrap();
    let error = |config: AgentConfig| {
        let proxy = std::sync::Arc::new(proxy::Recorder::default());
        Agent::new(config, proxy).map(|_| ()).unwrap_err()
    };
    let url = "http://127.0.0.1:1";
    assert!(matches!(error(config("http://a b")), AgentError::Url { .. }));
    assert!(matches!(error(config("https://127.0.0.1:1")), AgentError::Scheme { .. }));
    assert!(matches!(error(config("127.0.0.1:1")), AgentError::Scheme { .. }));
    let none = AgentConfig { control_plane: Vec::new(), ..config(url) };
    assert!(matches!(error(none), AgentError::NoControlPlane));
    for token in ["", " \n", "two words", "ä"] {
        let token = Secret::new(token);
        assert!(matches!(error(AgentConfig { token, ..config(url) }), AgentError::Token));
    }
    let running = start(cached(url, dir.path()));
    let shared = error(cached(url, dir.path())).to_string();
    assert!(shared.ends_with("is in use by another proxy"), "{shared}");
    running.stop().await;
    assert_eq!(Timing::default().ping_deadline, Duration::from_secs(15));
}
