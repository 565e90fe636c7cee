//! Views in statements: their queries take their place, as one Postgres puts them there.

use std::collections::BTreeSet;

use pgherd_parser::{Node, SelectStmt, StringSyntax, Tree};

use crate::catalog::Catalog;
use crate::edit::{Tokens, edited};
use crate::outline::Context;
use crate::plan::Refusal;
use crate::quote;
use crate::scope::Occurrence;
use crate::walk::texts;
use crate::walker::{Env, Walker};

/// Views on views.
const DEEPEST: usize = 32;
const LONGEST: usize = 1 << 20;

/// A statement without views.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expanded {
    pub text: String,
    /// [`crate::Outline::rights`]
    pub rights: String,
}

/// The statement with the queries of its views in their place; `None` when it has none of those
/// that need it.
///
/// # Errors
/// Where a view is not the same as its query.
pub fn expanded(text: &str, context: &Context<'_>) -> Result<Option<Expanded>, Refusal> {
    let catalog = context.catalog;
    let named = |text: &str| catalog.definitions.keys().any(|(_, name)| text.contains(&**name));
    // Names with escapes (U&"...") are not looked for.
    if !named(text) {
        return Ok(None);
    }
    let mut names = BTreeSet::new();
    let mut now = text.to_owned();
    for _ in 0..DEEPEST {
        let Some(next) = once(&now, context, &mut names)? else {
            let changed = now != text;
            return Ok(changed.then(|| Expanded { text: now, rights: rights(&names) }));
        };
        if next.len() > LONGEST {
            break;
        }
        now = next;
    }
    Err(Refusal::over_shards("views nested this deeply"))
}

/// One level.
fn once(
    text: &str,
    context: &Context<'_>,
    names: &mut BTreeSet<(String, String)>,
) -> Result<Option<String>, Refusal> {
    let odd = || Refusal::over_shards("a view in a text of this form");
    let tree = Tree::parse(text, StringSyntax::Standard).map_err(|_| odd())?;
    let Some(Node::SelectStmt(select)) = tree.statements().next().and_then(|it| it.stmt()) else {
        return Ok(None);
    };
    let mut walker = Walker::new(context.catalog, context.search_path);
    walker.views = Some(Vec::new());
    walker.query(select, &Env::EMPTY, None, 0)?;
    let views = walker.views.take().unwrap_or_default();
    if views.is_empty() {
        return Ok(None);
    }
    // Functions of pg_catalog, and the strings of a definition, would mean something else.
    let first = context.search_path.iter().position(|it| *it == "pg_catalog");
    let is_plain = first.is_none_or(|it| it == 0) && is_same_everywhere(text);
    if !is_plain || locks(select) {
        return Err(odd());
    }
    check_references(&walker, &views)?;
    let tokens = Tokens::new(text)?;
    let mut edits = Vec::new();
    for view in &views {
        let definition = context.catalog.definition(view.table).ok_or_else(odd)?;
        edits.push(tokens.replace(view, definition)?);
        names.insert((view.table.schema.clone(), view.table.name.clone()));
        names.extend(behind(definition, context.catalog));
    }
    edited(text, 0..text.len(), edits).map(Some).ok_or_else(odd)
}

/// Whether a text has one meaning, whatever `standard_conforming_strings` is.
fn is_same_everywhere(text: &str) -> bool {
    let meaning = |strings| {
        let tree = Tree::parse(text, strings).ok()?;
        tree.statements().next()?.deparse().ok()
    };
    !text.contains('\\')
        || meaning(StringSyntax::Standard)
            .is_some_and(|it| meaning(StringSyntax::Backslashes).is_some_and(|other| it == other))
}

fn locks(select: SelectStmt<'_>) -> bool {
    let mut stack = vec![Node::SelectStmt(select)];
    while let Some(node) = stack.pop() {
        if matches!(node, Node::LockingClause(_)) {
            return true;
        }
        node.push_children(&mut stack);
    }
    false
}

/// What a view's name can mean and a subquery's cannot.
fn check_references(walker: &Walker<'_, '_>, views: &[Occurrence<'_>]) -> Result<(), Refusal> {
    if let Some(refusal) = &walker.not_gathered {
        return Err(refusal.clone());
    }
    let named = |name: &str| views.iter().any(|it| it.reference == name);
    for reference in &walker.columns {
        let names = texts(reference.fields());
        let star = names.len() != reference.fields().len();
        let lacks = |qualifier: &str, name: &str| {
            let mut of = views.iter().filter(|it| it.reference == qualifier && !it.renamed);
            of.any(|it| it.table.position(name).is_none())
        };
        let construct = match names.as_slice() {
            [name] if !star && named(name) => "a whole row of a view",
            [qualifier, name] if !star && lacks(qualifier, name) => {
                "a column that the view does not have"
            }
            [_, _, ..] if names.len() > 2 || star && names.len() > 1 => {
                "a column's name with its schema"
            }
            _ => continue,
        };
        return Err(Refusal::over_shards(construct));
    }
    Ok(())
}

/// The relations that a definition names.
fn behind(definition: &str, catalog: &Catalog) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let Ok(tree) = Tree::parse(definition, StringSyntax::Standard) else { return found };
    let Some(Node::SelectStmt(select)) = tree.statements().next().and_then(|it| it.stmt()) else {
        return found;
    };
    let mut stack = vec![Node::SelectStmt(select)];
    while let Some(node) = stack.pop() {
        if let Node::RangeVar(range) = node
            && let Some(schema) = range.schemaname()
        {
            let [schema, name] = [Some(schema), range.relname()].map(crate::walk::text);
            if catalog.table(Some(schema), name, &[]).is_some() {
                found.push((schema.to_owned(), name.to_owned()));
            }
        }
        node.push_children(&mut stack);
    }
    found
}

/// A view's tables are read as its owner; with these rights the user would see the same.
fn rights(names: &BTreeSet<(String, String)>) -> String {
    let each = names.iter().map(|(schema, name)| {
        let [schema, name] = [schema, name].map(|it| quote::literal(it));
        format!("(n.nspname = {schema} AND c.relname = {name})")
    });
    format!(
        "SELECT pg_catalog.count(*) = {} AND pg_catalog.bool_and(NOT c.relrowsecurity \
         AND pg_catalog.has_schema_privilege(n.oid, 'USAGE') \
         AND pg_catalog.has_table_privilege(c.oid, 'SELECT')) \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE {}",
        names.len(),
        each.collect::<Vec<_>>().join(" OR ")
    )
}
