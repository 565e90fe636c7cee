//! A control plane's fleet service in the test's process.

use std::net::SocketAddr;

use pgherd_config::Cluster;
use pgherd_fleet::{Fleet, ProxyStatus};
use pgherd_harness::postgres::Postgres;
use pgherd_store::{
    CreatedToken, Role, SecretKey, Store,
    change::{Author, Condition},
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;

/// A database, the fleet that follows it, and its gRPC service.
pub struct Control {
    pub postgres: Postgres,
    pub store: Store,
    pub fleet: Fleet,
    pub address: SocketAddr,
    /// For proxies.
    pub token: String,
    key: SecretKey,
    shutdown: CancellationToken,
    following: JoinHandle<()>,
}

impl Control {
    pub async fn start() -> Self {
        let postgres = Postgres::start().unwrap();
        postgres.create_database("control").unwrap();
        Self::over(postgres, SecretKey::random()).await
    }

    /// Ends everything but the database and starts anew.
    pub async fn restart(self) -> Self {
        self.shutdown.cancel();
        self.following.await.unwrap();
        self.store.close().await;
        Self::over(self.postgres, self.key).await
    }

    async fn over(postgres: Postgres, key: SecretKey) -> Self {
        let store = Store::new(&postgres.url("control"), key.clone()).unwrap();
        store.prepare().await.unwrap();
        let name = format!("proxy {}", store.tokens().await.unwrap().len());
        let token = store.create_token(&name, Role::Proxy, "tester").await.unwrap().text;
        let shutdown = CancellationToken::new();
        let fleet = Fleet::load(store.clone(), shutdown.clone()).await.unwrap();
        let following = tokio::spawn(fleet.clone().run());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tonic::transport::Server::builder().add_service(fleet.service());
        let incoming = TcpListenerStream::new(listener);
        tokio::spawn(
            server.serve_with_incoming_shutdown(incoming, shutdown.clone().cancelled_owned()),
        );
        Self { postgres, store, fleet, address, token, key, shutdown, following }
    }

    /// Puts a cluster as the API does.
    pub async fn put(&self, cluster: Cluster) {
        let known = self.fleet.snapshot().cluster(&cluster.name).is_some();
        let condition = if known { Condition::Exists } else { Condition::Unstated };
        self.store.put_cluster(cluster, condition, &author()).await.unwrap();
        self.fleet.refresh().await;
    }

    /// Makes a token that counts at once.
    pub async fn token(&self, name: &str, role: Role) -> CreatedToken {
        let created = self.store.create_token(name, role, "tester").await.unwrap();
        self.fleet.refresh().await;
        created
    }

    /// What is known of a proxy.
    #[track_caller]
    pub fn proxy(&self, id: &str) -> ProxyStatus {
        let proxies = self.fleet.proxies();
        proxies.into_iter().find(|proxy| proxy.id == id).expect("the proxy is known")
    }
}

pub fn author() -> Author {
    Author { name: "tester".to_owned(), reason: None }
}

pub fn cluster(name: &str, pool_size: usize) -> Cluster {
    let document = format!(
        r#"{{"name": "{name}", "pool_size": {pool_size},
            "users": [{{"name": "app", "password": "secret"}}],
            "shards": [{{"instances": [{{"host": "127.0.0.1", "role": "primary"}}]}}]}}"#
    );
    Cluster::from_json(document.as_bytes()).unwrap()
}
