//! PREPARE and EXECUTE of SQL: the same statements as those of the protocol.

use std::rc::Rc;

use super::branch::Arguments;
use super::coordinator::Coordinator;
use super::cursors::{behind, tokens};
use super::execute::{Done, Job};
use super::extended::{nature, parameters};
use super::failure::Failure;

/// What stands in the first parentheses, if they stand before the word.
fn in_parentheses<'t>(text: &'t str, before: Option<&str>) -> Option<&'t str> {
    let (mut depth, mut start) = (0_usize, None);
    for (_, range) in tokens(text) {
        let token = text.get(range.clone())?;
        match token {
            "(" => {
                depth += 1;
                start.get_or_insert(range.end);
            }
            ")" => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return text.get(start?..range.start);
                }
            }
            word if depth == 0 && before.is_some_and(|it| word.eq_ignore_ascii_case(it)) => {
                return None;
            }
            _ => {}
        }
    }
    None
}

/// A list cut at its commas that stand in no parentheses or brackets.
fn parts(list: &str) -> Vec<&str> {
    let (mut depth, mut from) = (0_i32, 0);
    let mut parts = Vec::new();
    for (_, range) in tokens(list) {
        match list.get(range.clone()) {
            Some("(" | "[") => depth += 1,
            Some(")" | "]") => depth -= 1,
            Some(",") if depth == 0 => {
                parts.push(list.get(from..range.start).unwrap_or_default().trim());
                from = range.end;
            }
            _ => {}
        }
    }
    parts.push(list.get(from..).unwrap_or_default().trim());
    parts
}

impl Coordinator {
    /// PREPARE.
    pub(crate) async fn prepare_sql(&mut self, name: &str, text: &str) -> Result<Done, Failure> {
        let types = match in_parentheses(text, Some("as")) {
            None => Vec::new(),
            Some(list) => self.type_oids(&parts(list)).await?,
        };
        let inner = behind(text, "as").ok_or_else(super::coordinator::not_understood)?;
        let statement = self.prepare(inner.as_bytes(), &types).await?;
        self.extended.keep(name.as_bytes(), Rc::new(statement))?;
        Ok(Done::tagged("PREPARE"))
    }

    async fn type_oids(&mut self, names: &[&str]) -> Result<Vec<u32>, Failure> {
        let casts: Vec<String> = names.iter().map(|it| format!("NULL::{it}")).collect();
        let sql = format!("SELECT {}", casts.join(", "));
        // What the types are called is the client's: in its search path, judged by Postgres.
        let shape = self.shape(&sql, &[]).await?;
        let types = shape.row.as_deref().and_then(super::shapes::column_types);
        types.ok_or_else(super::coordinator::not_understood)
    }

    /// EXECUTE.
    pub(crate) async fn execute_sql(
        &mut self,
        name: &str,
        asked: &Job<'_>,
    ) -> Result<Done, Failure> {
        let statement = self.extended.statement(name.as_bytes())?;
        let given = in_parentheses(asked.text, None).map(parts).unwrap_or_default();
        let types = &statement.shape.parameters;
        if given.len() != types.len() {
            let error = pgherd_wire::ErrorResponse::error(
                pgherd_wire::sqlstate::SYNTAX_ERROR,
                format!("wrong number of parameters for prepared statement \"{name}\""),
            );
            let (wanted, given) = (types.len(), given.len());
            let detail = format!("Expected {wanted} parameters but got {given}.");
            return Err(Failure::refused(error.detail(detail)));
        }
        let arguments = self.values(&given, types).await?;
        let (Some(nature), parameters) =
            (nature(&statement), parameters(&statement.shape, &arguments))
        else {
            return Err(Failure::unsupported("EXECUTE of such a statement", "Send it by itself."));
        };
        let job = Job {
            text: &statement.text,
            types,
            arguments: &arguments,
            parameters: &parameters,
            formats: asked.formats,
            is_simple: asked.is_simple,
            nature,
            statement: None,
        };
        Box::pin(self.execute(&job)).await
    }

    /// The values of expressions, as text.
    async fn values(&mut self, given: &[&str], types: &[u32]) -> Result<Arguments, Failure> {
        let mut arguments = Arguments::default();
        if given.is_empty() {
            return Ok(arguments);
        }
        let sql = format!(
            "SELECT {}",
            types.iter().map(ToString::to_string).collect::<Vec<_>>().join("::regtype, ")
        );
        let names = self.ask_any(&format!("{sql}::regtype")).await?;
        let names = names.rows.into_iter().next().unwrap_or_default();
        let casts = given.iter().zip(names).map(|(expression, name)| {
            let name = String::from_utf8_lossy(&name.unwrap_or_default()).into_owned();
            format!("({expression})::{name}")
        });
        let sql = format!("SELECT {}", casts.collect::<Vec<_>>().join(", "));
        let answer = self.ask_any(&sql).await.map_err(super::execute::about_own_text)?;
        for value in answer.rows.into_iter().next().unwrap_or_default() {
            arguments.push(false, value.as_deref());
        }
        Ok(arguments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_cut_at_their_own_commas() {
        let text = "PREPARE p (numeric(10, 2), int[]) AS SELECT f($1, $2)";
        let list = in_parentheses(text, Some("as")).unwrap();
        assert_eq!(parts(list), ["numeric(10, 2)", "int[]"]);
        assert_eq!(in_parentheses("PREPARE p AS SELECT (1)", Some("as")), None);
        let list = in_parentheses("EXECUTE p (1, 'a,b', ARRAY[1, 2])", None).unwrap();
        assert_eq!(parts(list), ["1", "'a,b'", "ARRAY[1, 2]"]);
    }
}
