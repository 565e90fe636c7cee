//! Transactions of sqlx: nested, dropped, failed.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use anyhow::Result;
use sqlx::postgres::PgPool;
use sqlx::{Acquire, AssertSqlSafe, Connection};

use crate::fixture::{pool, pool_of, sqlx_code, unique};

async fn table(pool: &PgPool) -> Result<String> {
    let table = unique("transactions");
    let create = format!("CREATE TABLE {table} (n int PRIMARY KEY)");
    sqlx::raw_sql(AssertSqlSafe(create)).execute(pool).await?;
    Ok(table)
}

async fn all(pool: &PgPool, table: &str) -> Result<Vec<i32>> {
    let select = format!("SELECT n FROM {table} ORDER BY n");
    Ok(sqlx::query_scalar(AssertSqlSafe(select)).fetch_all(pool).await?)
}

fn insert(
    table: &str,
    n: i32,
) -> sqlx::query::Query<'_, sqlx::Postgres, sqlx::postgres::PgArguments> {
    sqlx::query(AssertSqlSafe(format!("INSERT INTO {table} VALUES ($1)"))).bind(n)
}

#[tokio::test]
async fn commit_rollback_and_drop() -> Result<()> {
    let pool = pool().await?;
    let table = table(&pool).await?;
    for n in 0..15 {
        let mut transaction = pool.begin().await?;
        insert(&table, n).execute(&mut *transaction).await?;
        match n % 3 {
            0 => transaction.commit().await?,
            1 => transaction.rollback().await?,
            _ => drop(transaction),
        }
    }
    assert_eq!(all(&pool, &table).await?, [0, 3, 6, 9, 12]);
    pool.close().await;
    Ok(())
}

#[tokio::test]
async fn nested() -> Result<()> {
    let pool = pool().await?;
    let table = table(&pool).await?;
    let mut outer = pool.begin().await?;
    insert(&table, 1).execute(&mut *outer).await?;
    {
        let mut inner = outer.begin().await?;
        insert(&table, 2).execute(&mut *inner).await?;
        assert_eq!(sqlx_code(insert(&table, 1).execute(&mut *inner).await), "23505");
        assert_eq!(sqlx_code(insert(&table, 3).execute(&mut *inner).await), "25P02");
        // Dropped: ROLLBACK TO its savepoint.
    }
    {
        let mut inner = outer.begin().await?;
        insert(&table, 4).execute(&mut *inner).await?;
        let mut innermost = inner.begin().await?;
        insert(&table, 5).execute(&mut *innermost).await?;
        innermost.rollback().await?;
        inner.commit().await?;
    }
    outer.commit().await?;
    assert_eq!(all(&pool, &table).await?, [1, 4]);
    pool.close().await;
    Ok(())
}

#[tokio::test]
async fn a_failed_one_is_rolled_back_by_commit() -> Result<()> {
    let pool = pool().await?;
    let table = table(&pool).await?;
    let mut transaction = pool.begin().await?;
    insert(&table, 1).execute(&mut *transaction).await?;
    assert_eq!(sqlx_code(insert(&table, 1).execute(&mut *transaction).await), "23505");
    // Postgres answers ROLLBACK to this COMMIT.
    transaction.commit().await?;
    assert_eq!(all(&pool, &table).await?, [0; 0]);
    pool.close().await;
    Ok(())
}

/// Given up after each number of wake-ups, with everything still under way; one connection, so that
/// the next use is the same one.
#[tokio::test]
async fn given_up_under_way() -> Result<()> {
    let pool = pool_of(1).await?;
    let table = table(&pool).await?;
    for n in 0..200 {
        let committing = Cell::new(false);
        let work = async {
            let mut transaction = pool.begin().await?;
            insert(&table, n).execute(&mut *transaction).await?;
            sqlx::query("SELECT pg_sleep(0.002)").execute(&mut *transaction).await?;
            committing.set(true);
            transaction.commit().await?;
            anyhow::Ok(())
        };
        let done = polls(n, work).await.transpose()?.is_some();
        let there = all(&pool, &table).await?.contains(&n);
        // Once COMMIT is on its way, it may have been done.
        assert!(there == done || committing.get(), "after {n} polls: {there}, done: {done}");
        if done {
            pool.close().await;
            return Ok(());
        }
    }
    anyhow::bail!("never done")
}

/// Polls so many times, then gives up.
async fn polls<F: Future>(count: i32, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = count;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}

#[tokio::test]
async fn with_options() -> Result<()> {
    let pool = pool().await?;
    let mut transaction = pool.begin_with("BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY").await?;
    for (show, value) in
        [("SHOW transaction_isolation", "serializable"), ("SHOW transaction_read_only", "on")]
    {
        let got: String = sqlx::query_scalar(show).fetch_one(&mut *transaction).await?;
        assert_eq!(got, value);
    }
    transaction.rollback().await?;
    let mut connection = pool.acquire().await?;
    let sum = connection
        .transaction(|transaction| {
            Box::pin(async move {
                sqlx::query_scalar::<_, i32>("SELECT 1 + 1").fetch_one(&mut **transaction).await
            })
        })
        .await?;
    assert_eq!(sum, 2);
    let isolation: String =
        sqlx::query_scalar("SHOW transaction_isolation").fetch_one(&mut *connection).await?;
    assert_eq!(isolation, "read committed");
    Ok(())
}
