//! Tokens: made once, stored as hashes, revoked for good.

use pgherd_store::{Role, StoreErrorKind, hash_token};

use crate::Database;

#[tokio::test]
async fn the_first_tokens_are_made_once_and_only_when_they_could_be_kept() {
    let database = Database::start();
    let (store, _) = database.store().await;
    let failed = store.bootstrap_tokens(|_| Err("disk full")).await.unwrap();
    assert_eq!(failed, Err("disk full"));
    assert!(store.tokens().await.unwrap().is_empty());
    let mut kept = None;
    let made = store.bootstrap_tokens(|tokens| {
        kept = Some(tokens.clone());
        Ok::<(), ()>(())
    });
    assert_eq!(made.await.unwrap(), Ok(true));
    let kept = kept.unwrap();
    let stored = store.tokens().await.unwrap();
    for (text, role) in [(&kept.admin, Role::Admin), (&kept.proxy, Role::Proxy)] {
        let row = stored.iter().find(|row| row.hash == hash_token(text)).unwrap();
        assert_eq!(row.role, role);
    }
    let again = store.bootstrap_tokens(|_| Err::<(), _>("called again")).await.unwrap();
    assert_eq!(again, Ok(false));
}

#[tokio::test]
async fn a_name_is_free_again_once_its_token_is_revoked() {
    let database = Database::start();
    let (store, _) = database.store().await;
    let first = store.create_token("ci", Role::Viewer, "tester").await.unwrap();
    let twice = store.create_token("ci", Role::Viewer, "tester").await.err().unwrap();
    assert_eq!(twice.kind(), StoreErrorKind::Duplicate);
    assert!(store.revoke_token(first.row.id, "tester").await.unwrap());
    assert!(!store.revoke_token(first.row.id, "tester").await.unwrap());
    store.create_token("ci", Role::Operator, "tester").await.unwrap();
    let actions = store.audit(None, 10).await.unwrap();
    let actions: Vec<_> = actions.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(actions, ["token.create", "token.revoke", "token.create"]);
    let text = database.sql("select string_agg(t::text, ' ') from tokens t")[0][0].clone();
    assert!(!text.contains(&first.text));
}
