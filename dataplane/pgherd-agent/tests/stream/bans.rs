//! What a proxy sees goes up at once, and the bans of the fleet come down.

use std::time::{Duration, Instant};

use pgherd_proto::v1::{
    FleetBan, FleetBans, FleetEvidence, InstanceAddress, ManualBan, Probe, View, down,
    fleet_ban::Cause,
};

use crate::{
    control::{Control, Stream},
    proxy::{cached, config, start},
};

fn hosts(view: &View) -> Vec<&str> {
    view.instances.iter().map(|instance| instance.host.as_str()).collect()
}

fn manual(host: &str) -> FleetBan {
    FleetBan {
        host: host.to_owned(),
        port: 5432,
        cause: Some(Cause::Manual(ManualBan { reason: "disk".to_owned() })),
        ..FleetBan::default()
    }
}

fn automatic(host: &str) -> FleetBan {
    let class = "connect_refused".to_owned();
    let evidence = FleetEvidence { class, ..FleetEvidence::default() };
    FleetBan { remaining_ms: Some(60_000), cause: Some(Cause::Evidence(evidence)), ..manual(host) }
}

async fn say(stream: &mut Stream, bans: &[FleetBan], keep_automatic: bool) {
    let bans = FleetBans { bans: bans.to_vec(), keep_automatic };
    stream.send(down::Message::FleetBans(bans)).await;
    stream.ping(1).await;
}

#[tokio::test]
async fn a_view_goes_up_at_once_when_it_changes_and_now_and_then_otherwise() {
    let mut control = Control::start().await;
    let mut config = config(&control.url());
    config.timing.view = Duration::from_secs(3_600);
    let running = start(config);
    let (mut stream, _) = control.welcome().await;
    let first = stream.view().await;
    assert_eq!((first.epoch, first.sequence, hosts(&first)), (77, 1, vec![]));
    let started = Instant::now();
    // Both within one gap: the later one is all that there is to say.
    running.proxy.see(&["a"]);
    running.handle.view_changed();
    running.proxy.see(&["a", "b"]);
    running.handle.view_changed();
    let second = stream.view().await;
    assert_eq!((second.sequence, hosts(&second)), (2, vec!["a", "b"]));
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    // A new stream knows nothing: the whole view comes again, with a higher number.
    drop(stream);
    let (mut stream, _) = control.welcome().await;
    let third = stream.view().await;
    assert_eq!((third.sequence, hosts(&third)), (3, vec!["a", "b"]));
    running.stop().await;
}

#[tokio::test]
async fn a_view_comes_again_when_nothing_changes() {
    let mut control = Control::start().await;
    let mut config = config(&control.url());
    config.timing.view = Duration::from_millis(50);
    let running = start(config);
    let (mut stream, _) = control.welcome().await;
    for sequence in 1..4 {
        assert_eq!(stream.view().await.sequence, sequence);
    }
    running.stop().await;
}

#[tokio::test]
async fn bans_and_probes_are_handed_over() {
    let mut control = Control::start().await;
    let running = start(config(&control.url()));
    let (mut stream, _) = control.welcome().await;
    running.proxy.calls();
    say(&mut stream, &[automatic("a"), manual("b")], false).await;
    let instances = [("c", 5432), ("d", 70_000), ("", 1)];
    let instances = instances.map(|(host, port)| InstanceAddress { host: host.to_owned(), port });
    stream.send(down::Message::Probe(Probe { instances: instances.to_vec() })).await;
    say(&mut stream, &[], true).await;
    say(&mut stream, &[], false).await;
    assert_eq!(running.proxy.calls(), "bans [a:5432 b:5432], probe c:5432, bans [a:5432], bans []");
    running.stop().await;
}

#[tokio::test]
async fn manual_bans_hold_after_a_restart_without_the_control_plane() {
    let mut control = Control::start().await;
    let dir = tempfile::tempdir().unwrap();
    let running = start(cached(&control.url(), dir.path()));
    let (mut stream, _) = control.welcome().await;
    say(&mut stream, &[automatic("a"), manual("b")], false).await;
    drop(stream);
    running.stop().await;
    let nowhere = "http://127.0.0.1:9";
    let running = start(cached(nowhere, dir.path()));
    assert_eq!(running.proxy.calls(), "bans [b:5432]");
    running.stop().await;

    let running = start(cached(&control.url(), dir.path()));
    let (mut stream, _) = control.welcome().await;
    say(&mut stream, &[], false).await;
    drop(stream);
    running.stop().await;
    let running = start(cached(nowhere, dir.path()));
    assert_eq!(running.proxy.calls(), "", "what was lifted does not come back");
    running.stop().await;
}
