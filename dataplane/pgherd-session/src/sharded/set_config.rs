//! `SELECT set_config(…)`: a SET in the form of a query, which holds on all shards as that does.

use pgherd_parser::{Node, RawStmt, SelectStmt, StringSyntax, Tree, constants};
use pgherd_sql::{Lexer, Token};

use super::branch::Arguments;
use super::coordinator::Coordinator;
use super::cursors::tokens;
use super::execute::{Done, Job};
use super::failure::Failure;
use super::verb::Verb;

const TEXTS: [u32; 3] = [25, 1043, 705];
const BOOL: u32 = 16;

/// What is to be done about a statement, where its text calls `set_config`.
pub(super) fn verb(statement: RawStmt<'_>, text: &str) -> Option<Verb> {
    if !calls(text) {
        return None;
    }
    let is_plain = match statement.stmt() {
        Some(Node::SelectStmt(select)) => is_plain(select),
        // The statement inside is looked at.
        Some(Node::PrepareStmt(_)) => return None,
        _ => false,
    };
    Some(match is_plain {
        true => Verb::SetConfig,
        false => Verb::Refused("set_config() with anything but values, or beside anything else"),
    })
}

/// Whether a function of this name is called, as far as that can be told from the words.
fn calls(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    if memchr::memmem::find(lower.as_bytes(), b"set_config").is_none() {
        return false;
    }
    let mut lexer = Lexer::new(text.as_bytes());
    loop {
        match lexer.next_token() {
            Ok(Some((Token::Comment | Token::String, _))) => {}
            Ok(Some((_, range))) => {
                let word = text.get(range).unwrap_or_default().trim_matches('"');
                if word.eq_ignore_ascii_case("set_config") {
                    return true;
                }
            }
            Ok(None) | Err(_) => return false,
        }
    }
}

/// Only calls with values, without rows of anything.
fn is_plain(select: SelectStmt<'_>) -> bool {
    let targets = select.target_list();
    select.op() == constants::SETOP_NONE
        && select.from_clause().is_empty()
        && select.where_clause().is_none()
        && select.with_clause().is_none()
        && select.values_lists().is_empty()
        && select.group_clause().is_empty()
        && select.having_clause().is_none()
        && select.limit_count().is_none()
        && select.limit_offset().is_none()
        && select.into_clause().is_none()
        && !targets.is_empty()
        && targets.iter().all(|target| match target {
            Node::ResTarget(target) => target.val().is_some_and(is_call_or_value),
            _ => false,
        })
}

fn is_call_or_value(node: Node<'_>) -> bool {
    match node {
        Node::FuncCall(call) => {
            let names: Vec<String> = call
                .funcname()
                .iter()
                .filter_map(|it| match it {
                    Node::String(it) => {
                        it.sval().map(|it| String::from_utf8_lossy(it).into_owned())
                    }
                    _ => None,
                })
                .collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            // What is set is the same on all shards.
            let is_known = matches!(
                names.as_slice(),
                ["set_config" | "current_setting"]
                    | ["pg_catalog", "set_config" | "current_setting"]
            );
            is_known && call.args().iter().all(is_value)
        }
        node => is_value(node),
    }
}

fn is_value(node: Node<'_>) -> bool {
    match node {
        Node::A_Const(_) | Node::ParamRef(_) => true,
        Node::TypeCast(cast) => cast.arg().is_some_and(is_value),
        _ => false,
    }
}

/// The names that are written in the calls.
fn names(text: &str, strings: StringSyntax) -> Vec<String> {
    let Ok(tree) = Tree::parse(text, strings) else { return Vec::new() };
    let Some(Node::SelectStmt(select)) = tree.statements().next().and_then(|it| it.stmt()) else {
        return Vec::new();
    };
    let name = |target: Node<'_>| {
        let Node::ResTarget(target) = target else { return None };
        let Node::FuncCall(call) = target.val()? else { return None };
        let Node::A_Const(name) = call.args().iter().next()? else { return None };
        let Node::String(name) = name.val()? else { return None };
        name.sval().map(|it| String::from_utf8_lossy(it).into_owned())
    };
    select.target_list().iter().filter_map(name).collect()
}

/// The text with the values in the place of its parameters.
fn inlined(text: &str, types: &[u32], arguments: &Arguments) -> Option<String> {
    let values: Vec<_> = arguments.iter().collect();
    let (mut out, mut copied) = (String::with_capacity(text.len()), 0);
    for (token, range) in tokens(text) {
        if token != Token::Parameter {
            continue;
        }
        let number: usize = text.get(range.clone())?.strip_prefix('$')?.parse().ok()?;
        let index = number.checked_sub(1)?;
        let (binary, value) = values.get(index)?;
        let of = *types.get(index)?;
        out.push_str(text.get(copied..range.start)?);
        out.push_str(&literal(of, *binary, *value)?);
        copied = range.end;
    }
    out.push_str(text.get(copied..)?);
    Some(out.trim().trim_end_matches(';').to_owned())
}

fn literal(of: u32, binary: bool, value: Option<&[u8]>) -> Option<String> {
    let cast = if of == BOOL { "boolean" } else { "text" };
    let Some(value) = value else { return Some(format!("NULL::{cast}")) };
    if of == BOOL && binary {
        return Some(format!("{}", value != [0]));
    }
    if of != BOOL && !TEXTS.contains(&of) {
        return None;
    }
    let value = std::str::from_utf8(value).ok()?.replace('\'', "''");
    Some(match value.contains('\\') {
        true => format!("E'{}'::{cast}", value.replace('\\', "\\\\")),
        false => format!("'{value}'::{cast}"),
    })
}

impl Coordinator {
    /// Runs it on each shard that takes part; others will begin with it.
    pub(crate) async fn set_config(&mut self, job: &Job<'_>) -> Result<Done, Failure> {
        let text = inlined(job.text, job.types, job.arguments).ok_or_else(|| {
            Failure::unsupported(
                "set_config() with a parameter of such a type",
                "Pass the value as text.",
            )
        })?;
        let first = self.any_shard();
        let done = self.on_one(first, job).await?;
        let others: Vec<usize> =
            self.branches.iter().map(|it| it.shard).filter(|it| *it != first).collect();
        for shard in others {
            let Some(branch) = self.branches.get(shard) else { continue };
            branch.is_quiet = true;
            let answer = branch.simple(&text).await;
            branch.is_quiet = false;
            answer?;
        }
        for name in names(&text, self.strings()) {
            if name.contains('.') && !self.custom.contains(&name) {
                self.custom.push(name);
            }
        }
        if self.transaction.is_open() {
            self.transaction.log_set(&text);
            self.transaction.sets = true;
        } else {
            self.take_settings().await?;
            self.report_params(first);
        }
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<bool>) {
        let tree = Tree::parse(text, StringSyntax::Standard).unwrap();
        let verb = verb(tree.statements().next().unwrap(), text);
        assert_eq!(verb.map(|it| it == Verb::SetConfig), expected, "{text}");
    }

    #[test]
    fn a_set_is_known_in_the_form_of_a_query() {
        check(
            "SELECT set_config('a.b', $1, true), pg_catalog.Set_Config('c', 'd', $2::bool)",
            Some(true),
        );
        check("SELECT 1, \"set_config\"('a', NULL, 't') AS x", Some(true));
        check("SELECT current_setting('a') AS b, set_config('a', 'off', false)", Some(true));
        check("SELECT set_config('a', x, true) FROM t", Some(false));
        check("SELECT set_config('a', 'b' || 'c', true)", Some(false));
        check("SELECT set_config('a', 'b', true) UNION SELECT 'x'", Some(false));
        check("SELECT lower(set_config('a', 'b', true))", Some(false));
        check("INSERT INTO t VALUES (set_config('a', 'b', true))", Some(false));
        check("SELECT 'set_config' /* set_config */", None);
        check("SELECT 1", None);
    }

    #[test]
    fn values_are_written_as_literals() {
        let mut arguments = Arguments::default();
        arguments.push(false, Some(b"it's \\"));
        arguments.push(true, Some(&[1]));
        arguments.push(false, None);
        let text = "SELECT set_config('a.b', $1, $2), set_config('$1', $3, true);";
        let text = inlined(text, &[25, 16, 25], &arguments).unwrap();
        let expected = "SELECT set_config('a.b', E'it''s \\\\'::text, true), \
                        set_config('$1', NULL::text, true)";
        assert_eq!(text, expected);
        assert_eq!(names(&text, StringSyntax::Standard), ["a.b", "$1"]);
        assert_eq!(inlined("SELECT $1", &[23], &arguments), None);
    }
}
