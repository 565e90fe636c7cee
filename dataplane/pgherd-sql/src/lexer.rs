//! Postgres's lexical rules (its `scan.l`), as far as the borders of tokens go.
//!
//! Fast and without allocation: comments, directives and the literals of a text are found by it.
//! It also keeps the account of what the real scanner would have to do: that one costs the square
//! of the length of runs of operator characters, which comments nested deeply are, too.

use std::ops::Range;

/// Comments within comments beyond this are not understood.
const DEEPEST_COMMENT: usize = 64;
/// Characters in a run of operator characters, where an operator begins; Postgres has 63.
const LONGEST_OPERATOR: usize = 256;
/// What the scanner may look at more than once.
const REPEATED_WORK: usize = 64 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token {
    /// A keyword or a name without quotes.
    Word,
    /// A name in double quotes.
    Quoted,
    /// Strings of all kinds but bit strings, with their continuations.
    String,
    /// `B'…'` and `X'…'`.
    Bits,
    /// `U&'…'` and `U&"…"`, whose meaning depends on what follows them.
    Unicode,
    /// A number that fits into `integer`.
    Integer,
    /// Any other number.
    Decimal,
    /// `$1`.
    Parameter,
    Semicolon,
    /// Any other character, or a run of operator characters.
    Other,
    Comment,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LexError {
    /// A string or comment without end, a number with letters behind it.
    Malformed,
    /// Nested too deeply, or too much work for the scanner.
    TooDeep,
}

#[derive(Debug)]
pub struct Lexer<'s> {
    text: &'s [u8],
    at: usize,
    /// Where the current run of operator characters ends, if `at` is in one.
    run_end: usize,
    work: usize,
}

impl<'s> Lexer<'s> {
    /// Under `standard_conforming_strings = on`.
    pub fn new(text: &'s [u8]) -> Self {
        Self { text, at: 0, run_end: 0, work: 0 }
    }

    /// Where the next token is looked for.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Goes on behind tokens that somebody else has read.
    pub fn go_on_at(&mut self, at: usize) {
        self.at = at;
    }

    fn byte(&self, at: usize) -> u8 {
        // Zero is in no statement, so it can stand for the end.
        self.text.get(at).copied().unwrap_or(0)
    }

    /// The next token; white space is passed over.
    pub fn next_token(&mut self) -> Result<Option<(Token, Range<usize>)>, LexError> {
        while is_space(self.byte(self.at)) {
            self.at += 1;
        }
        if self.at >= self.text.len() {
            return Ok(None);
        }
        let start = self.at;
        let token = self.token()?;
        Ok(Some((token, start..self.at)))
    }

    /// The next token if it is a plain number or string with nothing but brackets, commas and
    /// blanks before it, and one of these behind it: what long texts are full of.
    pub fn next_listed(&mut self) -> Option<(Token, Range<usize>)> {
        let mut at = self.at;
        loop {
            let first = self.byte(at);
            if matches!(first, b' ' | b',' | b'(' | b')') {
                at += 1;
                continue;
            }
            let rest = self.text.get(at..)?;
            let (token, length) = match first {
                b'0'..=b'9' => {
                    // Nine digits are an integer.
                    let window = rest.get(..10).unwrap_or(rest);
                    let length = window.iter().position(|byte| !byte.is_ascii_digit())?;
                    (Token::Integer, length)
                }
                b'\'' => (Token::String, memchr::memchr(b'\'', rest.get(1..)?)? + 2),
                _ => return None,
            };
            // A number may go on, and a string behind white space.
            if !matches!(self.byte(at + length), b',' | b')') {
                return None;
            }
            self.at = at + length;
            return Some((token, at..self.at));
        }
    }

    fn token(&mut self) -> Result<Token, LexError> {
        let first = self.byte(self.at);
        let second = self.byte(self.at + 1);
        match first {
            b'\'' => {
                self.at += 1;
                self.string(false)
            }
            b'"' => self.quoted_name(),
            b'b' | b'B' | b'x' | b'X' if second == b'\'' => self.bits(),
            b'e' | b'E' if second == b'\'' => {
                self.at += 2;
                self.string(true)
            }
            // Where they end does not depend on the escape character behind them.
            b'u' | b'U' if second == b'&' && self.byte(self.at + 2) == b'\'' => {
                self.at += 3;
                self.string(false)?;
                Ok(Token::Unicode)
            }
            b'u' | b'U' if second == b'&' && self.byte(self.at + 2) == b'"' => {
                self.at += 2;
                self.quoted_name()?;
                Ok(Token::Unicode)
            }
            _ if starts_name(first) => {
                self.word();
                Ok(Token::Word)
            }
            b'0'..=b'9' => self.number(),
            b'.' if second.is_ascii_digit() => self.number(),
            // One token, so that the second point of `1..2` begins no number.
            b'.' if second == b'.' => {
                self.at += 2;
                Ok(Token::Other)
            }
            b'$' => self.dollar(),
            b';' => {
                self.at += 1;
                Ok(Token::Semicolon)
            }
            b'-' if second == b'-' => {
                self.line_comment();
                Ok(Token::Comment)
            }
            b'/' if second == b'*' => self.block_comment(),
            _ if is_operator(first) => self.operator(),
            _ => {
                self.at += 1;
                Ok(Token::Other)
            }
        }
    }

    fn word(&mut self) {
        self.at += 1;
        while continues_name(self.byte(self.at)) {
            self.at += 1;
        }
    }

    /// From behind the opening quote.
    fn string(&mut self, escapes: bool) -> Result<Token, LexError> {
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let quote = if escapes {
                memchr::memchr2(b'\'', b'\\', rest)
            } else {
                memchr::memchr(b'\'', rest)
            };
            self.at += quote.ok_or(LexError::Malformed)?;
            if self.byte(self.at) == b'\\' || self.byte(self.at + 1) == b'\'' {
                self.at += 2;
            } else {
                self.at += 1;
                match self.continuation() {
                    Some(next) => self.at = next,
                    None => return Ok(Token::String),
                }
            }
        }
    }

    /// A string goes on behind white space with a line break in it; comments up to the end of
    /// their line may stand there, too.
    fn continuation(&self) -> Option<usize> {
        let mut at = self.at;
        let mut broken = false;
        loop {
            match self.byte(at) {
                b'\n' | b'\r' => {
                    broken = true;
                    at += 1;
                }
                byte if is_space(byte) => at += 1,
                b'-' if self.byte(at + 1) == b'-' => at = self.line_end(at),
                b'\'' if broken => return Some(at + 1),
                _ => return None,
            }
        }
    }

    fn bits(&mut self) -> Result<Token, LexError> {
        self.at += 2;
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            self.at += memchr::memchr(b'\'', rest).ok_or(LexError::Malformed)? + 1;
            match self.continuation() {
                Some(next) => self.at = next,
                None => return Ok(Token::Bits),
            }
        }
    }

    fn quoted_name(&mut self) -> Result<Token, LexError> {
        self.at += 1;
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            self.at += memchr::memchr(b'"', rest).ok_or(LexError::Malformed)? + 1;
            if self.byte(self.at) != b'"' {
                return Ok(Token::Quoted);
            }
            self.at += 1;
        }
    }

    /// A parameter, a string in dollar quotes, or a lone `$`, which is an error to Postgres.
    fn dollar(&mut self) -> Result<Token, LexError> {
        let start = self.at;
        self.at += 1;
        if self.byte(self.at).is_ascii_digit() {
            while self.byte(self.at).is_ascii_digit() {
                self.at += 1;
            }
            return if starts_name(self.byte(self.at)) {
                Err(LexError::Malformed)
            } else {
                Ok(Token::Parameter)
            };
        }
        if starts_name(self.byte(self.at)) {
            // As a name, but without dollar signs.
            while continues_name(self.byte(self.at)) && self.byte(self.at) != b'$' {
                self.at += 1;
            }
        }
        if self.byte(self.at) != b'$' {
            return Err(LexError::Malformed);
        }
        self.at += 1;
        let delimiter = self.text.get(start..self.at).unwrap_or_default();
        let rest = self.text.get(self.at..).unwrap_or_default();
        let end = memchr::memmem::find(rest, delimiter).ok_or(LexError::Malformed)?;
        self.at += end + delimiter.len();
        Ok(Token::String)
    }

    fn number(&mut self) -> Result<Token, LexError> {
        let start = self.at;
        let radix = match (self.byte(start), self.byte(start + 1)) {
            (b'0', b'x' | b'X') => Some(16),
            (b'0', b'o' | b'O') => Some(8),
            (b'0', b'b' | b'B') => Some(2),
            _ => None,
        };
        let (value, mut decimal) = match radix {
            Some(radix) => {
                self.at += 2;
                // An underscore may stand before the first digit, but there must be one.
                (self.digits(radix, true).ok_or(LexError::Malformed)?, false)
            }
            None => (self.digits(10, false).unwrap_or(0), false),
        };
        if radix.is_none() {
            // `1..2` are two numbers with an operator between them.
            if self.byte(self.at) == b'.' && self.byte(self.at + 1) != b'.' {
                self.at += 1;
                decimal = true;
                self.digits(10, false);
            }
            if matches!(self.byte(self.at), b'e' | b'E') {
                self.at += 1;
                if matches!(self.byte(self.at), b'+' | b'-') {
                    self.at += 1;
                }
                decimal = true;
                self.digits(10, false).ok_or(LexError::Malformed)?;
            }
        }
        if starts_name(self.byte(self.at)) {
            return Err(LexError::Malformed);
        }
        let integer = !decimal && value <= 0x7fff_ffff;
        Ok(if integer { Token::Integer } else { Token::Decimal })
    }

    /// Digits with single underscores between them; the value up to where it does not matter.
    fn digits(&mut self, radix: u32, underscore_first: bool) -> Option<u64> {
        let digit = |byte: u8| char::from(byte).to_digit(radix);
        let mut value = None;
        loop {
            let skip =
                usize::from(self.byte(self.at) == b'_' && (value.is_some() || underscore_first));
            let Some(next) = digit(self.byte(self.at + skip)) else { return value };
            let shifted = value.unwrap_or(0u64).saturating_mul(u64::from(radix));
            value = Some(shifted.saturating_add(u64::from(next)));
            self.at += skip + 1;
        }
    }

    fn line_end(&self, from: usize) -> usize {
        let rest = self.text.get(from..).unwrap_or_default();
        memchr::memchr2(b'\n', b'\r', rest).map_or(self.text.len(), |end| from + end)
    }

    fn line_comment(&mut self) {
        self.at = self.line_end(self.at);
    }

    fn block_comment(&mut self) -> Result<Token, LexError> {
        let mut depth = 0usize;
        loop {
            match (self.byte(self.at), self.byte(self.at + 1)) {
                (b'/', b'*') => {
                    depth += 1;
                    // The scanner takes the whole run of operator characters and gives it back.
                    self.work += self.run();
                    if depth > DEEPEST_COMMENT || self.work > REPEATED_WORK + 16 * self.text.len() {
                        return Err(LexError::TooDeep);
                    }
                    self.at += 2;
                }
                (b'*', b'/') => {
                    depth -= 1;
                    self.at += 2;
                    if depth == 0 {
                        return Ok(Token::Comment);
                    }
                }
                (b'*' | b'/', _) => self.at += 1,
                _ => {
                    let rest = self.text.get(self.at..).unwrap_or_default();
                    let next = memchr::memchr2(b'*', b'/', rest);
                    self.at += next.ok_or(LexError::Malformed)?;
                }
            }
        }
    }

    /// How many operator characters stand from here on.
    fn run(&mut self) -> usize {
        if self.run_end <= self.at {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let length = rest.iter().position(|&byte| !is_operator(byte)).unwrap_or(rest.len());
            self.run_end = self.at + length;
        }
        self.run_end - self.at
    }

    /// A run of operator characters up to a comment: where one operator ends and the next begins
    /// in it does not matter here.
    fn operator(&mut self) -> Result<Token, LexError> {
        let run = self.run();
        if run > LONGEST_OPERATOR {
            return Err(LexError::TooDeep);
        }
        let end = self.at + run;
        self.at += 1;
        while self.at < end
            && !matches!((self.byte(self.at), self.byte(self.at + 1)), (b'-', b'-') | (b'/', b'*'))
        {
            self.at += 1;
        }
        Ok(Token::Other)
    }
}

const SPACE: u8 = 1;
const NAME_START: u8 = 2;
const NAME: u8 = 4;
const OPERATOR: u8 = 8;

/// What each byte may be part of: one look instead of many comparisons.
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut at = 0;
    while at < 256 {
        classes[at] = class(at as u8);
        at += 1;
    }
    classes
};

const fn class(byte: u8) -> u8 {
    match byte {
        b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => SPACE,
        b'A'..=b'Z' | b'a'..=b'z' | b'_' | 0x80.. => NAME_START | NAME,
        b'0'..=b'9' | b'$' => NAME,
        b'~' | b'!' | b'@' | b'#' | b'^' | b'&' | b'|' | b'`' | b'?' | b'+' | b'-' | b'*'
        | b'/' | b'%' | b'<' | b'>' | b'=' => OPERATOR,
        _ => 0,
    }
}

pub fn is_space(byte: u8) -> bool {
    CLASSES[usize::from(byte)] & SPACE != 0
}

fn starts_name(byte: u8) -> bool {
    CLASSES[usize::from(byte)] & NAME_START != 0
}

fn continues_name(byte: u8) -> bool {
    CLASSES[usize::from(byte)] & NAME != 0
}

fn is_operator(byte: u8) -> bool {
    CLASSES[usize::from(byte)] & OPERATOR != 0
}

#[cfg(test)]
mod tests;
