//! Parsing into a tree that owns its memory, and deparsing its statements.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::NonNull;

use crate::{List, Node, RawStmt, sys};

/// What the parser made of a text. Lives on the thread that parsed it: the parser's memory is the
/// thread's.
#[derive(Debug)]
pub struct Tree {
    context: NonNull<c_void>,
    statements: Option<NonNull<u8>>,
}

/// How strings in plain quotes are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StringSyntax {
    /// `standard_conforming_strings = on`: a backslash is a character like any other.
    Standard,
    /// `off`: a backslash escapes.
    Backslashes,
}

/// Why there is no tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The parser's own words.
    #[error("{message} at character {position}")]
    Refused { message: String, position: u32 },
    #[error("a byte of the text is zero")]
    Zero,
}

/// Why a statement cannot be written as text: it is nested too deeply, or not one that the parser
/// could have made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot deparse: {message}")]
pub struct DeparseError {
    pub message: String,
}

impl Tree {
    /// Parses a text with all its statements. Takes time and memory (up to some hundred times the
    /// text's size) in proportion to the text, except that nested comments and long runs of
    /// operator characters cost the square of their length: the caller limits these.
    pub fn parse(sql: &str, strings: StringSyntax) -> Result<Self, ParseError> {
        let sql = CString::new(sql).map_err(|_| ParseError::Zero)?;
        let options = match strings {
            StringSyntax::Standard => 0,
            StringSyntax::Backslashes => {
                sys::PG_QUERY_DISABLE_STANDARD_CONFORMING_STRINGS
                    | sys::PG_QUERY_DISABLE_ESCAPE_STRING_WARNING
            }
        };
        // SAFETY: a terminated string, valid UTF-8, which the parser relies on; it is not kept:
        // the tree copies what it needs.
        let parsed = unsafe { sys::pgherd_parse(sql.as_ptr(), options as c_int) };
        match NonNull::new(parsed.context) {
            Some(context) => {
                Ok(Self { context, statements: NonNull::new(parsed.statements.cast()) })
            }
            None => Err(ParseError::Refused {
                // SAFETY: without a context there is a message, or null when memory was short.
                message: unsafe { taken(parsed.message) },
                position: u32::try_from(parsed.position).unwrap_or(0),
            }),
        }
    }

    /// The statements, empty ones (`;;`) left out.
    pub fn statements(&self) -> impl Iterator<Item = RawStmt<'_>> {
        // SAFETY: a node of this tree, which lives as long as the borrow of `self`.
        let list = match self.statements.map(|list| unsafe { Node::at(list) }) {
            Some(Node::List(list)) => list,
            _ => List::EMPTY,
        };
        list.iter().filter_map(|node| match node {
            Node::RawStmt(statement) => Some(statement),
            _ => None,
        })
    }
}

impl RawStmt<'_> {
    /// The statement as text again, by Postgres's rules of quoting.
    pub fn deparse(self) -> Result<String, DeparseError> {
        // SAFETY: a statement of a living tree. The deparser checks the depth of its stack.
        let result = unsafe { sys::pgherd_deparse(self.address().as_ptr().cast()) };
        // SAFETY: a string of the shim.
        let text = unsafe { taken(result.text) };
        if result.failed { Err(DeparseError { message: text }) } else { Ok(text) }
    }
}

/// Copies a string of the shim and frees it.
///
/// # Safety
/// `text` is a string that the shim has allocated for its caller, or null.
unsafe fn taken(text: *mut c_char) -> String {
    if text.is_null() {
        return String::from("out of memory");
    }
    // SAFETY: the caller's promise; nobody uses it after.
    unsafe {
        let copy = CStr::from_ptr(text).to_string_lossy().into_owned();
        sys::pgherd_free_text(text);
        copy
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        // SAFETY: made by `pgherd_parse` on this thread (a tree is not `Send`), freed only here.
        unsafe { sys::pgherd_free_tree(self.context.as_ptr()) };
    }
}
