//! Bans of the whole fleet: one control plane, five proxies, a primary and two replicas, each in a
//! network namespace of its own. Needs root.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use pgherd_harness::control::Control;
use pgherd_harness::netns::{Namespace, Network};
use pgherd_harness::poll;
use pgherd_harness::postgres::{DATABASE, Postgres};
use pgherd_harness::proxy::{Proxy, ProxyConfig};
use pgherd_harness::raw::{Client, Login};
use pgherd_harness::rest::Rest;
use pgherd_harness::scratch::Scratch;
use serde_json::{Value, json};

/// DESIGN.md: bans everywhere within a second.
const EVERYWHERE: Duration = Duration::from_secs(1);
const SOON: Duration = Duration::from_secs(15);
/// Two zones, so that no zone is the fleet.
const ZONES: [&str; 5] = ["a", "a", "b", "b", "b"];

/// A row of `SHOW BANS`.
type Row = BTreeMap<String, String>;

struct Member {
    proxy: Proxy,
    admin: Client,
    namespace: Namespace,
    _cache: Scratch,
}

struct Stand {
    // In the order in which they end.
    members: Vec<Member>,
    control: Control,
    topology: Postgres,
    replicas: Vec<Postgres>,
    primary: Postgres,
    rest: Rest,
    _network: Network,
}

impl Stand {
    async fn start() -> Result<Self> {
        let network = Network::new()?;
        let primary = Postgres::builder().namespace(&network.namespace("primary")?).start()?;
        let replica = |label| primary.streaming_replica_in(&network.namespace(label)?);
        let replicas = vec![replica("replica1")?, replica("replica2")?];
        let home = network.namespace("control")?;
        let topology = Postgres::builder().namespace(&home).start()?;
        let control = Control::start_in(&home, &topology.url(DATABASE))?;
        let rest = control.rest();
        let mut members = Vec::new();
        for (number, zone) in ZONES.into_iter().enumerate() {
            let namespace = network.namespace(&format!("proxy{number}"))?;
            let cache = Scratch::new("cache")?;
            let proxy = Proxy::builder()
                .control_plane(&control, &format!("proxy-{number}"), cache.path())
                .arguments(["--label".to_owned(), format!("zone={zone}")])
                .namespace(&namespace)
                .start()?;
            let admin = proxy.admin()?;
            members.push(Member { proxy, admin, namespace, _cache: cache });
        }
        let mut config = ProxyConfig::transaction(&primary).named("shop", DATABASE);
        for replica in &replicas {
            config = config.replica(replica);
        }
        // On a busy machine an instance may be silent for a second; these tests are about refusals.
        let config = config
            .cluster_setting("reads", "\"replicas\"")
            .cluster_setting("health_check_timeout", "\"10s\"")
            .cluster_setting("connect_timeout", "\"10s\"");
        rest.put_cluster(&config.to_cluster_json()).await?;
        let stand = Self { members, control, topology, replicas, primary, rest, _network: network };
        stand.wait_healthy().await?;
        Ok(stand)
    }

    /// Waits until every proxy watches every instance and the control plane has heard it.
    async fn wait_healthy(&self) -> Result<()> {
        poll::until_async(SOON, "everything to be seen well by everyone", async || {
            let answer = self.rest.get("/api/v1/instances").await?.success()?;
            let instances = answer.body["instances"].as_array().context("no list")?.clone();
            let well = |it: &Value| {
                it["watchers"] == ZONES.len() && it["banned_by"] == 0 && it["timeline"] == 1
            };
            Ok((instances.len() == 3 && instances.iter().all(well)).then_some(()))
        })
        .await
    }

    async fn bans(&self) -> Result<Vec<Value>> {
        let answer = self.rest.get("/api/v1/bans").await?.success()?;
        Ok(answer.body["bans"].as_array().context("no list of bans")?.clone())
    }

    /// What each proxy lists of an instance.
    fn listed(&mut self, server: &Postgres) -> Result<Vec<Vec<Row>>> {
        let host = server.addr().ip().to_string();
        let listed = self.members.iter_mut().map(|member| {
            let rows = member.admin.table("SHOW BANS")?;
            Ok(rows.into_iter().filter(|row| row["host"] == host).collect())
        });
        listed.collect()
    }

    /// Waits until `so` is true of what every proxy lists; how long after `since` that was.
    fn wait_everywhere(
        &mut self,
        server: &Postgres,
        since: Instant,
        what: &str,
        so: impl Fn(&[Row]) -> bool,
    ) -> Result<Duration> {
        let mut last = Vec::new();
        poll::until(SOON, what, || {
            last = self.listed(server)?;
            Ok(last.iter().all(|rows| so(rows)).then_some(()))
        })
        .with_context(|| format!("{last:?}\n{}", self.control.log()))?;
        Ok(since.elapsed())
    }

    /// A client of each proxy reads, again and again.
    fn read_everywhere(&self, times: usize) -> Result<()> {
        for member in &self.members {
            let mut client = login(&member.proxy)?;
            for _ in 0..times {
                assert_eq!(client.value("SELECT 1")?, "1");
            }
        }
        Ok(())
    }

    /// Waits until the control plane has heard so many views of each proxy from now on.
    async fn rounds(&self, count: u64) -> Result<()> {
        let start = self.metric("pgherd_control_views_total").await?;
        let wanted = start + count * ZONES.len() as u64;
        poll::until_async(SOON, "views of all proxies", async || {
            let views = self.metric("pgherd_control_views_total").await?;
            Ok((views >= wanted).then_some(()))
        })
        .await
    }

    async fn metric(&self, name: &str) -> Result<u64> {
        let url = format!("{}/metrics", self.control.url());
        let text = reqwest::get(url).await?.text().await?;
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        Ok(line.with_context(|| format!("no {name} in {text}"))?.parse()?)
    }
}

fn login(proxy: &Proxy) -> Result<Client> {
    Client::login_as(proxy.addr(), &Login::default().database("shop"))
}

fn has(rows: &[Row], source: &str) -> bool {
    rows.iter().any(|row| row["source"] == source)
}

#[tokio::test]
async fn a_killed_replica_is_banned_everywhere_in_under_a_second() -> Result<()> {
    let mut stand = Stand::start().await?;
    let mut victim = stand.replicas.remove(0);
    victim.kill9()?;
    // From the first proxy that says so itself, or from the kill at the latest.
    let first = poll::until(SOON, "the first report", || {
        let listed = stand.listed(&victim)?;
        Ok(listed.iter().any(|rows| !rows.is_empty()).then(Instant::now))
    })?;
    let took = stand.wait_everywhere(&victim, first, "the fleet's ban", |rows| has(rows, "fleet"));
    let took = took?;
    assert!(took < EVERYWHERE, "{took:?} after the first report");
    eprintln!("banned everywhere {took:?} after the first report");
    let bans = stand.bans().await?;
    let ban = bans.iter().find(|ban| ban["source"] == "fleet").context("not listed")?;
    assert_eq!(ban["host"], victim.addr().ip().to_string());
    assert_eq!(ban["voters"], 5);
    assert_eq!((&ban["zone"], &ban["held_back"]), (&Value::Null, &Value::Null));
    stand.read_everywhere(20)?;

    // It comes back, and so do the reads: by what the proxies see, and not by a user's query.
    victim.restart()?;
    let up = Instant::now();
    let back = stand.wait_everywhere(&victim, up, "no ban any more", |rows| rows.is_empty())?;
    eprintln!("back {back:?} after it took connections again");
    Ok(())
}

#[tokio::test]
async fn a_proxy_that_is_cut_off_from_a_healthy_replica_bans_it_for_itself_only() -> Result<()> {
    let mut stand = Stand::start().await?;
    let replica = stand.replicas.remove(1);
    stand.members[3].namespace.reset(replica.addr().ip())?;
    poll::until(SOON, "its own ban", || {
        let listed = stand.listed(&replica)?;
        Ok(has(&listed[3], "local").then_some(()))
    })?;
    // Whatever the others were asked, they have looked by then, and the control plane has decided.
    stand.rounds(4).await?;
    let listed = stand.listed(&replica)?;
    for (number, rows) in listed.iter().enumerate() {
        assert!(number == 3 || rows.is_empty(), "proxy {number}: {rows:?}");
        assert!(!has(rows, "fleet"), "proxy {number}: {rows:?}");
    }
    let bans = stand.bans().await?;
    assert_eq!(bans.len(), 1, "{bans:?}");
    assert_eq!((&bans[0]["source"], &bans[0]["proxy"]), (&json!("local"), &json!("proxy-3")));
    stand.read_everywhere(20)?;
    stand.members[3].namespace.heal()?;
    stand.wait_everywhere(&replica, Instant::now(), "no ban", |rows| rows.is_empty())?;
    Ok(())
}

/// Which instances answer reads that come through one proxy.
fn answering(proxy: &Proxy, times: usize) -> Result<BTreeSet<String>> {
    let mut client = login(proxy)?;
    (0..times).map(|_| client.value("SELECT host(inet_server_addr())")).collect()
}

/// Enough that each of two replicas would be among them.
const MANY: usize = 60;

#[tokio::test]
async fn reads_avoid_a_replica_that_the_fleet_has_banned_where_it_is_reached_too() -> Result<()> {
    let mut stand = Stand::start().await?;
    let replica = stand.replicas.remove(0);
    let host = replica.addr().ip().to_string();
    let served = poll::until(SOON, "reads on it", || {
        let hosts = answering(&stand.members[4].proxy, MANY)?;
        Ok(hosts.contains(&host).then_some(hosts))
    })?;
    assert_eq!(served.len(), 2, "both replicas: {served:?}");
    // All but the last proxy are cut off from it, in both zones.
    for member in &stand.members[..4] {
        member.namespace.reset(replica.addr().ip())?;
    }
    let fleet = |rows: &[Row]| has(rows, "fleet");
    stand.wait_everywhere(&replica, Instant::now(), "the fleet's ban", fleet)?;
    let last = &stand.listed(&replica)?[4];
    assert!(!has(last, "local"), "it sees nothing itself: {last:?}");
    for member in &stand.members {
        let hosts = answering(&member.proxy, MANY)?;
        assert!(!hosts.contains(&host), "{hosts:?}");
    }
    // Its own checks, which go well, do not lift what the fleet has said.
    stand.rounds(4).await?;
    assert!(has(&stand.listed(&replica)?[4], "fleet"));
    assert!(!answering(&stand.members[4].proxy, MANY)?.contains(&host));

    for member in &stand.members[..4] {
        member.namespace.heal()?;
    }
    stand.wait_everywhere(&replica, Instant::now(), "no ban", |rows| rows.is_empty())?;
    poll::until(SOON, "reads on it again", || {
        Ok(answering(&stand.members[4].proxy, MANY)?.contains(&host).then_some(()))
    })
}

#[tokio::test]
async fn a_zone_that_alone_sees_a_failure_has_a_ban_of_its_own() -> Result<()> {
    let mut stand = Stand::start().await?;
    let replica = stand.replicas.remove(0);
    let host = replica.addr().ip().to_string();
    let of_zone = |zone| (0..ZONES.len()).filter(move |&number| ZONES[number] == zone);
    for number in of_zone("b") {
        stand.members[number].namespace.reset(replica.addr().ip())?;
    }
    poll::until(SOON, "the ban of the zone", || {
        let listed = stand.listed(&replica)?;
        Ok(of_zone("b").all(|number| has(&listed[number], "fleet")).then_some(()))
    })?;
    // Whatever is to come of it has come by then.
    stand.rounds(4).await?;
    let listed = stand.listed(&replica)?;
    for number in of_zone("a") {
        assert!(listed[number].is_empty(), "proxy {number}: {:?}", listed[number]);
    }
    let bans = stand.bans().await?;
    let of_fleet: Vec<_> = bans.iter().filter(|ban| ban["source"] == "fleet").collect();
    assert_eq!(of_fleet.len(), 1, "{bans:?}");
    assert_eq!((&of_fleet[0]["zone"], &of_fleet[0]["host"]), (&json!("b"), &json!(host)));
    for (member, zone) in stand.members.iter().zip(ZONES) {
        let hosts = answering(&member.proxy, MANY)?;
        assert_eq!(hosts.contains(&host), zone == "a", "zone {zone}: {hosts:?}");
    }
    for number in of_zone("b") {
        stand.members[number].namespace.heal()?;
    }
    stand.wait_everywhere(&replica, Instant::now(), "no ban", |rows| rows.is_empty())?;
    Ok(())
}

#[tokio::test]
async fn a_control_plane_that_stops_changes_nothing_for_the_clients() -> Result<()> {
    let mut stand = Stand::start().await?;
    let mut victim = stand.replicas.remove(0);
    victim.kill9()?;
    let killed = Instant::now();
    stand.wait_everywhere(&victim, killed, "the fleet's ban", |rows| has(rows, "fleet"))?;
    let mut clients: Vec<Client> =
        stand.members.iter().map(|member| login(&member.proxy)).collect::<Result<_>>()?;
    stand.control.kill9()?;
    for client in &mut clients {
        for _ in 0..20 {
            assert_eq!(client.value("SELECT 1")?, "1");
        }
    }
    stand.read_everywhere(5)?;
    for (number, rows) in stand.listed(&victim)?.iter().enumerate() {
        assert!(has(rows, "fleet"), "proxy {number} has forgotten the ban: {rows:?}");
    }
    // When it is back, it knows nothing yet, and lifts nothing either.
    stand.control.restart()?;
    stand.rest = stand.control.rest();
    poll::until_async(SOON, "the evidence to be there again", async || {
        let bans = stand.bans().await?;
        Ok(bans.iter().any(|ban| ban["source"] == "fleet").then_some(()))
    })
    .await?;
    for (number, rows) in stand.listed(&victim)?.iter().enumerate() {
        assert!(has(rows, "fleet"), "proxy {number}: {rows:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_manual_ban_is_obeyed_everywhere_within_a_second_and_survives_restarts() -> Result<()> {
    let mut stand = Stand::start().await?;
    let replica = stand.replicas.remove(0);
    let order = json!({"host": replica.addr().ip().to_string(), "reason": "new disk"});
    let ban = stand.rest.post("/api/v1/bans", &order).await?.success()?.body;
    let since = Instant::now();
    let manual = |rows: &[Row]| has(rows, "manual");
    let took = stand.wait_everywhere(&replica, since, "the manual ban", manual)?;
    assert!(took < EVERYWHERE, "{took:?} after it was ordered");
    stand.read_everywhere(20)?;

    // A proxy alone, the control plane, and its database.
    stand.control.kill9()?;
    let member = stand.members.first_mut().context("there are five")?;
    member.proxy.restart()?;
    member.admin = member.proxy.admin()?;
    stand.wait_everywhere(&replica, Instant::now(), "the ban from the cache", manual)?;
    stand.topology.restart()?;
    stand.control.restart()?;
    stand.rest = stand.control.rest();
    let connected = async || {
        let proxies = stand.rest.get("/api/v1/proxies").await?.success()?.body;
        let proxies = proxies["proxies"].as_array().context("no list")?.clone();
        let all = proxies.iter().all(|proxy| proxy["state"] == "connected");
        Ok((all && proxies.len() == ZONES.len()).then_some(()))
    };
    poll::until_async(SOON, "all proxies to be back", connected).await?;
    stand.rounds(1).await?;
    assert!(stand.listed(&replica)?.iter().all(|rows| manual(rows)));
    assert_eq!(stand.bans().await?[0]["reason"], "new disk");

    let path = format!("/api/v1/bans/{}", ban["id"].as_str().context("no id")?);
    stand.rest.delete(&path, None).await?.success()?;
    let since = Instant::now();
    let took = stand.wait_everywhere(&replica, since, "no ban", |rows| rows.is_empty())?;
    assert!(took < EVERYWHERE, "{took:?} after it was lifted");
    let rows = stand.primary.sql("SELECT count(*) FROM pg_stat_replication")?;
    assert_eq!(rows, [["2"]], "the replicas were well all the while");
    Ok(())
}
