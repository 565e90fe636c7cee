//! A fleet: one control plane, two proxies that get everything from it.

mod refusing_proxy;

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use pgherd_harness::control::Control;
use pgherd_harness::haproxy::HaProxy;
use pgherd_harness::poll;
use pgherd_harness::postgres::{DATABASE, Postgres};
use pgherd_harness::proxy::{Proxy, ProxyConfig};
use pgherd_harness::raw::{Client, Login};
use pgherd_harness::rest::Rest;
use pgherd_harness::scratch::Scratch;
use serde_json::{Value, json};

use crate::cancel::{check_cancelled, start_sleeping};

/// DESIGN.md: topology everywhere within a second.
const EVERYWHERE: Duration = Duration::from_secs(1);
const SOON: Duration = Duration::from_secs(15);

struct Fleet {
    // In the order in which they end.
    proxies: Vec<Proxy>,
    control: Control,
    rest: Rest,
    caches: Vec<Scratch>,
    application: Postgres,
    _topology: Postgres,
}

impl Fleet {
    async fn start() -> Result<Self> {
        Self::start_with(2).await
    }

    async fn start_with(count: usize) -> Result<Self> {
        let topology = Postgres::start()?;
        let application = Postgres::start()?;
        let control = Control::start_on(&topology)?;
        let rest = control.rest();
        let mut fleet = Self {
            proxies: Vec::new(),
            control,
            rest,
            caches: Vec::new(),
            application,
            _topology: topology,
        };
        for number in 0..count {
            let cache = Scratch::new("cache")?;
            let id = format!("proxy-{number}");
            fleet.proxies.push(Proxy::start_in_fleet(&fleet.control, &id, cache.path())?);
            fleet.caches.push(cache);
        }
        poll::until_async(SOON, "all proxies to be connected", async || {
            let proxies = fleet.listed().await?;
            let connected = proxies.iter().filter(|proxy| proxy["state"] == "connected");
            Ok((connected.count() == count).then_some(()))
        })
        .await?;
        Ok(fleet)
    }

    /// A cluster of this name over the application's database.
    fn cluster(&self, name: &str) -> Value {
        ProxyConfig::transaction(&self.application).named(name, DATABASE).to_cluster_json()
    }

    async fn listed(&self) -> Result<Vec<Value>> {
        let answer = self.rest.get("/api/v1/proxies").await?.success()?;
        Ok(answer.body["proxies"].as_array().context("no list of proxies")?.clone())
    }

    async fn current(&self) -> Result<Value> {
        Ok(self.rest.get("/api/v1/proxies").await?.success()?.body["current"].clone())
    }

    /// Waits until every proxy does `probe`, at most a second after `since`.
    fn check_everywhere(
        &self,
        since: Instant,
        what: &str,
        probe: impl Fn(&Proxy) -> Result<bool>,
    ) -> Result<()> {
        for (number, proxy) in self.proxies.iter().enumerate() {
            let what = format!("proxy {number}: {what}");
            poll::until(SOON, &what, || Ok(probe(proxy)?.then_some(())))?;
            let took = since.elapsed();
            assert!(took < EVERYWHERE, "{what}: only after {took:?}");
        }
        Ok(())
    }
}

fn login(name: &str) -> Login {
    Login::default().database(name)
}

fn serves(proxy: &Proxy, name: &str) -> Result<bool> {
    match Client::login_as(proxy.addr(), &login(name)) {
        Ok(mut client) => Ok(client.value("SELECT current_database()")? == DATABASE),
        Err(_) => Ok(false),
    }
}

#[tokio::test]
async fn a_change_over_rest_is_served_everywhere_within_a_second() -> Result<()> {
    let fleet = Fleet::start().await?;
    assert!(!serves(&fleet.proxies[0], "shop")?, "served before it exists");

    let since = Instant::now();
    fleet.rest.put_cluster(&fleet.cluster("shop")).await?;
    fleet.check_everywhere(since, "to serve the new cluster", |proxy| serves(proxy, "shop"))?;

    // A second cluster leaves clients of the first one alone.
    let mut client = Client::login_as(fleet.proxies[0].addr(), &login("shop"))?;
    client.rows("BEGIN")?;
    let since = Instant::now();
    fleet.rest.put_cluster(&fleet.cluster("store")).await?;
    fleet.check_everywhere(since, "to serve the second cluster", |proxy| serves(proxy, "store"))?;
    assert_eq!(client.value("SELECT 'kept'")?, "kept");
    client.rows("COMMIT")?;

    let mut changed = fleet.cluster("shop");
    changed["users"][0]["password"] = json!("another");
    // The password on the instances stays what it was.
    changed["users"][0]["server_password"] = json!("secret");
    let since = Instant::now();
    fleet.rest.put_cluster(&changed).await?;
    fleet.check_everywhere(since, "to take the new password only", |proxy| {
        let new = Client::login_as(proxy.addr(), &login("shop").password("another")).is_ok();
        Ok(new && Client::login_as(proxy.addr(), &login("shop")).is_err())
    })?;

    let path = "/api/v1/clusters/store";
    let etag = fleet.rest.get(path).await?.success()?.header("etag");
    let since = Instant::now();
    fleet.rest.delete(path, etag.as_deref()).await?.success()?;
    fleet.check_everywhere(since, "to refuse the deleted cluster", |proxy| {
        Ok(!serves(proxy, "store")?)
    })?;
    poll::until_async(SOON, "the list to say that both are up to date", async || {
        let listed = fleet.listed().await?;
        Ok(listed.iter().all(|proxy| proxy["up_to_date"] == true).then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_proxy_serves_from_its_cache_while_the_control_plane_is_down() -> Result<()> {
    let mut fleet = Fleet::start().await?;
    fleet.rest.put_cluster(&fleet.cluster("shop")).await?;
    fleet.check_everywhere(Instant::now(), "to serve", |proxy| serves(proxy, "shop"))?;

    fleet.control.kill9()?;
    assert!(serves(&fleet.proxies[1], "shop")?, "a running proxy needs no control plane");
    fleet.proxies[0].restart()?;
    assert!(serves(&fleet.proxies[0], "shop")?, "a restarted proxy serves from its cache");

    fleet.control.restart()?;
    fleet.rest = fleet.control.rest();
    poll::until_async(SOON, "both proxies to be back", async || {
        let listed = fleet.listed().await?;
        let connected = listed.iter().filter(|proxy| proxy["state"] == "connected");
        Ok((connected.count() == 2).then_some(()))
    })
    .await?;
    let since = Instant::now();
    fleet.rest.put_cluster(&fleet.cluster("store")).await?;
    fleet.check_everywhere(since, "to serve what came after", |proxy| serves(proxy, "store"))
}

#[tokio::test]
async fn an_invalid_cluster_is_refused_and_nothing_changes() -> Result<()> {
    let fleet = Fleet::start().await?;
    fleet.rest.put_cluster(&fleet.cluster("shop")).await?;
    fleet.check_everywhere(Instant::now(), "to serve", |proxy| serves(proxy, "shop"))?;
    let before = (fleet.current().await?, fleet.rest.get("/api/v1/clusters").await?.body);
    let etag = fleet.rest.get("/api/v1/clusters/shop").await?.header("etag");

    let mut without_shards = fleet.cluster("shop");
    without_shards["shards"] = json!([]);
    let mut unknown_key = fleet.cluster("shop");
    unknown_key["pol_size"] = json!(3);
    let mut wrong_type = fleet.cluster("shop");
    wrong_type["pool_size"] = json!("many");
    let mut two_primaries = fleet.cluster("shop");
    let again = two_primaries["shards"][0]["instances"][0].clone();
    two_primaries["shards"][0]["instances"] = json!([again.clone(), again]);
    let rows = [
        ("no shards", without_shards, "/shards"),
        ("an unknown key", unknown_key, "pol_size"),
        ("a wrong type", wrong_type, "pool_size"),
        ("the same instance twice", two_primaries, "/shards/0/instances"),
    ];
    for (name, document, part) in rows {
        let answer = fleet.rest.put("/api/v1/clusters/shop", etag.as_deref(), &document).await?;
        assert_eq!(answer.status, 422, "{name}: {}", answer.body);
        let kind = answer.header("content-type").unwrap_or_default();
        assert!(kind.starts_with("application/problem+json"), "{name}: {kind}");
        let text = answer.body.to_string();
        assert!(text.contains(part), "{name}: nothing about {part} in {text}");
        assert!(!text.contains("secret"), "{name}: a secret in {text}");
    }
    let after = (fleet.current().await?, fleet.rest.get("/api/v1/clusters").await?.body);
    assert_eq!(before, after);
    for proxy in &fleet.proxies {
        assert!(serves(proxy, "shop")?);
    }
    Ok(())
}

#[tokio::test]
async fn writers_do_not_overwrite_each_other() -> Result<()> {
    let fleet = Fleet::start_with(0).await?;
    fleet.rest.put_cluster(&fleet.cluster("shop")).await?;
    let path = "/api/v1/clusters/shop";
    let etag = fleet.rest.get(path).await?.success()?.header("etag");
    let mut document = fleet.cluster("shop");
    assert_eq!(fleet.rest.put(path, None, &document).await?.status, 428);
    document["pool_size"] = json!(7);
    fleet.rest.put(path, etag.as_deref(), &document).await?.success()?;
    document["pool_size"] = json!(8);
    assert_eq!(fleet.rest.put(path, etag.as_deref(), &document).await?.status, 412);
    assert_eq!(fleet.rest.get(path).await?.body["pool_size"], 7);
    Ok(())
}

#[tokio::test]
async fn strangers_learn_nothing() -> Result<()> {
    let fleet = Fleet::start_with(0).await?;
    fleet.rest.put_cluster(&fleet.cluster("shop")).await?;
    for token in ["", "wrong", "pgherd_0000000000000000"] {
        let answer = fleet.rest.with_token(token).get("/api/v1/clusters").await?;
        assert_eq!(answer.status, 401, "{token:?}");
    }
    let proxy_token = std::fs::read_to_string(fleet.control.proxy_token_file())?;
    let answer = fleet.rest.with_token(proxy_token.trim()).get("/api/v1/clusters").await?;
    assert_eq!(answer.status, 403);
    let mine = fleet.rest.get("/api/v1/clusters/shop").await?.success()?;
    assert!(!mine.body.to_string().contains("secret"), "{}", mine.body);
    Ok(())
}

#[tokio::test]
async fn a_cancel_reaches_the_query_through_the_other_proxy() -> Result<()> {
    let fleet = Fleet::start().await?;
    fleet.rest.put_cluster(&fleet.cluster("shop")).await?;
    fleet.check_everywhere(Instant::now(), "to serve", |proxy| serves(proxy, "shop"))?;
    let [first, second] = fleet.proxies.as_slice() else { unreachable!("two were started") };
    for (here, there) in [(first, second), (second, first)] {
        // Short keys and long ones.
        for version in [3 << 16, 3 << 16 | 2] {
            let mut client = Client::login_as(here.addr(), &login("shop").protocol(version))?;
            start_sleeping(&fleet.application, &mut client, "fleet")?;
            client.cancel(there.addr())?;
            check_cancelled(&mut client);
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_load_balancer_spreads_clients_over_the_fleet() -> Result<()> {
    let fleet = Fleet::start().await?;
    fleet.rest.put_cluster(&fleet.cluster("shop")).await?;
    fleet.check_everywhere(Instant::now(), "to serve", |proxy| serves(proxy, "shop"))?;
    let backends: Vec<_> = fleet.proxies.iter().map(Proxy::backend).collect();
    let haproxy = HaProxy::start(&backends)?;
    let mut clients: Vec<Client> =
        (0..6).map(|_| Client::login_as(haproxy.addr(), &login("shop"))).collect::<Result<_>>()?;
    for client in &mut clients {
        assert_eq!(client.value("SELECT 1")?, "1");
    }
    // Whichever proxy a cancel lands on, the query ends.
    for client in clients.iter_mut().take(2) {
        start_sleeping(&fleet.application, client, "balanced")?;
        client.cancel(haproxy.addr())?;
        check_cancelled(client);
    }
    for proxy in &fleet.proxies {
        let listed = proxy_clients(proxy)?;
        assert!(listed > 0, "a proxy without clients");
    }
    Ok(())
}

/// Clients of the cluster that a proxy lists.
fn proxy_clients(proxy: &Proxy) -> Result<usize> {
    let table = proxy.admin()?.table("SHOW CLIENTS")?;
    Ok(table.iter().filter(|client| client["database"] == "shop").count())
}
