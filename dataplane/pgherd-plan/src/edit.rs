//! Changing a statement's text where its tables are named.

use std::ops::Range;

use pgherd_sql::{Lexer, Token};

use crate::plan::Refusal;
use crate::quote;
use crate::scope::Occurrence;

/// The tokens of a text, comments left out.
#[derive(Debug)]
pub struct Tokens<'s> {
    text: &'s str,
    tokens: Vec<(Token, Range<usize>)>,
}

/// A piece of the text and what takes its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    pub range: Range<usize>,
    pub text: String,
}

impl<'s> Tokens<'s> {
    pub fn new(text: &'s str) -> Result<Self, Refusal> {
        let mut lexer = Lexer::new(text.as_bytes());
        let mut tokens = Vec::new();
        loop {
            match lexer.next_token() {
                Ok(Some((Token::Comment, _))) => {}
                Ok(Some(token)) => tokens.push(token),
                Ok(None) => return Ok(Self { text, tokens }),
                Err(_) => return Err(Refusal::over_shards("a text of this form")),
            }
        }
    }

    pub fn text(&self, index: usize) -> &'s str {
        self.tokens.get(index).and_then(|(_, range)| self.text.get(range.clone())).unwrap_or("")
    }

    pub fn kind(&self, index: usize) -> Option<Token> {
        self.tokens.get(index).map(|(kind, _)| *kind)
    }

    /// Whether two runs of tokens read the same.
    pub fn are_equal(&self, one: &Range<usize>, other: &Range<usize>) -> bool {
        one.len() == other.len()
            && one.clone().zip(other.clone()).all(|(a, b)| self.text(a) == self.text(b))
    }

    /// The text of some tokens and what is between them.
    pub fn piece(&self, tokens: Range<usize>) -> Option<&'s str> {
        let start = self.range(tokens.start)?.start;
        let end = self.range(tokens.end.checked_sub(1)?)?.end;
        self.text.get(start..end)
    }

    /// The tokens within a piece of the text.
    pub fn within(&self, piece: Range<usize>) -> Range<usize> {
        self.at(piece.start)..self.at(piece.end)
    }

    pub fn range(&self, index: usize) -> Option<Range<usize>> {
        self.tokens.get(index).map(|(_, range)| range.clone())
    }

    pub fn whole(&self) -> &'s str {
        self.text
    }

    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// The first token at or behind a place in the text.
    pub fn at(&self, location: usize) -> usize {
        self.tokens.partition_point(|(_, range)| range.start < location)
    }

    /// The last token that ends at or before a place in the text.
    pub fn before(&self, end: usize) -> Option<usize> {
        self.tokens.partition_point(|(_, range)| range.end <= end).checked_sub(1)
    }

    /// The text from one token to another, both included.
    pub fn between(&self, first: usize, last: usize) -> Option<&'s str> {
        self.text.get(self.range(first)?.start..self.range(last)?.end)
    }

    /// The token that closes the parenthesis at `open`.
    pub fn closing(&self, open: usize) -> Option<usize> {
        let mut depth = 0usize;
        for index in open..self.len() {
            match self.text(index) {
                "(" => depth += 1,
                ")" => depth = depth.checked_sub(1)?,
                _ => {}
            }
            if depth == 0 {
                return Some(index);
            }
        }
        None
    }

    /// Puts a subquery in the place of a table's name.
    pub fn replace(&self, table: &Occurrence<'_>, subquery: &str) -> Result<Edit, Refusal> {
        let odd =
            || Refusal::over_shards(format!("the table {} written like this", table.table.name));
        let first = self.at(table.location);
        let is_name =
            |index: usize| matches!(self.tokens.get(index), Some((Token::Word | Token::Quoted, _)));
        let mut last = first;
        while self.text(last + 1) == "." {
            last += 2;
        }
        let name = (first..=last).step_by(2);
        // `orders *` is `orders` as well.
        if !name.into_iter().all(is_name) || self.text(last + 1).starts_with('*') {
            return Err(odd());
        }
        let (start, end) = (self.range(first).ok_or_else(odd)?, self.range(last).ok_or_else(odd)?);
        let mut text = format!("({subquery})");
        if !table.has_alias {
            text.push_str(&format!(" AS {}", quote::name(&table.reference)));
        }
        let before = first.checked_sub(1);
        let of_table = before.filter(|&it| self.text(it).eq_ignore_ascii_case("table"));
        let start = match of_table.and_then(|it| self.range(it)) {
            Some(word) => {
                text.insert_str(0, "SELECT * FROM ");
                word.start
            }
            None => start.start,
        };
        Ok(Edit { range: start..end.end, text })
    }
}

/// A piece of the text with its edits made.
pub fn edited(text: &str, piece: Range<usize>, mut edits: Vec<Edit>) -> Option<String> {
    edits.sort_by_key(|edit| edit.range.start);
    let mut out = String::new();
    let mut copied = piece.start;
    for edit in edits {
        out.push_str(text.get(copied..edit.range.start)?);
        out.push_str(&edit.text);
        copied = edit.range.end;
    }
    out.push_str(text.get(copied..piece.end)?);
    Some(out)
}
