//! What the suites share: connections from the environment, names of a test's own, and neighbours
//! that make server connections change hands.

use std::env;
use std::process;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::StreamExt;
use futures_util::stream::poll_fn;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use tokio::runtime;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_postgres::{AsyncMessage, Client, Config, NoTls, Row};

/// What takes longer than this hangs.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Clients that run statements all the time beside the tests.
const NEIGHBOURS: u32 = 2;

/// The connection that the environment names, for tokio-postgres.
pub fn config() -> Result<Config> {
    let get = |name: &str| env::var(name).with_context(|| format!("{name}, see run.sh"));
    let mut config = Config::new();
    config
        .host(get("PGHOST")?)
        .port(get("PGPORT")?.parse()?)
        .user(get("PGUSER")?)
        .password(get("PGPASSWORD")?)
        .dbname(get("PGDATABASE")?);
    Ok(config)
}

/// A client of tokio-postgres.
pub async fn connect() -> Result<Client> {
    Ok(connect_with(&config()?).await?.0)
}

/// A client of this configuration, and what the server says unasked.
pub async fn connect_with(
    config: &Config,
) -> Result<(Client, mpsc::UnboundedReceiver<AsyncMessage>)> {
    start_neighbours();
    let (client, mut connection) = timeout(PATIENCE, config.connect(NoTls)).await??;
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut messages = poll_fn(move |context| connection.poll_message(context));
        while let Some(Ok(message)) = messages.next().await {
            // Most tests do not listen.
            let _ = sender.send(message);
        }
    });
    Ok((client, receiver))
}

/// The same for sqlx, which reads these variables itself.
pub fn options() -> PgConnectOptions {
    start_neighbours();
    PgConnectOptions::new_without_pgpass()
}

/// A pool of a few connections.
pub async fn pool() -> Result<PgPool> {
    pool_of(3).await
}

/// A pool of so many connections.
pub async fn pool_of(connections: u32) -> Result<PgPool> {
    let pool = PgPoolOptions::new().max_connections(connections).acquire_timeout(PATIENCE);
    Ok(pool.connect_with(options()).await?)
}

/// A name for the test's own table, type or channel.
pub fn unique(stem: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{stem}_{}_{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// The first column of each row.
pub fn column<T>(rows: &[Row]) -> Vec<T>
where
    T: for<'a> tokio_postgres::types::FromSql<'a>,
{
    rows.iter().map(|row| row.get(0)).collect()
}

/// The only column of the only row that a simple query gives.
pub async fn show(client: &Client, sql: &str) -> Result<String> {
    let messages = client.simple_query(sql).await?;
    let mut rows = messages.iter().filter_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    rows.next().with_context(|| format!("no row from {sql}"))
}

/// The client still works, and what it gets is its own.
#[track_caller]
pub fn usable(client: &Client) -> impl Future<Output = Result<()>> {
    let caller = std::panic::Location::caller();
    async move {
        let number: u32 = rand::random();
        let row = async { client.query_one("SELECT $1::oid", &[&number]).await };
        let row = timeout(PATIENCE, row).await?.with_context(|| format!("for {caller}"))?;
        ensure!(row.get::<_, u32>(0) == number, "another's reply, for {caller}");
        Ok(())
    }
}

/// The SQLSTATE of an error, for comparing.
pub fn code<T>(result: std::result::Result<T, tokio_postgres::Error>) -> String {
    match result {
        Ok(_) => "no error".to_owned(),
        Err(error) => match error.code() {
            Some(code) => code.code().to_owned(),
            None => format!("{error:?}"),
        },
    }
}

/// The same for sqlx.
pub fn sqlx_code<T>(result: std::result::Result<T, sqlx::Error>) -> String {
    match result {
        Ok(_) => "no error".to_owned(),
        Err(error) => match error.as_database_error().and_then(sqlx::error::DatabaseError::code) {
            Some(code) => code.into_owned(),
            None => format!("{error:?}"),
        },
    }
}

/// Under transaction pooling the server connections thus change hands between any two transactions
/// of a test, as they do under real load. A wrong reply to a neighbour ends the whole run.
fn start_neighbours() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        for number in 0..NEIGHBOURS {
            thread::spawn(move || {
                let runtime = runtime::Builder::new_current_thread().enable_all().build();
                let failure = runtime.map(|runtime| runtime.block_on(neighbour(number)));
                eprintln!("neighbour {number} failed: {failure:?}");
                process::exit(101);
            });
        }
    });
}

async fn neighbour(number: u32) -> Result<()> {
    let (client, connection) = config()?.connect(NoTls).await?;
    tokio::spawn(connection);
    let statement = client.prepare("SELECT $1::text").await?;
    for count in 0_u64.. {
        let text = format!("neighbour {number} says {count}");
        let got: String = client.query_one(&statement, &[&text]).await?.get(0);
        ensure!(got == text, "{got:?} instead of {text:?}");
        sleep(Duration::from_millis(4)).await;
    }
    Ok(())
}
