//! From the name of a database and a user to the pool that serves them, across topology changes.

mod health;
mod primaries;
mod replication;
mod upkeep;

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ahash::AHashMap;
use arc_swap::ArcSwap;
use pgherd_auth::scram::{Verifier, server};
use pgherd_config::{ClientTimeouts, Cluster, ServerTls, Topology, User};
use pgherd_tls::{Connector, TlsError};

use crate::connect::Endpoint;
use crate::health::Health;
use crate::instance::InstanceState;
use crate::limits::Scope;
use crate::pool::{Pool, PoolSettings};
use crate::replication::ReplicationRegistry;
use crate::shard::{ShardRules, ShardState};
use crate::shards::Shards;
use crate::shelf::{PoolKey, PoolPlan, Shelf};
use crate::targets::{Need, NoTarget, Targets};

pub use health::InstanceStatus;
pub use primaries::Primaries;
pub use replication::ReplicationCluster;

/// Iterations of a verifier made from a configured password, as Postgres makes them by default.
const SCRAM_ITERATIONS: u32 = 4096;

/// All pools of a proxy, and the topology by which they are found.
#[derive(Debug)]
pub struct Directory {
    current: ArcSwap<Loaded>,
    /// Raised by each new topology, so that a session can ask cheaply whether it must look again.
    generation: AtomicU64,
    shelf: Arc<Shelf>,
    pub(crate) health: Arc<Health>,
    /// Most server connections of one user name; 0 for any number.
    user_limit: usize,
    replication: ReplicationRegistry,
    /// Makes salts that are the same for a user at each attempt, known or not.
    salt_secret: [u8; 32],
}

#[derive(Debug, Default)]
struct Loaded {
    clusters: AHashMap<String, Arc<LoadedCluster>>,
}

#[derive(Debug)]
struct LoadedCluster {
    cluster: Arc<Cluster>,
    users: AHashMap<String, Arc<ClusterUser>>,
    shards: Box<[Arc<ShardState>]>,
    /// Made of the files as they were when the topology was loaded.
    connectors: AHashMap<ServerTls, Option<Arc<Connector>>>,
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
    /// What is asked for has one place, and the cluster has several.
    #[error("the cluster has several shards")]
    SeveralShards,
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
            shelf: Arc::new(Shelf::new(workers)),
            health: Arc::new(Health::new()),
            user_limit: 0,
            replication: ReplicationRegistry::default(),
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
        let former = self.current.load_full();
        let load = |cluster: &Cluster| {
            let loaded = self.load_cluster(cluster, former.clusters.get(&cluster.name))?;
            Ok((cluster.name.clone(), Arc::new(loaded)))
        };
        let clusters = topology.clusters.iter().map(load).collect::<Result<_, LoadError>>()?;
        let loaded = Arc::new(Loaded { clusters });
        self.configure_health(&loaded);
        self.current.store(loaded);
        self.generation.fetch_add(1, Ordering::Release);
        self.forget_replication();

        let mut content = self.shelf.content.lock();
        let current = self.current.load();
        self.shelf.limits.update(|scope| self.allowed(&current, scope));
        let replaced: Vec<Arc<Shards>> = content.shards.drain().map(|(_, it)| it).collect();
        replaced.iter().flat_map(|shards| shards.all()).for_each(|targets| targets.replace());
        let (keep, gone) = content.pools.drain().partition(|(key, pool)| self.is_served(key, pool));
        content.pools = keep;
        let gone: AHashMap<PoolKey, Arc<Pool>> = gone;
        for (key, pool) in gone {
            self.shelf.retire(&key.database, pool);
        }
        Ok(())
    }

    /// Whether the present topology would make this pool as it is.
    fn is_served(&self, key: &PoolKey, pool: &Pool) -> bool {
        let Ok(loaded) = self.cluster(&key.database) else { return false };
        let Some(user) = loaded.users.get(&key.user) else { return false };
        let shard = loaded.shards.get(key.shard);
        let instances = shard.iter().flat_map(|shard| shard.instances.iter());
        let is_it = |it: &&Arc<InstanceState>| it.key.host == key.host && it.key.port == key.port;
        instances.enumerate().filter(|(_, it)| is_it(it)).any(|(index, instance)| {
            let settings = loaded.pool_settings(user, &key.database, key.shard, index);
            settings.is_some_and(|settings| pool.serves(&settings, instance))
        })
    }

    /// Reads the files of TLS again. Pools for which nothing changed live on.
    ///
    /// # Errors
    /// A file of TLS cannot be used. Then everything stays as it was.
    pub fn reload(&self) -> Result<(), LoadError> {
        let current = self.current.load_full();
        let clusters = current.clusters.values().map(|it| Cluster::clone(&it.cluster)).collect();
        self.load(&Topology { clusters })
    }

    fn load_cluster(
        &self,
        cluster: &Cluster,
        former: Option<&Arc<LoadedCluster>>,
    ) -> Result<LoadedCluster, LoadError> {
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
        let shards = cluster.shards.iter().enumerate().map(|(number, shard)| {
            let rules = ShardRules::new(cluster, shard);
            let former = former.and_then(|former| former.shards.get(number));
            match former.filter(|former| former.is(shard, &rules)) {
                Some(same) => Arc::clone(same),
                None => {
                    let name = &cluster.name;
                    Arc::new(ShardState::new(name, number, shard, rules, former, &self.health))
                }
            }
        });
        let shards = shards.collect();
        Ok(LoadedCluster { cluster: Arc::new(cluster.clone()), users, shards, connectors })
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

    /// The pool of the primary for a client, made when it is the first.
    pub fn pool(&self, database: &str, user: &str) -> Result<Arc<Pool>, LookupError> {
        loop {
            match self.targets(database, user)?.choose(&Need::WRITE, 0) {
                Ok(pool) => return Ok(pool),
                Err(NoTarget::Replaced) => {}
                Err(NoTarget::NoPrimary | NoTarget::NoReplica | NoTarget::NoneLeft) => {
                    return Err(LookupError::NoInstance);
                }
            }
        }
    }

    /// Where the statements of a client can go, where the cluster has one shard. What it returns
    /// is good for as long as [`Directory::generation`] says the same.
    pub fn targets(&self, database: &str, user: &str) -> Result<Arc<Targets>, LookupError> {
        match self.shards(database, user)?.all() {
            [] => Err(LookupError::NoInstance),
            [only] => Ok(Arc::clone(only)),
            [..] => Err(LookupError::SeveralShards),
        }
    }

    /// Where the statements of a client can go, for each shard of the cluster, and by what rules
    /// rows are placed. Good for as long as [`Directory::generation`] says the same.
    pub fn shards(&self, database: &str, user: &str) -> Result<Arc<Shards>, LookupError> {
        // Under the lock: a topology that is loaded meanwhile finds these targets and replaces
        // them.
        let mut content = self.shelf.content.lock();
        let names = (database.to_owned(), user.to_owned());
        if let Some(shards) = content.shards.get(&names) {
            return Ok(Arc::clone(shards));
        }
        let loaded = self.cluster(database)?;
        let entry = loaded.users.get(user).ok_or(LookupError::UnknownUser)?;
        let numbers = 0..loaded.shards.len();
        let targets = numbers.map(|number| self.make_targets(&loaded, entry, database, number));
        let targets = targets.collect::<Result<_, LookupError>>()?;
        let shards = Arc::new(Shards::new(Arc::clone(&loaded.cluster), targets));
        content.shards.insert(names, Arc::clone(&shards));
        Ok(shards)
    }

    fn make_targets(
        &self,
        loaded: &LoadedCluster,
        entry: &ClusterUser,
        database: &str,
        number: usize,
    ) -> Result<Arc<Targets>, LookupError> {
        let shard = loaded.shards.get(number).ok_or(LookupError::NoInstance)?;
        let plans = shard.instances.iter().enumerate().map(|(index, instance)| {
            let settings = loaded
                .pool_settings(entry, database, number, index)
                .ok_or(LookupError::NoInstance)?;
            let key = PoolKey {
                database: database.to_owned(),
                user: entry.user.name.clone(),
                cluster: settings.cluster.clone(),
                shard: number,
                host: instance.key.host.clone(),
                port: instance.key.port,
            };
            let current = self.current.load();
            let scopes = scopes(&settings).map(|scope| {
                let most = self.allowed(&current, &scope);
                (scope, most)
            });
            let (settings, instance) = (Arc::new(settings), Arc::clone(instance));
            Ok(PoolPlan { key, settings, instance, scopes })
        });
        let plans = plans.collect::<Result<_, LookupError>>()?;
        Ok(Arc::new(Targets::new(Arc::clone(shard), plans, Arc::clone(&self.shelf))))
    }

    /// All pools that exist now.
    pub fn pools(&self) -> Vec<Arc<Pool>> {
        self.shelf.content.lock().pools.values().cloned().collect()
    }

    /// All pools that exist now, each with the database name by which its clients found it; in the
    /// order of these names, of the users, and of the instances in the topology.
    pub fn named_pools(&self) -> Vec<(String, Arc<Pool>)> {
        let content = self.shelf.content.lock();
        let mut named: Vec<(&PoolKey, &Arc<Pool>)> = content.pools.iter().collect();
        named.sort_by_key(|(key, pool)| {
            (&key.database, &key.user, key.shard, pool.instance().index())
        });
        named.into_iter().map(|(key, pool)| (key.database.clone(), Arc::clone(pool))).collect()
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
                    if let Ok(shards) = self.shards(&loaded.cluster.name, user) {
                        shards.all().iter().for_each(|targets| targets.warm_up());
                    }
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
}

impl LoadedCluster {
    /// The settings of the pool of a user on one instance.
    fn pool_settings(
        &self,
        entry: &ClusterUser,
        database: &str,
        shard: usize,
        index: usize,
    ) -> Option<PoolSettings> {
        let (cluster, user) = (&self.cluster, &entry.user);
        let instance = cluster.shards.get(shard)?.instances.get(index)?;
        let connector = self.connectors.get(cluster.effective_server_tls(instance));
        let size = cluster.effective_pool_size(user);
        let reserve_size = cluster.effective_reserve_pool_size(user);
        Some(PoolSettings {
            cluster: entry.cluster.clone(),
            user: user.name.clone(),
            shard,
            endpoint: Endpoint::new(
                &instance.host,
                instance.port,
                instance.database.as_deref().unwrap_or(database),
                user.effective_server_user(),
                user.effective_server_password().cloned(),
            )
            .with_tls(connector.cloned().flatten())
            .with_tcp(cluster.tcp()),
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
