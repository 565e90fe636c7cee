//! Conditions: what they say of keys, and as what text they go down to the shards.
//!
//! Only comparisons of a column with constants and parameters go down: they raise no errors that
//! the statement itself would not, and depend on nothing that differs between shards.

use pgherd_parser::{A_Const, A_Expr, Node, constants as c};

use crate::key::{Family, Key, family, is_key_type};
use crate::quote;
use crate::scope::{Place, Scopes};
use crate::walk::{column, operator, text, type_name};

/// Deeper conditions say nothing.
const DEEPEST: usize = 100;

/// Facts of one condition: for each column, the values it can have.
pub type Facts = Vec<(Place, Vec<Key>)>;

pub struct Conditions<'a, 'c> {
    pub scopes: &'a Scopes<'c>,
    pub scope: usize,
}

/// The conditions that must all hold.
pub fn conjuncts<'t>(node: Node<'t>) -> Vec<Node<'t>> {
    let mut found = Vec::new();
    let mut stack = vec![node];
    while let Some(node) = stack.pop() {
        match node {
            Node::BoolExpr(and) if and.boolop() == c::AND_EXPR => {
                stack.extend(and.args().iter().rev())
            }
            other => found.push(other),
        }
    }
    found
}

impl Conditions<'_, '_> {
    fn place(&self, node: Node<'_>) -> Option<Place> {
        let (qualifier, name) = column(node)?;
        self.scopes.resolve(self.scope, qualifier, name)
    }

    fn column_of(&self, place: Place) -> &crate::catalog::Column {
        &self.scopes.occurrences[place.0].table.columns[place.1]
    }

    /// Pairs of columns that a condition makes equal.
    pub fn equalities(&self, node: Node<'_>) -> Vec<(Place, Place)> {
        let pairs = equal_sides(node).into_iter();
        pairs.filter_map(|(left, right)| Some((self.place(left)?, self.place(right)?))).collect()
    }

    pub fn facts(&self, node: Node<'_>, depth: usize) -> Facts {
        if depth > DEEPEST {
            return Facts::new();
        }
        match node {
            Node::BoolExpr(it) if it.boolop() == c::AND_EXPR => {
                it.args().iter().flat_map(|arm| self.facts(arm, depth + 1)).collect()
            }
            Node::BoolExpr(it) if it.boolop() == c::OR_EXPR => {
                let mut arms = it.args().iter().map(|arm| self.facts(arm, depth + 1));
                let mut common = arms.next().unwrap_or_default();
                for arm in arms {
                    common.retain_mut(|(place, keys)| {
                        let same = arm.iter().find(|(it, _)| it == place);
                        same.map(|(_, more)| keys.extend(more.iter().cloned())).is_some()
                    });
                }
                common
            }
            Node::A_Expr(it) if operator(it.name()) == Some("=") => self.membership(it, node),
            _ => Facts::new(),
        }
    }

    fn membership(&self, expression: A_Expr<'_>, node: Node<'_>) -> Facts {
        let (Some(left), Some(right)) = (expression.lexpr(), expression.rexpr()) else {
            return Facts::new();
        };
        let list = |keys: &dyn Fn(Family) -> Option<Vec<Key>>| {
            let place = self.place(left).filter(|&it| is_key_type(self.column_of(it)));
            place
                .and_then(|place| Some((place, keys(family(self.column_of(place).type_oid))?)))
                .into_iter()
                .collect()
        };
        match (expression.kind(), right) {
            (c::AEXPR_OP, _) => {
                let sides = equal_sides(node).into_iter();
                let both = sides.flat_map(|(left, right)| [(left, right), (right, left)]);
                both.filter_map(|(left, right)| {
                    let place = self.place(left).filter(|&it| is_key_type(self.column_of(it)))?;
                    Some((place, vec![key(right, family(self.column_of(place).type_oid))?]))
                })
                .collect()
            }
            (c::AEXPR_IN, Node::List(values)) => {
                list(&|of| values.iter().map(|value| key(value, of)).collect())
            }
            (c::AEXPR_OP_ANY, Node::A_ArrayExpr(array)) => {
                list(&|of| array.elements().iter().map(|value| key(value, of)).collect())
            }
            (c::AEXPR_OP_ANY, Node::ParamRef(parameter)) => {
                let number = usize::try_from(parameter.number()).unwrap_or(0);
                list(&|_| Some(vec![Key::Elements(number)]))
            }
            (c::AEXPR_OP_ANY, Node::A_Const(constant)) => list(&|of| elements(constant, of)),
            _ => Facts::new(),
        }
    }

    /// A condition as SQL over the columns of one table, and which table's.
    pub fn pushed(&self, node: Node<'_>) -> Option<(usize, String)> {
        let mut of = None;
        let sql = self.condition(node, &mut of, 0)?;
        Some((of?, sql))
    }

    fn condition(&self, node: Node<'_>, of: &mut Option<usize>, depth: usize) -> Option<String> {
        if depth > DEEPEST {
            return None;
        }
        match node {
            Node::BoolExpr(it) => {
                let args = it.args().iter().map(|arg| self.condition(arg, of, depth + 1));
                let args = args.collect::<Option<Vec<_>>>()?;
                match it.boolop() {
                    c::AND_EXPR => Some(format!("({})", args.join(" AND "))),
                    c::OR_EXPR => Some(format!("({})", args.join(" OR "))),
                    _ => Some(format!("(NOT {})", args.first()?)),
                }
            }
            Node::NullTest(it) => {
                let column = self.column_sql(it.arg()?, of)?;
                let test = if it.nulltesttype() == c::IS_NULL { "IS NULL" } else { "IS NOT NULL" };
                Some(format!("({column} {test})"))
            }
            Node::ColumnRef(_) => self.column_sql(node, of),
            Node::A_Expr(it) => self.comparison(it, of),
            _ => None,
        }
    }

    fn comparison(&self, it: A_Expr<'_>, of: &mut Option<usize>) -> Option<String> {
        let (left, right) = (it.lexpr()?, it.rexpr()?);
        let name = operator(it.name())?;
        let comparing = ["=", "<>", "<", "<=", ">", ">="].contains(&name);
        match (it.kind(), right) {
            (c::AEXPR_OP, _) if comparing => {
                let (left, right) = match self.column_sql(left, of) {
                    Some(column) => (column, value_sql(right)?),
                    None => (value_sql(left)?, self.column_sql(right, of)?),
                };
                Some(format!("({left} {name} {right})"))
            }
            (c::AEXPR_IN, Node::List(values)) => {
                let column = self.column_sql(left, of)?;
                let values = values.iter().map(value_sql).collect::<Option<Vec<_>>>()?.join(", ");
                let test = if name == "=" { "IN" } else { "NOT IN" };
                Some(format!("({column} {test} ({values}))"))
            }
            (c::AEXPR_BETWEEN, Node::List(bounds)) => {
                let column = self.column_sql(left, of)?;
                let bounds = bounds.iter().map(value_sql).collect::<Option<Vec<_>>>()?;
                Some(format!("({column} BETWEEN {})", bounds.join(" AND ")))
            }
            (c::AEXPR_OP_ANY, Node::ParamRef(_) | Node::A_Const(_)) if comparing => {
                let column = self.column_sql(left, of)?;
                Some(format!("({column} {name} ANY ({}))", value_sql(right)?))
            }
            _ => None,
        }
    }

    /// A column of the one table.
    fn column_sql(&self, node: Node<'_>, of: &mut Option<usize>) -> Option<String> {
        let place = self.place(node)?;
        if *of.get_or_insert(place.0) != place.0 {
            return None;
        }
        Some(quote::name(&self.column_of(place).name))
    }
}

/// The two sides of an equality; of one between rows, those of each pair.
fn equal_sides<'t>(node: Node<'t>) -> Vec<(Node<'t>, Node<'t>)> {
    let Node::A_Expr(it) = node else { return Vec::new() };
    if it.kind() != c::AEXPR_OP || operator(it.name()) != Some("=") {
        return Vec::new();
    }
    match (it.lexpr(), it.rexpr()) {
        (Some(Node::RowExpr(left)), Some(Node::RowExpr(right)))
            if left.args().len() == right.args().len() =>
        {
            left.args().iter().zip(right.args().iter()).collect()
        }
        (Some(left), Some(right)) => vec![(left, right)],
        _ => Vec::new(),
    }
}

/// A value that a key of this family can have, if it is surely that.
pub fn key(node: Node<'_>, of: Family) -> Option<Key> {
    match node {
        Node::ParamRef(parameter) => {
            Some(Key::Parameter(usize::try_from(parameter.number()).ok()?))
        }
        Node::A_Const(constant) => match constant.val().filter(|_| !constant.isnull())? {
            Node::Integer(it) if of == Family::Integer => Some(Key::Text(it.ival().to_string())),
            Node::Float(it) if of == Family::Integer => {
                let digits = text(it.fval());
                let unsigned = digits.strip_prefix('-').unwrap_or(digits);
                let whole = !unsigned.is_empty() && unsigned.bytes().all(|it| it.is_ascii_digit());
                whole.then(|| Key::Text(digits.to_owned()))
            }
            Node::String(it) => Some(Key::Text(text(it.sval()).to_owned())),
            _ => None,
        },
        Node::TypeCast(cast) => {
            let same = match type_name(cast.type_name()?)? {
                "int2" | "int4" | "int8" => of == Family::Integer,
                "text" | "varchar" => of == Family::String,
                "uuid" => matches!(of, Family::Other(_)),
                _ => false,
            };
            // A cast of a cast may change the value.
            let plain = matches!(cast.arg()?, Node::A_Const(_) | Node::ParamRef(_));
            key(cast.arg()?, of).filter(|_| same && plain)
        }
        _ => None,
    }
}

/// `'{1,2}'`, for integers only: other elements may be quoted.
fn elements(constant: A_Const<'_>, of: Family) -> Option<Vec<Key>> {
    let Some(Node::String(literal)) = constant.val().filter(|_| of == Family::Integer) else {
        return None;
    };
    let inner = text(literal.sval()).strip_prefix('{')?.strip_suffix('}')?;
    inner
        .split(',')
        .map(|it| it.trim().parse::<i64>().ok().map(|it| Key::Text(it.to_string())))
        .collect()
}

/// A constant or parameter as SQL.
fn value_sql(node: Node<'_>) -> Option<String> {
    match node {
        Node::ParamRef(parameter) => Some(format!("${}", parameter.number())),
        Node::A_Const(constant) if constant.isnull() => Some("NULL".to_owned()),
        Node::A_Const(constant) => match constant.val()? {
            // In parentheses: a sign would join an operator.
            Node::Integer(it) => Some(format!("({})", it.ival())),
            Node::Float(it) => Some(format!("({})", text(it.fval()))),
            Node::Boolean(it) => Some(it.boolval().to_string()),
            Node::String(it) if tells_the_time(text(it.sval())) => None,
            Node::String(it) => Some(quote::literal(text(it.sval()))),
            _ => None,
        },
        Node::TypeCast(cast) => {
            let name = type_name(cast.type_name()?)?;
            let plain = matches!(cast.arg()?, Node::A_Const(_));
            // Of types that read their literals without errors that depend on the row.
            let known = [
                "int2",
                "int4",
                "int8",
                "text",
                "date",
                "timestamp",
                "timestamptz",
                "uuid",
                "bool",
                "numeric",
            ];
            (plain && known.contains(&name))
                .then(|| Some(format!("{}::pg_catalog.{name}", value_sql(cast.arg()?)?)))
                .flatten()
        }
        _ => None,
    }
}

/// Such a literal means another moment on each server.
pub fn tells_the_time(literal: &str) -> bool {
    let literal = literal.to_ascii_lowercase();
    ["now", "today", "tomorrow", "yesterday"].iter().any(|it| literal.contains(it))
}
