//! Limits of clients and of server connections hold exactly, in every scope.

use std::time::{Duration, Instant};

use anyhow::Result;
use pgherd_harness::poll;
use pgherd_harness::proxy::ProxyConfig;
use pgherd_harness::raw::frontend::query;
use pgherd_harness::raw::{Client, Login, Message};

use super::stand::{OTHER, SOON, Stand, Watch, other_login};

/// The error with which a login ends.
fn refusal(stand: &Stand, login: &Login) -> Result<Message> {
    let messages = Client::connect(stand.proxy.addr())?.try_login(login)?;
    let error = messages.iter().find(|message| message.tag == b'E').cloned();
    error.ok_or_else(|| anyhow::anyhow!("no error: {messages:?}"))
}

/// One client of the first user fits; the next one is refused with these words, and fits once the
/// first has left.
#[track_caller]
fn check_clients(
    change: impl FnOnce(ProxyConfig) -> ProxyConfig,
    second: &Login,
    message: &str,
    bystander: Option<&Login>,
) {
    let run = || -> Result<()> {
        let stand = Stand::start(change)?;
        let mut first = stand.client()?;
        first.rows("SELECT 1")?;
        for _ in 0..3 {
            let error = refusal(&stand, second)?;
            assert_eq!(error.field(b'M').as_deref(), Some(message));
            assert_eq!(error.sqlstate().as_deref(), Some("53300"));
            assert_eq!(error.field(b'S').as_deref(), Some("FATAL"));
        }
        if let Some(bystander) = bystander {
            Client::login_as(stand.proxy.addr(), bystander)?.rows("SELECT 1")?;
        }
        first.rows("SELECT 1")?;
        drop(first);
        poll::until(SOON, "the place of the first client to be free", || {
            Ok(Client::login_as(stand.proxy.addr(), second).ok().map(drop))
        })
    };
    run().unwrap_or_else(|error| panic!("{error:#}"));
}

#[test]
fn clients_of_a_process_are_limited() {
    let change = |config: ProxyConfig| config.proxy_setting("max_clients", "1");
    check_clients(change, &other_login(), "sorry, too many clients already", None);
}

#[test]
fn clients_of_a_cluster_are_limited() {
    let change = |config: ProxyConfig| config.cluster_setting("max_clients", "1");
    check_clients(change, &other_login(), "too many connections for database \"app\"", None);
}

#[test]
fn clients_of_a_user_of_a_cluster_are_limited() {
    let change = |config: ProxyConfig| config.user_setting("app", "max_clients", "1");
    let message = "too many connections for role \"app\"";
    check_clients(change, &Login::default(), message, Some(&other_login()));
}

#[test]
fn clients_of_a_user_are_limited_over_all_clusters() {
    let change = |config: ProxyConfig| config.proxy_setting("max_user_clients", "1");
    let message = "too many connections for role \"app\"";
    let elsewhere = Login::default().database("postgres");
    check_clients(change, &elsewhere, message, Some(&other_login()));
}

#[test]
fn a_hundred_logins_at_once_do_not_exceed_the_limit() -> Result<()> {
    let stand = Stand::start(|config| config.proxy_setting("max_clients", "7"))?;
    let attempts: Vec<_> = (0..100)
        .map(|_| {
            let addr = stand.proxy.addr();
            std::thread::spawn(move || Client::login(addr).ok())
        })
        .collect();
    let clients: Vec<Client> =
        attempts.into_iter().filter_map(|attempt| attempt.join().expect("it ends")).collect();
    assert_eq!(clients.len(), 7);
    Ok(())
}

/// With one server connection for both users: it goes where it is wanted, and Postgres never sees
/// two.
#[track_caller]
fn check_servers(change: impl FnOnce(ProxyConfig) -> ProxyConfig) {
    let run = || -> Result<()> {
        let stand = Stand::start(change)?;
        let watch = Watch::start(&stand.postgres)?;
        let mut first = stand.client()?;
        let mut second = stand.other()?;
        for number in 0..20 {
            first.rows(&format!("SELECT {number}"))?;
            second.rows(&format!("SELECT {number}"))?;
        }
        // While one is busy the other waits.
        first.rows("BEGIN")?;
        second.send(&query("SELECT 'after all'"))?;
        stand.wait_pool(OTHER, &[("cl_waiting", "1")])?;
        assert!(second.drain(Duration::from_millis(200))?.is_empty());
        first.rows("COMMIT")?;
        let answer = second.until_ready(1)?;
        assert!(answer.iter().any(|message| message.tag == b'D'), "{answer:?}");
        assert_eq!(watch.most()?, 1);
        assert_eq!(stand.connections()?, 1);
        Ok(())
    };
    run().unwrap_or_else(|error| panic!("{error:#}"));
}

#[test]
fn server_connections_of_a_cluster_are_limited() {
    check_servers(|config| config.cluster_setting("max_server_connections", "1"));
}

#[test]
fn server_connections_of_an_instance_are_limited() {
    check_servers(|config| config.instance_setting("max_server_connections", "1"));
}

/// Two databases of one user, of which the limit is.
#[track_caller]
fn check_servers_of_user(change: impl FnOnce(ProxyConfig) -> ProxyConfig) {
    let run = || -> Result<()> {
        let stand = Stand::start(change)?;
        let watch = Watch::start(&stand.postgres)?;
        let mut first = stand.client()?;
        let mut second =
            Client::login_as(stand.proxy.addr(), &Login::default().database("postgres"))?;
        for _ in 0..10 {
            first.rows("SELECT 1")?;
            second.rows("SELECT 1")?;
        }
        assert_eq!(watch.most()?, 1);
        first.rows("BEGIN")?;
        // Another user is not affected.
        stand.other()?.rows("SELECT 1")?;
        first.rows("COMMIT")?;
        Ok(())
    };
    run().unwrap_or_else(|error| panic!("{error:#}"));
}

#[test]
fn server_connections_of_a_user_are_limited_over_all_clusters() {
    check_servers_of_user(|config| config.proxy_setting("max_user_server_connections", "1"));
}

#[test]
fn server_connections_of_a_user_of_a_cluster_are_limited() {
    check_servers_of_user(|config| config.user_setting("app", "max_server_connections", "1"));
}

#[test]
fn a_pool_that_is_never_idle_gives_way_to_one_that_has_none() -> Result<()> {
    let stand = Stand::start(|config| config.cluster_setting("max_server_connections", "2"))?;
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| -> Result<()> {
        let busy: Vec<_> = (0..6)
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    let mut client = stand.client()?;
                    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                        client.rows("SELECT pg_sleep(0.002)")?;
                    }
                    Ok(())
                })
            })
            .collect();
        let watch = Watch::start(&stand.postgres)?;
        let result = (|| {
            let mut late = stand.other()?;
            let begun = Instant::now();
            late.rows("SELECT 1")?;
            Ok(begun.elapsed())
        })();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        for thread in busy {
            thread.join().expect("it ends")?;
        }
        let waited: Duration = result.map_err(|error: anyhow::Error| error)?;
        assert!(waited < Duration::from_secs(3), "{waited:?}");
        assert_eq!(watch.most()?, 2);
        Ok(())
    })
}

#[test]
fn a_limit_can_be_changed_while_clients_wait() -> Result<()> {
    let mut stand = Stand::start(|config| config.instance_setting("max_server_connections", "1"))?;
    let mut first = stand.client()?;
    let mut second = stand.other()?;
    first.rows("BEGIN")?;
    second.send(&query("SELECT 'room at last'"))?;
    stand.wait_pool(OTHER, &[("cl_waiting", "1")])?;
    let config = stand.config.to_toml();
    stand
        .proxy
        .reload(&config.replace("max_server_connections = 1", "max_server_connections = 2"))?;
    let answer = second.until_ready(1)?;
    assert!(answer.iter().any(|message| message.tag == b'D'), "{answer:?}");
    first.rows("COMMIT")?;
    Ok(())
}
