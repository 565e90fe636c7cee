//! A session on the admin database: simple queries, answered by the console.

use std::fmt;
use std::io;

use pgherd_pool::Socket;
use pgherd_wire::backend::{self, Column, tag as backend_tag};
use pgherd_wire::frame::Header;
use pgherd_wire::{ErrorResponse, TransactionStatus, frontend, sqlstate};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::shared::Shared;

/// Runs the commands of the admin database.
pub trait AdminConsole: fmt::Debug + Send + Sync {
    /// Runs one statement. `admin` is the user who asks.
    fn run(&self, shared: &Shared, admin: &str, statement: &str) -> AdminReply;
}

/// What the console answers.
#[derive(Debug)]
pub enum AdminReply {
    /// Rows.
    Rows(Table),
    /// Done, with this command tag.
    Done(&'static str),
    /// Not done.
    Refused(ErrorResponse<'static>),
}

/// A result of the console.
#[derive(Debug, Default)]
pub struct Table {
    /// Names and type OIDs.
    pub columns: Vec<Column<'static>>,
    /// Values as text; `None` is NULL.
    pub rows: Vec<Vec<Option<String>>>,
    /// Command tag, such as `SHOW`.
    pub tag: &'static str,
}

/// The longest statement that the console reads.
const MAX_STATEMENT: usize = 64 * 1024;

/// Serves an admin who has logged in until it leaves. Cancel safe: nothing else is affected.
pub(crate) async fn serve(socket: &mut Socket, shared: &Shared, admin: &str) -> io::Result<()> {
    let mut buf = Vec::new();
    let mut skipping = false;
    loop {
        let header = loop {
            match Header::peek(&buf).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))? {
                Some(header) if header.body_len > MAX_STATEMENT => {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                Some(header) if buf.len() >= header.total_len() => break header,
                _ => {}
            }
            if socket.read_buf(&mut buf).await? == 0 {
                return Ok(());
            }
        };
        let mut out = Vec::new();
        match header.tag {
            frontend::tag::TERMINATE => return Ok(()),
            frontend::tag::SYNC => {
                skipping = false;
                backend::put_ready(&mut out, TransactionStatus::Idle);
            }
            _ if skipping => {}
            frontend::tag::QUERY => {
                let body = &buf[5..header.total_len()];
                answer(shared, admin, body.strip_suffix(&[0]).unwrap_or(body), &mut out);
                backend::put_ready(&mut out, TransactionStatus::Idle);
            }
            frontend::tag::FLUSH => {}
            _ => {
                skipping = true;
                ErrorResponse::error(
                    sqlstate::FEATURE_NOT_SUPPORTED,
                    "the admin database speaks the simple query protocol only",
                )
                .hint("Switch prepared statements off, as with psql.")
                .put(&mut out);
            }
        }
        buf.drain(..header.total_len());
        socket.write_all(&out).await?;
    }
}

fn answer(shared: &Shared, admin: &str, body: &[u8], out: &mut Vec<u8>) {
    let Ok(text) = std::str::from_utf8(body) else {
        ErrorResponse::error("22021", "the statement is not valid UTF-8").put(out);
        return;
    };
    let mut any = false;
    for statement in text.split(';').map(str::trim).filter(|statement| !statement.is_empty()) {
        any = true;
        match shared.admin.run(shared, admin, statement) {
            AdminReply::Rows(table) => put_table(&table, out),
            AdminReply::Done(tag) => backend::put_command_complete(out, tag),
            AdminReply::Refused(error) => {
                error.put(out);
                return;
            }
        }
    }
    if !any {
        backend::put_empty(out, backend_tag::EMPTY_QUERY);
    }
}

fn put_table(table: &Table, out: &mut Vec<u8>) {
    backend::put_row_description(out, &table.columns);
    for row in &table.rows {
        backend::put_data_row(out, row.iter().map(Option::as_deref));
    }
    backend::put_command_complete(out, table.tag);
}
