//! Rows read one by one, and streams that are dropped half way.

use std::time::Duration;

use anyhow::Result;
use futures_util::TryStreamExt;
use sqlx::{ConnectOptions, Connection, Row};
use tokio::time::timeout;

use crate::fixture::{PATIENCE, options, pool_of, sqlx_code};

const MANY: &str = "SELECT g FROM generate_series(1, $1) g";

/// The next statement reads the rest away.
#[tokio::test]
async fn dropped_half_way() -> Result<()> {
    let mut connection = options().connect().await?;
    for taken in [0, 1, 2, 100, 5000] {
        {
            let mut rows = sqlx::query(MANY).bind(50_000).fetch(&mut connection);
            for n in 1..=taken {
                let row = rows.try_next().await?.map(|row| row.get::<i32, _>(0));
                assert_eq!(row, Some(n));
            }
        }
        let one: i32 =
            sqlx::query_scalar("SELECT $1").bind(taken).fetch_one(&mut connection).await?;
        assert_eq!(one, taken);
    }
    Ok(connection.close().await?)
}

#[tokio::test]
async fn dropped_in_a_pool() -> Result<()> {
    let pool = pool_of(2).await?;
    for round in 0..20_i32 {
        let mut rows = sqlx::query(MANY).bind(20_000).fetch(&pool);
        assert_eq!(rows.try_next().await?.map(|row| row.get::<i32, _>(0)), Some(1));
        drop(rows);
        let said: i32 = sqlx::query_scalar("SELECT $1").bind(round).fetch_one(&pool).await?;
        assert_eq!(said, round);
    }
    pool.close().await;
    Ok(())
}

#[tokio::test]
async fn one_row_of_many() -> Result<()> {
    let mut connection = options().connect().await?;
    for _ in 0..20 {
        // Both stop reading after the first row.
        let first: i32 = sqlx::query_scalar(MANY).bind(10_000).fetch_one(&mut connection).await?;
        assert_eq!(first, 1);
        let none = sqlx::query(MANY).bind(0).fetch_optional(&mut connection).await?;
        assert!(none.is_none());
    }
    Ok(connection.close().await?)
}

#[tokio::test]
async fn an_error_after_rows() -> Result<()> {
    let mut connection = options().connect().await?;
    let sql = "SELECT 1 / (g - $1) FROM generate_series(1, 5000) g";
    for fails in [1, 2, 4999] {
        let mut rows = sqlx::query(sql).bind(fails).fetch(&mut connection);
        let mut read = 0;
        let end = loop {
            match rows.try_next().await {
                Ok(Some(_)) => read += 1,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        assert_eq!((read, &*sqlx_code(end)), (fails - 1, "22012"));
        drop(rows);
        connection.ping().await?;
    }
    Ok(connection.close().await?)
}

/// A future dropped while the server works: the connection waits for the reply before its next use.
#[tokio::test]
async fn a_query_given_up() -> Result<()> {
    let mut connection = options().connect().await?;
    for n in 0..3_i32 {
        let slow = sqlx::query("SELECT pg_sleep(2), $1").bind(n).fetch_one(&mut connection);
        assert!(timeout(Duration::from_millis(20), slow).await.is_err());
        let next = sqlx::query_scalar::<_, i32>("SELECT $1").bind(n).fetch_one(&mut connection);
        assert_eq!(timeout(PATIENCE, next).await??, n);
    }
    Ok(connection.close().await?)
}
