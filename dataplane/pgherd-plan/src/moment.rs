//! The time and the session's names in a read: one session says them, and the shards get them as
//! constants.

use pgherd_parser::{Node, RawStmt};

use crate::edit::{Edit, Tokens, edited};
use crate::functions::{Volatility, volatility};
use crate::local::figure_name;
use crate::once::{Once, find};
use crate::outline::{Context, piece};
use crate::quote;
use crate::walk::text;

/// What is to be asked before the shards can begin.
#[derive(Debug, Clone)]
pub struct Moment {
    question: String,
    /// The statement, and where in it the values stand.
    text: String,
    values: Vec<Once>,
}

const TIMESTAMPTZ: u32 = 1184;
const TIMESTAMP: u32 = 1114;
const DATE: u32 = 1082;
const NAME: u32 = 19;

/// `None` when there are no such values, or not all of them can be constants.
pub(crate) fn moment(
    statement: RawStmt<'_>,
    source: &str,
    context: &Context<'_>,
) -> Option<Moment> {
    let source = source.get(piece(statement, source))?;
    let tree = pgherd_parser::Tree::parse(source, pgherd_parser::StringSyntax::Standard).ok()?;
    let (mut stack, mut found) = (vec![tree.statements().next()?.stmt()?], Vec::new());
    while let Some(node) = stack.pop() {
        match node {
            Node::SQLValueFunction(_) => found.push(node),
            Node::FuncCall(it) if volatility(it, context.catalog) == Volatility::OfSession => {
                found.push(node);
                continue;
            }
            Node::A_Const(constant) => {
                if let Some(Node::String(it)) = constant.val()
                    && crate::push::tells_the_time(text(it.sval()))
                {
                    return None;
                }
            }
            // A column is named for what it shows.
            Node::ResTarget(it) if it.name().is_none() => {
                let shown = it.val()?;
                if is_named_for_time(shown, context) {
                    return None;
                }
            }
            _ => {}
        }
        node.push_children(&mut stack);
    }
    let tokens = Tokens::new(source).ok()?;
    let values = find(found, &tokens, context.catalog).ok()?;
    if values.is_empty() {
        return None;
    }
    let asked = values.iter().map(|it| {
        let sql = &it.sql;
        Some(match it.oid {
            TIMESTAMPTZ => format!(
                "pg_catalog.to_char(pg_catalog.timezone('UTC', {sql}), \
                 'YYYY-MM-DD HH24:MI:SS.US') || '+00'"
            ),
            TIMESTAMP => format!("pg_catalog.to_char({sql}, 'YYYY-MM-DD HH24:MI:SS.US')"),
            DATE => format!("pg_catalog.to_char({sql}, 'YYYY-MM-DD')"),
            NAME => format!("({sql})::pg_catalog.text"),
            _ => return None,
        })
    });
    let asked = asked.collect::<Option<Vec<_>>>()?;
    let question = format!("SELECT {}", asked.join(", "));
    Some(Moment { question, text: source.to_owned(), values })
}

/// Whether a constant in the place of such a value would give the column another name.
fn is_named_for_time(shown: Node<'_>, context: &Context<'_>) -> bool {
    let mut stack = vec![shown];
    let mut names = Vec::new();
    while let Some(node) = stack.pop() {
        match node {
            Node::SQLValueFunction(_) => return !is_operation(shown),
            Node::FuncCall(it) if volatility(it, context.catalog) == Volatility::OfSession => {
                names.push(figure_name(node));
            }
            _ => {}
        }
        node.push_children(&mut stack);
    }
    !names.is_empty() && (!is_operation(shown) || names.contains(&figure_name(shown)))
}

/// Its name does not come from what is within.
fn is_operation(node: Node<'_>) -> bool {
    matches!(
        node,
        Node::FuncCall(_)
            | Node::A_Expr(_)
            | Node::BoolExpr(_)
            | Node::CoalesceExpr(_)
            | Node::NullTest(_)
    )
}

impl Moment {
    /// A query with one row of texts.
    pub fn question(&self) -> &str {
        &self.question
    }

    /// The statement with the values in it; `None` when they are not as many as were asked for.
    pub fn text(&self, values: &[Option<String>]) -> Option<String> {
        if values.len() != self.values.len() {
            return None;
        }
        let edits = self.values.iter().zip(values).map(|(once, value)| {
            let value = match value {
                Some(value) => quote::literal(value),
                None => "NULL".to_owned(),
            };
            let text = format!("({value}::pg_catalog.{})", once.sql_type);
            Edit { range: once.range.clone(), text }
        });
        edited(&self.text, 0..self.text.len(), edits.collect())
    }
}
