//! A statement sent in one of several ways, and all that comes back.

use anyhow::{Context, Result, ensure};
use pgherd_harness::raw::{Client, Message, frontend};

/// How a statement is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// As a simple query; not with parameters.
    Simple,
    /// Everything in one batch, text in and out, as libpq does.
    Text,
    /// A named statement, described first, then binary in and out, as most drivers do.
    Binary,
}

/// A value of a parameter in both formats.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parameter {
    pub text: Option<Vec<u8>>,
    pub binary: Option<Vec<u8>>,
}

/// One column, as a RowDescription has it, without the table that it is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub type_oid: u32,
    pub size: i16,
    pub modifier: i32,
    pub format: u16,
}

/// What is said of an error besides its code and message: detail, hint, position.
pub type Rest = Vec<(u8, Option<String>)>;

/// What a client sees of a statement.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    /// Of the parameters, where they were asked for.
    pub types: Option<Vec<u32>>,
    pub columns: Vec<Column>,
    pub rows: Vec<Vec<Option<Vec<u8>>>>,
    pub tags: Vec<String>,
    /// SQLSTATE and message.
    pub error: Option<(String, String)>,
    pub rest: Rest,
    /// Of the last ReadyForQuery.
    pub status: u8,
}

impl Way {
    pub const ALL: [Self; 3] = [Self::Simple, Self::Text, Self::Binary];

    pub fn name(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::Text => "text",
            Self::Binary => "binary",
        }
    }
}

/// Sends a statement; an error means that the connection is of no more use.
pub fn ask(client: &mut Client, way: Way, sql: &str, parameters: &[Parameter]) -> Result<Reply> {
    let mut reply = Reply::default();
    let text: Vec<_> = parameters.iter().map(|it| it.text.as_deref()).collect();
    let binary: Vec<_> = parameters.iter().map(|it| it.binary.as_deref()).collect();
    match way {
        Way::Simple => {
            client.send(&frontend::query(sql))?;
            take(client, &mut reply)?;
        }
        Way::Text => {
            let batch = [
                frontend::parse("", sql, &[]),
                frontend::bind("", "", &text),
                frontend::describe_portal(""),
                frontend::execute("", 0),
                frontend::sync(),
            ];
            client.send(&batch.concat())?;
            take(client, &mut reply)?;
        }
        Way::Binary => {
            let batch = [
                frontend::parse("s", sql, &[]),
                frontend::describe_statement("s"),
                frontend::sync(),
            ];
            client.send(&batch.concat())?;
            take(client, &mut reply)?;
            if reply.error.is_some() {
                return Ok(reply);
            }
            for column in &mut reply.columns {
                column.format = 1;
            }
            let batch = [
                frontend::bind_formats("", "s", &binary, 1, 1),
                frontend::execute("", 0),
                frontend::sync(),
            ];
            client.send(&batch.concat())?;
            take(client, &mut reply)?;
            client.send(&[frontend::close_statement("s"), frontend::sync()].concat())?;
            let closed = client.until_ready(1)?;
            ensure!(closed.last().is_some_and(|it| it.tag == b'Z'), "closed: {closed:?}");
        }
    }
    Ok(reply)
}

/// The binary form of parameters, as Postgres writes it.
pub fn parameters(
    whole: &mut Client,
    sql: &str,
    values: &[Option<String>],
) -> Result<Vec<Parameter>> {
    if values.is_empty() {
        return Ok(Vec::new());
    }
    let batch = [frontend::parse("", sql, &[]), frontend::describe_statement(""), frontend::sync()];
    whole.send(&batch.concat())?;
    let mut described = Reply::default();
    take(whole, &mut described)?;
    let types = described.types.unwrap_or_default();
    let mut parameters = Vec::new();
    for (index, value) in values.iter().enumerate() {
        let text = value.as_ref().map(|it| it.clone().into_bytes());
        let oid = types.get(index).copied().unwrap_or(25);
        let batch = [
            frontend::parse("", "SELECT $1", &[oid]),
            frontend::bind_formats("", "", &[text.as_deref()], 0, 1),
            frontend::execute("", 0),
            frontend::sync(),
        ];
        whole.send(&batch.concat())?;
        let mut reply = Reply::default();
        take(whole, &mut reply)?;
        // What is no value of the type is an error in both formats.
        let binary = reply.rows.into_iter().next().and_then(|row| row.into_iter().next());
        let binary = binary.unwrap_or_else(|| text.clone());
        parameters.push(Parameter { text, binary });
    }
    Ok(parameters)
}

/// Adds all that comes up to ReadyForQuery.
fn take(client: &mut Client, reply: &mut Reply) -> Result<()> {
    loop {
        let message = client.expect_message()?;
        match message.tag {
            b't' => reply.types = Some(numbers(&message.body)),
            b'T' => reply.columns = columns(&message).context("a RowDescription")?,
            b'D' => {
                let row = message.data_row().context("a DataRow")?;
                reply.rows.push(row.into_iter().map(|it| it.map(<[u8]>::to_vec)).collect());
            }
            b'C' => reply.tags.push(text(&message.body)),
            b'I' => reply.tags.push("empty".to_owned()),
            b'E' => {
                let field = |code| message.field(code);
                reply.error =
                    Some((field(b'C').unwrap_or_default(), field(b'M').unwrap_or_default()));
                reply.rest = b"SDHPWstcdn".iter().map(|code| (*code, field(*code))).collect();
            }
            // Nothing is copied in; what is copied out counts as rows.
            b'G' => client.send(&frontend::copy_done())?,
            b'd' => reply.rows.push(vec![Some(message.body)]),
            b'Z' => {
                reply.status = message.body.first().copied().unwrap_or(0);
                return Ok(());
            }
            _ => {}
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.strip_suffix(b"\0").unwrap_or(bytes)).into_owned()
}

fn numbers(body: &[u8]) -> Vec<u32> {
    let all = body.get(2..).unwrap_or_default();
    all.chunks_exact(4).map(|it| u32::from_be_bytes([it[0], it[1], it[2], it[3]])).collect()
}

fn columns(message: &Message) -> Option<Vec<Column>> {
    let names = message.columns()?;
    let mut rest = message.body.get(2..)?;
    let mut columns = Vec::new();
    for name in names {
        rest = rest.get(name.len() + 1..)?;
        let (attributes, tail) = rest.split_first_chunk::<18>()?;
        let [_, _, _, _, _, _, a, b, c, d, e, f, g, h, i, j, k, l] = *attributes;
        columns.push(Column {
            name,
            type_oid: u32::from_be_bytes([a, b, c, d]),
            size: i16::from_be_bytes([e, f]),
            modifier: i32::from_be_bytes([g, h, i, j]),
            format: u16::from_be_bytes([k, l]),
        });
        rest = tail;
    }
    Some(columns)
}
