//! Whole exchanges with a shard: something is asked, and read until the shard is ready again.

use std::rc::Rc;
use std::time::Duration;

use pgherd_pool::{Note, ServerError, WorkerStats};
use pgherd_wire::backend::{self, tag};
use pgherd_wire::description::row_type;
use pgherd_wire::frame::{self, Header};
use pgherd_wire::owed::{Audience, Request};
use pgherd_wire::{TransactionStatus, frontend};

use super::{Branch, Question, Reply};
use crate::salvage;
use crate::sharded::encoding::Encoding;
use crate::sharded::failure::{Failure, Report, result_type_changed};
use crate::sharded::oids::row_with_arrays;
use crate::sharded::shapes::Shape;

/// What came of statements that the proxy runs for itself.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// The last command tag.
    pub(crate) tag: String,
    /// Rows in text (of [`Branch::simple`]) or as asked.
    pub(crate) rows: Vec<Vec<Option<Vec<u8>>>>,
}

/// What of the replies goes to the client.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Passing<'a> {
    /// RowDescription, or NoData in the extended protocol.
    pub(crate) description: bool,
    /// ParseComplete and BindComplete.
    pub(crate) completions: bool,
    /// Rows and copy data.
    pub(crate) rows: bool,
    /// CommandComplete and EmptyQueryResponse.
    pub(crate) tags: bool,
    /// The RowDescription that is passed on instead. Rows of other names and types are refused.
    pub(crate) expected: Option<&'a [u8]>,
    /// Names and types of the columns that the client was told, as `row_type` gives them.
    pub(crate) columns: Option<&'a [u8]>,
}

/// How statements that were passed on have ended.
#[derive(Debug)]
pub(crate) struct Completed {
    /// The body of the last CommandComplete without its zero; empty for an empty query.
    pub(crate) tag: Vec<u8>,
    /// The body of the last RowDescription.
    pub(crate) description: Option<Vec<u8>>,
    pub(crate) status: TransactionStatus,
    /// The limit of Execute was reached.
    pub(crate) is_suspended: bool,
}

/// How long what is cancelled may take to end.
const ENDING: Duration = Duration::from_secs(2);

/// Takes the body of a DataRow.
type Each<'e> = dyn FnMut(&[u8]) -> Option<Result<(), Failure>> + 'e;

/// The reading of replies until the shard is ready.
struct Reading {
    completed: Completed,
    failed: Option<Report>,
}

impl Passing<'static> {
    pub(crate) const NOTHING: Self = Self {
        description: false,
        completions: false,
        rows: false,
        tags: false,
        expected: None,
        columns: None,
    };
    /// Rows only: the rest is said by somebody else.
    pub(crate) const ROWS: Self = Self { rows: true, ..Self::NOTHING };
    /// All that a client sees of a simple query.
    pub(crate) const ALL: Self =
        Self { description: true, rows: true, tags: true, ..Self::NOTHING };
}

impl Branch {
    /// Runs statements of the proxy in the simple protocol. An error is returned once the shard
    /// is ready again.
    pub(crate) async fn simple(&mut self, sql: &str) -> Result<Answer, Failure> {
        self.send_simple(sql.as_bytes(), Audience::Proxy).await?;
        self.answered().await
    }

    /// Sends a simple query without waiting for its answer.
    pub(crate) async fn send_simple(
        &mut self,
        sql: &[u8],
        audience: Audience,
    ) -> Result<(), Failure> {
        let mut out = Vec::with_capacity(sql.len() + 6);
        frontend::put_query(&mut out, &self.encoding().encode(sql)?);
        self.owes(Request::Query, audience);
        self.send(&out).await
    }

    /// Reads the answer to what [`Branch::send_simple`] has asked for the proxy.
    pub(crate) async fn answered(&mut self) -> Result<Answer, Failure> {
        let mut answer = Answer::default();
        let completed = self
            .read_rows(&mut |row| {
                let values = backend::parse_data_row(row)?;
                answer.rows.push(values.into_iter().map(|it| it.map(<[u8]>::to_vec)).collect());
                Some(Ok(()))
            })
            .await?;
        answer.tag = String::from_utf8_lossy(&completed.tag).into_owned();
        Ok(answer)
    }

    /// Asks in the extended protocol; `each` gets the body of every DataRow, and may end it all.
    /// Inside a transaction an error leaves that failed.
    pub(crate) async fn ask(
        &mut self,
        question: &Question<'_>,
        each: &mut dyn FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<Completed, Failure> {
        self.send_question(question, Audience::Proxy).await?;
        self.read_rows(&mut |row| Some(each(row))).await
    }

    /// Sends Parse, Bind, Describe, Execute and Sync in one write.
    pub(crate) async fn send_question(
        &mut self,
        question: &Question<'_>,
        audience: Audience,
    ) -> Result<(), Failure> {
        let mut out = Vec::with_capacity(question.sql.len() + question.arguments.size() + 128);
        self.put_parse(question, &mut out)?;
        self.put_bind(question, &mut out);
        frontend::put_target(&mut out, frontend::tag::DESCRIBE, frontend::Target::Portal, b"");
        frame::put(&mut out, frontend::tag::EXECUTE, |body| body.extend([0; 5]));
        frontend::put_empty(&mut out, frontend::tag::SYNC);
        for request in [
            Request::Parse,
            Request::Bind,
            Request::DescribePortal,
            Request::Execute,
            Request::Sync,
        ] {
            self.owes(request, audience);
        }
        self.send(&out).await
    }

    /// Asks what the shard makes of a statement, without running it.
    pub(crate) async fn describe(&mut self, question: &Question<'_>) -> Result<Shape, Failure> {
        let mut out = Vec::with_capacity(question.sql.len() + 64);
        self.put_parse(question, &mut out)?;
        let target = frontend::Target::Statement;
        frontend::put_target(&mut out, frontend::tag::DESCRIBE, target, b"");
        frontend::put_empty(&mut out, frontend::tag::SYNC);
        for request in [Request::Parse, Request::DescribeStatement, Request::Sync] {
            self.owes(request, Audience::Proxy);
        }
        self.send(&out).await?;
        let (mut shape, mut failed) = (Shape::default(), None);
        loop {
            match self.reply().await? {
                Reply::Error(report) => failed = Some(report),
                Reply::Ready(_) => {
                    return failed.map_or(Ok(shape), |it| Err(Failure::Reported(it)));
                }
                Reply::Message(header) if header.tag == tag::PARAMETER_DESCRIPTION => {
                    let types = self.body(header).await?.get(2..).unwrap_or_default();
                    let (types, _) = types.as_chunks::<4>();
                    let types = types.iter().map(|it| u32::from_be_bytes(*it));
                    let there: Vec<u32> = types.collect();
                    let here = |oid: &u32| match &self.translation {
                        Some(translation) => translation.type_here(*oid),
                        None => *oid,
                    };
                    shape.parameters = there.iter().map(here).collect();
                }
                Reply::Message(header) if header.tag == tag::ROW_DESCRIPTION => {
                    let row = self.body(header).await?.to_vec();
                    shape.row = Some(self.row_here(row)?);
                }
                Reply::Message(header) => self.drop_message(header).await?,
            }
        }
    }

    /// Asks whether the values fit a statement.
    pub(crate) async fn try_bind(&mut self, question: &Question<'_>) -> Result<(), Failure> {
        let mut out = Vec::with_capacity(question.sql.len() + question.arguments.size() + 128);
        self.put_parse(question, &mut out)?;
        self.put_bind(question, &mut out);
        frontend::put_empty(&mut out, frontend::tag::SYNC);
        for request in [Request::Parse, Request::Bind, Request::Sync] {
            self.owes(request, Audience::Proxy);
        }
        self.send(&out).await?;
        self.forward(Passing::NOTHING).await.map(drop)
    }

    /// A Parse with the OIDs of this shard.
    pub(super) fn put_parse(
        &self,
        question: &Question<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        let sql = self.encoding().encode(question.sql)?;
        let question = &Question { sql: &sql, ..*question };
        let Some(translation) = &self.translation else {
            question.put_parse(out);
            return Ok(());
        };
        translation.check(question)?;
        let types = question.types.iter().map(|it| translation.type_there(*it));
        let types: Vec<u32> = types.collect();
        Question { types: &types, ..*question }.put_parse(out);
        Ok(())
    }

    /// A Bind with the OIDs of this shard.
    fn put_bind(&self, question: &Question<'_>, out: &mut Vec<u8>) {
        let there = self.translation.as_ref().and_then(|it| it.arguments_there(question));
        let arguments = there.as_ref().unwrap_or(question.arguments);
        Question { arguments, ..*question }.put_bind(out, b"");
    }

    /// What the shard takes texts to be in.
    fn encoding(&self) -> Encoding {
        Encoding::of(&self.front.params())
    }

    /// Notes what is about to be sent.
    pub(crate) fn owes(&mut self, request: Request, audience: Audience) {
        if let Some(lease) = self.connection() {
            // Of a simple query, and of a Parse without a name.
            if matches!(request, Request::Query | Request::Parse) {
                lease.unnamed = 0;
            }
            lease.owed.push(request, audience, Note::default());
        }
    }

    /// Reads until the shard is ready, with rows for `each`, which says `None` of one that is
    /// malformed.
    async fn read_rows(&mut self, each: &mut Each<'_>) -> Result<Completed, Failure> {
        let mut reading = Reading::new();
        loop {
            match self.reply().await? {
                Reply::Error(report) => reading.fail(report),
                Reply::Ready(status) => return reading.end(status),
                Reply::Message(header) if header.tag == tag::DATA_ROW => {
                    match each(self.body(header).await?) {
                        Some(Ok(())) => {}
                        Some(Err(failure)) => {
                            self.abandon().await?;
                            return Err(failure);
                        }
                        None => return Err(Failure::malformed(self.shard, header.tag)),
                    }
                }
                Reply::Message(header) if header.tag == tag::COPY_IN => {
                    self.refuse_copy().await?;
                    self.drop_message(header).await?;
                }
                Reply::Message(header) => self.note(&mut reading, header).await?,
            }
        }
    }

    /// Reads until the shard is ready, and passes on to the client what is for it. An error is
    /// returned, not passed.
    pub(crate) async fn forward(&mut self, passing: Passing<'_>) -> Result<Completed, Failure> {
        let mut reading = Reading::new();
        let mut arrays = Vec::new();
        loop {
            let header = match self.reply().await? {
                Reply::Error(report) => {
                    reading.fail(report);
                    continue;
                }
                Reply::Ready(status) => return reading.end(status),
                Reply::Message(header) => header,
            };
            if header.tag == tag::BIND_COMPLETE {
                self.front.release();
            }
            reading.completed.is_suspended |= header.tag == tag::PORTAL_SUSPENDED;
            let passes = match header.tag {
                tag::DATA_ROW
                    if passing.rows && (self.front.is_capturing() || !arrays.is_empty()) =>
                {
                    let front = Rc::clone(&self.front);
                    let row = self.body(header).await?;
                    let kept = front.put_row(&row_with_arrays(row, &arrays));
                    if let Err(failure) = kept {
                        self.abandon().await?;
                        return Err(failure);
                    }
                    continue;
                }
                tag::DATA_ROW
                | tag::COPY_OUT
                | tag::COPY_DATA
                | tag::COPY_DONE
                | tag::FUNCTION_CALL_RESPONSE => passing.rows,
                tag::PARSE_COMPLETE | tag::BIND_COMPLETE => passing.completions,
                tag::ROW_DESCRIPTION => {
                    let body = self.body(header).await?.to_vec();
                    let body = match self.row_here(body) {
                        Ok(body) => body,
                        Err(failure) => {
                            self.abandon().await?;
                            return Err(failure);
                        }
                    };
                    if let Some(columns) = passing.columns
                        && row_type(&body).as_deref() != Some(columns)
                    {
                        self.abandon().await?;
                        return Err(result_type_changed());
                    }
                    if let Some(expected) = passing.expected
                        && row_type(expected) != row_type(&body)
                    {
                        self.abandon().await?;
                        return Err(Failure::unsupported(
                            "a query whose columns would be others",
                            "Cast them to the type that they shall have.",
                        ));
                    }
                    let translation = self.translation.as_ref();
                    arrays = translation.map_or_else(Vec::new, |it| it.arrays_in(&body));
                    if passing.description {
                        self.put_message(header.tag, passing.expected.unwrap_or(&body));
                    }
                    reading.completed.description = Some(body);
                    continue;
                }
                tag::COMMAND_COMPLETE | tag::EMPTY_QUERY => {
                    self.note(&mut reading, header).await?;
                    if passing.tags {
                        self.put_message(header.tag, &reading.body_of_tag(header.tag));
                    }
                    continue;
                }
                tag::COPY_IN if passing.rows => {
                    self.pass(header).await?;
                    self.copy_from_client().await?;
                    continue;
                }
                tag::COPY_IN => {
                    self.refuse_copy().await?;
                    false
                }
                _ => false,
            };
            if passes {
                self.pass(header).await?;
            } else {
                self.drop_message(header).await?;
            }
        }
    }

    /// A RowDescription with the OIDs that clients know.
    fn row_here(&mut self, body: Vec<u8>) -> Result<Vec<u8>, Failure> {
        match self.translation.clone() {
            None => Ok(body),
            Some(translation) => translation.row_here(&body).unwrap_or_else(|| Err(self.broken())),
        }
    }

    fn put_message(&self, tag: u8, body: &[u8]) {
        self.front.put(|out| frame::put(out, tag, |out| out.extend_from_slice(body)));
    }

    async fn note(&mut self, reading: &mut Reading, header: Header) -> Result<(), Failure> {
        match header.tag {
            tag::COMMAND_COMPLETE => {
                let body = self.body(header).await?;
                let tag = backend::parse_command_tag(body).unwrap_or_default().to_vec();
                reading.completed.tag = tag;
                self.has_tag = true;
                if let Some(stats) = self.stats() {
                    WorkerStats::add(&stats.queries, 1);
                }
                Ok(())
            }
            tag::EMPTY_QUERY => {
                reading.completed.tag.clear();
                self.drop_message(header).await
            }
            tag::ROW_DESCRIPTION => {
                reading.completed.description = Some(self.body(header).await?.to_vec());
                Ok(())
            }
            tag::BIND_COMPLETE => {
                // The values are what they should be: what was said of that can be sent.
                self.front.release();
                self.drop_message(header).await
            }
            _ => self.drop_message(header).await,
        }
    }

    /// What is asked is not wanted any more: it is cancelled and read to its end.
    pub(crate) async fn abandon(&mut self) -> Result<(), Failure> {
        let unread = self.input.unscanned().to_vec();
        let skip = std::mem::take(&mut self.passing);
        self.input.advance(unread.len());
        self.input.compact();
        let Some(lease) = self.connection() else { return Err(Failure::Broken(self.shard)) };
        match salvage::cancel_and_drain(lease, unread, skip).await {
            Ok(_) | Err(ServerError::Reported(_)) => Ok(()),
            Err(_) => Err(self.broken()),
        }
    }

    /// The same within a time, after which the connection is closed.
    pub(crate) async fn give_up(&mut self) {
        let is_done = match self.is_cut || self.connection().is_none_or(|it| it.owed.is_copy_in()) {
            // Half of something was sent, or the server waits for data.
            true => false,
            false => tokio::time::timeout(ENDING, self.abandon()).await.is_ok(),
        };
        if !is_done {
            let _ = self.broken();
        }
    }

    /// The proxy has no data for a COPY that it has not foreseen.
    async fn refuse_copy(&mut self) -> Result<(), Failure> {
        let mut out = Vec::new();
        frontend::put_copy_fail(&mut out, b"COPY FROM STDIN is not expected here");
        if let Some(lease) = self.connection() {
            lease.owed.push_copy_end();
        }
        self.send(&out).await
    }
}

// === impl Reading ===

impl Reading {
    fn new() -> Self {
        let completed = Completed {
            tag: Vec::new(),
            description: None,
            status: TransactionStatus::Idle,
            is_suspended: false,
        };
        Self { completed, failed: None }
    }

    /// The first error counts.
    fn fail(&mut self, report: Report) {
        self.failed.get_or_insert(report);
    }

    fn end(mut self, status: TransactionStatus) -> Result<Completed, Failure> {
        self.completed.status = status;
        match self.failed {
            Some(report) => Err(Failure::Reported(report)),
            None => Ok(self.completed),
        }
    }

    fn body_of_tag(&self, tag: u8) -> Vec<u8> {
        match tag {
            tag::EMPTY_QUERY => Vec::new(),
            _ => [&self.completed.tag[..], b"\0"].concat(),
        }
    }
}
