//! What a data-modifying statement of WITH returns, as the input of what follows.

use std::collections::HashSet;
use std::ops::Range;

use pgherd_parser::Node;

use super::{Cte, odd, refused, with_of};
use crate::catalog::{Column, Table};
use crate::edit::{Edit, Tokens, edited};
use crate::plan::{GatheredColumn, Refusal};
use crate::quote;
use crate::walk::{column, text, texts};
use crate::walker::is_star;

/// What RETURNING gives.
#[derive(Default)]
pub(super) struct Returned {
    /// What is asked for, in place of the client's list.
    asked: Vec<String>,
    pub(super) columns: Vec<GatheredColumn>,
    /// The types of arrays, and what becomes of their elements.
    arrays: Vec<String>,
    outputs: Vec<String>,
    names: Vec<String>,
}

/// The statement with a RETURNING of its own, and what comes of that.
pub(super) fn body(
    cte: &Cte<'_, '_>,
    target: &Table,
    tokens: &Tokens<'_>,
    is_read: bool,
) -> Result<(String, Returned), Refusal> {
    let (returning, relation, others) = match cte.query {
        Node::InsertStmt(it) => (it.returning_clause(), it.relation(), false),
        Node::UpdateStmt(it) => {
            (it.returning_clause(), it.relation(), !it.from_clause().is_empty())
        }
        Node::DeleteStmt(it) => {
            (it.returning_clause(), it.relation(), !it.using_clause().is_empty())
        }
        _ => return Err(odd()),
    };
    if with_of(cte.query).is_some() {
        return Err(refused("that has a WITH itself"));
    }
    let body = cte.body.clone();
    let (first, last) = (body.start, body.end.checked_sub(1).ok_or_else(odd)?);
    let Some(Node::ReturningClause(returning)) = returning else {
        let body = tokens.between(first, last).ok_or_else(odd)?;
        return Ok((body.to_owned(), Returned::default()));
    };
    let word = body.rev().find(|it| tokens.text(*it).eq_ignore_ascii_case("returning"));
    let word = word.ok_or_else(odd)?;
    let before = tokens.between(first, word.checked_sub(1).ok_or_else(odd)?).ok_or_else(odd)?;
    if !is_read {
        return Ok((before.to_owned(), Returned::default()));
    }
    if tokens.text(word + 1).eq_ignore_ascii_case("with") {
        return Err(refused("with other names for OLD and NEW"));
    }
    let Some(Node::RangeVar(relation)) = relation else { return Err(odd()) };
    let reference = match relation.alias() {
        Some(Node::Alias(alias)) => text(alias.aliasname()).to_owned(),
        _ => target.name.clone(),
    };
    let mut returned = Returned::default();
    for item in returning.exprs().iter() {
        let Node::ResTarget(item) = item else { return Err(odd()) };
        let value = item.val().ok_or_else(odd)?;
        let name = item.name().map(|it| text(Some(it)));
        if is_star(value) {
            let Node::ColumnRef(star) = value else { return Err(odd()) };
            let qualifiers = texts(star.fields());
            let is_target = match qualifiers.as_slice() {
                [] => !others,
                [one] => *one == reference,
                _ => false,
            };
            if !is_target {
                return Err(refused("that returns columns of other tables"));
            }
            for column in &target.columns {
                returned.column(column, &reference, &column.name)?;
            }
            continue;
        }
        if let Node::A_Const(constant) = value
            && let Some(Node::Integer(number)) = constant.val().filter(|_| !constant.isnull())
        {
            returned.constant(number.ival(), name.unwrap_or("?column?"));
            continue;
        }
        let found = column(value).filter(|(qualifier, _)| match qualifier {
            Some(qualifier) => *qualifier == reference,
            None => !others,
        });
        let found = found.and_then(|(_, it)| target.columns.get(target.position(it)?));
        let Some(found) = found else {
            return Err(refused("that returns anything but columns of its table"));
        };
        returned.column(found, &reference, name.unwrap_or(&found.name))?;
    }
    Ok((format!("{before} RETURNING {}", returned.asked.join(", ")), returned))
}

/// A part that follows; a star of the rows becomes their columns, as an INSERT must know them.
pub(super) fn written(
    part: Node<'_>,
    cte: &Cte<'_, '_>,
    returned: &Returned,
    tokens: &Tokens<'_>,
    range: Range<usize>,
) -> Result<String, Refusal> {
    let mut edits = Vec::new();
    let distinct: HashSet<&String> = returned.names.iter().collect();
    if let Node::InsertStmt(insert) = part
        && let Some(Node::SelectStmt(select)) = insert.select_stmt()
        && let (1, Some(Node::RangeVar(from))) =
            (select.from_clause().len(), select.from_clause().first())
        && text(from.relname()) == cte.name
        && !cte.has_columns
        && distinct.len() == returned.names.len()
    {
        for item in select.target_list().iter() {
            let Node::ResTarget(item) = item else { continue };
            let Some(Node::ColumnRef(star)) = item.val().filter(|it| is_star(*it)) else {
                continue;
            };
            let first = tokens.at(usize::try_from(star.location()).map_err(|_| odd())?);
            let last = (first..range.end).find(|it| tokens.text(*it) == "*").ok_or_else(odd)?;
            let (start, end) = (tokens.range(first), tokens.range(last));
            let range = start.zip(end).map(|(one, other)| one.start..other.end);
            let names: Vec<String> = returned.names.iter().map(|it| quote::name(it)).collect();
            edits.push(Edit { range: range.ok_or_else(odd)?, text: names.join(", ") });
        }
    }
    let last = range.end.checked_sub(1).ok_or_else(odd)?;
    let (start, end) = (tokens.range(range.start), tokens.range(last));
    let piece = start.zip(end).map(|(one, other)| one.start..other.end).ok_or_else(odd)?;
    edited(tokens.whole(), piece, edits).ok_or_else(odd)
}

// === impl Returned ===

impl Returned {
    fn column(&mut self, column: &Column, reference: &str, name: &str) -> Result<(), Refusal> {
        let Some(transport) = &column.transport else {
            return Err(refused(format!("that returns a column of type {}", column.sql_type)));
        };
        let (of, number) = (quote::name(reference), self.columns.len());
        let own = quote::name(&column.name);
        self.asked.push(format!("{of}.{own}{}", column.to_transport()));
        self.arrays.push(transport.sql_type.clone());
        let collation = column.collation.as_ref().map(|it| format!(" COLLATE {it}"));
        let collation = collation.unwrap_or_default();
        let sql_type = &column.sql_type;
        self.outputs.push(format!("c{number}::{sql_type}{collation} AS {}", quote::name(name)));
        self.columns.push(GatheredColumn { type_oid: transport.oid });
        self.names.push(name.to_owned());
        Ok(())
    }

    fn constant(&mut self, value: i32, name: &str) {
        const INT4: u32 = 23;
        let number = self.columns.len();
        self.asked.push(format!("({value})"));
        self.arrays.push("pg_catalog.int4".to_owned());
        self.outputs.push(format!("c{number} AS {}", quote::name(name)));
        self.columns.push(GatheredColumn { type_oid: INT4 });
        self.names.push(name.to_owned());
    }

    /// The rows, from arrays with these numbers on.
    pub(super) fn query(&self, first_parameter: usize) -> String {
        let arrays = self.arrays.iter().enumerate();
        let arrays: Vec<String> = arrays
            .map(|(index, it)| format!("pg_catalog.unnest(${}::{it}[])", first_parameter + index))
            .collect();
        let names: Vec<String> = (0..self.columns.len()).map(|it| format!("c{it}")).collect();
        format!(
            "SELECT {} FROM ROWS FROM ({}) AS g({})",
            self.outputs.join(", "),
            arrays.join(", "),
            names.join(", ")
        )
    }
}
