//! Simple queries that differ only in their literals: the shard of one is found without parsing it,
//! by what is known of its text with parameters in their place.

use std::fmt::Write;
use std::ops::Range;

use pgherd_plan::{Parameter, Plan};
use pgherd_sql::{Lexer, Token};

use super::branch::Arguments;
use super::coordinator::Coordinator;
use super::execute::{Done, Job};
use super::failure::Failure;
use super::transaction::State;
use super::verb::{Nature, Verb};

const INT8: u32 = 20;
const TEXT: u32 = 25;
/// Longer texts are rare enough, and more literals.
const LONGEST: usize = 4096;
const MOST_LITERALS: usize = 32;

/// A text with parameters in the place of literals.
#[derive(Debug, PartialEq, Eq)]
struct Normal<'t> {
    text: String,
    /// Type and value of each.
    values: Vec<(u32, &'t str)>,
}

/// `None` where literals are not as simple as that.
fn normalised(text: &str) -> Option<Normal<'_>> {
    let mut lexer = Lexer::new(text.as_bytes());
    let mut normal = Normal { text: String::with_capacity(text.len() + 8), values: Vec::new() };
    let mut copied = 0;
    let mut copy = |normal: &mut Normal<'_>, range: Range<usize>| {
        normal.text.push_str(text.get(copied..range.start)?);
        let number = normal.values.len();
        write!(normal.text, "${number}").ok()?;
        copied = range.end;
        Some(())
    };
    while let Some((token, range)) = lexer.next_token().ok()? {
        let written = text.get(range.clone())?;
        match token {
            Token::Integer => {
                normal.values.push((INT8, written));
                copy(&mut normal, range)?;
            }
            Token::String => {
                let inner = written.strip_prefix('\'')?.strip_suffix('\'')?;
                if inner.contains('\'') {
                    return None;
                }
                normal.values.push((TEXT, inner));
                copy(&mut normal, range)?;
            }
            // The numbers of parameters would be others, and comments may ask for something.
            Token::Parameter | Token::Comment => return None,
            _ => {}
        }
        if normal.values.len() > MOST_LITERALS {
            return None;
        }
    }
    if normal.values.is_empty() {
        return None;
    }
    let copied = copied;
    normal.text.push_str(text.get(copied..)?);
    Some(normal)
}

impl Coordinator {
    /// Runs a text that is one statement for one shard, by what is known of others like it.
    /// `None` when that is not enough to know.
    pub(crate) async fn run_known(&mut self, text: &str) -> Result<Option<Done>, Failure> {
        let is_plain = self.transaction.state != State::Failed
            && text.len() <= LONGEST
            && self.strings() == pgherd_parser::StringSyntax::Standard
            && self.wishes.shard().is_none()
            && !self.wishes.has_sharding_key();
        if !is_plain || self.is_text_known(text) {
            return Ok(None);
        }
        let Some(normal) = normalised(text) else { return Ok(None) };
        let parameters: Vec<Parameter<'_>> = normal
            .values
            .iter()
            .map(|(type_oid, value)| Parameter {
                type_oid: *type_oid,
                value: Some(value.as_bytes()),
                binary: false,
            })
            .collect();
        let (shard, nature) = match self.quick_shard(&normal.text, &parameters) {
            Some((shard, nature)) => (shard, nature),
            None => {
                let verb = self.verb_of(&normal.text);
                let Verb::Plan(nature @ (Nature::Reads | Nature::Writes)) = verb else {
                    return Ok(None);
                };
                let (outline, loaded) = self.outline(&normal.text).await?;
                let Plan::Single(shard) = outline.plan(&parameters, &loaded.places) else {
                    return Ok(None);
                };
                (shard, nature)
            }
        };
        static NOTHING: Arguments = Arguments::NONE;
        let job = Job {
            text,
            types: &[],
            arguments: &NOTHING,
            parameters: &[],
            formats: &[],
            is_simple: true,
            nature,
            statement: None,
        };
        self.execute_on(shard, &job).await.map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_become_parameters() {
        let normal = normalised("SELECT a FROM t1 WHERE id = 42 AND n = 'x' LIMIT 1;").unwrap();
        assert_eq!(normal.text, "SELECT a FROM t1 WHERE id = $1 AND n = $2 LIMIT $3;");
        assert_eq!(normal.values, [(INT8, "42"), (TEXT, "x"), (INT8, "1")]);
        for text in ["SELECT 1", "SELECT $1, 2", "SELECT 1 /* x */", "SELECT 'it''s'", "SELECT a"] {
            let expected = text == "SELECT 1";
            assert_eq!(normalised(text).is_some(), expected, "{text}");
        }
    }
}
