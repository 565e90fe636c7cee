//! COPY both ways, as text and binary, to its end and not.

use anyhow::Result;
use bytes::Bytes;
use futures_util::{FutureExt, SinkExt, TryStreamExt, pin_mut};
use tokio_postgres::Client;
use tokio_postgres::binary_copy::{BinaryCopyInWriter, BinaryCopyOutStream};
use tokio_postgres::types::Type;

use crate::fixture::{code, connect, show, unique, usable};

async fn table(client: &Client) -> Result<String> {
    let table = unique("copied");
    client.batch_execute(&format!("CREATE TABLE {table} (n int, word text)")).await?;
    Ok(table)
}

async fn count(client: &Client, table: &str) -> Result<String> {
    show(client, &format!("SELECT count(*) FROM {table}")).await
}

#[tokio::test]
async fn text_in_and_out() -> Result<()> {
    let client = connect().await?;
    let table = table(&client).await?;
    let sink = client.copy_in(&format!("COPY {table} FROM STDIN")).await?;
    pin_mut!(sink);
    let mut expected = String::new();
    for portion in 0..50 {
        let lines = (portion * 200..(portion + 1) * 200).map(|n| format!("{n}\tline {n}\n"));
        let lines: String = lines.collect();
        expected.push_str(&lines);
        sink.send(Bytes::from(lines)).await?;
    }
    assert_eq!(sink.finish().await?, 10_000);
    let out = format!("COPY (SELECT * FROM {table} ORDER BY n) TO STDOUT");
    let stream = client.copy_out(&out).await?;
    let chunks: Vec<Bytes> = stream.try_collect().await?;
    assert!(chunks.concat() == expected.as_bytes(), "what comes out is not what went in");
    usable(&client).await
}

#[tokio::test]
async fn binary_in_and_out() -> Result<()> {
    let client = connect().await?;
    let table = table(&client).await?;
    let types = [Type::INT4, Type::TEXT];
    let sink = client.copy_in(&format!("COPY {table} FROM STDIN (FORMAT binary)")).await?;
    let writer = BinaryCopyInWriter::new(sink, &types);
    pin_mut!(writer);
    for n in 0..5000_i32 {
        let word = (n % 3 > 0).then(|| format!("line {n}"));
        writer.as_mut().write(&[&n, &word]).await?;
    }
    assert_eq!(writer.finish().await?, 5000);

    let out = format!("COPY (SELECT * FROM {table} ORDER BY n) TO STDOUT (FORMAT binary)");
    let rows = BinaryCopyOutStream::new(client.copy_out(&out).await?, &types);
    let rows: Vec<_> = rows.try_collect().await?;
    assert_eq!(rows.len(), 5000);
    for (n, row) in (0..).zip(&rows) {
        assert_eq!(row.get::<i32>(0), n);
        let word = (n % 3 > 0).then(|| format!("line {n}"));
        assert_eq!(row.get::<Option<&str>>(1), word.as_deref());
    }
    usable(&client).await
}

/// Dropping the sink sends CopyFail.
#[tokio::test]
async fn a_copy_that_the_program_gives_up() -> Result<()> {
    let client = connect().await?;
    let table = table(&client).await?;
    for sent in 0..10 {
        let sink = client.copy_in(&format!("COPY {table} FROM STDIN")).await?;
        let mut sink = Box::pin(sink);
        for n in 0..sent {
            sink.send(Bytes::from(format!("{n}\tx\n"))).await?;
        }
        drop(sink);
        assert_eq!(count(&client, &table).await?, "0", "after {sent} rows");
    }
    usable(&client).await
}

#[tokio::test]
async fn a_copy_out_that_is_dropped_half_way() -> Result<()> {
    let client = connect().await?;
    let sql = "COPY (SELECT repeat('x', 1000) FROM generate_series(1, 5000)) TO STDOUT";
    for _ in 0..5 {
        let mut stream = Box::pin(client.copy_out(sql).await?);
        assert_eq!(stream.try_next().await?.map(|chunk| chunk.len()), Some(1001));
        drop(stream);
        usable(&client).await?;
    }
    // Not even begun.
    client.copy_out::<str>(sql).now_or_never();
    usable(&client).await
}

#[tokio::test]
async fn bad_data_is_an_error_and_nothing_more() -> Result<()> {
    let client = connect().await?;
    let table = table(&client).await?;
    for (data, expected) in [
        ("1\tone\ntwo\ttwo\n3\tthree\n", "22P02"),
        ("1\n", "22P04"),
        ("1\tone\ttoo many\n", "22P04"),
    ] {
        let sink = client.copy_in(&format!("COPY {table} FROM STDIN")).await?;
        pin_mut!(sink);
        // The error may come while more is being sent.
        let mut failed = None;
        for _ in 0..100 {
            if let Err(error) = sink.send(Bytes::from(data)).await {
                failed = Some(error);
                break;
            }
        }
        let result = match failed {
            Some(error) => Err(error),
            None => sink.finish().await,
        };
        assert_eq!(code(result), expected, "{data:?}");
        assert_eq!(count(&client, &table).await?, "0");
    }
    usable(&client).await
}

#[tokio::test]
async fn a_copy_that_cannot_begin() -> Result<()> {
    // The driver takes the second ReadyForQuery for its next reply, with Postgres itself as well:
    // this client has no other use.
    let client = connect().await?;
    let missing = client.copy_in::<_, Bytes>("COPY no_such_table FROM STDIN").await;
    assert_eq!(code(missing.map(drop)), "42P01");
    let client = connect().await?;
    assert_eq!(code(client.copy_out("COPY nowhere TO STDOUT").await.map(drop)), "42P01");
    let failing = "COPY (SELECT 1 / (9 - g) FROM generate_series(1, 20) g) TO STDOUT";
    let rows = client.copy_out(failing).await?;
    assert_eq!(code(rows.try_collect::<Vec<_>>().await), "22012");
    // A statement that is no COPY is none.
    assert!(client.copy_out("SELECT 1").await.is_err());
    usable(&client).await
}

#[tokio::test]
async fn in_a_transaction() -> Result<()> {
    let mut client = connect().await?;
    let table = table(&client).await?;
    let copy = format!("COPY {table} FROM STDIN (FORMAT csv, HEADER)");
    for commit in [false, true] {
        let mut transaction = client.transaction().await?;
        let sink = transaction.copy_in(&copy).await?;
        pin_mut!(sink);
        sink.send(Bytes::from("n,word\n1,\"a, b\"\n")).await?;
        assert_eq!(sink.as_mut().finish().await?, 1);
        {
            let nested = transaction.transaction().await?;
            let sink = nested.copy_in(&copy).await?;
            pin_mut!(sink);
            sink.send(Bytes::from("n,word\nnonsense,x\n")).await?;
            assert_eq!(code(sink.finish().await), "22P02");
            nested.rollback().await?;
        }
        if commit {
            transaction.commit().await?;
        } else {
            drop(transaction);
        }
        assert_eq!(count(&client, &table).await?, i32::from(commit).to_string());
    }
    usable(&client).await
}
