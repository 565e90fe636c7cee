//! Analyses by the texts they came from, bounded in bytes.

use std::cell::Cell;
use std::hash::{Hash, Hasher};
use std::rc::Rc;

use quick_cache::unsync;
use quick_cache::{Equivalent, Weighter};

use crate::analysis::analyze_briefly;
use crate::normal::normalise;
use crate::{Analysis, Kind, LARGEST_CACHED, Lexical, Statement, Unknown};

/// A worker's cache of analyses. The keys are texts and, where literals decide nothing, texts
/// without their literals and comments; `id = 1` and `id = 2` share an entry.
#[derive(Debug)]
pub struct Cache {
    entries: unsync::Cache<Key, Entry, Bytes, ahash::RandomState>,
    /// Long texts that may be among the entries.
    long: LongTexts,
    /// What is answered without a look at the text, by reason.
    refused: [Rc<Analysis>; 2],
    form: Vec<u8>,
    counts: Counts,
}

/// What an entry is found by.
#[derive(Debug, Clone)]
enum Key {
    Text(Box<[u8]>),
    /// A text without its literals, which is not to be taken for a text.
    Form(Box<[u8]>),
}

/// The same without owning the bytes.
#[derive(Clone, Copy)]
enum Sought<'s> {
    Text(&'s [u8]),
    Form(&'s [u8]),
}

/// What is known of a text, or of all that have one form.
#[derive(Debug, Clone)]
struct Entry {
    analysis: Rc<Analysis>,
    /// See [`Cache::note`]; 0 while there is none.
    note: Cell<u64>,
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

impl Weighter<Key, Entry> for Bytes {
    fn weight(&self, key: &Key, entry: &Entry) -> u64 {
        (key.sought().bytes().len() + entry.analysis.footprint() + 144) as u64
    }
}

impl Key {
    fn sought(&self) -> Sought<'_> {
        match self {
            Self::Text(bytes) => Sought::Text(bytes),
            Self::Form(bytes) => Sought::Form(bytes),
        }
    }
}

impl<'s> Sought<'s> {
    fn bytes(self) -> &'s [u8] {
        let (Self::Text(bytes) | Self::Form(bytes)) = self;
        bytes
    }
}

impl Hash for Sought<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bytes().hash(state);
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.sought().hash(state);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.sought().equivalent(other)
    }
}

impl Eq for Key {}

impl Equivalent<Key> for Sought<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        match (self, key) {
            (Self::Text(sought), Key::Text(bytes)) | (Self::Form(sought), Key::Form(bytes)) => {
                *sought == &**bytes
            }
            _ => false,
        }
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
        let (long, counts) = (LongTexts::default(), Counts::default());
        Self { entries, long, refused, form: Vec::new(), counts }
    }

    /// The analysis of a text under the default settings.
    pub fn get(&mut self, sql: &[u8]) -> Rc<Analysis> {
        self.get_in(sql, Lexical::default())
    }

    /// The analysis of a text. Texts above [`LARGEST_CACHED`] are not understood here.
    pub fn get_in(&mut self, sql: &[u8], lexical: Lexical) -> Rc<Analysis> {
        if self.is_told_apart(sql, lexical) {
            return self.analysis_alone(sql, lexical);
        }
        if let Some(entry) = self.by_text(sql) {
            let analysis = Rc::clone(&entry.analysis);
            self.counts.hits += 1;
            return analysis;
        }
        self.by_form(sql)
    }

    /// What somebody has found out of a text, in the bits of `mask`; the others say under which
    /// circumstances that holds, and are never all 0. Kept for texts that are keys themselves,
    /// and found out anew for all others. `find_out` gets the analysis by calling what it is given.
    pub fn note(
        &mut self,
        sql: &[u8],
        lexical: Lexical,
        (circumstances, mask): (u64, u64),
        find_out: impl FnOnce(&mut dyn FnMut() -> Rc<Analysis>) -> u64,
    ) -> u64 {
        if self.is_told_apart(sql, lexical) {
            return find_out(&mut || self.analysis_alone(sql, lexical)) & mask;
        }
        let Some(entry) = self.by_text(sql) else {
            return find_out(&mut || self.by_form(sql)) & mask;
        };
        let mut note = entry.note.get();
        if note & !mask != circumstances {
            note = circumstances | find_out(&mut || Rc::clone(&entry.analysis)) & mask;
            entry.note.set(note);
        }
        self.counts.hits += 1;
        note & mask
    }

    /// Whether a text has no entry, whatever it says.
    fn is_told_apart(&self, sql: &[u8], lexical: Lexical) -> bool {
        let default = Lexical::default();
        sql.len() > LARGEST_CACHED
            || lexical != default
                && (lexical.objection(sql).is_some()
                    // The settings matter to these alone; others are read as under the default.
                    || !sql.is_ascii() && lexical.client_encoding != default.client_encoding)
    }

    /// The analysis of such a text.
    fn analysis_alone(&mut self, sql: &[u8], lexical: Lexical) -> Rc<Analysis> {
        let refused = match lexical.objection(sql) {
            _ if sql.len() > LARGEST_CACHED => 0,
            Some(_) => 1,
            None => {
                self.counts.misses += 1;
                return Rc::new(analyze_briefly(sql, lexical));
            }
        };
        self.counts.refused += 1;
        Rc::clone(&self.refused[refused])
    }

    /// As it is: what the extended protocol sends has no literals, and hashing is faster than
    /// reading.
    fn by_text(&self, sql: &[u8]) -> Option<&Entry> {
        if !self.long.may_have(sql) {
            return None;
        }
        self.entries.get(&Sought::Text(sql))
    }

    /// Without literals and comments, or for the first time.
    fn by_form(&mut self, sql: &[u8]) -> Rc<Analysis> {
        let normalised = normalise(sql, &mut self.form);
        if normalised && let Some(entry) = self.entries.get(&Sought::Form(&self.form)) {
            self.counts.hits += 1;
            return Rc::clone(&entry.analysis);
        }
        self.counts.misses += 1;
        let analysis = Rc::new(analyze_briefly(sql, Lexical::default()));
        // A literal can make a text wrong (`E'\u12'`): others of its form are not to suffer. How
        // many tokens there are it does not change.
        let by_form = normalised && matches!(analysis.unknown, None | Some(Unknown::TooLarge));
        let key = if by_form {
            Key::Form(Box::from(self.form.as_slice()))
        } else {
            self.long.add(sql);
            Key::Text(Box::from(sql))
        };
        let entry = Entry { analysis: Rc::clone(&analysis), note: Cell::new(0) };
        self.entries.insert(key, entry);
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

/// Which long texts may be keys: to hash one that is full of literals, and so is none, would cost as
/// much as all the rest.
#[derive(Debug, Default)]
struct LongTexts {
    hasher: ahash::RandomState,
    /// By what is looked at of them.
    ends: ahash::AHashSet<u64>,
}

impl LongTexts {
    const LONG: usize = 512;
    const LOOKED_AT: usize = 64;
    const MOST: usize = 4096;

    fn may_have(&self, sql: &[u8]) -> bool {
        sql.len() < Self::LONG || self.ends.contains(&self.end(sql))
    }

    fn add(&mut self, sql: &[u8]) {
        if sql.len() < Self::LONG {
            return;
        }
        // Those that are forgotten are analysed once more.
        if self.ends.len() >= Self::MOST {
            self.ends.clear();
        }
        let end = self.end(sql);
        self.ends.insert(end);
    }

    fn end(&self, sql: &[u8]) -> u64 {
        let at = sql.len().saturating_sub(Self::LOOKED_AT);
        self.hasher.hash_one((sql.len(), sql.get(..Self::LOOKED_AT), sql.get(at..)))
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
