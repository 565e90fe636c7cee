//! Opening: migrations, the secret key, the lineage.

use std::error::Error as _;

use pgherd_store::{OpenError, SecretKey, Store};

use crate::Database;

#[tokio::test(flavor = "multi_thread")]
async fn several_control_planes_may_start_at_once() {
    let database = Database::start();
    let key = SecretKey::random();
    let mut starting = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let store = Store::new(&database.url(), key.clone()).unwrap();
        starting.spawn(async move { store.prepare().await });
    }
    for result in starting.join_all().await {
        result.unwrap();
    }
    assert_eq!(database.sql("select count(*) from fleet_state"), [["1"]]);
}

#[tokio::test]
async fn another_secret_key_is_refused_at_the_start() {
    let database = Database::start();
    let (store, key) = database.store().await;
    store.prepare().await.unwrap();
    let again = Store::new(&database.url(), key).unwrap();
    again.prepare().await.unwrap();
    let other = Store::new(&database.url(), SecretKey::random()).unwrap();
    let error = other.prepare().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the secret key file does not fit this database: it was sealed with another secret key"
    );
}

#[tokio::test]
async fn a_database_that_is_away_is_told_apart_from_one_that_refuses() {
    let mut database = Database::start();
    let wrong = database.url().replacen(":", ":x", 2).replacen(":x", ":", 1);
    let refused = Store::new(&wrong, SecretKey::random()).unwrap().prepare().await.unwrap_err();
    assert!(!refused.is_unavailable(), "{refused:?}");
    let missing = Store::new(&database.postgres.url("nix"), SecretKey::random()).unwrap();
    let missing = missing.prepare().await.unwrap_err();
    assert!(!missing.is_unavailable(), "{:?}", missing.source());
    database.postgres.stop().unwrap();
    let away = Store::new(&database.url(), SecretKey::random()).unwrap();
    let away = away.prepare().await.unwrap_err();
    assert!(away.is_unavailable(), "{away:?}");
    assert!(matches!(Store::new("http://x", SecretKey::random()), Err(OpenError::Scheme)));
}

#[tokio::test]
async fn a_restored_database_starts_a_new_lineage() {
    let database = Database::start();
    let (store, _) = database.store().await;
    let before = store.fleet_state().await.unwrap();
    store.check_lineage().await.unwrap();
    assert_eq!(store.fleet_state().await.unwrap(), before);
    // A copy within the same server is what a restored dump looks like.
    store.close().await;
    database.postgres.sql("create database copy template control").unwrap();
    let copy = Store::new(&database.postgres.superuser_url("copy"), SecretKey::random()).unwrap();
    copy.check_lineage().await.unwrap();
    let after = copy.fleet_state().await.unwrap();
    assert_ne!(after.lineage, before.lineage);
    assert_eq!(after.generation, before.generation);
    let asked_for = copy.start_lineage().await.unwrap();
    assert_eq!(copy.fleet_state().await.unwrap().lineage, asked_for);
}
