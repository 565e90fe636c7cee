//! What the server says unasked: notifications, notices, parameters.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;
use tokio_postgres::{AsyncMessage, error::Severity};

use crate::fixture::{PATIENCE, config, connect, connect_with, unique, usable};

/// The next notification's channel and payload.
async fn heard(messages: &mut UnboundedReceiver<AsyncMessage>) -> Result<(String, String)> {
    loop {
        let message = timeout(PATIENCE, messages.recv()).await.context("nothing is heard")?;
        if let AsyncMessage::Notification(it) = message.context("the connection has ended")? {
            return Ok((it.channel().to_owned(), it.payload().to_owned()));
        }
    }
}

#[tokio::test]
async fn listen_and_notify() -> Result<()> {
    let (listener, mut messages) = connect_with(&config()?).await?;
    let other = connect().await?;
    let (first, second) = (unique("channel"), unique("channel"));
    listener.batch_execute(&format!("LISTEN {first}; LISTEN {second}")).await?;
    for n in 0..10 {
        other.execute("SELECT pg_notify($1, $2)", &[&first, &n.to_string()]).await?;
        assert_eq!(heard(&mut messages).await?, (first.clone(), n.to_string()));
        usable(&listener).await?;
    }
    other.batch_execute(&format!("NOTIFY {second}, 'two'")).await?;
    assert_eq!(heard(&mut messages).await?, (second.clone(), "two".to_owned()));

    // Its own come with the end of the transaction.
    listener.batch_execute(&format!("BEGIN; NOTIFY {first}, 'own'; COMMIT")).await?;
    assert_eq!(heard(&mut messages).await?, (first.clone(), "own".to_owned()));
    listener.batch_execute(&format!("UNLISTEN {first}")).await?;
    other.batch_execute(&format!("NOTIFY {first}, 'unheard'; NOTIFY {second}, 'heard'")).await?;
    assert_eq!(heard(&mut messages).await?, (second.clone(), "heard".to_owned()));
    listener.batch_execute("UNLISTEN *").await?;
    other.batch_execute(&format!("NOTIFY {second}, 'unheard'")).await?;
    usable(&listener).await?;
    let more = timeout(Duration::from_millis(100), heard(&mut messages)).await;
    assert!(more.is_err(), "heard after UNLISTEN: {more:?}");
    Ok(())
}

#[tokio::test]
async fn many_notifications_while_busy() -> Result<()> {
    let (listener, mut messages) = connect_with(&config()?).await?;
    let other = connect().await?;
    let channel = unique("channel");
    listener.batch_execute(&format!("LISTEN {channel}")).await?;
    let notify = other.prepare("SELECT pg_notify($1, $2)").await?;
    for n in 0..200 {
        other.execute(&notify, &[&channel, &format!("{n:0>500}")]).await?;
        usable(&listener).await?;
    }
    for n in 0..200 {
        assert_eq!(heard(&mut messages).await?.1, format!("{n:0>500}"));
    }
    Ok(())
}

#[tokio::test]
async fn notices_come_before_their_reply() -> Result<()> {
    let (client, mut messages) = connect_with(&config()?).await?;
    for n in 0..10 {
        let raise = format!(
            "DO $$ BEGIN RAISE WARNING 'careful {n}' USING DETAIL = 'd', ERRCODE = '01234'; END $$"
        );
        client.batch_execute(&raise).await?;
        let Some(AsyncMessage::Notice(notice)) = messages.recv().await else {
            anyhow::bail!("no notice")
        };
        assert_eq!(notice.message(), format!("careful {n}"));
        assert_eq!(notice.parsed_severity(), Some(Severity::Warning));
        assert_eq!((notice.detail(), notice.code().code()), (Some("d"), "01234"));
    }
    // Outside a transaction, COMMIT warns.
    client.batch_execute("COMMIT").await?;
    let Some(AsyncMessage::Notice(notice)) = messages.recv().await else {
        anyhow::bail!("no warning")
    };
    assert_eq!(notice.code().code(), "25P01");
    client.batch_execute("SET client_min_messages = error; COMMIT").await?;
    usable(&client).await?;
    assert!(messages.try_recv().is_err(), "a notice although none is wanted");
    Ok(())
}
