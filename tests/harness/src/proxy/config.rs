//! Proxy configuration files for tests.

use std::fmt::Write;
use std::path::Path;

use crate::certificates::Certificate;
use crate::postgres::{APP_PASSWORD, APP_USER, Postgres};

/// The admin database's user in [`ProxyConfig`].
pub const ADMIN_USER: &str = "admin";
/// Its password.
pub const ADMIN_PASSWORD: &str = "adminsecret";

/// A configuration with one cluster `"*"`, so that each database is served under its own name.
#[derive(Clone, Debug)]
pub struct ProxyConfig {
    pool_mode: String,
    pool_size: usize,
    /// Name, password, and further keys.
    users: Vec<(String, String, String)>,
    instances: Vec<(String, u16, &'static str)>,
    /// The instances of further shards, each with its database.
    more_shards: Vec<Vec<ShardInstance>>,
    cluster_name: String,
    database: Option<String>,
    proxy_lines: String,
    cluster_lines: String,
    instance_keys: String,
}

/// An instance of a further shard.
#[derive(Clone, Debug)]
struct ShardInstance {
    host: String,
    port: u16,
    database: String,
    role: &'static str,
}

impl ShardInstance {
    fn new(server: &Postgres, database: &str, role: &'static str) -> Self {
        let (host, database) = (server.addr().ip().to_string(), database.to_owned());
        Self { host, port: server.port(), database, role }
    }

    fn to_toml(&self, keys: &str) -> String {
        let Self { host, port, database, role } = self;
        format!(
            "  {{ host = {host:?}, port = {port}, role = {role:?}, database = {database:?}{keys} }},\n"
        )
    }
}

impl ProxyConfig {
    /// Any pool mode; the application's user and the superuser may log in.
    pub fn new(pool_mode: &str, primary: &Postgres) -> Self {
        Self::for_address(pool_mode, &primary.addr().ip().to_string(), primary.port())
    }

    /// The same for a server that the harness did not start, or that is not there.
    pub fn for_address(pool_mode: &str, host: &str, port: u16) -> Self {
        let user =
            |name: &str, password: &str| (name.to_owned(), password.to_owned(), String::new());
        Self {
            pool_mode: pool_mode.to_owned(),
            pool_size: 20,
            users: vec![
                user(APP_USER, APP_PASSWORD),
                user(crate::postgres::SUPERUSER, crate::postgres::SUPERUSER_PASSWORD),
            ],
            instances: vec![(host.to_owned(), port, "primary")],
            more_shards: Vec::new(),
            cluster_name: "*".to_owned(),
            database: None,
            proxy_lines: String::new(),
            cluster_lines: String::new(),
            instance_keys: String::new(),
        }
    }

    /// Transaction mode.
    pub fn transaction(primary: &Postgres) -> Self {
        Self::new("transaction", primary)
    }

    /// Session mode.
    pub fn session(primary: &Postgres) -> Self {
        Self::new("session", primary)
    }

    /// Names the cluster and the database that it stands for, instead of serving all.
    pub fn named(mut self, cluster: &str, database: &str) -> Self {
        cluster.clone_into(&mut self.cluster_name);
        self.database = Some(database.to_owned());
        self
    }

    /// Server connections per user.
    pub fn pool_size(mut self, pool_size: usize) -> Self {
        self.pool_size = pool_size;
        self
    }

    /// Adds a replica.
    pub fn replica(self, replica: &Postgres) -> Self {
        let host = replica.addr().ip().to_string();
        self.instance_at(&host, replica.port(), "replica")
    }

    /// Adds an instance at an address with this role.
    pub fn instance_at(mut self, host: &str, port: u16, role: &'static str) -> Self {
        self.instances.push((host.to_owned(), port, role));
        self
    }

    /// Without health checks: for servers that play a part, and take each connection for its turn.
    pub fn unwatched(self) -> Self {
        self.cluster_setting("health_check_interval", "\"0\"")
    }

    /// Adds an instance with this role.
    pub fn instance(mut self, server: &Postgres, role: &'static str) -> Self {
        self.instances.push((server.addr().ip().to_string(), server.port(), role));
        self
    }

    /// Adds a shard with this primary.
    pub fn shard(mut self, primary: &Postgres, database: &str) -> Self {
        self.more_shards.push(vec![ShardInstance::new(primary, database, "primary")]);
        self
    }

    /// Adds an instance to the shard that was added last.
    pub fn shard_instance(mut self, server: &Postgres, database: &str, role: &'static str) -> Self {
        if let Some(last) = self.more_shards.last_mut() {
            last.push(ShardInstance::new(server, database, role));
        }
        self
    }

    /// Adds an instance to a shard, counted from 0.
    pub fn instance_of_shard(
        mut self,
        shard: usize,
        server: &Postgres,
        database: &str,
        role: &'static str,
    ) -> Self {
        match shard.checked_sub(1) {
            None => return self.instance(server, role),
            Some(at) => {
                if let Some(shard) = self.more_shards.get_mut(at) {
                    shard.push(ShardInstance::new(server, database, role));
                }
            }
        }
        self
    }

    /// Gives the first instance another role than that of the primary.
    pub fn role(mut self, role: &'static str) -> Self {
        if let Some((_, _, first)) = self.instances.first_mut() {
            *first = role;
        }
        self
    }

    /// Adds a user.
    pub fn user(mut self, name: &str, password: &str) -> Self {
        self.users.push((name.to_owned(), password.to_owned(), String::new()));
        self
    }

    /// Adds a key to a user that was added before; the value is TOML.
    pub fn user_setting(mut self, name: &str, key: &str, value: &str) -> Self {
        for (user, _, keys) in &mut self.users {
            if user == name {
                keys.push_str(&format!(", {key} = {value}"));
            }
        }
        self
    }

    /// Checks a user's clients against a verifier; the proxy still logs in with the password.
    pub fn verifier(mut self, name: &str, verifier: &str) -> Self {
        for (user, password, keys) in &mut self.users {
            if user == name {
                keys.push_str(&format!(", server_password = {password:?}"));
                verifier.clone_into(password);
            }
        }
        self
    }

    /// Adds a key to every instance; the value is TOML.
    pub fn instance_setting(mut self, key: &str, value: &str) -> Self {
        self.instance_keys.push_str(&format!(", {key} = {value}"));
        self
    }

    /// Adds a key to `[proxy]`; the value is TOML.
    pub fn proxy_setting(mut self, key: &str, value: &str) -> Self {
        push_line(&mut self.proxy_lines, key, value);
        self
    }

    /// TLS towards clients.
    pub fn tls(self, mode: &str, shown: &Certificate, client_ca: Option<&Path>) -> Self {
        let ca = client_ca.map(|ca| format!(", client_ca = {ca:?}")).unwrap_or_default();
        let Certificate { cert, key } = shown;
        let value = format!("{{ mode = {mode:?}, cert = {cert:?}, key = {key:?}{ca} }}");
        self.proxy_setting("tls", &value)
    }

    /// TLS towards servers; more keys are TOML, each after a comma.
    pub fn server_tls(self, mode: &str, more: &str) -> Self {
        self.cluster_setting("server_tls", &format!("{{ mode = {mode:?}{more} }}"))
    }

    /// Adds a key to the cluster; the value is TOML.
    pub fn cluster_setting(mut self, key: &str, value: &str) -> Self {
        push_line(&mut self.cluster_lines, key, value);
        self
    }

    /// The parts that a proxy with a control plane takes from its file: all but the clusters.
    pub fn head(proxy_lines: &str) -> String {
        let mut text = format!("[proxy]\nlisten = [\"127.0.0.1:0\"]\n{proxy_lines}");
        if !proxy_lines.contains("workers") {
            // As many as there are cores on the machines this is tested on, and never one only.
            text.push_str("workers = 2\n");
        }
        text.push_str(&format!(
            "[admin]\nusers = [{{ name = \"{ADMIN_USER}\", password = \"{ADMIN_PASSWORD}\" }}]\n\
             [metrics]\nlisten = \"127.0.0.1:0\"\n"
        ));
        text
    }

    /// The file.
    pub fn to_toml(&self) -> String {
        let mut text = Self::head(&self.proxy_lines);
        let users: Vec<String> = self
            .users
            .iter()
            .map(|(name, password, keys)| {
                format!("{{ name = {name:?}, password = {password:?}{keys} }}")
            })
            .collect();
        let database = match &self.database {
            Some(database) => format!(", database = {database:?}"),
            None => String::new(),
        };
        let instances: Vec<String> = self
            .instances
            .iter()
            .map(|(host, port, role)| {
                let keys = &self.instance_keys;
                format!(
                    "  {{ host = {host:?}, port = {port}, role = {role:?}{database}{keys} }},\n"
                )
            })
            .collect();
        text.push_str("[[clusters]]\n");
        push_line(&mut text, "name", &format!("{:?}", self.cluster_name));
        push_line(&mut text, "pool_mode", &format!("{:?}", self.pool_mode));
        push_line(&mut text, "pool_size", &self.pool_size.to_string());
        push_line(&mut text, "users", &format!("[{}]", users.join(", ")));
        text.push_str(&self.cluster_lines);
        text.push_str("[[clusters.shards]]\n");
        push_line(&mut text, "instances", &format!("[\n{}]", instances.concat()));
        for shard in &self.more_shards {
            text.push_str("[[clusters.shards]]\n");
            let instances: Vec<String> =
                shard.iter().map(|it| it.to_toml(&self.instance_keys)).collect();
            push_line(&mut text, "instances", &format!("[\n{}]", instances.concat()));
        }
        text
    }

    /// The cluster as the JSON document that the REST API takes.
    pub fn to_cluster_json(&self) -> serde_json::Value {
        let document: toml::Table =
            self.to_toml().parse().expect("the text that this type writes is TOML");
        let cluster = document
            .get("clusters")
            .and_then(|clusters| clusters.get(0))
            .expect("the text has a cluster");
        serde_json::to_value(cluster).expect("TOML without dates is JSON")
    }
}

fn push_line(text: &mut String, key: &str, value: &str) {
    writeln!(text, "{key} = {value}").expect("writing to a String cannot fail");
}
