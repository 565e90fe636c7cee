//! Texts of SQL, parsed and outlined once for all sessions of a worker.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use ahash::AHashMap;
use pgherd_parser::{ParseError, StringSyntax, Tree};
use pgherd_plan::{Context, Outline, Parameter, outline};

use super::catalog::Loaded;
use super::coordinator::{Coordinator, not_understood};
use super::encoding::Encoding;
use super::failure::Failure;
use super::verb::{Nature, Verb};

/// What a worker knows of texts.
#[derive(Default)]
pub(crate) struct Texts {
    known: AHashMap<Box<str>, Rc<Known>>,
    bytes: usize,
}

/// One statement.
struct Known {
    verb: Verb,
    /// Nothing in it asks the proxy for something of its own.
    is_plain: bool,
    outline: std::cell::RefCell<Option<Outlined>>,
}

#[derive(Clone)]
struct Outlined {
    /// Of the catalog.
    version: u64,
    path: Arc<[String]>,
    shards: usize,
    outline: Rc<Outline>,
}

/// A statement of a text.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    pub(crate) text: Rc<str>,
    /// Characters before it.
    pub(crate) offset: usize,
    pub(crate) verb: Verb,
}

/// Bytes of texts that a worker keeps, and the longest one that is kept.
const MAX_BYTES: usize = 8 << 20;
const LONGEST_KEPT: usize = 16 * 1024;
/// The longest that is parsed: a tree takes many times as much.
const LONGEST: usize = 8 << 20;
/// Nested comments cost the parser the square of their number.
const MOST_COMMENTS: usize = 10_000;

// === impl Texts ===

impl Texts {
    fn keep(&mut self, text: &str, verb: Verb) -> Rc<Known> {
        let is_plain =
            !text.contains("unique_id") && pgherd_sql::directive(text.as_bytes()).is_none();
        let known = Rc::new(Known { verb, is_plain, outline: std::cell::RefCell::default() });
        if text.len() <= LONGEST_KEPT {
            // An outline holds several copies of the text.
            self.bytes += 8 * text.len() + 512;
            if self.bytes > MAX_BYTES {
                self.known.clear();
                self.bytes = 8 * text.len() + 512;
            }
            self.known.insert(text.into(), Rc::clone(&known));
        }
        known
    }
}

impl std::fmt::Debug for Texts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Texts").field("known", &self.known.len()).finish_non_exhaustive()
    }
}

/// Why a text has no tree.
enum NoTree {
    /// Postgres is asked what it thinks of it.
    Syntax,
    Limit(Failure),
}

fn parse(text: &str, strings: StringSyntax) -> Result<Tree, NoTree> {
    if text.len() > LONGEST {
        let error =
            format!("a statement longer than {LONGEST} bytes cannot be planned over shards");
        return Err(NoTree::Limit(Failure::error("54000", error)));
    }
    let comments = memchr::memmem::find_iter(text.as_bytes(), b"/*").take(MOST_COMMENTS);
    if comments.count() == MOST_COMMENTS {
        return Err(NoTree::Limit(Failure::error("54000", "a statement with too many comments")));
    }
    Tree::parse(text, strings).map_err(|error| match error {
        ParseError::Refused { .. } | ParseError::Zero => NoTree::Syntax,
    })
}

impl Coordinator {
    pub(crate) fn strings(&self) -> StringSyntax {
        match self.front.params().get("standard_conforming_strings") {
            Some("off") => StringSyntax::Backslashes,
            _ => StringSyntax::Standard,
        }
    }

    /// A text of the client as the parser can read it.
    pub(crate) fn readable<'t>(&self, text: &'t [u8]) -> Result<Cow<'t, str>, Failure> {
        let params = self.front.params();
        let is_utf8 = params.get("client_encoding").is_none_or(|it| it == "UTF8");
        let encoding = Encoding::of(&params);
        match encoding.decode(text) {
            Some(text) if is_utf8 || encoding == Encoding::Latin1 || text.is_ascii() => Ok(text),
            _ if is_utf8 => {
                Err(Failure::error("22021", "invalid byte sequence for encoding \"UTF8\""))
            }
            _ => Err(Failure::unsupported(
                "a text with other characters than ASCII under this client_encoding",
                "Set client_encoding to UTF8.",
            )),
        }
    }

    /// The statements of a text. What Postgres says of one that has none is the failure.
    pub(crate) async fn pieces(&mut self, text: &str) -> Result<Vec<Piece>, Failure> {
        let strings = self.strings();
        let is_standard = strings == StringSyntax::Standard;
        if is_standard && let Some(known) = self.known(text) {
            return Ok(vec![Piece { text: text.into(), offset: 0, verb: known.verb.clone() }]);
        }
        let cut = match parse(text, strings) {
            Ok(tree) => cut(&tree, text),
            Err(NoTree::Limit(failure)) => return Err(failure),
            Err(NoTree::Syntax) => {
                self.judge(text, &[]).await?;
                return Err(not_understood());
            }
        };
        if let ([only], true) = (cut.as_slice(), is_standard) {
            self.front.worker.texts.borrow_mut().keep(text, only.verb.clone());
        }
        Ok(cut)
    }

    fn known(&self, text: &str) -> Option<Rc<Known>> {
        self.front.worker.texts.borrow().known.get(text).cloned()
    }

    /// The one shard of a statement and what it does there, where all that this depends on is known
    /// already.
    pub(crate) fn quick_shard(
        &self,
        text: &str,
        parameters: &[Parameter<'_>],
    ) -> Option<(usize, Nature)> {
        if self.wishes.shard().is_some() || self.wishes.has_sharding_key() {
            return None;
        }
        let loaded = self.seen_catalog()?;
        let path = self.seen_path(loaded)?;
        let texts = self.front.worker.texts.borrow();
        let known = texts.known.get(text).filter(|it| it.is_plain)?;
        let Verb::Plan(nature @ (Nature::Reads | Nature::Writes)) = known.verb else { return None };
        let outlined = known.outline.borrow();
        let outlined = outlined.as_ref()?;
        let is_same = outlined.version == loaded.version
            && outlined.shards == self.sites.count()
            && (Arc::ptr_eq(&outlined.path, path) || outlined.path == *path);
        if !is_same {
            return None;
        }
        Some((outlined.outline.single(parameters, &loaded.places)?, nature))
    }

    /// Whether a text was parsed before.
    pub(crate) fn is_text_known(&self, text: &str) -> bool {
        self.front.worker.texts.borrow().known.contains_key(text)
    }

    /// What a text does that is one statement; others are refused.
    pub(crate) fn verb_of(&self, text: &str) -> Verb {
        if let Some(known) = self.known(text) {
            return known.verb.clone();
        }
        let verb = match parse(text, StringSyntax::Standard) {
            Ok(tree) => match cut(&tree, text).as_slice() {
                [only] => only.verb.clone(),
                _ => Verb::Refused("several statements"),
            },
            Err(_) => Verb::Refused("a parameter here"),
        };
        self.front.worker.texts.borrow_mut().keep(text, verb.clone());
        verb
    }

    /// What is known of a statement before its parameters have values.
    pub(crate) async fn outline(
        &mut self,
        text: &str,
    ) -> Result<(Rc<Outline>, Arc<Loaded>), Failure> {
        let loaded = self.catalog().await?;
        let path = self.search_path(&loaded).await?;
        let shards = self.sites.count();
        let strings = self.strings();
        let known = self.known(text).filter(|_| strings == StringSyntax::Standard);
        if let Some(known) = &known
            && let Some(outlined) = &*known.outline.borrow()
            && outlined.version == loaded.version
            && outlined.path == path
            && outlined.shards == shards
        {
            return Ok((Rc::clone(&outlined.outline), loaded));
        }
        let tree = parse(text, strings).map_err(|error| match error {
            NoTree::Limit(failure) => failure,
            NoTree::Syntax => not_understood(),
        })?;
        let statement = tree.statements().next().ok_or_else(not_understood)?;
        // Statements live longer than what is known of their texts.
        let known = known.or_else(|| {
            let is_kept = strings == StringSyntax::Standard && tree.statements().count() == 1;
            is_kept.then(|| self.front.worker.texts.borrow_mut().keep(text, Verb::of(statement)))
        });
        let names: Vec<&str> = path.iter().map(String::as_str).collect();
        let context = Context { catalog: &loaded.catalog, search_path: &names, shards };
        let outline = Rc::new(outline(statement, text, &context));
        if let Some(known) = known {
            let outlined =
                Outlined { version: loaded.version, path, shards, outline: Rc::clone(&outline) };
            *known.outline.borrow_mut() = Some(outlined);
        }
        Ok((outline, loaded))
    }

    /// The same of a text of the proxy's own that will not come again.
    pub(crate) async fn outline_once(
        &mut self,
        text: &str,
        loaded: &Loaded,
    ) -> Result<Option<Outline>, Failure> {
        let path = self.search_path(loaded).await?;
        let names: Vec<&str> = path.iter().map(String::as_str).collect();
        let shards = self.sites.count();
        let context = Context { catalog: &loaded.catalog, search_path: &names, shards };
        let Ok(tree) = parse(text, self.strings()) else { return Ok(None) };
        Ok(tree.statements().next().map(|statement| outline(statement, text, &context)))
    }
}

fn cut(tree: &Tree, text: &str) -> Vec<Piece> {
    let statements: Vec<_> = tree.statements().collect();
    if let [only] = statements.as_slice() {
        return vec![Piece { text: text.into(), offset: 0, verb: Verb::of(*only) }];
    }
    let (mut at, mut characters) = (0, 0);
    let pieces = statements.into_iter().map(|statement| {
        let start = usize::try_from(statement.stmt_location()).unwrap_or(0);
        let end = match usize::try_from(statement.stmt_len()) {
            Ok(0) | Err(_) => text.len(),
            Ok(length) => start + length,
        };
        characters += text.get(at..start).map_or(0, |it| it.chars().count());
        at = start;
        let text = text.get(start..end).unwrap_or_default();
        Piece { text: text.into(), offset: characters, verb: Verb::of(statement) }
    });
    pieces.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_into_its_statements() {
        let text = "SELECT 'ä'; ;SELECT 2 ; -- end";
        let tree = Tree::parse(text, StringSyntax::Standard).unwrap();
        let pieces = cut(&tree, text);
        let texts: Vec<(&str, usize)> =
            pieces.iter().map(|it| (it.text.trim(), it.offset)).collect();
        assert_eq!(texts, [("SELECT 'ä'", 0), ("SELECT 2", 13)]);
        let tree = Tree::parse("SELECT 1;", StringSyntax::Standard).unwrap();
        assert_eq!(&*cut(&tree, "SELECT 1;")[0].text, "SELECT 1;");
    }
}
