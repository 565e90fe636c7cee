//! Rows of several shards that go to the client as they come, merged by what they are sorted by.
//!
//! A shard is read no further than its next row is needed, and no row is taken while the client does
//! not take those before it: memory is that of a row and a buffer for each shard.

use std::cmp::Ordering;
use std::rc::Rc;

use bytes::Bytes;
use pgherd_plan::{Merge, MergeKey};
use pgherd_types::merge::{Cut, Keys, Merger, Verdict};
use pgherd_types::{Collations, Comparator, Format, Settings, SortOrder, Type};
use pgherd_wire::ParamSet;
use pgherd_wire::backend::{self, tag};
use pgherd_wire::frame;
use pgherd_wire::owed::Audience;

use super::gather::about_own_text;
use super::{Done, Job};
use crate::sharded::branch::{Branch, Passing, Question, Reply};
use crate::sharded::coordinator::Coordinator;
use crate::sharded::failure::{Failure, Report};
use crate::sharded::front::Front;
use crate::sharded::orders::Orders;
use crate::sharded::shapes::{Shape, column_types};

/// Types from here on have other OIDs on other shards.
const FIRST_OF_DATABASE: u32 = 16_384;
/// `record` and its arrays.
const RECORDS: [u32; 2] = [2249, 2287];

/// `text`, `varchar`, `char(n)`, `name`.
const TEXTS: [u32; 4] = [25, 1043, 1042, 19];
/// Types whose text says all of a value, whatever the session's settings: bool, integers, oid,
/// numeric, uuid, bytea, `time`.
const PLAIN: [u32; 9] = [16, 21, 23, 20, 26, 1700, 2950, 17, 1083];
/// Types whose text is read as ISO has it: date, timestamp, timestamptz.
const DATES: [u32; 3] = [1082, 1114, 1184];

/// How rows are sorted and what of them is sent.
struct Sorting {
    keys: Vec<(MergeKey, Type, Format)>,
    orders: Vec<SortOrder>,
    /// Formats of the shards' results.
    formats: Vec<i16>,
    hidden: usize,
}

/// Each shard's rows must come in the order in which they are merged: a library whose locales were
/// changed would say otherwise.
struct Guard<'s> {
    orders: &'s [SortOrder],
    /// Of each source.
    last: Vec<Option<Keys>>,
}

/// One shard's rows.
struct Source<'b> {
    branch: &'b mut Branch,
    failed: Option<Report>,
    /// It is ready for another query.
    is_done: bool,
}

impl Coordinator {
    pub(super) async fn merge_plan(
        &mut self,
        merge: Merge,
        job: &Job<'_>,
    ) -> Result<Done, Failure> {
        let shape = self.shape(job.text, job.types).await?;
        let types = if job.is_simple { &shape.parameters } else { job.types };
        let loaded = self.catalog().await?;
        let Some(sorting) = Sorting::new(&merge, &shape, job.formats, &loaded.orders) else {
            return Box::pin(self.carry_out(*merge.otherwise, job)).await;
        };
        self.open_branches(&merge.shards).await?;
        let is_raw = self.gets_raw_text();
        if !sorting.is_readable(&self.front.params(), is_raw)
            || sorting.is_linguistic() && !self.orders_as_shards_do(&merge.shards).await?
        {
            return Box::pin(self.carry_out(*merge.otherwise, job)).await;
        }
        let front = Rc::clone(&self.front);
        let question = Question {
            sql: merge.query.as_bytes(),
            types,
            arguments: job.arguments,
            formats: &sorting.formats,
        };
        let mut sources = Vec::new();
        for branch in self.branches.iter_mut().filter(|it| merge.shards.contains(&it.shard)) {
            branch.send_question(&question, Audience::Client).await?;
            sources.push(Source { branch, failed: None, is_done: false });
        }
        let sent = match merge.limit.is_none() && merge.offset == 0 && merge.keys.is_empty() {
            true => concatenated(&mut sources, &shape, job).await,
            false => merged(&merge, &sorting, &mut sources, &front, &shape, job).await,
        };
        for source in &mut sources {
            if !source.is_done && source.branch.is_alive() {
                source.branch.abandon().await?;
            }
        }
        let rows = sent.map_err(about_own_text)?;
        Ok(Done::tagged(&format!("SELECT {rows}")))
    }
}

impl Coordinator {
    /// Whether the open branches send text in the bytes that their servers compare.
    fn gets_raw_text(&mut self) -> bool {
        let params = self.front.params();
        let asked = params.get("client_encoding").unwrap_or_default();
        self.branches.iter_mut().all(|branch| {
            let welcome = branch.connection().and_then(|lease| lease.pool().welcome());
            welcome.is_some_and(|it| it.get("server_encoding") == Some(asked))
        })
    }

    /// Whether text is compared here as by the servers of the open branches: in UTF-8, by the same
    /// version of the library.
    async fn orders_as_shards_do(&mut self, shards: &[usize]) -> Result<bool, Failure> {
        if self.front.params().get("client_encoding") != Some("UTF8") {
            return Ok(false);
        }
        for branch in self.branches.iter_mut().filter(|it| shards.contains(&it.shard)) {
            if !branch.has_own_library().await? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The rows of one shard behind those of another, byte by byte. Returns how many they were.
async fn concatenated(
    sources: &mut [Source<'_>],
    shape: &Shape,
    job: &Job<'_>,
) -> Result<u64, Failure> {
    let mut rows = 0;
    for (index, source) in sources.iter_mut().enumerate() {
        let passing = match index {
            0 => Passing { expected: shape.row.as_deref(), ..job.passing() },
            _ => Passing::ROWS,
        };
        let completed = source.branch.forward(passing).await;
        // An error too is only said once the shard is ready.
        source.is_done = matches!(completed, Ok(_) | Err(Failure::Reported(_)));
        let tag = completed?.tag;
        let count = tag.rsplit(|&byte| byte == b' ').next().unwrap_or_default();
        rows += std::str::from_utf8(count).ok().and_then(|it| it.parse().ok()).unwrap_or(0_u64);
    }
    Ok(rows)
}

async fn merged(
    merge: &Merge,
    sorting: &Sorting,
    sources: &mut [Source<'_>],
    front: &Front,
    shape: &Shape,
    job: &Job<'_>,
) -> Result<u64, Failure> {
    let mut merger = Merger::new(sorting.orders.clone(), sources.len());
    let mut cut = Cut::new(sorting.orders.clone(), merge.offset, merge.limit, merge.with_ties);
    let mut heads: Vec<Option<Bytes>> = vec![None; sources.len()];
    let mut wanted: Vec<usize> = merger.wanted().collect();
    let mut guard = sorting.is_linguistic().then(|| Guard::new(sorting, sources.len()));
    let (mut sent, mut is_described) = (0, false);
    loop {
        for index in wanted.drain(..) {
            let Some(source) = sources.get_mut(index) else { continue };
            let shard = source.branch.shard;
            match source.next(front, sorting).await? {
                Some(row) => {
                    let keys = sorting.keys_of(&row);
                    let keys = keys.ok_or_else(|| Failure::malformed(shard, tag::DATA_ROW))?;
                    if let Some(guard) = &mut guard {
                        guard.check(index, &keys)?;
                    }
                    merger.offer(index, keys).map_err(|_| Failure::malformed(shard, b'D'))?;
                    if let Some(head) = heads.get_mut(index) {
                        *head = Some(row);
                    }
                }
                None => merger.close(index),
            }
        }
        // All shards have understood the query.
        if job.is_simple && !is_described {
            is_described = true;
            let row = shape.row.as_deref().unwrap_or_default();
            front.put(|out| {
                frame::put(out, backend::tag::ROW_DESCRIPTION, |body| body.extend_from_slice(row));
            });
        }
        let Some((index, keys)) = merger.pop() else { break };
        wanted.push(index);
        let head = heads.get_mut(index).and_then(Option::take).unwrap_or_default();
        match cut.judge(keys).map_err(|_| Failure::malformed(index, b'D'))? {
            Verdict::Skip => {}
            Verdict::Send => {
                let row = without_last(&head, sorting.hidden);
                front.put_row(&row.ok_or_else(|| Failure::malformed(index, b'D'))?)?;
                front.relieve().await?;
                sent += 1;
            }
            Verdict::Stop => break,
        }
    }
    for source in sources {
        while source.next(front, sorting).await?.is_some() {}
    }
    Ok(sent)
}

// === impl Source ===

impl Source<'_> {
    /// The body of its next row; `None` behind the last one.
    async fn next(&mut self, front: &Front, sorting: &Sorting) -> Result<Option<Bytes>, Failure> {
        if self.is_done {
            return Ok(None);
        }
        loop {
            match self.branch.reply().await? {
                Reply::Error(report) => self.failed = Some(report),
                Reply::Ready(_) => {
                    self.is_done = true;
                    return match self.failed.take() {
                        Some(report) => Err(Failure::Reported(report)),
                        None => Ok(None),
                    };
                }
                Reply::Message(header) if header.tag == tag::DATA_ROW => {
                    return Ok(Some(Bytes::copy_from_slice(self.branch.body(header).await?)));
                }
                Reply::Message(header) if header.tag == tag::ROW_DESCRIPTION => {
                    let types = column_types(self.branch.body(header).await?).unwrap_or_default();
                    if !sorting.fits(&types) {
                        return Err(Failure::error(
                            "XX000",
                            "a shard returns other types than were planned",
                        ));
                    }
                }
                Reply::Message(header) => {
                    if header.tag == tag::BIND_COMPLETE {
                        front.release();
                    }
                    self.branch.drop_message(header).await?;
                }
            }
        }
    }
}

// === impl Guard ===

impl<'s> Guard<'s> {
    fn new(sorting: &'s Sorting, sources: usize) -> Self {
        Self { orders: &sorting.orders, last: vec![None; sources] }
    }

    fn check(&mut self, source: usize, keys: &Keys) -> Result<(), Failure> {
        let Some(last) = self.last.get_mut(source) else { return Ok(()) };
        if let Some(last) = last {
            let orders = self.orders.iter().zip(last.iter().zip(keys));
            let order = orders.map(|(it, (a, b))| it.compare(a.as_ref(), b.as_ref()));
            let is_behind = order.map(|it| it.unwrap_or(Ordering::Greater)).find(|it| it.is_ne());
            if is_behind == Some(Ordering::Greater) {
                return Err(Failure::unsupported(
                    "an order of text in which the shards are not what they say",
                    "Install the same version of the C library and its locales everywhere.",
                ));
            }
        }
        *last = Some(keys.clone());
        Ok(())
    }
}

// === impl Sorting ===

impl Sorting {
    /// `None` when the rows mean something else on each shard, or have an order that is not known.
    fn new(merge: &Merge, shape: &Shape, formats: &[i16], known: &Orders) -> Option<Self> {
        let types = column_types(shape.row.as_deref()?)?;
        let format = |column: usize| match formats {
            [one] => *one,
            each => each.get(column).copied().unwrap_or(0),
        };
        let mut all: Vec<i16> = (0..types.len()).map(format).collect();
        let differs = |oid: &u32| *oid >= FIRST_OF_DATABASE || RECORDS.contains(oid);
        if types.iter().zip(&all).any(|(oid, format)| *format == 1 && differs(oid)) {
            return None;
        }
        all.resize(types.len() + merge.hidden, 1);
        let (mut keys, mut orders) = (Vec::new(), Vec::new());
        for key in &merge.keys {
            let of = Type::builtin(key.type_oid)?;
            let collation = known.of(key)?;
            let comparator = Comparator::new(&of, &collation, &Collations::bytes()).ok()?;
            let (descending, nulls_first) = (key.descending, key.nulls_first);
            orders.push(SortOrder { comparator, descending, nulls_first });
            let format = match all.get(key.column)? {
                0 => Format::Text,
                _ => Format::Binary,
            };
            keys.push((key.clone(), of, format));
        }
        Some(Self { keys, orders, formats: all, hidden: merge.hidden })
    }

    /// Whether a library says how its texts are ordered.
    fn is_linguistic(&self) -> bool {
        self.keys.iter().any(|(key, ..)| key.collation.is_some())
    }

    /// Whether the values that are sorted by can be read as this session gets them, and texts are
    /// the bytes that Postgres compares.
    fn is_readable(&self, params: &ParamSet, is_raw: bool) -> bool {
        let is_iso = params.get("DateStyle").is_some_and(|it| it.starts_with("ISO"));
        self.keys.iter().all(|(key, _, format)| match key.type_oid {
            oid if TEXTS.contains(&oid) => is_raw,
            oid if PLAIN.contains(&oid) => true,
            oid if DATES.contains(&oid) => *format == Format::Binary || is_iso,
            // Texts may be inside.
            _ => *format == Format::Binary && is_raw,
        })
    }

    /// Whether columns of these types are what is sorted by.
    fn fits(&self, types: &[u32]) -> bool {
        types.len() == self.formats.len()
            && self.keys.iter().all(|(key, ..)| types.get(key.column) == Some(&key.type_oid))
    }

    /// What a row is sorted by. `None` when it is malformed.
    fn keys_of(&self, row: &Bytes) -> Option<Keys> {
        let values = backend::parse_data_row(row)?;
        let key = |(key, of, format): &(MergeKey, Type, Format)| match values.get(key.column)? {
            None => Some(None),
            Some(value) => {
                let value = row.slice_ref(value);
                of.decode(*format, &value, &Settings::default()).ok().map(Some)
            }
        };
        self.keys.iter().map(key).collect()
    }
}

/// The body of a DataRow without its last columns.
fn without_last(row: &Bytes, hidden: usize) -> Option<Bytes> {
    if hidden == 0 {
        return Some(row.clone());
    }
    let values = backend::parse_data_row(row)?;
    let kept = values.get(..values.len().checked_sub(hidden)?)?;
    let length: usize = 2 + kept.iter().map(|it| 4 + it.map_or(0, <[u8]>::len)).sum::<usize>();
    let mut out = Vec::with_capacity(length);
    out.extend_from_slice(&u16::try_from(kept.len()).ok()?.to_be_bytes());
    out.extend_from_slice(row.get(2..length)?);
    Some(out.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_session_shows_otherwise_is_not_sorted_by() {
        let readable = |oid: u32, format, is_raw, date_style| {
            let (collation, descending) = (None, false);
            let key =
                MergeKey { column: 0, type_oid: oid, collation, descending, nulls_first: false };
            let of = Type::builtin(oid).expect("a type");
            let (keys, orders) = (vec![(key, of, format)], Vec::new());
            let sorting = Sorting { keys, orders, formats: vec![0], hidden: 0 };
            let mut set = ParamSet::default();
            set.set("DateStyle", date_style);
            sorting.is_readable(&set, is_raw)
        };
        let (iso, german) = ("ISO, DMY", "German, DMY");
        for oid in [23, 25, 1700, 1082] {
            assert!(readable(oid, Format::Text, true, iso), "{oid}");
        }
        // Digits of floats, styles of intervals.
        for oid in [700, 701, 1186] {
            assert!(!readable(oid, Format::Text, true, iso), "{oid}");
            assert!(readable(oid, Format::Binary, true, iso), "{oid}");
        }
        assert!(
            !readable(25, Format::Binary, false, iso) && readable(23, Format::Text, false, iso)
        );
        assert!(!readable(1082, Format::Text, true, german));
        assert!(readable(1082, Format::Binary, true, german));
    }

    #[test]
    fn hidden_columns_are_cut_off() {
        let row = Bytes::from_static(b"\0\x03\0\0\0\x01a\xff\xff\xff\xff\0\0\0\x02bc");
        let cut = |hidden| without_last(&row, hidden).expect("a row");
        assert_eq!(&cut(1)[..], b"\0\x02\0\0\0\x01a\xff\xff\xff\xff");
        assert_eq!(&cut(2)[..], b"\0\x01\0\0\0\x01a");
        assert_eq!(cut(0), row);
        assert_eq!(without_last(&row, 4), None);
    }
}
