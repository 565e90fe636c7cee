//! Analyses by the texts they came from, bounded in bytes.

use std::rc::Rc;

use quick_cache::Weighter;
use quick_cache::unsync;

use crate::analysis::analyze_briefly;
use crate::normal::normalise;
use crate::{Analysis, Kind, LARGEST_CACHED, Lexical, Statement, Unknown};

/// A worker's cache of analyses. The keys are texts and, where literals decide nothing, texts
/// without their literals and comments; `id = 1` and `id = 2` share an entry.
#[derive(Debug)]
pub struct Cache {
    entries: unsync::Cache<Box<[u8]>, Rc<Analysis>, Bytes, ahash::RandomState>,
    /// What is answered without a look at the text, by reason.
    refused: [Rc<Analysis>; 2],
    form: Vec<u8>,
    counts: Counts,
}

/// What became of the lookups so far.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    pub hits: u64,
    pub misses: u64,
    /// Texts too large or in an encoding that cannot be read safely.
    pub refused: u64,
}

/// Memory of an entry, what the allocator and the table add to it estimated.
#[derive(Debug, Clone)]
struct Bytes;

impl Weighter<Box<[u8]>, Rc<Analysis>> for Bytes {
    fn weight(&self, key: &Box<[u8]>, analysis: &Rc<Analysis>) -> u64 {
        (key.len() + analysis.footprint() + 128) as u64
    }
}

impl Cache {
    /// `bytes`: what keys and analyses may take together.
    pub fn new(bytes: usize) -> Self {
        let entries = unsync::Cache::with(
            // Only a guess for the size of the table, which grows.
            (bytes / 512).max(16),
            bytes as u64,
            Bytes,
            ahash::RandomState::new(),
            quick_cache::unsync::DefaultLifecycle::default(),
        );
        let refused =
            [Unknown::TooLarge, Unknown::Encoding].map(|why| Analysis::unknown(why).into());
        Self { entries, refused, form: Vec::new(), counts: Counts::default() }
    }

    /// The analysis of a text under the default settings.
    pub fn get(&mut self, sql: &[u8]) -> Rc<Analysis> {
        self.get_in(sql, Lexical::default())
    }

    /// The analysis of a text. Texts above [`LARGEST_CACHED`] are not understood here.
    pub fn get_in(&mut self, sql: &[u8], lexical: Lexical) -> Rc<Analysis> {
        if sql.len() > LARGEST_CACHED {
            self.counts.refused += 1;
            return Rc::clone(&self.refused[0]);
        }
        let default = Lexical::default();
        if lexical != default {
            if lexical.objection(sql).is_some() {
                self.counts.refused += 1;
                return Rc::clone(&self.refused[1]);
            }
            // The settings matter to these alone; all others are read as under the default ones.
            if !sql.is_ascii() && lexical.client_encoding != default.client_encoding {
                self.counts.misses += 1;
                return Rc::new(analyze_briefly(sql, lexical));
            }
        }
        // First as it is: what the extended protocol sends has no literals, and hashing is faster
        // than reading.
        if let Some(analysis) = self.entries.get(sql) {
            self.counts.hits += 1;
            return Rc::clone(analysis);
        }
        let normalised = normalise(sql, &mut self.form);
        if normalised && let Some(analysis) = self.entries.get(self.form.as_slice()) {
            self.counts.hits += 1;
            return Rc::clone(analysis);
        }
        self.counts.misses += 1;
        let analysis = Rc::new(analyze_briefly(sql, default));
        // A literal can make a text wrong (`E'\u12'`): others of its form are not to suffer. How
        // many tokens there are it does not change.
        let by_form = normalised && matches!(analysis.unknown, None | Some(Unknown::TooLarge));
        let key = if by_form { &self.form } else { sql };
        self.entries.insert(Box::from(key), Rc::clone(&analysis));
        // A large text must not leave its buffer behind.
        self.form.shrink_to(4096);
        analysis
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What keys and analyses take.
    pub fn bytes(&self) -> u64 {
        self.entries.weight()
    }
}

impl Analysis {
    /// Bytes that it takes.
    fn footprint(&self) -> usize {
        let statements = self.statements.iter().map(Statement::footprint).sum::<usize>();
        size_of::<Self>() + statements
    }
}

impl Statement {
    fn footprint(&self) -> usize {
        let text = |text: &Option<Box<str>>| text.as_ref().map_or(0, |it| it.len());
        let own = match &self.kind {
            Kind::Explain { inner, .. } => inner.footprint(),
            Kind::Prepare { name, inner } => name.len() + inner.footprint(),
            Kind::Set { name, value, .. } => name.len() + text(value),
            Kind::Show { name }
            | Kind::Execute { name }
            | Kind::Declare { name, .. }
            | Kind::Fetch { name } => name.len(),
            Kind::Reset { name } | Kind::Deallocate { name } | Kind::Close { name } => text(name),
            _ => 0,
        };
        let functions: usize = self
            .functions
            .iter()
            .map(|it| size_of_val(it) + it.name.len() + text(&it.schema) + 32)
            .sum();
        size_of::<Self>() + own + functions + 16 * self.builtins.len()
    }
}

#[cfg(test)]
mod tests;
