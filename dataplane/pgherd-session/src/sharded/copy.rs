//! COPY over shards: rows go to their shards as they come, and come from one shard after the other.

mod load;
mod query;
mod supply;

use std::rc::Rc;

use pgherd_parser::{CopyStmt, Node, Tree};
use pgherd_plan::copy::{
    Copy, CopyError, CopyFormat, CopyFrom, CopyOptions, CopyTo, Field, Splitter,
};
use pgherd_pool::Need;
use pgherd_wire::{ErrorResponse, backend, frame, frontend};

use super::branch::{Arguments, Branch, CopyOut, Question, Wrote};
use super::coordinator::Coordinator;
use super::encoding::Encoding;
use super::execute::{Done, Job};
use super::failure::{Failure, Report};
use super::places::Places;
use load::{Load, Stop};

/// The longest CopyData that is taken.
const MOST: usize = 1 << 30;

impl Coordinator {
    /// What Postgres says of the table of a COPY that is refused: Parse does not look at it.
    pub(crate) async fn judge_copied(&mut self, text: &str) -> Result<(), Failure> {
        let relation = match Tree::parse(text, self.strings()) {
            Ok(tree) => match tree.statements().next().and_then(|it| it.stmt()) {
                Some(Node::CopyStmt(copy)) => relation_of(copy),
                _ => None,
            },
            Err(_) => None,
        };
        let Some(relation) = relation else { return Ok(()) };
        let judged = self.judge(&format!("TABLE {relation}"), &[]).await;
        judged.map(drop).map_err(super::execute::about_own_text)
    }

    pub(crate) async fn copy_plan(&mut self, copy: &Copy, job: &Job<'_>) -> Result<Done, Failure> {
        match copy {
            Copy::From(from) => match from.shards.as_slice() {
                [shard] => self.on_one(*shard, job).await,
                _ => self.copy_from(from, job).await,
            },
            Copy::To(to) => self.copy_to(to).await,
            Copy::Query(query) => self.copy_query(query, job).await,
        }
    }

    async fn copy_from(&mut self, from: &CopyFrom, job: &Job<'_>) -> Result<Done, Failure> {
        let encoding = self.encoding_of(from)?;
        self.may_write(&from.shards).await?;
        let loaded = self.catalog().await?;
        let begun = self.begin_own();
        for shard in &from.shards {
            self.branch(*shard).await?;
        }
        let constant = self.constant(from).await?;
        let text = from.supply.as_ref().map_or(job.text, |it| it.text.as_str());
        let mut response = None;
        for (index, shard) in from.shards.iter().enumerate() {
            let branch = self.branch(*shard).await?;
            branch.wrote = branch.wrote.max(Wrote::Perhaps);
            match branch.begin_copy(text).await {
                Ok(body) => response = Some(response.unwrap_or(body)),
                Err(failure) => {
                    self.give_up(from.shards.get(..index).unwrap_or_default()).await?;
                    return Err(failure);
                }
            }
        }
        // The client waits for it.
        self.front.release();
        let body = supply::response(from, response.unwrap_or_default());
        self.front.put(|out| {
            frame::put(out, backend::tag::COPY_IN, |out| out.extend_from_slice(&body));
        });
        self.front.flush().await?;
        let tag = self.take_rows(from, constant, encoding, &loaded.places).await?;
        self.end_own(begun).await?;
        Ok(Done { tag })
    }

    /// The encoding of the data. The borders of rows are bytes of ASCII; there are encodings where
    /// they can be parts of other characters.
    fn encoding_of(&self, from: &CopyFrom) -> Result<Encoding, Failure> {
        let options = &from.options;
        let params = self.front.params();
        let own = Encoding::of(&params);
        let encoding = options.encoding.as_deref().map_or(own, Encoding::named);
        let is_plain =
            options.null.is_ascii() && options.default.as_ref().is_none_or(|it| it.is_ascii());
        let is_readable = match encoding {
            Encoding::Utf8 => true,
            Encoding::Latin1 => is_plain,
            Encoding::Other => options.format == CopyFormat::Binary,
        };
        if is_readable && (from.supply.is_none() || encoding == own) {
            return Ok(encoding);
        }
        let name = options.encoding.as_deref().or(params.get("client_encoding"));
        Err(Failure::unsupported(
            format!("COPY FROM in the encoding {}", name.unwrap_or_default()),
            "Set client_encoding to UTF8 and convert the data.",
        ))
    }

    /// Shards that read data already are told that none comes.
    async fn give_up(&mut self, shards: &[usize]) -> Result<(), Failure> {
        for shard in shards {
            let Some(branch) = self.branches.get(*shard) else { continue };
            branch.end_copy(Some(b"another shard has refused it")).await?;
            match branch.copy_ended().await {
                Ok(_) | Err(Failure::Reported(_)) => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    }

    /// Takes the client's data to its end. The command tag.
    async fn take_rows(
        &mut self,
        from: &CopyFrom,
        constant: Option<load::Values>,
        encoding: Encoding,
        places: &Places,
    ) -> Result<Vec<u8>, Failure> {
        use frontend::tag;
        let name = from.key.and_then(|_| from.table.columns.get(from.table.key()?));
        let mut splitter =
            Splitter::new(&from.options, from.key, name.map_or("", |it| it.name.as_str()));
        if from.supply.is_some() {
            splitter = splitter.counting();
        }
        let mut load = Load::new(from, places, encoding);
        load.constant = constant;
        loop {
            let message = self.front.message(MOST).await?;
            let stopped = match message.tag {
                _ if message.is_too_long => return Err(self.too_long()),
                tag::COPY_DATA => splitter.push(&message.body, |piece| load.take(piece)),
                tag::COPY_DONE => splitter.finish(|piece| load.take(piece)),
                tag::COPY_FAIL => {
                    let reason = message.body.strip_suffix(b"\0").unwrap_or(&message.body);
                    return self.fail_load(&mut load, reason).await;
                }
                // Postgres ignores them in the middle of a copy.
                tag::SYNC | tag::FLUSH => Ok(()),
                other => return Err(self.front.lost_in_copy(other).into()),
            };
            let ends = message.tag == tag::COPY_DONE;
            // Rows before one that is wrong may be wrong themselves.
            let stopped = match self.supply(&mut load, ends || stopped.is_err()).await? {
                Err(stop) => Err(stop),
                Ok(()) => stopped,
            };
            if ends {
                load.end();
            }
            if let Err(stop) = stopped {
                return self.stop_load(load, Some(stop)).await;
            }
            if ends {
                return self.stop_load(load, None).await;
            }
            if self.send_rows(&mut load, false).await? {
                return self.stop_load(load, None).await;
            }
        }
    }

    /// Sends what has been collected. Whether a shard has given up.
    async fn send_rows(&mut self, load: &mut Load<'_>, all: bool) -> Result<bool, Failure> {
        let mut gave_up = false;
        for target in &mut load.targets {
            let Some(branch) = self.branches.get(target.shard) else { continue };
            if target.failed.is_some() || !target.is_due(all) {
                continue;
            }
            if target.has_rows {
                branch.wrote = Wrote::Yes;
            }
            branch.put_copy(&std::mem::take(&mut target.pending)).await?;
            target.failed = branch.copy_error()?;
            gave_up |= target.failed.is_some();
        }
        Ok(gave_up)
    }

    /// No more data comes: all shards finish what they have, and the first error by the client's
    /// lines is the one that one Postgres would have found.
    async fn stop_load(
        &mut self,
        mut load: Load<'_>,
        stop: Option<Stop>,
    ) -> Result<Vec<u8>, Failure> {
        self.send_rows(&mut load, true).await?;
        for target in load.targets.iter_mut().filter(|it| it.failed.is_none() && it.is_open) {
            let Some(branch) = self.branches.get(target.shard) else { continue };
            branch.end_copy(None).await?;
        }
        let (mut rows, mut failure) = (Vec::new(), None::<(u64, Failure)>);
        for target in &mut load.targets {
            let Some(branch) = self.branches.get(target.shard) else { continue };
            let failed = if target.is_open {
                match branch.copy_ended().await {
                    Ok(completed) => {
                        target.tags.push(completed.tag);
                        target.failed.take()
                    }
                    // Reported before the end, if at all, was the first error.
                    Err(Failure::Reported(report)) => Some(target.failed.take().unwrap_or(report)),
                    Err(failure) => return Err(failure),
                }
            } else {
                target.failed.take()
            };
            let of_target = std::mem::take(&mut target.tags).into_iter();
            rows.extend(of_target.reduce(|sum, tag| super::execute::added(&sum, &tag)));
            let Some(report) = failed else { continue };
            let (line, report) = target.about_client(load.from, report);
            if failure.as_ref().is_none_or(|(first, _)| line < *first) {
                failure = Some((line, Failure::Reported(report)));
            }
        }
        if let Some(stop) = stop {
            let line = stop.line();
            if failure.as_ref().is_none_or(|(first, _)| line < *first) {
                failure = Some((line, self.stopped(stop, load.from).await?));
            }
        }
        match failure {
            Some((_, failure)) => Err(failure),
            None => Ok(load.tag(&rows)),
        }
    }

    /// The client gives up.
    async fn fail_load(&mut self, load: &mut Load<'_>, reason: &[u8]) -> Result<Vec<u8>, Failure> {
        for target in load.targets.iter().filter(|it| it.failed.is_none() && it.is_open) {
            let Some(branch) = self.branches.get(target.shard) else { continue };
            branch.end_copy(Some(reason)).await?;
        }
        let mut failure = None;
        for target in load.targets.iter_mut().filter(|it| it.is_open) {
            let Some(branch) = self.branches.get(target.shard) else { continue };
            match branch.copy_ended().await {
                Ok(_) => {}
                Err(Failure::Reported(report)) => {
                    let report = report.with_line(load.line + 1);
                    failure.get_or_insert(Failure::Reported(report));
                }
                Err(failure) => return Err(failure),
            }
        }
        let other = || Failure::error("57014", "COPY from stdin failed");
        Err(failure.unwrap_or_else(other))
    }

    /// The error about data that goes to no shard: Postgres's own where it has one.
    async fn stopped(&mut self, stop: Stop, from: &CopyFrom) -> Result<Failure, Failure> {
        let table = from.table.name.as_str();
        match stop {
            Stop::Data(CopyError { sqlstate: "0A000", message, .. }) => {
                Ok(Failure::error("0A000", message))
            }
            Stop::Data(error) => {
                let context = format!("COPY {table}, line {}", error.line);
                let mut body = ErrorResponse::error(error.sqlstate, error.message);
                if let Some(hint) = error.hint {
                    body = body.hint(hint);
                }
                Ok(Failure::Reported(Report::of(&body).with_context(&context)))
            }
            Stop::Fields { given, expected, line } => {
                let text = format!("row field count is {given}, expected {expected}");
                let error = ErrorResponse::error("22P04", text);
                let context = format!("COPY {table}, line {line}");
                Ok(Failure::Reported(Report::of(&error).with_context(&context)))
            }
            Stop::Unplaced { key, line } => self.unplaced(key, line, from).await,
        }
    }

    /// A key that has no shard: is it a value at all?
    async fn unplaced(
        &mut self,
        key: Field,
        line: u64,
        from: &CopyFrom,
    ) -> Result<Failure, Failure> {
        let table = from.table.name.as_str();
        let refused = |what: &str| {
            let text = format!("COPY into {table} with {what} as sharding key in line {line}");
            Failure::unsupported(text, "Give a value that has a shard, as Postgres writes it.")
        };
        let column = from.table.key().and_then(|it| from.table.columns.get(it));
        let (Field::Value(value), Some(column)) = (&key, column) else {
            let what = if key == Field::Null { "NULL" } else { "its default" };
            return Ok(refused(what));
        };
        if from.options.format == CopyFormat::Binary {
            return Ok(refused("a value that has no shard"));
        }
        let mut arguments = Arguments::NONE;
        arguments.push(false, Some(value));
        let types = [column.type_oid];
        let question =
            Question { sql: b"SELECT $1", types: &types, arguments: &arguments, formats: &[1] };
        // By itself: the transaction, if there is one, has failed.
        let shard = from.shards.first().copied().unwrap_or_default();
        let mut branch = Branch::open(&self.front, &self.sites, shard, Need::WRITE).await?;
        branch.is_quiet = true;
        match branch.ask(&question, &mut |_| Ok(())).await {
            Ok(_) => Ok(refused("a value that has no shard")),
            Err(Failure::Reported(report)) => {
                let shown: String = String::from_utf8_lossy(value).chars().take(100).collect();
                let more = if shown.len() < value.len() { "..." } else { "" };
                let place = format!("COPY {table}, line {line}, column {}", column.name);
                let context = format!("{place}: \"{shown}{more}\"");
                Ok(Failure::Reported(report.with_context(&context)))
            }
            Err(failure) => Err(failure),
        }
    }

    async fn copy_to(&mut self, to: &CopyTo) -> Result<Done, Failure> {
        for shard in &to.shards {
            self.branch(*shard).await?;
        }
        let mut tags = Vec::new();
        for (index, shard) in to.shards.iter().enumerate() {
            let mut output = Output::new(&to.options, index == 0, index + 1 == to.shards.len());
            let front = Rc::clone(&self.front);
            let put = |tag: u8, body: &[u8]| {
                front.put(|out| frame::put(out, tag, |out| out.extend_from_slice(body)));
            };
            let branch = self.branch(*shard).await?;
            branch.wrote = branch.wrote.max(Wrote::Perhaps);
            branch.ask_for_copy(&to.text).await?;
            loop {
                match branch.copy_out().await? {
                    CopyOut::Begin(body) if index == 0 => {
                        front.release();
                        put(backend::tag::COPY_OUT, &body);
                    }
                    CopyOut::Begin(_) => {}
                    CopyOut::Data(data) => {
                        output.pieces(&data).iter().for_each(|it| put(backend::tag::COPY_DATA, it));
                        front.relieve().await?;
                    }
                    CopyOut::Done(tag) => {
                        tags.push(tag);
                        break;
                    }
                }
            }
        }
        self.front.put(|out| frame::put(out, backend::tag::COPY_DONE, |_| {}));
        let mut tags = tags.into_iter();
        let first = tags.next().unwrap_or_default();
        Ok(Done { tag: tags.fold(first, |sum, tag| super::execute::added(&sum, &tag)) })
    }
}

/// The name of the table, in quotes.
fn relation_of(copy: CopyStmt<'_>) -> Option<String> {
    let Some(Node::RangeVar(relation)) = copy.relation() else { return None };
    let quoted = |name: &[u8]| super::transaction::quoted(&String::from_utf8_lossy(name));
    let name = quoted(relation.relname()?);
    Some(match relation.schemaname() {
        Some(schema) => format!("{}.{name}", quoted(schema)),
        None => name,
    })
}

/// What of a shard's data the client gets: a header and a trailer once.
struct Output {
    format: CopyFormat,
    header: bool,
    is_first: bool,
    is_last: bool,
    begun: bool,
}

/// The trailer in binary.
const TRAILER: &[u8] = &[0xff, 0xff];

impl Output {
    fn new(options: &CopyOptions, is_first: bool, is_last: bool) -> Self {
        let CopyOptions { format, header, .. } = *options;
        Self { format, header, is_first, is_last, begun: false }
    }

    fn pieces<'d>(&mut self, data: &'d [u8]) -> Vec<&'d [u8]> {
        let begins = !std::mem::replace(&mut self.begun, true);
        if self.format != CopyFormat::Binary {
            let drops = begins && self.header && !self.is_first;
            return if drops { Vec::new() } else { vec![data] };
        }
        let header = match begins {
            true => binary_header(data).min(data.len()),
            false => 0,
        };
        let (head, rest) = data.split_at(header);
        let rest = if rest == TRAILER && !self.is_last { &[] } else { rest };
        match (self.is_first, rest) {
            (true, []) if head.is_empty() => Vec::new(),
            (true, []) => vec![head],
            (true, _) if rest.len() + head.len() == data.len() => vec![data],
            (true, _) => vec![head, rest],
            (false, []) => Vec::new(),
            (false, _) => vec![rest],
        }
    }
}

/// Signature, flags, and an extension of its own length.
fn binary_header(data: &[u8]) -> usize {
    let length = data.get(15..19).and_then(|it| <[u8; 4]>::try_from(it).ok());
    let length = length.map_or(0, i32::from_be_bytes);
    19_usize.saturating_add(usize::try_from(length).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(format: CopyFormat, header: bool, shards: &[&[&[u8]]]) -> String {
        let mut out = Vec::new();
        for (index, data) in shards.iter().enumerate() {
            let (is_first, is_last) = (index == 0, index + 1 == shards.len());
            let mut output = Output { format, header, is_first, is_last, begun: false };
            for data in *data {
                out.extend(output.pieces(data).concat());
            }
        }
        out.escape_ascii().to_string()
    }

    #[test]
    fn headers_and_trailers_come_once() {
        let csv = shown(CopyFormat::Csv, true, &[&[b"a\n", b"1\n"], &[b"a\n"], &[b"a\n", b"2\n"]]);
        assert_eq!(csv, "a\\n1\\n2\\n");
        let text = shown(CopyFormat::Text, false, &[&[b"1\n"], &[], &[b"2\n"]]);
        assert_eq!(text, "1\\n2\\n");
        let head = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
        let with = |rest: &[u8]| [head.as_slice(), rest].concat();
        let (empty, one, two) = (with(TRAILER), with(b"row1"), with(b"row2"));
        let binary = shown(
            CopyFormat::Binary,
            false,
            &[&[&empty], &[&one, TRAILER], &[&empty], &[&two, b"row3", TRAILER]],
        );
        let expected = with(b"row1row2row3\xff\xff").escape_ascii().to_string();
        assert_eq!(binary, expected);
    }
}
