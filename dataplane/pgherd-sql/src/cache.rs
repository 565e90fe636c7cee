//! Analyses by the texts they came from, bounded in bytes.

use std::rc::Rc;

use crate::{Analysis, Lexical, analyze_in};

/// A worker's cache of analyses.
#[derive(Debug)]
pub struct Cache {
    #[expect(dead_code, reason = "skeleton")]
    bytes: usize,
}

impl Cache {
    /// `bytes`: what keys and analyses may take together.
    pub fn new(bytes: usize) -> Self {
        Self { bytes }
    }

    /// The analysis of a text under the default settings.
    pub fn get(&mut self, sql: &[u8]) -> Rc<Analysis> {
        self.get_in(sql, Lexical::default())
    }

    /// The analysis of a text.
    pub fn get_in(&mut self, sql: &[u8], lexical: Lexical) -> Rc<Analysis> {
        Rc::new(analyze_in(sql, lexical))
    }
}
