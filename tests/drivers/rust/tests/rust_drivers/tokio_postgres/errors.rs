//! Errors arrive with all their fields, and connections that end say so.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::time::sleep;
use tokio_postgres::error::{DbError, ErrorPosition, SqlState};
use tokio_postgres::{Client, Config, SimpleQueryMessage};

use crate::fixture::{PATIENCE, code, config, connect, connect_with, unique, usable};

async fn error(client: &Client, sql: &str) -> Result<DbError> {
    let result = client.query(sql, &[]).await;
    let error = result.err().context("no error")?;
    let error = error.as_db_error().with_context(|| format!("not from the server: {error:?}"))?;
    Ok(error.clone())
}

#[tokio::test]
async fn all_fields() -> Result<()> {
    let client = connect().await?;
    let table = unique("errors");
    client
        .batch_execute(&format!(
            "CREATE TABLE {table} (n int PRIMARY KEY, m int NOT NULL CONSTRAINT small CHECK (m < 9))"
        ))
        .await?;
    client.execute(&format!("INSERT INTO {table} VALUES (1, 1)"), &[]).await?;

    let duplicate = error(&client, &format!("INSERT INTO {table} VALUES (1, 2)")).await?;
    assert_eq!(duplicate.code(), &SqlState::UNIQUE_VIOLATION);
    assert_eq!(duplicate.detail(), Some("Key (n)=(1) already exists."));
    assert_eq!(duplicate.constraint(), Some(&*format!("{table}_pkey")));
    assert_eq!(duplicate.table(), Some(&*table));
    assert_eq!(duplicate.schema(), Some("public"));

    let check = error(&client, &format!("INSERT INTO {table} VALUES (2, 10)")).await?;
    assert_eq!(check.code(), &SqlState::CHECK_VIOLATION);
    assert_eq!(check.constraint(), Some("small"));
    let null = error(&client, &format!("INSERT INTO {table} VALUES (2, NULL)")).await?;
    assert_eq!((null.code(), null.column()), (&SqlState::NOT_NULL_VIOLATION, Some("m")));

    let misspelt = error(&client, &format!("SELECT mm FROM {table}")).await?;
    assert_eq!(misspelt.position(), Some(&ErrorPosition::Original(8)));
    assert!(misspelt.hint().is_some_and(|hint| hint.contains(&format!("{table}.m"))));
    let raised =
        "DO $$ BEGIN RAISE 'own' USING ERRCODE = 'ZZ001', HINT = 'h', DETAIL = 'd'; END $$";
    let raised = error(&client, raised).await?;
    assert_eq!((raised.code().code(), raised.message()), ("ZZ001", "own"));
    assert_eq!((raised.hint(), raised.detail()), (Some("h"), Some("d")));
    assert!(raised.where_().is_some_and(|place| place.contains("inline_code_block")));
    usable(&client).await
}

#[tokio::test]
async fn in_the_middle_of_rows() -> Result<()> {
    let client = connect().await?;
    let sql = "SELECT 1 / (500 - g), repeat('x', 1000) FROM generate_series(1, $1::int) g";
    let statement = client.prepare(sql).await?;
    for _ in 0..5 {
        assert_eq!(code(client.query(&statement, &[&1000]).await), "22012");
        assert_eq!(client.query(&statement, &[&400]).await?.len(), 400);
    }
    usable(&client).await
}

/// What the driver refuses by itself leaves nothing behind.
#[tokio::test]
async fn wrong_parameters() -> Result<()> {
    let client = connect().await?;
    let statement = client.prepare("SELECT $1::int, $2::text").await?;
    assert!(client.query(&statement, &[&"no number", &"x"]).await.is_err());
    usable(&client).await?;
    let row = client.query_one(&statement, &[&1, &"x"]).await?;
    assert!(row.try_get::<_, String>(0).is_err());
    assert_eq!(row.get::<_, &str>(1), "x");
    Ok(())
}

#[tokio::test]
async fn several_statements_in_one_query() -> Result<()> {
    let client = connect().await?;
    let table = unique("several");
    let messages = client
        .simple_query(&format!(
            "CREATE TABLE {table} (n int); INSERT INTO {table} VALUES (1), (2); \
             SELECT n FROM {table} ORDER BY n;; DELETE FROM {table} WHERE n = 1; \
             SELECT count(*) FROM {table}"
        ))
        .await?;
    let told: Vec<_> = messages
        .iter()
        .map(|message| match message {
            SimpleQueryMessage::Row(row) => format!("row {}", row.get(0).unwrap_or("NULL")),
            SimpleQueryMessage::CommandComplete(rows) => format!("complete {rows}"),
            SimpleQueryMessage::RowDescription(columns) => format!("{} column", columns.len()),
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(
        told,
        [
            "complete 0",
            "complete 2",
            "1 column",
            "row 1",
            "row 2",
            "complete 2",
            "complete 1",
            "1 column",
            "row 1",
            "complete 1"
        ]
    );
    assert_eq!(client.simple_query("").await?.len(), 1, "the empty query");
    assert_eq!(client.execute("", &[]).await?, 0);
    usable(&client).await
}

#[tokio::test]
async fn a_terminated_backend_is_told() -> Result<()> {
    let (mut client, other) = (connect().await?, connect().await?);
    let transaction = client.transaction().await?;
    let pid: i32 = transaction.query_one("SELECT pg_backend_pid()", &[]).await?.get(0);
    other.query("SELECT pg_terminate_backend($1)", &[&pid]).await?;
    let result = transaction.query("SELECT pg_sleep(5)", &[]).await;
    assert!(matches!(&*code(result), "57P01" | "Error { kind: Closed, cause: None }"));
    drop(transaction);
    let start = Instant::now();
    while !client.is_closed() && start.elapsed() < PATIENCE {
        sleep(Duration::from_millis(5)).await;
    }
    assert!(client.is_closed());
    usable(&other).await
}

/// Why a login fails.
async fn refused(config: &Config) -> Result<String> {
    let error = connect_with(config).await.err().context("let in")?;
    Ok(code::<()>(Err(error.downcast()?)))
}

#[tokio::test]
async fn a_login_that_fails() -> Result<()> {
    let mut wrong = config()?;
    wrong.password("wrong");
    assert_eq!(refused(&wrong).await?, "28P01");
    let mut setting = config()?;
    setting.options("-c no_such_setting=1");
    assert_eq!(refused(&setting).await?, "42704");
    usable(&connect().await?).await
}
