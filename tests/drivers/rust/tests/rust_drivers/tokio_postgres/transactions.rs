//! Transactions, savepoints, and what happens to those that are dropped.

use anyhow::Result;
use futures_util::{FutureExt, TryStreamExt};
use tokio_postgres::{Client, IsolationLevel};

use crate::fixture::{code, connect, show, unique, usable};

async fn table(client: &Client) -> Result<String> {
    let table = unique("transactions");
    client.batch_execute(&format!("CREATE TABLE {table} (n int PRIMARY KEY)")).await?;
    Ok(table)
}

async fn count(client: &Client, table: &str) -> Result<String> {
    show(client, &format!("SELECT count(*) FROM {table}")).await
}

#[tokio::test]
async fn commit_and_rollback() -> Result<()> {
    let mut client = connect().await?;
    let table = table(&client).await?;
    let insert = client.prepare(&format!("INSERT INTO {table} VALUES ($1)")).await?;
    for n in 0..20_i32 {
        let transaction = client.transaction().await?;
        transaction.execute(&insert, &[&n]).await?;
        if n % 2 == 0 {
            transaction.commit().await?;
        } else {
            transaction.rollback().await?;
        }
    }
    assert_eq!(count(&client, &table).await?, "10");
    Ok(())
}

/// The driver sends ROLLBACK and does not wait for it.
#[tokio::test]
async fn a_dropped_transaction_is_rolled_back() -> Result<()> {
    let mut client = connect().await?;
    let table = table(&client).await?;
    let insert = client.prepare(&format!("INSERT INTO {table} VALUES ($1)")).await?;
    for n in 0..30_i32 {
        let transaction = client.transaction().await?;
        transaction.execute(&insert, &[&n]).await?;
        match n % 3 {
            // A reply is still to come.
            0 => drop(transaction.query("SELECT pg_sleep(0.01)", &[]).now_or_never()),
            // The transaction has failed.
            1 => assert_eq!(code(transaction.execute(&insert, &[&n]).await), "23505"),
            _ => {}
        }
        drop(transaction);
        assert_eq!(count(&client, &table).await?, "0");
    }
    usable(&client).await
}

/// A future that begins one and is dropped anywhere leaves nothing open.
#[tokio::test]
async fn a_beginning_that_is_dropped() -> Result<()> {
    let mut client = connect().await?;
    for _ in 0..20 {
        client.transaction().now_or_never();
        let now = "SELECT now() = statement_timestamp()";
        show(&client, now).await?;
        assert_eq!(show(&client, now).await?, "t", "outside a transaction");
    }
    usable(&client).await
}

/// Half the rows read, then all of it is dropped: stream, transaction.
#[tokio::test]
async fn a_stream_dropped_with_its_transaction() -> Result<()> {
    let mut client = connect().await?;
    for _ in 0..5 {
        let transaction = client.transaction().await?;
        let rows = transaction
            .query_raw("SELECT generate_series(1, 200000)", std::iter::empty::<i32>())
            .await?;
        let mut rows = Box::pin(rows);
        for n in 1..=100 {
            let row = rows.try_next().await?.map(|row| row.get::<_, i32>(0));
            assert_eq!(row, Some(n));
        }
        drop(rows);
        drop(transaction);
        usable(&client).await?;
    }
    Ok(())
}

#[tokio::test]
async fn savepoints() -> Result<()> {
    let mut client = connect().await?;
    let table = table(&client).await?;
    let insert = client.prepare(&format!("INSERT INTO {table} VALUES ($1)")).await?;
    let mut outer = client.transaction().await?;
    outer.execute(&insert, &[&1]).await?;
    {
        let mut inner = outer.transaction().await?;
        inner.execute(&insert, &[&2]).await?;
        {
            let innermost = inner.savepoint("a_name").await?;
            innermost.execute(&insert, &[&3]).await?;
            assert_eq!(code(innermost.execute(&insert, &[&1]).await), "23505");
            assert_eq!(code(innermost.execute(&insert, &[&4]).await), "25P02");
            // Dropped: back to the savepoint.
        }
        inner.execute(&insert, &[&5]).await?;
        inner.commit().await?;
    }
    {
        let inner = outer.transaction().await?;
        inner.execute(&insert, &[&6]).await?;
        inner.rollback().await?;
    }
    outer.commit().await?;
    let all = format!("SELECT string_agg(n::text, ',' ORDER BY n) FROM {table}");
    assert_eq!(show(&client, &all).await?, "1,2,5");
    Ok(())
}

#[tokio::test]
async fn begin_with_options() -> Result<()> {
    let mut client = connect().await?;
    let transaction = client
        .build_transaction()
        .isolation_level(IsolationLevel::Serializable)
        .read_only(true)
        .deferrable(true)
        .start()
        .await?;
    for (name, value) in [
        ("transaction_isolation", "serializable"),
        ("transaction_read_only", "on"),
        ("transaction_deferrable", "on"),
    ] {
        assert_eq!(show(transaction.client(), &format!("SHOW {name}")).await?, value);
    }
    assert_eq!(code(transaction.batch_execute("CREATE TABLE never (n int)").await), "25006");
    transaction.rollback().await?;
    assert_eq!(show(&client, "SHOW transaction_isolation").await?, "read committed");
    assert_eq!(show(&client, "SHOW transaction_read_only").await?, "off");
    Ok(())
}

#[tokio::test]
async fn serialization_failures_are_told() -> Result<()> {
    let (mut one, mut two) = (connect().await?, connect().await?);
    let table = table(&one).await?;
    one.batch_execute(&format!("INSERT INTO {table} VALUES (1), (2)")).await?;
    let level = IsolationLevel::RepeatableRead;
    let first = one.build_transaction().isolation_level(level).start().await?;
    let second = two.build_transaction().isolation_level(level).start().await?;
    let update = format!("UPDATE {table} SET n = n + 10 WHERE n = 1");
    assert_eq!(count(second.client(), &table).await?, "2");
    assert_eq!(first.execute(&update, &[]).await?, 1);
    first.commit().await?;
    assert_eq!(code(second.execute(&update, &[]).await), "40001");
    second.rollback().await?;
    usable(&one).await?;
    usable(&two).await
}

#[tokio::test]
async fn control_by_sql() -> Result<()> {
    let client = connect().await?;
    client.batch_execute("BEGIN; SELECT 1").await?;
    let now = "SELECT now()";
    let first = show(&client, now).await?;
    assert_eq!(show(&client, now).await?, first);
    client.batch_execute("COMMIT AND CHAIN").await?;
    let second = show(&client, now).await?;
    assert_ne!(second, first);
    assert_eq!(show(&client, now).await?, second);
    assert_eq!(code(client.batch_execute("SELECT 1/0").await), "22012");
    assert_eq!(code(client.batch_execute("SELECT 1").await), "25P02");
    client.batch_execute("ROLLBACK AND CHAIN").await?;
    client.batch_execute("SAVEPOINT a; RELEASE a; END").await?;
    // Several statements in one query are one transaction.
    let table = unique("never");
    let failing = format!("CREATE TABLE {table} (n int); SELECT 1/0");
    assert_eq!(code(client.batch_execute(&failing).await), "22012");
    assert_eq!(code(client.simple_query(&format!("SELECT * FROM {table}")).await), "42P01");
    usable(&client).await
}
