//! The store over a real Postgres, as a user who owns its database and nothing else.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod bans;
mod changes;
mod opening;
mod proxies;
mod tokens;

use pgherd_config::Cluster;
use pgherd_harness::postgres::Postgres;
use pgherd_store::{SecretKey, Store, change::Author};

/// A server with an empty database.
struct Database {
    postgres: Postgres,
}

impl Database {
    fn start() -> Self {
        let postgres = Postgres::start().unwrap();
        postgres.create_database("control").unwrap();
        Self { postgres }
    }

    fn url(&self) -> String {
        self.postgres.url("control")
    }

    /// A store that is ready, with the key that it was made with.
    async fn store(&self) -> (Store, SecretKey) {
        let key = SecretKey::random();
        let store = Store::new(&self.url(), key.clone()).unwrap();
        store.prepare().await.unwrap();
        (store, key)
    }

    /// Runs SQL in the database as superuser.
    fn sql(&self, sql: &str) -> Vec<Vec<String>> {
        self.postgres.superuser("control").unwrap().rows(sql).unwrap()
    }
}

fn author() -> Author {
    Author { name: "tester".to_owned(), reason: Some("to see".to_owned()) }
}

fn cluster(name: &str, password: &str) -> Cluster {
    let document = format!(
        r#"{{"name": "{name}", "users": [{{"name": "app", "password": "{password}"}}],
            "shards": [{{"instances": [{{"host": "127.0.0.1", "role": "primary"}}]}}]}}"#
    );
    Cluster::from_json(document.as_bytes()).unwrap()
}
