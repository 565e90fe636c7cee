//! COPY through the pool and through a connection.

use anyhow::Result;
use futures_util::TryStreamExt;
use sqlx::postgres::{PgPool, PgPoolCopyExt};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use crate::fixture::{options, pool, sqlx_code, unique};

async fn table(pool: &PgPool) -> Result<String> {
    let table = unique("copied");
    let create = format!("CREATE TABLE {table} (n int, word text)");
    sqlx::raw_sql(AssertSqlSafe(create)).execute(pool).await?;
    Ok(table)
}

async fn count(pool: &PgPool, table: &str) -> Result<i64> {
    let select = format!("SELECT count(*) FROM {table}");
    Ok(sqlx::query_scalar(AssertSqlSafe(select)).fetch_one(pool).await?)
}

fn lines(count: i32) -> String {
    (0..count).map(|n| format!("{n}\tline {n}\n")).collect()
}

#[tokio::test]
async fn in_and_out() -> Result<()> {
    let pool = pool().await?;
    let table = table(&pool).await?;
    let mut copy = pool.copy_in_raw(&format!("COPY {table} FROM STDIN")).await?;
    assert!(copy.is_textual());
    copy.read_from(lines(20_000).as_bytes()).await?;
    assert_eq!(copy.finish().await?, 20_000);
    let out = format!("COPY (SELECT * FROM {table} ORDER BY n) TO STDOUT");
    let chunks: Vec<_> = pool.copy_out_raw(&out).await?.try_collect().await?;
    assert!(chunks.concat() == lines(20_000).as_bytes(), "what comes out is not what went in");
    pool.close().await;
    Ok(())
}

#[tokio::test]
async fn given_up() -> Result<()> {
    let pool = pool().await?;
    let table = table(&pool).await?;
    let statement = format!("COPY {table} FROM STDIN");
    let mut copy = pool.copy_in_raw(&statement).await?;
    copy.send(lines(10).as_bytes()).await?;
    copy.abort("given up").await?;
    assert_eq!(count(&pool, &table).await?, 0);

    // Dropped without a word: sqlx cannot use the connection any more, so it vanishes under way.
    for _ in 0..5 {
        let mut connection = options().connect().await?;
        let mut copy = connection.copy_in_raw(&statement).await?;
        copy.send(lines(10).as_bytes()).await?;
        drop(copy);
        drop(connection);
        assert_eq!(count(&pool, &table).await?, 0);
    }
    let much = "COPY (SELECT repeat('x', 1000) FROM generate_series(1, 3000)) TO STDOUT";
    for _ in 0..5 {
        let mut connection = options().connect().await?;
        let mut rows = connection.copy_out_raw(much).await?;
        assert_eq!(rows.try_next().await?.map(|row| row.len()), Some(1001));
        drop(rows);
        drop(connection);
        assert_eq!(count(&pool, &table).await?, 0);
    }
    pool.close().await;
    Ok(())
}

#[tokio::test]
async fn bad_data() -> Result<()> {
    let pool = pool().await?;
    let table = table(&pool).await?;
    let mut connection = pool.acquire().await?;
    for _ in 0..3 {
        let mut copy = connection.copy_in_raw(&format!("COPY {table} FROM STDIN")).await?;
        copy.send(lines(3).as_bytes()).await?;
        copy.send("no number\tx\n".as_bytes()).await?;
        assert_eq!(sqlx_code(copy.finish().await), "22P02");
        connection.ping().await?;
    }
    let missing = connection.copy_in_raw("COPY no_such_table FROM STDIN").await;
    assert_eq!(sqlx_code(missing.map(drop)), "42P01");
    connection.ping().await?;
    assert_eq!(count(&pool, &table).await?, 0);
    Ok(())
}
