//! Two streams of replies, less what must differ.

use pgherd_harness::raw::Message;

/// The end of the connection in a stream.
const CLOSED: &str = "(closed)";

/// A stream of replies as comparable lines.
pub fn lines(messages: &[Message], closed: bool) -> Vec<String> {
    let end = closed.then(|| CLOSED.to_owned());
    messages.iter().map(line).chain(end).collect()
}

fn line(message: &Message) -> String {
    match (message.tag, message.body.get(4..)) {
        // The process that notified: another server connection in each run.
        (b'A', Some(rest)) => format!("A pid {}", rest.escape_ascii()),
        (b'K', _) => "K".to_owned(),
        (b'T', _) => format!("T {}", without_tables(&message.body).escape_ascii()),
        // The proxy may be the one who says it, and has no line of postgres.c to name.
        (b'E', _) if message.field(b'S').as_deref() == Some("FATAL") => {
            let fields = b"SVCMDH".map(|code| message.field(code).unwrap_or_default());
            format!("E {}", fields.join("|"))
        }
        // In a failed transaction a statement that is new to the server connection is refused by its
        // Parse, elsewhere by its Bind.
        (b'E', _) if message.sqlstate().as_deref() == Some("25P02") => {
            let fields = b"SVCM".map(|code| message.field(code).unwrap_or_default());
            format!("E {}", fields.join("|"))
        }
        // The proxy may have to say it itself, and cannot know the line in plancache.c.
        (b'E', _) if message.field(b'R').as_deref() == Some("RevalidateCachedQuery") => {
            let fields = b"SVCMFR".map(|code| message.field(code).unwrap_or_default());
            format!("E {}", fields.join("|"))
        }
        _ if message.body.len() > 4096 => {
            format!(
                "{} {} bytes, sum {}",
                message.tag.escape_ascii(),
                message.body.len(),
                sum(message)
            )
        }
        _ => format!("{message:?}"),
    }
}

/// A RowDescription without the OIDs of tables: some rows make their own.
fn without_tables(body: &[u8]) -> Vec<u8> {
    let mut out = body.to_vec();
    let mut at = 2;
    while let Some(zero) = out.get(at..).and_then(|rest| rest.iter().position(|&byte| byte == 0)) {
        let table = at + zero + 1;
        let Some(oid) = out.get_mut(table..table + 4) else { break };
        oid[..3].fill(0);
        oid[3] = u8::from(body[table..table + 4] != [0; 4]);
        at = table + 18;
    }
    out
}

/// Large bodies are compared by a checksum, so that a failure stays readable.
fn sum(message: &Message) -> u64 {
    // FNV-1a.
    message.body.iter().fold(0xcbf2_9ce4_8422_2325, |sum, &byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Nothing when equal; else both streams side by side from the first difference.
pub fn difference(expected: &[String], actual: &[String]) -> Option<String> {
    if expected == actual {
        return None;
    }
    let same = expected.iter().zip(actual).take_while(|(a, b)| a == b).count();
    let tail = |lines: &[String]| {
        let shown: Vec<String> =
            lines[same..].iter().take(8).map(|line| format!("      {line}")).collect();
        if shown.is_empty() { "      (nothing)".to_owned() } else { shown.join("\n") }
    };
    Some(format!(
        "    {same} messages agree, then Postgres says\n{}\n    and the subject says\n{}",
        tail(expected),
        tail(actual)
    ))
}
