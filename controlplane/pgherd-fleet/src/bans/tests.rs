//! Decisions, told once, and what is asked of proxies.

use std::time::Duration;

use chrono::Utc;
use pgherd_balance::{
    EvidenceClass, InstanceKey,
    fleet::{Condition, Report, ShardMembers, Sighting},
};
use pgherd_proto::v1;
use pgherd_store::BanRow;
use tokio::time::{Instant, advance};
use uuid::Uuid;

use super::{Bans, Surroundings, message};

fn around(known_proxies: usize) -> Surroundings {
    let key = |host| InstanceKey::new(host, 5432);
    let shard = ShardMembers {
        replicas: vec![key("a"), key("b"), key("c")],
        primary: Some(key("p")),
        max_banned_percent: 50,
    };
    Surroundings { shards: vec![shard], known_proxies }
}

fn report(proxy: &str, sequence: u64, failing: bool) -> Report {
    let condition = if failing {
        let class = EvidenceClass::ConnectRefused;
        Condition::Failing { class, detail: String::new(), lasting: Duration::ZERO }
    } else {
        Condition::Healthy { seen_ago: Duration::ZERO }
    };
    let instance = InstanceKey::new("a", 5432);
    Report {
        proxy: proxy.to_owned(),
        incarnation: 1,
        sequence,
        zone: None,
        votes: true,
        complete: true,
        sightings: vec![Sighting { instance, condition }],
    }
}

fn row(reason: &str, remaining: Option<Duration>) -> BanRow {
    BanRow {
        id: Uuid::nil(),
        host: "b".to_owned(),
        port: 5432,
        reason: reason.to_owned(),
        created_at: Utc::now(),
        created_by: "test".to_owned(),
        remaining,
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_woken_by_news_only() {
    let bans = Bans::new(Vec::new());
    let mut decided = bans.decided();
    for proxy in ["x", "y"] {
        bans.absorb(&report(proxy, 1, true));
    }
    bans.decide(&around(2));
    assert!(decided.has_changed().unwrap());
    assert_eq!(decided.borrow_and_update().message(Instant::now()).bans.len(), 1);
    // Said again a little later it is the same, with other times.
    advance(Duration::from_secs(1)).await;
    for proxy in ["x", "y"] {
        bans.absorb(&report(proxy, 2, true));
    }
    bans.decide(&around(2));
    assert!(!decided.has_changed().unwrap());
    for proxy in ["x", "y"] {
        bans.absorb(&report(proxy, 3, false));
    }
    bans.decide(&around(2));
    assert!(decided.borrow_and_update().message(Instant::now()).bans.is_empty());
    assert_eq!((bans.counts().banned, bans.counts().lifted), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_proxy_is_asked_once_a_second_to_look() {
    let bans = Bans::new(Vec::new());
    bans.absorb(&report("y", 1, false));
    advance(Duration::from_millis(100)).await;
    bans.absorb(&report("x", 1, true));
    let asked = || {
        let (asked, _) = bans.decide(&around(2));
        asked.into_iter().map(|(proxy, what)| format!("{proxy} {}", what[0])).collect::<Vec<_>>()
    };
    assert_eq!(asked(), ["y a:5432"]);
    assert_eq!(asked(), Vec::<String>::new());
    advance(Duration::from_secs(2)).await;
    assert_eq!(asked(), ["y a:5432"]);
    assert_eq!(bans.counts().probes, 2);
}

#[tokio::test(start_paused = true)]
async fn a_manual_ban_ends_on_time_without_the_database() {
    let bans = Bans::new(vec![row("disk", Some(Duration::from_secs(60)))]);
    let hosts = || {
        let message = bans.decided().borrow().message(Instant::now());
        message.bans.into_iter().map(|ban| ban.host).collect::<Vec<_>>()
    };
    assert_eq!(hosts(), ["b"], "known before the first decision");
    let (_, again_in) = bans.decide(&around(1));
    assert!(again_in <= Duration::from_secs(60));
    advance(Duration::from_secs(61)).await;
    bans.decide(&around(1));
    assert_eq!(hosts(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn silence_of_most_proxies_lifts_nothing() {
    let bans = Bans::new(Vec::new());
    for proxy in ["x", "y"] {
        bans.absorb(&report(proxy, 1, true));
    }
    bans.decide(&around(3));
    assert!(!bans.decided().borrow().message(Instant::now()).keep_automatic);
    advance(Duration::from_secs(6)).await;
    bans.decide(&around(3));
    assert!(bans.decided().borrow().message(Instant::now()).keep_automatic);
}

#[test]
fn a_view_is_untrusted() {
    let seen = |port, class: &str, detail: &str| v1::InstanceView {
        host: "a".to_owned(),
        port,
        failing: Some(v1::Failing {
            class: class.to_owned(),
            detail: detail.to_owned(),
            lasting_ms: u64::MAX,
        }),
        ..v1::InstanceView::default()
    };
    let silent = v1::InstanceView { failing: None, ..seen(5432, "", "") };
    let view = v1::View {
        instances: vec![
            seen(70_000, "connect_refused", ""),
            seen(5432, "moonlight", ""),
            silent,
            seen(5433, "connect_refused", &"x".repeat(1_000_000)),
        ],
        ..v1::View::default()
    };
    let report = message::report(&view, "p".to_owned(), None, true);
    let [only] = report.sightings.as_slice() else { panic!("{report:?}") };
    let Condition::Failing { detail, .. } = &only.condition else { panic!("{only:?}") };
    assert_eq!((only.instance.port, detail.len()), (5433, 2_000));
    // A time that no clock can hold does no harm.
    let bans = Bans::new(Vec::new());
    bans.absorb(&report);
    bans.decide(&around(1));
}
