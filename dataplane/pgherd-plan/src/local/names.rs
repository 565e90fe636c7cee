//! Names of output columns, as Postgres's `FigureColname` gives them.

use pgherd_parser::{Node, constants as c};

use crate::walk::{text, texts};

/// The name of a column with this expression and no alias.
pub fn figure_name(node: Node<'_>) -> String {
    figure(node, 0).map_or_else(|| "?column?".to_owned(), |(name, _)| name)
}

/// The name, and whether it is a strong one.
fn figure(node: Node<'_>, depth: usize) -> Option<(String, bool)> {
    if depth > 100 {
        return None;
    }
    let strong = |name: &str| Some((name.to_owned(), true));
    match node {
        Node::ColumnRef(it) => texts(it.fields()).last().and_then(|it| strong(it)),
        Node::A_Indirection(it) => match texts(it.indirection()).last() {
            Some(name) => strong(name),
            None => figure(it.arg()?, depth + 1),
        },
        Node::FuncCall(it) => texts(it.funcname()).last().and_then(|it| strong(it)),
        Node::A_Expr(it) if it.kind() == c::AEXPR_NULLIF => strong("nullif"),
        Node::TypeCast(it) => match figure(it.arg()?, depth + 1) {
            Some((name, true)) => Some((name, true)),
            weak => match it.type_name() {
                Some(Node::TypeName(of)) => {
                    texts(of.names()).last().map(|it| ((*it).to_owned(), false)).or(weak)
                }
                _ => weak,
            },
        },
        Node::CollateClause(it) => figure(it.arg()?, depth + 1),
        Node::GroupingFunc(_) => strong("grouping"),
        Node::SubLink(it) => match it.sub_link_type() {
            c::EXISTS_SUBLINK => strong("exists"),
            c::ARRAY_SUBLINK => strong("array"),
            c::EXPR_SUBLINK => match it.subselect()? {
                Node::SelectStmt(select) => match select.target_list().first()? {
                    Node::ResTarget(target) => match target.name() {
                        Some(name) => strong(text(Some(name))),
                        None => figure(target.val()?, depth + 1).map(|(name, _)| (name, true)),
                    },
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        },
        Node::CaseExpr(it) => match it.defresult().and_then(|it| figure(it, depth + 1)) {
            Some((name, true)) => Some((name, true)),
            _ => Some(("case".to_owned(), false)),
        },
        Node::A_ArrayExpr(_) => strong("array"),
        Node::RowExpr(_) => strong("row"),
        Node::CoalesceExpr(_) => strong("coalesce"),
        Node::MinMaxExpr(it) => {
            strong(if it.op() == c::IS_GREATEST { "greatest" } else { "least" })
        }
        _ => None,
    }
}
