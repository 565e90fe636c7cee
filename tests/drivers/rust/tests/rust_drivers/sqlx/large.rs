//! Values of 50 MB and many rows.

use anyhow::Result;
use futures_util::TryStreamExt;
use sqlx::{ConnectOptions, Connection, Row};

use crate::fixture::options;

const LARGE: usize = 50_000_000;

#[tokio::test]
async fn a_value_there_and_back() -> Result<()> {
    let mut connection = options().connect().await?;
    let value = b"abcdefghij".repeat(LARGE / 10);
    let row = sqlx::query("SELECT $1, length($1)").bind(&value).fetch_one(&mut connection).await?;
    assert_eq!(row.try_get::<i32, _>(1)? as usize, LARGE);
    assert!(row.try_get::<&[u8], _>(0)? == value, "the value has changed on the way");
    connection.ping().await?;
    Ok(connection.close().await?)
}

#[tokio::test]
async fn many_rows() -> Result<()> {
    let mut connection = options().connect().await?;
    let sql = "SELECT g, repeat('x', g % 100) FROM generate_series(1, 100000) g";
    let mut rows = sqlx::query(sql).fetch(&mut connection);
    let mut next = 1;
    while let Some(row) = rows.try_next().await? {
        assert_eq!(row.try_get::<i32, _>(0)?, next);
        assert_eq!(row.try_get::<&str, _>(1)?.len(), next as usize % 100);
        next += 1;
    }
    assert_eq!(next, 100_001);
    drop(rows);
    Ok(connection.close().await?)
}
