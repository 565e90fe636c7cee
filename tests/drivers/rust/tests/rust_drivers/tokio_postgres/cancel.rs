//! Cancelling, and limits of time.

use std::env;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures_util::join;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, NoTls};

use crate::fixture::{PATIENCE, code, config, connect, connect_with, show, unique, usable};

/// Waits until the statement with this mark runs.
async fn running(mark: &str) -> Result<()> {
    let observer = connect().await?;
    let sql = format!(
        "SELECT count(*) FROM pg_stat_activity \
         WHERE wait_event = 'PgSleep' AND query LIKE '%{mark}%' AND pid <> pg_backend_pid()"
    );
    let start = Instant::now();
    while show(&observer, &sql).await? == "0" {
        anyhow::ensure!(start.elapsed() < PATIENCE, "{mark} does not run");
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// Cancels what runs, and waits until nothing of the cancel is on its way any more. The driver does
/// not wait, and up to 16 Postgres sends its signal twice (to the process, then to its group): the
/// second one, or all of it, may meet what the client sends next.
async fn cancel(client: &Client) -> Result<()> {
    let host = env::var("PGHOST").context("PGHOST, see run.sh")?;
    let port = env::var("PGPORT").context("PGPORT, see run.sh")?.parse()?;
    let mut stream = TcpStream::connect((host.as_str(), port)).await?;
    client.cancel_token().cancel_query_raw(&mut stream, NoTls).await?;
    let mut rest = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut rest)).await.context("the cancel does not end")??;
    anyhow::ensure!(rest.is_empty(), "an answer to a cancel: {rest:?}");
    Ok(())
}

async fn cancelled(client: &Client) -> Result<String> {
    let mark = unique("mark");
    let sql = format!("SELECT pg_sleep(30) /* {mark} */");
    let started = Instant::now();
    let (result, sent) = join!(client.query(&sql, &[]), async {
        running(&mark).await?;
        cancel(client).await
    });
    sent?;
    assert!(started.elapsed() < PATIENCE, "cancelled in time");
    Ok(code(result))
}

#[tokio::test]
async fn a_running_query_is_cancelled() -> Result<()> {
    let client = connect().await?;
    for _ in 0..3 {
        assert_eq!(cancelled(&client).await?, "57014");
        usable(&client).await?;
    }
    Ok(())
}

#[tokio::test]
async fn in_a_transaction() -> Result<()> {
    let mut client = connect().await?;
    let mut transaction = client.transaction().await?;
    {
        let nested = transaction.transaction().await?;
        assert_eq!(cancelled(nested.client()).await?, "57014");
        nested.rollback().await?;
    }
    assert_eq!(show(transaction.client(), "SELECT 'alive'").await?, "alive");
    transaction.commit().await?;
    usable(&client).await
}

/// A late cancel must hit nobody: neither this client's next query nor a neighbour's.
#[tokio::test]
async fn nothing_runs() -> Result<()> {
    let (client, other) = (connect().await?, connect().await?);
    for _ in 0..20 {
        usable(&client).await?;
        cancel(&client).await?;
        usable(&other).await?;
        usable(&client).await?;
    }
    Ok(())
}

/// What programs do: they give up a query that takes too long, then they use the token.
#[tokio::test]
async fn a_query_given_up() -> Result<()> {
    let client = connect().await?;
    for _ in 0..3 {
        let mark = unique("mark");
        let sql = format!("SELECT pg_sleep(30) /* {mark} */");
        tokio::select! {
            result = client.query(&sql, &[]) => anyhow::bail!("it ended: {result:?}"),
            is_running = running(&mark) => is_running?,
        }
        cancel(&client).await?;
        timeout(PATIENCE, usable(&client)).await.context("the query still runs")??;
    }
    Ok(())
}

/// The cancelled statement fails alone: not those before it in the pipeline, nor those that follow
/// when the cancel is over.
#[tokio::test]
async fn in_a_pipeline() -> Result<()> {
    let client = connect().await?;
    let mark = unique("mark");
    let sql = format!("SELECT pg_sleep(30) /* {mark} */");
    let (before, slow, after) =
        join!(client.query_one("SELECT 'before'", &[]), client.simple_query(&sql), async {
            running(&mark).await?;
            cancel(&client).await?;
            let (next, last) =
                join!(client.query_one("SELECT 'next'", &[]), client.simple_query("SELECT 'last'"));
            last?;
            anyhow::Ok(next?.get::<_, String>(0))
        },);
    assert_eq!(before?.get::<_, &str>(0), "before");
    assert_eq!(code(slow), "57014");
    assert_eq!(after?, "next");
    usable(&client).await
}

#[tokio::test]
async fn statement_timeout() -> Result<()> {
    let client = connect().await?;
    client.batch_execute("SET statement_timeout = '300ms'").await?;
    for _ in 0..3 {
        assert_eq!(code(client.query("SELECT pg_sleep(30)", &[]).await), "57014");
        usable(&client).await?;
    }
    client.batch_execute("RESET statement_timeout").await?;
    client.query("SELECT pg_sleep(0.4)", &[]).await?;

    let mut config = config()?;
    config.options("-c statement_timeout=300ms").application_name("given at login");
    let (client, _) = connect_with(&config).await?;
    assert_eq!(show(&client, "SHOW application_name").await?, "given at login");
    assert_eq!(code(client.simple_query("SELECT pg_sleep(30)").await), "57014");
    usable(&client).await
}

#[tokio::test]
async fn lock_timeout() -> Result<()> {
    let (mut holder, mut waiter) = (connect().await?, connect().await?);
    let table = unique("locked");
    holder.batch_execute(&format!("CREATE TABLE {table} (n int)")).await?;
    let holding = holder.transaction().await?;
    holding.batch_execute(&format!("LOCK TABLE {table}")).await?;
    let waiting = waiter.transaction().await?;
    waiting.batch_execute("SET LOCAL lock_timeout = '50ms'").await?;
    assert_eq!(code(waiting.query(&format!("SELECT * FROM {table}"), &[]).await), "55P03");
    waiting.rollback().await?;
    holding.commit().await?;
    assert_eq!(show(&waiter, "SHOW lock_timeout").await?, "0");
    assert_eq!(waiter.query(&format!("SELECT * FROM {table}"), &[]).await?.len(), 0);
    Ok(())
}

/// The server ends the connection; the client hears why, and a new one works.
#[tokio::test]
async fn idle_in_a_transaction() -> Result<()> {
    let client = connect().await?;
    client.batch_execute("BEGIN; SET LOCAL idle_in_transaction_session_timeout = '50ms'").await?;
    let start = Instant::now();
    while !client.is_closed() && start.elapsed() < PATIENCE {
        sleep(Duration::from_millis(10)).await;
    }
    assert!(client.is_closed(), "the connection has ended");
    assert!(client.query("SELECT 1", &[]).await.is_err());
    usable(&connect().await?).await
}
