//! Manual bans: ordered, changed, lifted, over.

use std::time::Duration;

use pgherd_store::{Heard, NewBan};

use crate::Database;

const HOUR: Duration = Duration::from_secs(3600);

fn new(host: &str, duration: Option<Duration>) -> NewBan<'_> {
    NewBan { host, port: 5432, reason: "disk", duration }
}

#[tokio::test]
async fn a_ban_holds_until_it_is_lifted_and_ordering_it_again_changes_it() {
    let database = Database::start();
    let (store, _) = database.store().await;
    let mut listener = store.listen().await.unwrap();
    let (first, is_new) = store.ban(new("a", Some(HOUR)), "eve").await.unwrap();
    assert!(is_new);
    assert_eq!(listener.heard().await.unwrap(), Heard::Change);
    let left = first.remaining.unwrap();
    assert!(left <= HOUR && left > HOUR - Duration::from_secs(60), "{left:?}");
    let (second, is_new) = store.ban(new("a", None), "adam").await.unwrap();
    assert!(!is_new);
    assert_eq!((second.id, second.remaining), (first.id, None));
    let (other, _) = store.ban(NewBan { port: 5433, ..new("a", None) }, "eve").await.unwrap();
    assert_ne!(other.id, first.id);
    let listed = store.bans().await.unwrap();
    let listed: Vec<_> = listed.iter().map(|ban| (ban.port, ban.created_by.as_str())).collect();
    assert_eq!(listed, [(5432, "adam"), (5433, "eve")]);

    assert!(store.lift_ban(first.id, "eve").await.unwrap());
    assert!(!store.lift_ban(first.id, "eve").await.unwrap());
    assert_eq!(store.bans().await.unwrap().len(), 1);
    let audit = store.audit(None, 10).await.unwrap();
    let audit: Vec<_> = audit
        .iter()
        .map(|entry| (entry.action.as_str(), entry.target.as_deref(), entry.detail.as_deref()))
        .collect();
    assert_eq!(
        audit,
        [
            ("ban.lift", Some("a:5432"), None),
            ("ban.create", Some("a:5433"), Some("disk; until it is lifted")),
            ("ban.change", Some("a:5432"), Some("disk; until it is lifted")),
            ("ban.create", Some("a:5432"), Some("disk; for 3600 s")),
        ]
    );
}

#[tokio::test]
async fn a_ban_whose_time_is_over_is_none() {
    let database = Database::start();
    let (store, _) = database.store().await;
    let (ban, _) = store.ban(new("a", Some(HOUR)), "eve").await.unwrap();
    database.sql("update bans set expires_at = now() - interval '1 second'");
    assert_eq!(store.bans().await.unwrap(), []);
    assert!(!store.lift_ban(ban.id, "eve").await.unwrap());
    let (again, is_new) = store.ban(new("a", Some(HOUR)), "eve").await.unwrap();
    assert!(is_new);
    assert_ne!(again.id, ban.id);
}
