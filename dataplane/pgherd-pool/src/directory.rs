//! From the name of a database and a user to the pool that serves them, across topology changes.

mod replication;
mod upkeep;

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ahash::AHashMap;
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use pgherd_auth::scram::{Verifier, server};
use pgherd_config::{ClientTimeouts, Cluster, ServerTls, Topology, User};
use pgherd_tls::{Connector, TlsError};

use crate::connect::Endpoint;
use crate::limits::{Limits, Scope};
use crate::pool::{Pool, PoolSettings};
use crate::replication::ReplicationRegistry;
use crate::statements::StatementRegistry;
use crate::totals::Totals;

pub use replication::ReplicationCluster;

/// Iterations of a verifier made from a configured password, as Postgres makes them by default.
const SCRAM_ITERATIONS: u32 = 4096;

/// All pools of a proxy, and the topology by which they are found.
#[derive(Debug)]
pub struct Directory {
    current: ArcSwap<Loaded>,
    /// Raised by each new topology, so that a session can ask cheaply whether it must look again.
    generation: AtomicU64,
    pools: Mutex<AHashMap<PoolKey, Arc<Pool>>>,
    limits: Limits,
    /// Most server connections of one user name; 0 for any number.
    user_limit: usize,
    totals: Mutex<Totals>,
    statements: Arc<StatementRegistry>,
    replication: ReplicationRegistry,
    workers: usize,
    /// Makes salts that are the same for a user at each attempt, known or not.
    salt_secret: [u8; 32],
}

#[derive(Debug, Default)]
struct Loaded {
    clusters: AHashMap<String, Arc<LoadedCluster>>,
}

#[derive(Debug)]
struct LoadedCluster {
    cluster: Cluster,
    users: AHashMap<String, Arc<ClusterUser>>,
    /// Made of the files as they were when the topology was loaded.
    connectors: AHashMap<ServerTls, Option<Arc<Connector>>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct PoolKey {
    cluster: String,
    user: String,
    database: String,
}

/// What is allowed to the clients of one user of a cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientRules {
    /// How long they wait for a server connection.
    pub checkout_timeout: Duration,
    /// How long they may take or do nothing.
    pub timeouts: ClientTimeouts,
}

/// How many clients there may be; 0 stands for any number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientLimits {
    /// The cluster that serves them.
    pub cluster: String,
    /// Most clients of that cluster.
    pub of_cluster: usize,
    /// Most clients of the user in that cluster.
    pub of_user: usize,
}

/// One user of one cluster.
#[derive(Debug)]
pub struct ClusterUser {
    /// Against what clients are checked.
    pub credentials: Credentials,
    user: User,
    cluster: String,
}

/// A password or verifier against which clients are checked.
#[derive(Debug)]
pub struct Credentials {
    secret: pgherd_config::Secret,
    salt: [u8; 16],
    /// Deriving costs milliseconds, so it is done once, at the first login.
    verifier: OnceLock<Option<Arc<Verifier>>>,
}

impl Credentials {
    /// From what stands in the configuration. `salt` is used when a verifier must be derived.
    pub fn new(secret: pgherd_config::Secret, salt: [u8; 16]) -> Self {
        Self { secret, salt, verifier: OnceLock::new() }
    }

    /// The verifier; `None` when what is configured looks like one but is none.
    pub fn verifier(&self) -> Option<Arc<Verifier>> {
        self.verifier
            .get_or_init(|| {
                let text = self.secret.expose();
                if text.starts_with("SCRAM-SHA-256$") {
                    text.parse().ok().map(Arc::new)
                } else {
                    Some(Arc::new(Verifier::derive(text, &self.salt, SCRAM_ITERATIONS)))
                }
            })
            .clone()
    }
}

/// Why a client has no pool.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// No cluster of that name, and none for every name.
    #[error("no cluster serves the database")]
    UnknownDatabase,
    /// The cluster has no such user.
    #[error("the cluster has no such user")]
    UnknownUser,
    /// No instance can take the statements of this client.
    #[error("the cluster has no primary")]
    NoInstance,
}

/// A topology cannot be served because of files that it names.
#[derive(Debug, thiserror::Error)]
#[error("cluster `{cluster}`: server_tls: {}", .cause.chain())]
pub struct LoadError {
    /// The name of the cluster.
    pub cluster: String,
    /// What is wrong with which file.
    pub cause: Box<TlsError>,
}

/// Reads the files of each way in which instances of a cluster are met. Also tells beforehand
/// whether [`Directory::load`] will find them.
pub fn connectors(
    cluster: &Cluster,
) -> Result<AHashMap<ServerTls, Option<Arc<Connector>>>, LoadError> {
    let mut connectors = AHashMap::new();
    for instance in cluster.shards.iter().flat_map(|shard| &shard.instances) {
        let settings = cluster.effective_server_tls(instance);
        if !connectors.contains_key(settings) {
            let connector = Connector::load(settings).map_err(|cause| LoadError {
                cluster: cluster.name.clone(),
                cause: cause.into(),
            })?;
            connectors.insert(settings.clone(), connector.map(Arc::new));
        }
    }
    Ok(connectors)
}

impl Directory {
    /// An empty directory for a process with that many workers.
    pub fn new(workers: usize, salt_secret: [u8; 32]) -> Self {
        Self {
            current: ArcSwap::default(),
            generation: AtomicU64::new(0),
            pools: Mutex::default(),
            limits: Limits::default(),
            user_limit: 0,
            totals: Mutex::new(Totals::new(Instant::now())),
            statements: Arc::default(),
            replication: ReplicationRegistry::default(),
            workers,
            salt_secret,
        }
    }

    /// The same with a limit of server connections for each user name, over all clusters; 0 for
    /// any number.
    #[must_use]
    pub fn with_user_limit(self, most: usize) -> Self {
        Self { user_limit: most, ..self }
    }

    /// Serves this topology from now on. Pools that are the same in it live on with their
    /// connections and waiters; the others are retired.
    ///
    /// # Errors
    /// A file of TLS cannot be used. Then everything stays as it was.
    pub fn load(&self, topology: &Topology) -> Result<(), LoadError> {
        let load = |cluster: &Cluster| {
            let loaded = self.load_cluster(cluster)?;
            Ok((cluster.name.clone(), Arc::new(loaded)))
        };
        let clusters = topology.clusters.iter().map(load).collect::<Result<_, LoadError>>()?;
        self.current.store(Arc::new(Loaded { clusters }));
        self.generation.fetch_add(1, Ordering::Release);
        self.forget_replication();

        let mut pools = self.pools.lock();
        let current = self.current.load();
        self.limits.update(|scope| self.allowed(&current, scope));
        let (keep, gone) = pools.drain().partition(|(key, pool)| {
            self.settings(&key.database, &key.user)
                .is_ok_and(|settings| settings == *pool.settings())
        });
        *pools = keep;
        let gone: AHashMap<PoolKey, Arc<Pool>> = gone;
        for (key, pool) in gone {
            self.retire(&key.database, pool);
        }
        Ok(())
    }

    /// Reads the files of TLS again. Pools for which nothing changed live on.
    ///
    /// # Errors
    /// A file of TLS cannot be used. Then everything stays as it was.
    pub fn reload(&self) -> Result<(), LoadError> {
        let current = self.current.load_full();
        let clusters = current.clusters.values().map(|loaded| loaded.cluster.clone()).collect();
        self.load(&Topology { clusters })
    }

    fn load_cluster(&self, cluster: &Cluster) -> Result<LoadedCluster, LoadError> {
        let users = cluster
            .users
            .iter()
            .map(|user| {
                let credentials = Credentials::new(user.password.clone(), self.salt(&user.name));
                let cluster_user =
                    ClusterUser { credentials, user: user.clone(), cluster: cluster.name.clone() };
                (user.name.clone(), Arc::new(cluster_user))
            })
            .collect();
        let connectors = connectors(cluster)?;
        Ok(LoadedCluster { cluster: cluster.clone(), users, connectors })
    }

    /// Changes when the topology does.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The salt that a login of this user sees, whether the user exists or not.
    pub fn salt(&self, user: &str) -> [u8; 16] {
        server::stable_salt(&self.salt_secret, user)
    }

    /// A verifier that no password fits, for users that do not exist.
    pub fn mock_verifier(&self, user: &str) -> Verifier {
        server::mock_verifier(&self.salt_secret, user)
    }

    /// Whether a database is served at all.
    pub fn serves(&self, database: &str) -> bool {
        self.cluster(database).is_ok()
    }

    /// The user with whom a client may log in.
    pub fn user(&self, database: &str, user: &str) -> Result<Arc<ClusterUser>, LookupError> {
        let cluster = self.cluster(database)?;
        cluster.users.get(user).cloned().ok_or(LookupError::UnknownUser)
    }

    /// What is allowed to the clients of a user; nothing is limited for one who is not known.
    pub fn rules(&self, database: &str, user: &str) -> ClientRules {
        let Ok(loaded) = self.cluster(database) else { return ClientRules::default() };
        let Some(entry) = loaded.users.get(user) else { return ClientRules::default() };
        ClientRules {
            checkout_timeout: loaded.cluster.effective_checkout_timeout(&entry.user),
            timeouts: loaded.cluster.effective_timeouts(&entry.user),
        }
    }

    /// How many clients of a user there may be.
    pub fn client_limits(&self, database: &str, user: &str) -> Result<ClientLimits, LookupError> {
        let loaded = self.cluster(database)?;
        let entry = loaded.users.get(user).ok_or(LookupError::UnknownUser)?;
        Ok(ClientLimits {
            cluster: loaded.cluster.name.clone(),
            of_cluster: loaded.cluster.max_clients,
            of_user: entry.user.max_clients.unwrap_or(0),
        })
    }

    /// The pool for a client, made when it is the first.
    pub fn pool(&self, database: &str, user: &str) -> Result<Arc<Pool>, LookupError> {
        // Under the lock: a topology that is loaded meanwhile finds this pool and retires it.
        let mut pools = self.pools.lock();
        let settings = self.settings(database, user)?;
        let key = PoolKey {
            cluster: settings.cluster.clone(),
            user: user.to_owned(),
            database: database.to_owned(),
        };
        if let Some(pool) = pools.get(&key)
            && !pool.is_retired()
            && *pool.settings() == settings
        {
            return Ok(Arc::clone(pool));
        }
        let current = self.current.load();
        let scopes = scopes(&settings).map(|scope| {
            let most = self.allowed(&current, &scope);
            (scope, most)
        });
        let budgets = self.limits.budgets(scopes);
        let pool = Pool::new(settings, Arc::clone(&self.statements), self.workers, budgets);
        if let Some(former) = pools.insert(key, Arc::clone(&pool)) {
            self.retire(database, former);
        }
        Ok(pool)
    }

    /// All pools that exist now.
    pub fn pools(&self) -> Vec<Arc<Pool>> {
        self.pools.lock().values().cloned().collect()
    }

    /// All pools that exist now, each with the database name by which its clients found it; in the
    /// order of these names and of the users.
    pub fn named_pools(&self) -> Vec<(String, Arc<Pool>)> {
        let mut named: Vec<(String, Arc<Pool>)> = self
            .pools
            .lock()
            .iter()
            .map(|(key, pool)| (key.database.clone(), Arc::clone(pool)))
            .collect();
        named.sort_by(|(a, pool_a), (b, pool_b)| {
            (a, &pool_a.settings().user).cmp(&(b, &pool_b.settings().user))
        });
        named
    }

    /// Calls `each` with every cluster of the topology, in the order of their names.
    pub fn for_each_cluster(&self, mut each: impl FnMut(&Cluster)) {
        let current = self.current.load_full();
        let mut clusters: Vec<&LoadedCluster> =
            current.clusters.values().map(Arc::as_ref).collect();
        clusters.sort_by(|a, b| a.cluster.name.cmp(&b.cluster.name));
        clusters.iter().for_each(|loaded| each(&loaded.cluster));
    }

    /// Makes the pools that must exist before a client asks: those with a least size.
    pub fn warm_up(&self) {
        let current = self.current.load_full();
        for loaded in current.clusters.values() {
            if loaded.cluster.min_pool_size > 0 && loaded.cluster.name != "*" {
                for user in loaded.users.keys() {
                    // A pool that cannot be made tells the client that asks for it.
                    let _ = self.pool(&loaded.cluster.name, user);
                }
            }
        }
    }

    fn cluster(&self, database: &str) -> Result<Arc<LoadedCluster>, LookupError> {
        let current = self.current.load();
        current
            .clusters
            .get(database)
            .or_else(|| current.clusters.get("*"))
            .cloned()
            .ok_or(LookupError::UnknownDatabase)
    }

    fn settings(&self, database: &str, user: &str) -> Result<PoolSettings, LookupError> {
        let loaded = self.cluster(database)?;
        let entry = loaded.users.get(user).ok_or(LookupError::UnknownUser)?;
        let (cluster, user) = (&loaded.cluster, &entry.user);
        let shard = cluster.shards.first().ok_or(LookupError::NoInstance)?;
        let instance = pgherd_balance::for_write(shard)
            .and_then(|index| shard.instances.get(index))
            .ok_or(LookupError::NoInstance)?;
        let connector = loaded.connectors.get(cluster.effective_server_tls(instance));
        let size = cluster.effective_pool_size(user);
        let reserve_size = cluster.effective_reserve_pool_size(user);
        Ok(PoolSettings {
            cluster: entry.cluster.clone(),
            user: user.name.clone(),
            endpoint: Endpoint::new(
                &instance.host,
                instance.port,
                instance.database.as_deref().unwrap_or(database),
                user.effective_server_user(),
                user.effective_server_password().cloned(),
            )
            .with_tls(connector.cloned().flatten()),
            mode: cluster.effective_pool_mode(user),
            size,
            min_size: cluster.min_pool_size.min(size),
            reserve_size,
            reserve_timeout: cluster.reserve_pool_timeout.limit().filter(|_| reserve_size > 0),
            connect_query: cluster.connect_query.clone(),
            connect_timeout: cluster.connect_timeout.0,
            idle_timeout: cluster.idle_timeout.limit(),
            server_lifetime: cluster.server_lifetime.limit(),
            max_prepared_statements: cluster.max_prepared_statements,
            server_prepared_statements: cluster.server_prepared_statements.max(1),
        })
    }
}

/// What the connections of a pool are counted for.
fn scopes(settings: &PoolSettings) -> [Scope; 4] {
    let (cluster, user) = (settings.cluster.clone(), settings.user.clone());
    let host = settings.endpoint.host.to_lowercase();
    [
        Scope::ClusterUser(cluster.clone(), user.clone()),
        Scope::Cluster(cluster),
        Scope::User(user),
        Scope::Instance(host, settings.endpoint.port),
    ]
}
