//! Changes: one revision each, numbered without gaps, with secrets sealed.

use pgherd_config::Secret;
use pgherd_store::{
    Action,
    change::{ChangeError, Condition},
};

use crate::{Database, author, cluster};

#[tokio::test]
async fn writers_must_know_what_they_change() {
    let database = Database::start();
    let (store, _) = database.store().await;
    let put = async |password: &str, condition| {
        store.put_cluster(cluster("app", password), condition, &author()).await
    };
    let first = put("one", Condition::Unstated).await.unwrap();
    assert_eq!((first.state.revision, first.created, first.changed), (1, true, true));
    assert!(matches!(put("two", Condition::Unstated).await, Err(ChangeError::ConditionRequired)));
    assert!(matches!(put("two", Condition::Absent).await, Err(ChangeError::Exists)));
    let second = put("two", Condition::Revisions(vec![1])).await.unwrap();
    assert_eq!((second.state.revision, second.created), (2, false));
    assert!(matches!(
        put("three", Condition::Revisions(vec![1])).await,
        Err(ChangeError::ConditionFailed { current: Some(2) })
    ));
    let same = put("two", Condition::Exists).await.unwrap();
    assert_eq!((same.state.revision, same.changed), (2, false));
    let gone = store.delete_cluster("app", Condition::Revisions(vec![2]), &author()).await;
    assert_eq!(gone.unwrap().state.revision, 3);
    assert!(matches!(
        store.delete_cluster("app", Condition::Exists, &author()).await,
        Err(ChangeError::NotFound)
    ));
    let actions: Vec<_> = store.revisions(None, 10).await.unwrap();
    let actions: Vec<_> = actions.iter().map(|revision| revision.action).collect();
    assert_eq!(actions, [Action::Delete, Action::Put, Action::Put]);
}

#[tokio::test]
async fn an_invalid_document_changes_nothing() {
    let database = Database::start();
    let (store, _) = database.store().await;
    let mut bad = cluster("app", "one");
    bad.users.clear();
    let refused = store.put_cluster(bad, Condition::Unstated, &author()).await;
    assert!(matches!(refused, Err(ChangeError::Invalid { .. })));
    assert_eq!(store.fleet_state().await.unwrap().revision, 0);
    assert!(store.current().await.unwrap().clusters.is_empty());
    assert_eq!(database.sql("select count(*) from secrets"), [["0"]]);
}

#[tokio::test]
async fn no_secret_stands_in_the_database_and_unchanged_ones_keep_their_row() {
    let database = Database::start();
    let (store, _) = database.store().await;
    let put = async |cluster, condition| {
        store.put_cluster(cluster, condition, &author()).await.unwrap();
    };
    let mut app = cluster("app", "correct horse");
    app.users[0].server_password = Some(Secret::new("battery staple"));
    put(app.clone(), Condition::Unstated).await;
    assert_eq!(store.current().await.unwrap().clusters[0].cluster, app);
    let dump = |table| {
        database.sql(&format!("select string_agg(t::text, ' ') from {table} t"))[0][0].clone()
    };
    for table in ["clusters", "revisions", "secrets", "audit_log", "fleet_state"] {
        let text = dump(table);
        assert!(!text.contains("horse") && !text.contains("staple"), "{table}: {text}");
    }
    app.pool_size = 7;
    app.users[0].password = Secret::new("***");
    put(app, Condition::Exists).await;
    assert_eq!(database.sql("select count(*) from secrets"), [["2"]]);
    let user = store.current().await.unwrap().clusters[0].cluster.users[0].clone();
    assert_eq!(user.password.expose(), "correct horse");
    put(cluster("app", "changed"), Condition::Exists).await;
    assert_eq!(database.sql("select count(*) from secrets"), [["3"]]);
}

#[tokio::test]
async fn a_secret_to_keep_must_exist() {
    let database = Database::start();
    let (store, _) = database.store().await;
    let refused = store.put_cluster(cluster("app", "***"), Condition::Unstated, &author()).await;
    let Err(ChangeError::NothingToKeep { pointer }) = refused else { panic!("{refused:?}") };
    assert_eq!(pointer, "/users/0/password");
}

#[tokio::test]
async fn a_secret_moved_to_another_user_does_not_open() {
    let database = Database::start();
    let (store, _) = database.store().await;
    for name in ["a", "b"] {
        store.put_cluster(cluster(name, name), Condition::Unstated, &author()).await.unwrap();
    }
    database.sql(
        "update clusters set document = jsonb_set(document, '{users,0,password}',
             (select document #> '{users,0,password}' from clusters where name = 'b'))
         where name = 'a' returning 1",
    );
    let error = store.current().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "a stored secret of user \"app\" of cluster \"a\" cannot be opened"
    );
}

#[tokio::test]
async fn going_back_is_a_new_revision_with_the_old_content() {
    let database = Database::start();
    let (store, _) = database.store().await;
    store.put_cluster(cluster("app", "one"), Condition::Unstated, &author()).await.unwrap();
    store.put_cluster(cluster("other", "x"), Condition::Unstated, &author()).await.unwrap();
    store.put_cluster(cluster("app", "two"), Condition::Exists, &author()).await.unwrap();
    let back = store.rollback(2, &author()).await.unwrap();
    assert_eq!((back.state.revision, back.state.generation), (4, 4));
    let current = store.current().await.unwrap();
    let then = store.revision(2).await.unwrap().unwrap();
    assert_eq!(current.topology(), then.topology);
    assert_eq!(current.cluster("app").unwrap().revision, 4, "it changed with the rollback");
    assert_eq!(current.cluster("other").unwrap().revision, 2, "it did not change");
    let same = "select count(distinct fingerprint) from revisions where number in (2, 4)";
    assert_eq!(database.sql(same), [["1"]]);
    assert!(matches!(store.rollback(9, &author()).await, Err(ChangeError::NotFound)));
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_writers_get_revisions_without_gaps() {
    let database = Database::start();
    let (store, _) = database.store().await;
    let mut writers = tokio::task::JoinSet::new();
    for n in 0..16 {
        let store = store.clone();
        writers.spawn(async move {
            let name = format!("c{n}");
            let changed =
                store.put_cluster(cluster(&name, &name), Condition::Unstated, &author()).await;
            changed.unwrap().state.revision
        });
    }
    let mut numbers = writers.join_all().await;
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=16).collect::<Vec<_>>());
    let last = store.revision(16).await.unwrap().unwrap();
    assert_eq!(last.topology, store.current().await.unwrap().topology());
    assert_eq!(store.audit(None, 100).await.unwrap().len(), 16);
}

#[tokio::test]
async fn history_cannot_be_altered() {
    let database = Database::start();
    let (store, _) = database.store().await;
    store.put_cluster(cluster("app", "one"), Condition::Unstated, &author()).await.unwrap();
    for sql in [
        "update revisions set author = 'someone'",
        "delete from audit_log",
        "update secrets set sealed = ''",
    ] {
        let refused = database.postgres.superuser("control").unwrap().rows(sql);
        assert!(refused.is_err(), "{sql}");
    }
}

#[tokio::test]
async fn a_listener_hears_a_new_generation() {
    let database = Database::start();
    let (store, _) = database.store().await;
    let mut listener = store.listen().await.unwrap();
    store.put_cluster(cluster("app", "one"), Condition::Unstated, &author()).await.unwrap();
    let heard = tokio::time::timeout(std::time::Duration::from_secs(10), listener.heard()).await;
    assert_eq!(heard.unwrap().unwrap(), pgherd_store::Heard::Change);
}
