//! Prepared statements of tokio-postgres: kept, dropped, failing, across DDL.

use anyhow::Result;
use futures_util::future::try_join_all;
use tokio_postgres::types::Type;

use crate::fixture::{code, column, connect, show, unique, usable};

#[tokio::test]
async fn a_statement_is_used_again_and_again() -> Result<()> {
    let client = connect().await?;
    let statement = client.prepare("SELECT $1::int + 1").await?;
    for n in 0..200 {
        assert_eq!(client.query_one(&statement, &[&n]).await?.get::<_, i32>(0), n + 1);
    }
    assert_eq!(statement.params(), [Type::INT4]);
    Ok(())
}

/// Dropping sends Close and Sync behind the program's back.
#[tokio::test]
async fn dropped_statements_are_closed() -> Result<()> {
    let client = connect().await?;
    let count =
        "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%to be dropped%'";
    for round in 0..5 {
        let sql = |n: i32| format!("SELECT {n} /* to be dropped */");
        let texts: Vec<_> = (0..40).map(|n| sql(n + round * 40)).collect();
        let statements = try_join_all(texts.iter().map(|text| client.prepare(text))).await?;
        for (statement, n) in statements.iter().zip(round * 40..) {
            assert_eq!(client.query_one(statement, &[]).await?.get::<_, i32>(0), n);
        }
        drop(statements);
        usable(&client).await?;
    }
    // In a transaction, so that both look at one server session.
    client.batch_execute("BEGIN").await?;
    let kept = client.prepare("SELECT 1 /* to be dropped, but kept here */").await?;
    assert_eq!(client.query_one(&kept, &[]).await?.get::<_, i32>(0), 1);
    drop(kept);
    let left = show(&client, &format!("{count} AND name LIKE 's%'")).await?;
    client.batch_execute("COMMIT").await?;
    assert_eq!(left, "0", "statements with the driver's names");
    Ok(())
}

#[tokio::test]
async fn many_statements_at_once() -> Result<()> {
    let client = connect().await?;
    let texts: Vec<_> = (0..600).map(|n| format!("SELECT {n}, $1::text")).collect();
    let statements = try_join_all(texts.iter().map(|text| client.prepare(text))).await?;
    for (n, statement) in (0..600).zip(&statements).rev() {
        let row = client.query_one(statement, &[&"x"]).await?;
        assert_eq!((row.get::<_, i32>(0), row.get::<_, &str>(1)), (n, "x"));
    }
    Ok(())
}

#[tokio::test]
async fn a_statement_that_cannot_be_prepared() -> Result<()> {
    let client = connect().await?;
    for (sql, expected) in [
        ("SELEC 1", "42601"),
        ("SELECT * FROM no_such_table", "42P01"),
        ("SELECT no_such_function($1)", "42883"),
        ("SELECT $1", "no error"),
        ("SELECT 1; SELECT 2", "42601"),
    ] {
        assert_eq!(code(client.prepare(sql).await), expected, "{sql}");
        usable(&client).await?;
    }
    Ok(())
}

/// A statement is its text and its parameter types.
#[tokio::test]
async fn one_text_with_different_types() -> Result<()> {
    let client = connect().await?;
    let sql = "SELECT pg_typeof($1)::text";
    let mut statements = Vec::new();
    for sql_type in [Type::INT4, Type::TEXT, Type::INT8, Type::JSONB] {
        statements.push((client.prepare_typed(sql, &[sql_type]).await?, "x"));
    }
    let of = |n: usize| &statements[n].0;
    assert_eq!(client.query_one(of(0), &[&1_i32]).await?.get::<_, &str>(0), "integer");
    assert_eq!(client.query_one(of(1), &[&"a"]).await?.get::<_, &str>(0), "text");
    assert_eq!(client.query_one(of(2), &[&1_i64]).await?.get::<_, &str>(0), "bigint");
    let null = serde_json::Value::Null;
    assert_eq!(client.query_one(of(3), &[&null]).await?.get::<_, &str>(0), "jsonb");
    Ok(())
}

/// The unnamed statement: Parse, Bind, Describe, Execute, Sync in one go.
#[tokio::test]
async fn typed_queries_without_preparing() -> Result<()> {
    let client = connect().await?;
    for n in 0..50_i32 {
        let rows = client
            .query_typed("SELECT $1 + g FROM generate_series(1, 3) g", &[(&n, Type::INT4)])
            .await?;
        assert_eq!(column::<i32>(&rows), [n + 1, n + 2, n + 3]);
    }
    let wrong = client.query_typed("SELECT 1 / $1", &[(&0, Type::INT4)]).await;
    assert_eq!(code(wrong), "22012");
    usable(&client).await
}

#[tokio::test]
async fn a_table_that_changes_under_a_statement() -> Result<()> {
    let client = connect().await?;
    let table = unique("changing");
    client.batch_execute(&format!("CREATE TABLE {table} (a int)")).await?;
    let insert = client.prepare(&format!("INSERT INTO {table} (a) VALUES ($1)")).await?;
    let select = format!("SELECT * FROM {table} ORDER BY 1");
    for added in 0..3 {
        let statement = client.prepare(&select).await?;
        client.execute(&insert, &[&added]).await?;
        assert_eq!(client.query(&statement, &[]).await?.len(), added as usize + 1);
        let other = connect().await?;
        other.batch_execute(&format!("ALTER TABLE {table} ADD COLUMN b{added} int")).await?;
        // Postgres refuses: "cached plan must not change result type".
        assert_eq!(code(client.query(&statement, &[]).await), "0A000");
        let anew = client.prepare(&select).await?;
        assert_eq!(anew.columns().len(), added as usize + 2);
        assert_eq!(client.query(&anew, &[]).await?.len(), added as usize + 1);
    }
    client.batch_execute(&format!("DROP TABLE {table}")).await?;
    assert_eq!(code(client.execute(&insert, &[&1]).await), "42P01");
    usable(&client).await
}

#[tokio::test]
async fn statements_prepared_in_sql() -> Result<()> {
    let client = connect().await?;
    client.batch_execute("PREPARE plus (int) AS SELECT $1 + 1").await?;
    for n in 0..10 {
        assert_eq!(show(&client, &format!("EXECUTE plus({n})")).await?, (n + 1).to_string());
    }
    // Both kinds live in one namespace, and the driver's own are spared by name.
    let driver = client.prepare("SELECT 'driver'").await?;
    client.batch_execute("DEALLOCATE plus").await?;
    assert_eq!(client.query_one(&driver, &[]).await?.get::<_, &str>(0), "driver");
    assert_eq!(code(client.simple_query("EXECUTE plus(1)").await), "26000");
    client.batch_execute("DEALLOCATE ALL").await?;
    assert_eq!(code(client.query_one(&driver, &[]).await), "26000");
    usable(&client).await
}
