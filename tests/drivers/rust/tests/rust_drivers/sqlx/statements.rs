//! sqlx's cache of prepared statements, and statements outside of it.

use anyhow::Result;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, Row, Statement};

use crate::fixture::{options, sqlx_code, unique};

async fn plus(connection: &mut PgConnection, n: i32) -> Result<i32> {
    let sql = format!("SELECT $1 + {n}::int");
    Ok(sqlx::query_scalar(AssertSqlSafe(sql)).bind(1).fetch_one(connection).await?)
}

/// More texts than the cache holds: the oldest are closed, with Close before the next Parse.
#[tokio::test]
async fn a_small_cache() -> Result<()> {
    let mut connection = options().statement_cache_capacity(4).connect().await?;
    for round in 0..5 {
        for n in 0..30 {
            // Some come back while they are in the cache.
            assert_eq!(plus(&mut connection, n).await?, n + 1, "in round {round}");
            assert_eq!(plus(&mut connection, n / 2 * 2).await?, n / 2 * 2 + 1);
        }
    }
    assert_eq!(connection.cached_statements_size(), 4);
    connection.clear_cached_statements().await?;
    assert_eq!(connection.cached_statements_size(), 0);
    assert_eq!(plus(&mut connection, 1).await?, 2);
    Ok(connection.close().await?)
}

#[tokio::test]
async fn the_usual_cache() -> Result<()> {
    let mut connection = options().connect().await?;
    for _ in 0..3 {
        for n in 0..150 {
            assert_eq!(plus(&mut connection, n).await?, n + 1);
        }
    }
    assert_eq!(connection.cached_statements_size(), 100);
    Ok(connection.close().await?)
}

#[tokio::test]
async fn without_a_cache() -> Result<()> {
    let mut connection = options().statement_cache_capacity(0).connect().await?;
    for n in 0..30 {
        assert_eq!(plus(&mut connection, n).await?, n + 1);
    }
    let mut connection = options().connect().await?;
    for n in 0..30_i32 {
        let query = sqlx::query("SELECT $1::int, $2::text").bind(n).bind("x").persistent(false);
        assert_eq!(query.fetch_one(&mut connection).await?.try_get::<i32, _>(0)?, n);
    }
    assert_eq!(connection.cached_statements_size(), 0);
    Ok(connection.close().await?)
}

#[tokio::test]
async fn prepare_and_describe() -> Result<()> {
    let mut connection = options().connect().await?;
    let statement =
        (&mut connection).prepare(sqlx::SqlSafeStr::into_sql_str("SELECT $1::int AS n, 'x' AS t"));
    let statement = statement.await?;
    let names: Vec<_> = statement.columns().iter().map(sqlx::Column::name).collect();
    assert_eq!(names, ["n", "t"]);
    for n in 0..10_i32 {
        let row = statement.query().bind(n).fetch_one(&mut connection).await?;
        assert_eq!(row.try_get::<i32, _>("n")?, n);
    }
    Ok(connection.close().await?)
}

#[tokio::test]
async fn errors_leave_a_good_connection() -> Result<()> {
    let mut connection = options().connect().await?;
    for _ in 0..5 {
        for (sql, code) in [
            ("SELEC 1", "42601"),
            ("SELECT * FROM no_such_table", "42P01"),
            ("SELECT 1 / 0", "22012"),
            ("SELECT 1 / (2 - g) FROM generate_series(1, 3) g", "22012"),
        ] {
            assert_eq!(sqlx_code(sqlx::query(sql).fetch_all(&mut connection).await), code);
            assert_eq!(sqlx_code(sqlx::raw_sql(sql).fetch_all(&mut connection).await), code);
            assert_eq!(plus(&mut connection, 7).await?, 8);
        }
    }
    let by_zero = "SELECT 1 / $1";
    for n in [1, 0, 2, 0] {
        let result = sqlx::query_scalar::<_, i32>(by_zero).bind(n).fetch_one(&mut connection).await;
        match n {
            0 => assert_eq!(sqlx_code(result), "22012"),
            n => assert_eq!(result?, 1 / n),
        }
    }
    Ok(connection.close().await?)
}

#[tokio::test]
async fn a_table_that_changes_under_the_cache() -> Result<()> {
    let mut connection = options().connect().await?;
    let table = unique("changing");
    let run = async |sql: String| {
        let mut other = options().connect().await?;
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut other).await?;
        anyhow::Ok(other.close().await?)
    };
    run(format!("CREATE TABLE {table} (a int); INSERT INTO {table} VALUES (1)")).await?;
    let select = format!("SELECT * FROM {table}");
    for added in 0..3 {
        let query = sqlx::query(AssertSqlSafe(select.as_str()));
        assert_eq!(query.fetch_one(&mut connection).await?.len(), added + 1);
        run(format!("ALTER TABLE {table} ADD COLUMN b{added} int")).await?;
        let query = sqlx::query(AssertSqlSafe(select.as_str()));
        assert_eq!(sqlx_code(query.fetch_one(&mut connection).await), "0A000");
        connection.clear_cached_statements().await?;
    }
    run(format!("DROP TABLE {table}")).await
}

#[tokio::test]
async fn several_statements_at_once() -> Result<()> {
    let mut connection = options().connect().await?;
    let table = unique("several");
    let sql = format!(
        "CREATE TABLE {table} (n int); INSERT INTO {table} VALUES (1), (2); \
         UPDATE {table} SET n = n + 1; SELECT n FROM {table} ORDER BY n"
    );
    let rows = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(&mut connection).await?;
    let numbers: Vec<i32> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(numbers, [2, 3]);
    let done = sqlx::query(AssertSqlSafe(format!("DELETE FROM {table}")));
    assert_eq!(done.execute(&mut connection).await?.rows_affected(), 2);
    Ok(connection.close().await?)
}

#[tokio::test]
async fn a_builder_with_many_parameters() -> Result<()> {
    let mut connection = options().connect().await?;
    let table = unique("built");
    let create = format!("CREATE TABLE {table} (n int, word text)");
    sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut connection).await?;
    for rows in [1_i32, 10, 1000, 20_000] {
        let mut builder = sqlx::QueryBuilder::new(format!("INSERT INTO {table} "));
        builder.push_values(0..rows, |mut row, n| {
            row.push_bind(n).push_bind(format!("word {n}"));
        });
        let done = builder.build().execute(&mut connection).await?;
        assert_eq!(done.rows_affected(), u64::from(rows.cast_unsigned()));
    }
    let all: (i64,) = sqlx::query_as(AssertSqlSafe(format!("SELECT count(*) FROM {table}")))
        .fetch_one(&mut connection)
        .await?;
    assert_eq!(all.0, 21_011);
    Ok(connection.close().await?)
}
