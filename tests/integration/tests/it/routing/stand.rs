//! A primary with replicas behind a proxy that splits reads from writes.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use pgherd_harness::poll;
use pgherd_harness::postgres::{APP_USER, Postgres};
use pgherd_harness::proxy::{Proxy, ProxyConfig};
use pgherd_harness::raw::{Client, Login, Message, frontend};

/// Longer than any state takes to come.
pub const SOON: Duration = Duration::from_secs(15);

/// Where a statement ran: the first value of its first row is the port of an instance.
pub const WHERE: &str = "SELECT current_setting('port')";

/// Servers and a proxy.
pub struct Stand {
    pub proxy: Proxy,
    pub config: ProxyConfig,
    pub replicas: Vec<Postgres>,
    pub primary: Postgres,
}

impl Stand {
    /// `change` makes the settings.
    pub fn start(replicas: usize, change: impl FnOnce(ProxyConfig) -> ProxyConfig) -> Result<Self> {
        let primary = Postgres::start()?;
        primary.sql(&format!(
            "CREATE TABLE t (n int PRIMARY KEY, word text); GRANT ALL ON t TO {APP_USER}; \
             INSERT INTO t VALUES (1, 'one'), (2, 'two'); \
             CREATE SEQUENCE s; GRANT ALL ON s TO {APP_USER}; \
             CREATE VIEW place AS SELECT current_setting('port') AS port; \
             GRANT SELECT ON place TO {APP_USER}; \
             CREATE VIEW hidden AS SELECT current_setting('port') AS port, nextval('s') AS n; \
             GRANT SELECT ON hidden TO {APP_USER}; \
             CREATE FUNCTION stable_port() RETURNS text STABLE LANGUAGE sql \
                AS $$SELECT current_setting('port')$$; \
             CREATE FUNCTION volatile_port() RETURNS text VOLATILE LANGUAGE sql \
                AS $$SELECT current_setting('port')$$; \
             CREATE PROCEDURE nothing() LANGUAGE sql AS ''"
        ))?;
        let replicas =
            (0..replicas).map(|_| primary.streaming_replica()).collect::<Result<Vec<_>>>()?;
        let mut config =
            ProxyConfig::transaction(&primary).cluster_setting("reads", "\"replicas\"");
        for replica in &replicas {
            config = config.replica(replica);
        }
        let config = change(config);
        let proxy = Proxy::start(&config.to_toml())?;
        let stand = Self { proxy, config, replicas, primary };
        stand.catch_up()?;
        Ok(stand)
    }

    /// Waits until the replicas have replayed what the primary has written.
    pub fn catch_up(&self) -> Result<()> {
        let lsn = &self.primary.sql("SELECT pg_current_wal_lsn()")?[0][0];
        for replica in &self.replicas {
            poll::until(SOON, "a replica to catch up", || {
                let sql = format!("SELECT pg_last_wal_replay_lsn() >= '{lsn}'");
                Ok((replica.sql(&sql)? == [["t"]]).then_some(()))
            })?;
        }
        Ok(())
    }

    /// A client of the proxy.
    pub fn client(&self) -> Result<Client> {
        Client::login(self.proxy.addr())
    }

    /// A client with a startup parameter.
    pub fn client_with(&self, name: &str, value: &str) -> Result<Client> {
        Client::login_as(self.proxy.addr(), &Login::default().parameter(name, value))
    }

    /// What the instance with this port is.
    pub fn name_of(&self, port: &str) -> String {
        if port == self.primary.port().to_string() {
            return "primary".to_owned();
        }
        match self.replicas.iter().position(|it| port == it.port().to_string()) {
            Some(at) => format!("replica {at}"),
            None => format!("nobody ({port})"),
        }
    }

    /// `primary` or `replica`: where a query ran whose first value is a port.
    pub fn place(&self, client: &mut Client, sql: &str) -> Result<String> {
        let messages = client.simple(sql)?;
        self.place_of(&messages).with_context(|| sql.to_owned())
    }

    /// The same, from the messages of an answer.
    pub fn place_of(&self, messages: &[Message]) -> Result<String> {
        let error = messages.iter().find(|message| message.tag == b'E');
        ensure!(error.is_none(), "{error:?}");
        let row = messages.iter().rev().find_map(Message::data_row).context("no row")?;
        let port = row.first().copied().flatten().context("no value")?;
        let name = self.name_of(std::str::from_utf8(port)?);
        Ok(name.split(' ').next().unwrap_or_default().to_owned())
    }

    /// The same with the extended protocol, all in one batch.
    pub fn place_extended(&self, client: &mut Client, sql: &str) -> Result<String> {
        let batch = [
            frontend::parse("", sql, &[]),
            frontend::bind("", "", &[]),
            frontend::describe_portal(""),
            frontend::execute("", 0),
            frontend::sync(),
        ];
        client.send(&batch.concat())?;
        self.place_of(&client.until_ready(1)?).with_context(|| sql.to_owned())
    }
}
