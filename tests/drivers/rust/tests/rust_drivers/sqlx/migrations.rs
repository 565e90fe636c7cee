//! sqlx's migrations, which hold an advisory lock of the session meanwhile.

use std::fs;

use anyhow::Result;
use sqlx::migrate::Migrator;
use sqlx::postgres::PgPool;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};

use crate::fixture::{options, pool_of, unique};

/// A new schema. One caller makes it: `IF NOT EXISTS` is no protection against another that makes it meanwhile.
async fn new_schema(prefix: &str) -> Result<String> {
    let schema = unique(prefix);
    let mut connection = options().connect().await?;
    connection.execute(AssertSqlSafe(format!("CREATE SCHEMA {schema}"))).await?;
    connection.close().await?;
    Ok(schema)
}

/// A pool whose sessions all look into this schema first.
async fn pool_in(schema: &str) -> Result<PgPool> {
    let options = options().options([("search_path", schema)]);
    Ok(sqlx::postgres::PgPoolOptions::new().max_connections(2).connect_with(options).await?)
}

#[tokio::test]
async fn migrations_run_once() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let write = |name: &str, sql: &str| fs::write(directory.path().join(name), sql);
    write("1_first.up.sql", "CREATE TABLE users (id bigserial PRIMARY KEY, name text);")?;
    write("1_first.down.sql", "DROP TABLE users;")?;
    write(
        "2_second.up.sql",
        "ALTER TABLE users ADD COLUMN mail text; CREATE INDEX users_mail ON users (mail); \
         INSERT INTO users (name) VALUES ('admin');",
    )?;
    write("2_second.down.sql", "ALTER TABLE users DROP COLUMN mail;")?;
    let schema = new_schema("migrated").await?;
    // Several programs start at once, each with a pool of its own.
    let migrator = Migrator::new(directory.path()).await?;
    let programs = (0..3).map(async |_| {
        let pool = pool_in(&schema).await?;
        migrator.run(&pool).await?;
        anyhow::Ok(pool)
    });
    let pools = futures_util::future::try_join_all(programs).await?;
    for pool in &pools {
        let count: i64 =
            sqlx::query_scalar("SELECT count(mail IS NULL) FROM users").fetch_one(pool).await?;
        assert_eq!(count, 1);
    }
    migrator.undo(&pools[0], 1).await?;
    let columns: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM information_schema.columns WHERE table_schema = $1 AND table_name = 'users'",
    )
    .bind(&schema)
    .fetch_one(&pools[1])
    .await?;
    assert_eq!(columns, 2);
    Ok(())
}

#[tokio::test]
async fn a_migration_that_fails_leaves_no_lock() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("1_broken.sql");
    fs::write(&path, "CREATE TABLE half (n int); SELECT 1 / 0;")?;
    let pool = pool_in(&new_schema("broken").await?).await?;
    let migrator = Migrator::new(directory.path()).await?;
    assert!(migrator.run(&pool).await.is_err());
    let half: Option<String> =
        sqlx::query_scalar("SELECT to_regclass('half')::text").fetch_one(&pool).await?;
    assert_eq!(half, None, "the migration was one transaction");
    pool.close().await;
    drop(pool_of(1).await?);
    Ok(())
}
