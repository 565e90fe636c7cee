//! Small readings of the tree that everybody needs.

use pgherd_parser::{List, Node};

pub fn text(bytes: Option<&[u8]>) -> &str {
    bytes.and_then(|it| std::str::from_utf8(it).ok()).unwrap_or_default()
}

/// The strings of a list of names.
pub fn texts<'t>(list: List<'t>) -> Vec<&'t str> {
    list.iter()
        .filter_map(|node| match node {
            Node::String(name) => Some(text(name.sval())),
            _ => None,
        })
        .collect()
}

/// The name of an operator without schema.
pub fn operator<'t>(name: List<'t>) -> Option<&'t str> {
    match texts(name).as_slice() {
        [name] => Some(*name),
        _ => None,
    }
}

/// A reference to a column: its qualifier, if there is one, and its name.
pub fn column<'t>(node: Node<'t>) -> Option<(Option<&'t str>, &'t str)> {
    let Node::ColumnRef(reference) = node else { return None };
    let names = texts(reference.fields());
    match names.as_slice() {
        _ if names.len() != reference.fields().len() => None,
        [name] => Some((None, *name)),
        [qualifier, name] => Some((Some(*qualifier), *name)),
        _ => None,
    }
}

/// The name of a type without modifiers, arrays and foreign schemas.
pub fn type_name<'t>(node: Node<'t>) -> Option<&'t str> {
    let Node::TypeName(name) = node else { return None };
    let plain = name.typmods().is_empty() && name.array_bounds().is_empty();
    if !plain || name.setof() || name.pct_type() {
        return None;
    }
    match texts(name.names()).as_slice() {
        [name] | ["pg_catalog", name] => Some(*name),
        _ => None,
    }
}

/// Whether an expression has a query in it.
pub fn asks(node: Node<'_>) -> bool {
    let mut stack = vec![node];
    while let Some(node) = stack.pop() {
        if matches!(node, Node::SubLink(_)) {
            return true;
        }
        node.push_children(&mut stack);
    }
    false
}
