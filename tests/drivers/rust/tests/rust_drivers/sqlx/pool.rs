//! sqlx's pool over pgherd's: what it does when it hands out and takes back.

use std::time::Duration;

use anyhow::Result;
use futures_util::future::try_join_all;
use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection, Executor};

use crate::fixture::{PATIENCE, options, pool_of};

#[tokio::test]
async fn many_tasks_share_a_few_connections() -> Result<()> {
    let pool = pool_of(4).await?;
    let tasks = (0..40_i32).map(async |task| {
        for n in 0..10 {
            let sum: i32 =
                sqlx::query_scalar("SELECT $1 + $2").bind(task).bind(n).fetch_one(&pool).await?;
            assert_eq!(sum, task + n);
        }
        anyhow::Ok(())
    });
    try_join_all(tasks).await?;
    assert!(pool.size() <= 4);
    pool.close().await;
    Ok(())
}

#[tokio::test]
async fn hooks() -> Result<()> {
    let pool = PgPoolOptions::new()
        .max_connections(2)
        .acquire_timeout(PATIENCE)
        .test_before_acquire(true)
        .after_connect(|connection, _| {
            Box::pin(async move {
                connection.execute("SET application_name = 'hooked'; SET work_mem = '7MB'").await?;
                Ok(())
            })
        })
        .after_release(|connection, _| {
            Box::pin(async move {
                connection.execute("RESET lock_timeout").await?;
                Ok(true)
            })
        })
        .connect_with(options())
        .await?;
    for _ in 0..10 {
        let mut connection = pool.acquire().await?;
        let show = "SELECT concat_ws(' ', current_setting('application_name'), \
                    current_setting('work_mem'), current_setting('lock_timeout'))";
        let got: String = sqlx::query_scalar(show).fetch_one(&mut *connection).await?;
        assert_eq!(got, "hooked 7MB 0");
        connection.execute("SET lock_timeout = '3s'").await?;
    }
    pool.close().await;
    Ok(())
}

/// A connection that the server has ended is thrown away, and the next one is good.
#[tokio::test]
async fn a_dead_connection_is_replaced() -> Result<()> {
    let pool = pool_of(1).await?;
    let mut transaction = pool.begin().await?;
    let pid: i32 =
        sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut *transaction).await?;
    let mut other = sqlx::ConnectOptions::connect(&options()).await?;
    sqlx::query("SELECT pg_terminate_backend($1)").bind(pid).execute(&mut other).await?;
    let failed = sqlx::query("SELECT pg_sleep(1)").execute(&mut *transaction).await;
    assert!(failed.is_err(), "the backend is gone");
    drop(transaction);
    let one: i32 = sqlx::query_scalar("SELECT 1").fetch_one(&pool).await?;
    assert_eq!(one, 1);
    other.close().await?;
    Ok(())
}

#[tokio::test]
async fn connections_end_and_begin() -> Result<()> {
    for _ in 0..2 {
        let pool = PgPoolOptions::new()
            .min_connections(2)
            .max_connections(5)
            .max_lifetime(Duration::from_millis(50))
            .idle_timeout(Duration::from_millis(20))
            .connect_with(options())
            .await?;
        for n in 0..30_i32 {
            let got: i32 = sqlx::query_scalar("SELECT $1").bind(n).fetch_one(&pool).await?;
            assert_eq!(got, n);
        }
        pool.close().await;
        assert!(pool.acquire().await.is_err(), "closed");
    }
    Ok(())
}
