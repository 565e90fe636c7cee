//! COPY TO STDOUT of a query that is merged or finished: its rows, put into the format as they come.

use std::rc::Rc;

use pgherd_plan::copy::{CopyFormat, CopyQuery, Rows};
use pgherd_wire::{backend, frame};

use super::TRAILER;
use crate::sharded::branch::CopyOut;
use crate::sharded::coordinator::Coordinator;
use crate::sharded::encoding::Encoding;
use crate::sharded::execute::{Done, Job, about_own_text};
use crate::sharded::failure::Failure;
use crate::sharded::front::CopyData;
use crate::sharded::verb::Nature;

/// What a shard says of the same COPY without rows.
struct Probe {
    /// The body of the CopyOutResponse.
    response: Vec<u8>,
    /// All its data.
    data: Vec<u8>,
}

impl Coordinator {
    pub(super) async fn copy_query(
        &mut self,
        copy: &CopyQuery,
        job: &Job<'_>,
    ) -> Result<Done, Failure> {
        self.check_written_encoding(copy)?;
        let shape = match self.shape(&copy.query, &[]).await {
            Err(Failure::Reported(report)) => {
                return Err(Failure::Reported(report.shifted(copy.offset)));
            }
            shape => shape?,
        };
        let probe = match self.probe(&copy.probe).await {
            // Schemas are on some shards only.
            Err(failure) if failure.code() == "42P01" => {
                return Err(Failure::unsupported(
                    "COPY of a query over tables that are on different shards",
                    "Use the query by itself.",
                ));
            }
            probe => probe?,
        };
        let put = |tag: u8, body: &[u8]| {
            self.front.put(|out| frame::put(out, tag, |out| out.extend_from_slice(body)));
        };
        put(backend::tag::COPY_OUT, &probe.response);
        let is_binary = copy.options.format == CopyFormat::Binary;
        let header = match is_binary {
            true => probe.data.strip_suffix(TRAILER).unwrap_or_default().to_vec(),
            false => Vec::new(),
        };
        if !is_binary && !probe.data.is_empty() {
            put(backend::tag::COPY_DATA, &probe.data);
        }
        let names = column_names(shape.row.as_deref().unwrap_or_default());
        let rows = Rows::new(&copy.options, &names);
        let outer = self.front.begin_copy_data(data(rows, is_binary, header.clone()));
        let inner = Job {
            text: &copy.query,
            formats: &[i16::from(is_binary)],
            is_simple: false,
            nature: Nature::Reads,
            statement: None,
            ..*job
        };
        let done = Box::pin(self.carry_out((*copy.plan).clone(), &inner)).await;
        let front = Rc::clone(&self.front);
        let count = front.end_copy_data(outer);
        done.map_err(about_own_text)?;
        let put = |tag: u8, body: &[u8]| {
            front.put(|out| frame::put(out, tag, |out| out.extend_from_slice(body)));
        };
        if is_binary {
            let header = if count == 0 { header } else { Vec::new() };
            put(backend::tag::COPY_DATA, &[&header[..], TRAILER].concat());
        }
        put(backend::tag::COPY_DONE, &[]);
        Ok(Done::tagged(&format!("COPY {count}")))
    }

    /// Rows come in the client's encoding.
    fn check_written_encoding(&self, copy: &CopyQuery) -> Result<(), Failure> {
        let own = Encoding::of(&self.front.params());
        let wanted = copy.options.encoding.as_deref().map_or(own, Encoding::named);
        let options = &copy.options;
        // In others bytes of ASCII can be parts of characters.
        let is_plain =
            options.null.is_ascii() && options.force_quote.iter().all(|it| it.is_ascii());
        let is_written = own == Encoding::Utf8 || own == Encoding::Latin1 && is_plain;
        if own == wanted && is_written {
            return Ok(());
        }
        Err(Failure::unsupported(
            "COPY of a query in another encoding than the client's, or than UTF8 and LATIN1",
            "Set client_encoding to UTF8.",
        ))
    }

    async fn probe(&mut self, sql: &str) -> Result<Probe, Failure> {
        let branch = self.branch(self.any_shard()).await?;
        branch.ask_for_copy(sql).await.map_err(about_own_text)?;
        let mut probe = Probe { response: Vec::new(), data: Vec::new() };
        loop {
            match branch.copy_out().await.map_err(about_own_text)? {
                CopyOut::Begin(body) => probe.response = body,
                CopyOut::Data(data) => probe.data.extend_from_slice(&data),
                CopyOut::Done(_) => return Ok(probe),
            }
        }
    }
}

/// The data for each row. Postgres sends the header of binary data with the first.
fn data(rows: Rows, is_binary: bool, mut header: Vec<u8>) -> Box<CopyData> {
    Box::new(move |row| {
        if is_binary {
            return Some([&std::mem::take(&mut header)[..], row].concat());
        }
        Some(rows.line(&backend::parse_data_row(row)?))
    })
}

/// The names in a RowDescription.
fn column_names(body: &[u8]) -> Vec<String> {
    let mut rest = body.get(2..).unwrap_or_default();
    let mut names = Vec::new();
    while let Some(end) = rest.iter().position(|&byte| byte == 0) {
        names.push(String::from_utf8_lossy(rest.get(..end).unwrap_or_default()).into_owned());
        rest = rest.get(end + 19..).unwrap_or_default();
    }
    names
}
