//! A Postgres with two users, a proxy in front of it, and looks at both.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use pgherd_harness::poll;
use pgherd_harness::postgres::{APP_USER, Postgres};
use pgherd_harness::proxy::{Proxy, ProxyConfig};
use pgherd_harness::raw::{Client, Login};

/// Longer than any state takes to come.
pub const SOON: Duration = Duration::from_secs(8);

/// The second user, beside the harness's `app`.
pub const OTHER: &str = "other";
const OTHER_PASSWORD: &str = "othersecret";

/// One Postgres and one proxy.
pub struct Stand {
    pub postgres: Postgres,
    pub proxy: Proxy,
    pub config: ProxyConfig,
}

impl Stand {
    /// `change` makes the settings.
    pub fn start(change: impl FnOnce(ProxyConfig) -> ProxyConfig) -> Result<Self> {
        let postgres = Postgres::start()?;
        postgres.sql(&format!(
            "CREATE ROLE {OTHER} LOGIN PASSWORD '{OTHER_PASSWORD}'; CREATE TABLE t (n int); \
             GRANT ALL ON t TO {APP_USER}, {OTHER}"
        ))?;
        let config = ProxyConfig::transaction(&postgres).user(OTHER, OTHER_PASSWORD);
        let config = change(config);
        let proxy = Proxy::start(&config.to_toml())?;
        Ok(Self { postgres, proxy, config })
    }

    /// A client of the first user.
    pub fn client(&self) -> Result<Client> {
        Client::login(self.proxy.addr())
    }

    /// A client of the second user.
    pub fn other(&self) -> Result<Client> {
        Client::login_as(self.proxy.addr(), &other_login())
    }

    /// The row of a user's pool in a table of the admin database.
    pub fn pool(&self, user: &str) -> Result<BTreeMap<String, String>> {
        pool(&mut self.proxy.admin()?, user)
    }

    /// Waits until columns of a user's pool have these values.
    pub fn wait_pool(&self, user: &str, wanted: &[(&str, &str)]) -> Result<()> {
        let mut admin = self.proxy.admin()?;
        let mut seen = BTreeMap::new();
        poll::until(SOON, "the pool's state", || {
            // After a reload it comes back with the next client.
            let Ok(now) = pool(&mut admin, user) else { return Ok(None) };
            seen = now;
            Ok(wanted.iter().all(|(column, value)| seen[*column] == *value).then_some(()))
        })
        .with_context(|| format!("{wanted:?} is wanted, {seen:?} is there"))
    }

    /// Server connections that Postgres counts now.
    pub fn connections(&self) -> Result<usize> {
        Ok(self.postgres.sql(CONNECTIONS)?.len())
    }
}

/// The connections of the proxy in Postgres's eyes.
const CONNECTIONS: &str = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' \
                           AND usename IN ('app', 'other') AND application_name <> 'pgherd health check'";

/// The login of the second user.
pub fn other_login() -> Login {
    Login::new(OTHER, OTHER_PASSWORD, "app")
}

/// The row of a user's pool in `SHOW POOLS`.
pub fn pool(admin: &mut Client, user: &str) -> Result<BTreeMap<String, String>> {
    let table = admin.table("SHOW POOLS")?;
    let row = table.iter().find(|row| row["user"] == user);
    row.cloned().with_context(|| format!("no pool of {user}: {table:?}"))
}

/// Looks all the time how many server connections Postgres has.
pub struct Watch {
    most: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Watch {
    /// Begins to look.
    pub fn start(postgres: &Postgres) -> Result<Self> {
        let (most, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let mut superuser = postgres.superuser("app")?;
        let (seen, stopped) = (Arc::clone(&most), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                seen.fetch_max(superuser.rows(CONNECTIONS)?.len(), Ordering::Relaxed);
            }
            Ok(())
        });
        Ok(Self { most, stop, thread: Some(thread) })
    }

    /// The most that there were at one time.
    pub fn most(mut self) -> Result<usize> {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the thread ends")?;
        }
        Ok(self.most.load(Ordering::Relaxed))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
