//! What Postgres makes of statements: the types of their parameters and of their results, asked of
//! a shard once per text.

use std::rc::Rc;
use std::sync::Arc;

use ahash::AHashMap;
use pgherd_pool::Need;
use pgherd_wire::ParamSet;

use super::branch::{Branch, Question};
use super::coordinator::Coordinator;
use super::encoding::Encoding;
use super::execute::about_own_text;
use super::extended::Statement;
use super::failure::Failure;
use super::transaction::State;

/// What a statement takes and returns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) parameters: Vec<u32>,
    /// The body of a RowDescription with all formats text; `None` when it returns no rows.
    pub(crate) row: Option<Vec<u8>>,
}

/// The shapes that a session has asked for, by text and declared types.
#[derive(Default)]
pub(crate) struct Shapes {
    known: AHashMap<Box<str>, Vec<Known>>,
    bytes: usize,
}

struct Known {
    types: Box<[u32]>,
    /// Of the catalog.
    version: u64,
    params: Arc<ParamSet>,
    shape: Rc<Shape>,
    /// What Parse has made of it.
    statement: Option<Rc<Statement>>,
}

/// Bytes of texts that a session keeps.
const MAX_BYTES: usize = 256 * 1024;

// === impl Shapes ===

impl Shapes {
    fn keep(&mut self, text: &str, known: Known) {
        self.bytes += text.len() + size_of::<Known>();
        if self.bytes > MAX_BYTES {
            self.known.clear();
            self.bytes = text.len() + size_of::<Known>();
        }
        if self.bytes <= MAX_BYTES {
            let all = self.known.entry(text.into()).or_default();
            all.retain(|it| it.types != known.types);
            all.push(known);
        }
    }

    fn get(
        &self,
        text: &str,
        types: &[u32],
        version: u64,
        params: &Arc<ParamSet>,
    ) -> Option<&Known> {
        let known = self.known.get(text)?.iter().find(|it| *it.types == *types)?;
        let is_same = Arc::ptr_eq(&known.params, params) || known.params == *params;
        (known.version == version && is_same).then_some(known)
    }
}

impl Shape {
    /// The RowDescription with other formats: none for text, one for all, or one for each column.
    pub(crate) fn row_in(&self, formats: &[i16]) -> Option<Vec<u8>> {
        let mut body = self.row.clone()?;
        if formats.iter().all(|&format| format == 0) {
            return Some(body);
        }
        let mut at = 2;
        let mut column = 0;
        while at < body.len() {
            let end = at + body.get(at..)?.iter().position(|&byte| byte == 0)? + 1 + 18;
            let format = match formats {
                [one] => *one,
                each => each.get(column).copied().unwrap_or(0),
            };
            body.get_mut(end - 2..end)?.copy_from_slice(&format.to_be_bytes());
            at = end;
            column += 1;
        }
        Some(body)
    }

    /// How many columns it returns.
    pub(crate) fn columns(&self) -> usize {
        let count = self.row.as_ref().and_then(|row| row.first_chunk::<2>());
        count.map_or(0, |count| usize::from(u16::from_be_bytes(*count)))
    }
}

/// The type OIDs of the columns of a RowDescription.
pub(crate) fn column_types(body: &[u8]) -> Option<Vec<u32>> {
    let mut rest = body.get(2..)?;
    let mut types = Vec::new();
    while !rest.is_empty() {
        let name = rest.iter().position(|&byte| byte == 0)?;
        let fields = rest.get(name + 1..name + 19)?;
        types.push(u32::from_be_bytes(*fields.get(6..)?.first_chunk()?));
        rest = rest.get(name + 19..)?;
    }
    Some(types)
}

impl Coordinator {
    /// Lets Postgres judge a text: its errors, and its shape.
    pub(crate) async fn shape(&mut self, text: &str, types: &[u32]) -> Result<Rc<Shape>, Failure> {
        self.provide_unique_ids(text).await?;
        let version = self.catalog().await?.version;
        let params = self.front.params();
        let is_cached = !self.transaction.has_settings();
        if is_cached && let Some(known) = self.shapes.get(text, types, version, &params) {
            return Ok(Rc::clone(&known.shape));
        }
        let shape = Rc::new(self.judge(text, types).await?);
        if is_cached {
            let (types, shape) = (types.into(), Rc::clone(&shape));
            self.shapes.keep(text, Known { types, version, params, shape, statement: None });
        }
        Ok(shape)
    }

    /// What this session has made of a text before, if nothing has changed that it depends on.
    pub(super) fn known_statement(&self, text: &[u8], types: &[u32]) -> Option<Rc<Statement>> {
        let text = std::str::from_utf8(text).ok()?;
        if self.transaction.state == State::Failed || self.transaction.has_settings() {
            return None;
        }
        let (version, params) = (self.seen_catalog()?.version, self.front.params());
        // In another encoding the same bytes are another text.
        let is_read = text.is_ascii() || Encoding::of(&params) == Encoding::Utf8;
        let known = self.shapes.get(text, types, version, &params).filter(|_| is_read)?;
        known.statement.clone()
    }

    /// Keeps what was made of a text, beside its shape.
    pub(super) fn keep_statement(&mut self, types: &[u32], statement: &Rc<Statement>) {
        let Some(all) = self.shapes.known.get_mut(&*statement.text) else { return };
        let known = all.iter_mut().find(|it| *it.types == *types);
        if let Some(known) = known.filter(|it| Rc::ptr_eq(&it.shape, &statement.shape)) {
            known.statement = Some(Rc::clone(statement));
        }
    }

    /// The same without looking at what is known.
    pub(crate) async fn judge(&mut self, text: &str, types: &[u32]) -> Result<Shape, Failure> {
        let (shard, stand_in) = self.home_of(text).await?;
        if let Some((text, parameters)) = stand_in {
            let shape = self.judge_on(shard, &text, types).await.map_err(about_own_text)?;
            let parameters = shape.parameters.into_iter().take(parameters).collect();
            return Ok(Shape { parameters, ..shape });
        }
        self.judge_on(shard, text, types).await
    }

    async fn judge_on(
        &mut self,
        shard: Option<usize>,
        text: &str,
        types: &[u32],
    ) -> Result<Shape, Failure> {
        let question = Question { types, ..Question::plain(text) };
        let is_apart = match self.transaction.state {
            State::Failed => true,
            // A replica may not have heard of the schema that is known here.
            _ if self.reads.is_elsewhere() => true,
            _ => self.transaction.is_open() && self.branches.is_empty(),
        };
        if is_apart {
            // Nothing of the transaction matters to it, and it need not begin there.
            let shard = shard.unwrap_or(self.home % self.sites.count().max(1));
            // Reads can go on without a primary.
            let need = match !self.reads.is_elsewhere() || self.sites.has_primary(shard) {
                true => Need::WRITE,
                false => self.need(shard).await?,
            };
            let mut branch = Branch::open(&self.front, &self.sites, shard, need).await?;
            return branch.describe(&question).await;
        }
        let shard = shard.unwrap_or_else(|| self.any_shard());
        self.branch(shard).await?.describe(&question).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(columns: &[(&str, u32)]) -> Vec<u8> {
        let mut body = u16::try_from(columns.len()).unwrap().to_be_bytes().to_vec();
        for (name, type_oid) in columns {
            body.extend_from_slice(name.as_bytes());
            body.extend_from_slice(&[0; 7]);
            body.extend_from_slice(&type_oid.to_be_bytes());
            body.extend_from_slice(&[0; 8]);
        }
        body
    }

    #[test]
    fn formats_are_put_into_a_row_description() {
        let shape = Shape { parameters: vec![], row: Some(row(&[("a", 23), ("bc", 25)])) };
        assert_eq!(shape.columns(), 2);
        assert_eq!(column_types(shape.row.as_ref().unwrap()), Some(vec![23, 25]));
        let both = shape.row_in(&[1]).unwrap();
        assert_eq!(both[both.len() - 1], 1);
        assert_eq!(both[2 + 2 + 17], 1);
        let second = shape.row_in(&[0, 1]).unwrap();
        assert_eq!((second[2 + 2 + 17], second[second.len() - 1]), (0, 1));
        assert_eq!(shape.row_in(&[]), shape.row);
    }
}
