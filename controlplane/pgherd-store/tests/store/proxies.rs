//! Proxies: their numbers, and what is saved of them.

use std::collections::BTreeMap;

use pgherd_store::ProxyHello;

use crate::Database;

fn hello(id: &str) -> ProxyHello {
    ProxyHello {
        id: id.to_owned(),
        incarnation: "1".to_owned(),
        version: "0".to_owned(),
        labels: BTreeMap::from([("zone".to_owned(), "a".to_owned())]),
        address: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_are_unique_kept_and_the_lowest_free_ones() {
    let database = Database::start();
    let (store, _) = database.store().await;
    let mut registering = tokio::task::JoinSet::new();
    for n in 0..8 {
        let store = store.clone();
        registering.spawn(async move { store.register_proxy(&hello(&format!("p{n}"))).await });
    }
    let numbers = registering.join_all().await.into_iter().map(Result::unwrap);
    let mut numbers: Vec<_> = numbers.collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=8).collect::<Vec<_>>());
    let known = store.proxies().await.unwrap();
    let p3 = known.iter().find(|row| row.hello.id == "p3").unwrap().number;
    assert_eq!(store.register_proxy(&hello("p3")).await.unwrap(), p3);
    assert!(store.forget_proxy("p3", "tester").await.unwrap());
    assert!(!store.forget_proxy("p3", "tester").await.unwrap());
    assert_eq!(store.register_proxy(&hello("new")).await.unwrap(), p3);
    assert_eq!(store.register_proxy(&hello("newer")).await.unwrap(), 9);
}

#[tokio::test]
async fn what_is_saved_comes_back() {
    let database = Database::start();
    let (store, _) = database.store().await;
    store.register_proxy(&hello("a")).await.unwrap();
    let mut row = store.proxies().await.unwrap().remove(0);
    assert_eq!(row.hello, hello("a"));
    row.held = Some(("lineage".to_owned(), 7));
    row.last_nack = Some(pgherd_store::NackRecord {
        generation: 8,
        code: "invalid".to_owned(),
        pointer: "/clusters/0".to_owned(),
        message: "no".to_owned(),
        retriable: false,
        at: row.last_seen,
    });
    row.hello.incarnation = "2".to_owned();
    store.save_proxy(&row).await.unwrap();
    assert_eq!(store.proxies().await.unwrap(), [row]);
}
