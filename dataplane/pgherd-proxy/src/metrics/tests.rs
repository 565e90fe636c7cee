//! Scrapes of a proxy without connections.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ahash::AHashMap;
use expect_test::{Expect, expect};
use pgherd_admin::{Console, Control, ReloadError};
use pgherd_config::Topology;
use pgherd_pool::{Directory, WorkerStats};
use pgherd_session::{Limits, Shared};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

#[derive(Debug)]
struct NoControl;

impl Control for NoControl {
    fn reload(&self) -> Result<(), ReloadError> {
        Err(ReloadError::Ending)
    }

    fn shutdown(&self) {}
}

fn shared() -> Arc<Shared> {
    let topology = r#"{"clusters": [{"name": "*", "pool_size": 5,
        "users": [{"name": "say \"hi\"", "password": "a"}],
        "shards": [{"instances": [{"host": "10.0.0.1", "port": 5432, "role": "primary"}]}]}]}"#;
    let directory = Directory::new(2, [0; 32]);
    directory.load(&Topology::from_json(topology.as_bytes()).unwrap()).unwrap();
    let limits =
        Limits { login_timeout: Duration::from_secs(1), max_clients: 0, max_user_clients: 0 };
    let console = Arc::new(Console::new(Arc::new(NoControl)));
    Arc::new(Shared::new(directory, limits, AHashMap::new(), console))
}

/// Serves, asks each question over a connection of its own, and ends.
async fn ask(shared: &Arc<Shared>, loaded: bool, path: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = async {
        let _ = stopped.await;
    };
    let server = super::serve(listener, Arc::clone(shared), move || loaded, shutdown);
    let client = async {
        let mut socket = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        socket.read_to_string(&mut response).await.unwrap();
        stop.send(()).unwrap();
        response
    };
    let (served, response) = tokio::join!(server, client);
    served.unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    let content_type = head
        .lines()
        .find_map(|line| line.strip_prefix("content-type: "))
        .unwrap_or("no content type");
    format!("{}\n{content_type}\n\n{body}", head.lines().next().unwrap())
}

#[track_caller]
fn check(shared: &Arc<Shared>, loaded: bool, path: &str, expected: Expect) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    expected.assert_eq(&runtime.block_on(ask(shared, loaded, path)));
}

#[test]
fn a_scrape_sums_what_has_the_same_labels() {
    let shared = shared();
    shared.accepted.store(3, Ordering::Relaxed);
    shared.failed_logins.store(1, Ordering::Relaxed);
    shared.cancels_sent.store(2, Ordering::Relaxed);
    for database in ["a", "b"] {
        let pool = shared.directory.pool(database, "say \"hi\"").unwrap();
        let stats = pool.worker_stats(1);
        WorkerStats::add(&stats.transactions, 10);
        WorkerStats::add(&stats.bytes_sent, 100);
        WorkerStats::add(&stats.wait_micros, 1_250_000);
    }
    check(
        &shared,
        true,
        "/metrics",
        expect![[r#"
            HTTP/1.1 200 OK
            application/openmetrics-text; version=1.0.0; charset=utf-8

            # HELP pgherd_build The release that runs.
            # TYPE pgherd_build info
            pgherd_build_info{version="0.1.0"} 1
            # HELP pgherd_clients Clients that are logged in.
            # TYPE pgherd_clients gauge
            pgherd_clients 0
            # HELP pgherd_accepted Client connections that were accepted.
            # TYPE pgherd_accepted counter
            pgherd_accepted_total 3
            # HELP pgherd_moved_clients Times that a client moved to a worker that had more time for it.
            # TYPE pgherd_moved_clients counter
            pgherd_moved_clients_total 0
            # HELP pgherd_failed_logins Logins that failed.
            # TYPE pgherd_failed_logins counter
            pgherd_failed_logins_total 1
            # HELP pgherd_cancels Cancel requests: sent on to a server or another proxy, or ignored since their key fits nobody who runs anything.
            # TYPE pgherd_cancels counter
            pgherd_cancels_total{outcome="sent"} 2
            pgherd_cancels_total{outcome="ignored"} 0
            # HELP pgherd_pool_transactions Transactions that ended.
            # TYPE pgherd_pool_transactions counter
            pgherd_pool_transactions_total{cluster="*",user="say \"hi\"",shard="0",instance="10.0.0.1:5432"} 20
            # HELP pgherd_pool_queries Statements that ended.
            # TYPE pgherd_pool_queries counter
            pgherd_pool_queries_total{cluster="*",user="say \"hi\"",shard="0",instance="10.0.0.1:5432"} 0
            # HELP pgherd_pool_received_bytes Bytes that came from clients.
            # TYPE pgherd_pool_received_bytes counter
            # UNIT pgherd_pool_received_bytes bytes
            pgherd_pool_received_bytes_total{cluster="*",user="say \"hi\"",shard="0",instance="10.0.0.1:5432"} 0
            # HELP pgherd_pool_sent_bytes Bytes that went to clients.
            # TYPE pgherd_pool_sent_bytes counter
            # UNIT pgherd_pool_sent_bytes bytes
            pgherd_pool_sent_bytes_total{cluster="*",user="say \"hi\"",shard="0",instance="10.0.0.1:5432"} 200
            # HELP pgherd_pool_wait_seconds Time that clients waited for a server connection.
            # TYPE pgherd_pool_wait_seconds counter
            # UNIT pgherd_pool_wait_seconds seconds
            pgherd_pool_wait_seconds_total{cluster="*",user="say \"hi\"",shard="0",instance="10.0.0.1:5432"} 2.5
            # HELP pgherd_pool_busy_seconds Time that server connections were lent out.
            # TYPE pgherd_pool_busy_seconds counter
            # UNIT pgherd_pool_busy_seconds seconds
            pgherd_pool_busy_seconds_total{cluster="*",user="say \"hi\"",shard="0",instance="10.0.0.1:5432"} 0.0
            # HELP pgherd_pool_transaction_time_seconds Time that transactions took.
            # TYPE pgherd_pool_transaction_time_seconds counter
            # UNIT pgherd_pool_transaction_time_seconds seconds
            pgherd_pool_transaction_time_seconds_total{cluster="*",user="say \"hi\"",shard="0",instance="10.0.0.1:5432"} 0.0
            # HELP pgherd_pool_query_time_seconds Time that statements took.
            # TYPE pgherd_pool_query_time_seconds counter
            # UNIT pgherd_pool_query_time_seconds seconds
            pgherd_pool_query_time_seconds_total{cluster="*",user="say \"hi\"",shard="0",instance="10.0.0.1:5432"} 0.0
            # HELP pgherd_pool_errors Errors that servers sent.
            # TYPE pgherd_pool_errors counter
            pgherd_pool_errors_total{cluster="*",user="say \"hi\"",shard="0",instance="10.0.0.1:5432"} 0
            # HELP pgherd_pool_pins Times that a server connection stayed with its client because of state that cannot be carried over.
            # TYPE pgherd_pool_pins counter
            pgherd_pool_pins_total{cluster="*",user="say \"hi\"",shard="0",instance="10.0.0.1:5432"} 0
            # HELP pgherd_pool_server_connections Server connections by what they do.
            # TYPE pgherd_pool_server_connections gauge
            pgherd_pool_server_connections{cluster="*",user="say \"hi\"",shard="0",instance="10.0.0.1:5432",state="active"} 0
            pgherd_pool_server_connections{cluster="*",user="say \"hi\"",shard="0",instance="10.0.0.1:5432",state="idle"} 0
            pgherd_pool_server_connections{cluster="*",user="say \"hi\"",shard="0",instance="10.0.0.1:5432",state="connecting"} 0
            # HELP pgherd_pool_server_connections_limit Most server connections that there may be.
            # TYPE pgherd_pool_server_connections_limit gauge
            pgherd_pool_server_connections_limit{cluster="*",user="say \"hi\"",shard="0",instance="10.0.0.1:5432"} 10
            # HELP pgherd_pool_waiting_clients Clients that wait for a server connection.
            # TYPE pgherd_pool_waiting_clients gauge
            pgherd_pool_waiting_clients{cluster="*",user="say \"hi\"",shard="0",instance="10.0.0.1:5432"} 0
            # HELP pgherd_pool_longest_wait_seconds Time that the first of the waiting clients has waited.
            # TYPE pgherd_pool_longest_wait_seconds gauge
            # UNIT pgherd_pool_longest_wait_seconds seconds
            pgherd_pool_longest_wait_seconds{cluster="*",user="say \"hi\"",shard="0",instance="10.0.0.1:5432"} 0.0
            # HELP pgherd_instance_up Whether this proxy sees nothing that speaks against the instance (1) or does (0).
            # TYPE pgherd_instance_up gauge
            pgherd_instance_up{cluster="*",shard="0",instance="10.0.0.1:5432"} 1
            # HELP pgherd_instance_role What the instance is: 1 for its present role.
            # TYPE pgherd_instance_role gauge
            pgherd_instance_role{cluster="*",shard="0",instance="10.0.0.1:5432",role="primary"} 1
            # HELP pgherd_instance_open Whether reads are sent to the instance.
            # TYPE pgherd_instance_open gauge
            pgherd_instance_open{cluster="*",shard="0",instance="10.0.0.1:5432"} 1
            # HELP pgherd_instance_banned Whether the instance is banned, by whomever, and no read is sent to it for that reason.
            # TYPE pgherd_instance_banned gauge
            pgherd_instance_banned{cluster="*",shard="0",instance="10.0.0.1:5432"} 0
            # HELP pgherd_instance_bans Times that this proxy banned the instance for what it saw.
            # TYPE pgherd_instance_bans counter
            # HELP pgherd_instance_replication_lag_seconds How far the replica is behind the primary.
            # TYPE pgherd_instance_replication_lag_seconds gauge
            # UNIT pgherd_instance_replication_lag_seconds seconds
            # HELP pgherd_instance_replication_lag_bytes How much of the log the replica has not replayed yet.
            # TYPE pgherd_instance_replication_lag_bytes gauge
            # UNIT pgherd_instance_replication_lag_bytes bytes
            # HELP pgherd_instance_busy Server connections that clients have, and clients that wait for one.
            # TYPE pgherd_instance_busy gauge
            pgherd_instance_busy{cluster="*",shard="0",instance="10.0.0.1:5432"} 0
            # HELP pgherd_instance_check_seconds Time that the last health check took; none while it fails.
            # TYPE pgherd_instance_check_seconds gauge
            # UNIT pgherd_instance_check_seconds seconds
            # HELP pgherd_instance_timeline The timeline of the instance; a promotion counts it up.
            # TYPE pgherd_instance_timeline gauge
            # HELP pgherd_replication_connections Replication connections that are open.
            # TYPE pgherd_replication_connections gauge
            # HELP pgherd_replication_opened Replication connections that were opened.
            # TYPE pgherd_replication_opened counter
            # HELP pgherd_replication_received_bytes Bytes that came from replication clients.
            # TYPE pgherd_replication_received_bytes counter
            # UNIT pgherd_replication_received_bytes bytes
            # HELP pgherd_replication_sent_bytes Bytes that came for replication clients.
            # TYPE pgherd_replication_sent_bytes counter
            # UNIT pgherd_replication_sent_bytes bytes
            # EOF
        "#]],
    );
}

#[test]
fn readiness_says_why_not() {
    let shared = shared();
    check(
        &shared,
        false,
        "/readyz",
        expect![[r#"
        HTTP/1.1 503 Service Unavailable
        text/plain; charset=utf-8

        no topology is loaded yet
    "#]],
    );
    check(
        &shared,
        true,
        "/readyz",
        expect![[r#"
        HTTP/1.1 200 OK
        text/plain; charset=utf-8

        ready
    "#]],
    );
    shared.drain();
    check(
        &shared,
        true,
        "/readyz",
        expect![[r#"
        HTTP/1.1 503 Service Unavailable
        text/plain; charset=utf-8

        shutting down
    "#]],
    );
}

#[test]
fn a_proxy_that_is_not_ready_is_alive_all_the_same() {
    let shared = shared();
    shared.drain();
    check(
        &shared,
        false,
        "/healthz",
        expect![[r#"
        HTTP/1.1 200 OK
        text/plain; charset=utf-8

        alive
    "#]],
    );
}
