//! Types of expressions, where they are certain.

use pgherd_parser::{A_Expr, FuncCall, Node, constants as c};

use super::Analysis;
use crate::catalog::{Column, Transport};
use crate::functions::{Call, call};
use crate::walk::{operator, text, texts, type_name};

pub const BOOL: u32 = 16;
pub const INT8: u32 = 20;
pub const INT2: u32 = 21;
pub const INT4: u32 = 23;
pub const TEXT: u32 = 25;
pub const FLOAT4: u32 = 700;
pub const FLOAT8: u32 = 701;
pub const BPCHAR: u32 = 1042;
pub const VARCHAR: u32 = 1043;
pub const DATE: u32 = 1082;
pub const TIMESTAMP: u32 = 1114;
pub const TIMESTAMPTZ: u32 = 1184;
pub const INTERVAL: u32 = 1186;
pub const NUMERIC: u32 = 1700;

/// By OID: the name in SQL, and in casts.
const NAMES: &[(u32, &str, &str)] = &[
    (BOOL, "boolean", "bool"),
    (INT8, "bigint", "int8"),
    (INT2, "smallint", "int2"),
    (INT4, "integer", "int4"),
    (TEXT, "text", "text"),
    (FLOAT4, "real", "float4"),
    (FLOAT8, "double precision", "float8"),
    (DATE, "date", "date"),
    (TIMESTAMP, "timestamp without time zone", "timestamp"),
    (TIMESTAMPTZ, "timestamp with time zone", "timestamptz"),
    (INTERVAL, "interval", "interval"),
    (NUMERIC, "numeric", "numeric"),
];
/// Numbers, each of which becomes the next ones by itself.
const TOWER: &[u32] = &[INT2, INT4, INT8, NUMERIC, FLOAT4, FLOAT8];
/// They give text for text.
const OF_TEXT: &[&str] = &[
    "btrim",
    "initcap",
    "left",
    "lower",
    "lpad",
    "ltrim",
    "regexp_replace",
    "replace",
    "reverse",
    "right",
    "rpad",
    "rtrim",
    "split_part",
    "substr",
    "substring",
    "translate",
    "upper",
];

pub fn is_text(oid: u32) -> bool {
    [TEXT, VARCHAR, BPCHAR].contains(&oid)
}

/// A column of a built-in type without modifiers.
pub fn plain(oid: u32) -> Option<Column> {
    let (_, sql_type, _) = NAMES.iter().find(|(it, ..)| *it == oid)?;
    Some(Column {
        name: String::new(),
        type_oid: oid,
        sql_type: (*sql_type).to_owned(),
        collation: None,
        deterministic: true,
        transport: Some(Transport { sql_type: (*sql_type).to_owned(), oid }),
    })
}

/// What `sum` and its kin give for an argument of this type.
pub fn aggregated(name: &str, of: &Column) -> Option<Column> {
    let oid = of.type_oid;
    match name {
        "sum" => match oid {
            INT2 | INT4 => plain(INT8),
            INT8 | NUMERIC => plain(NUMERIC),
            FLOAT4 | FLOAT8 | INTERVAL => plain(oid),
            _ => None,
        },
        "avg" => match oid {
            INT2 | INT4 | INT8 | NUMERIC => plain(NUMERIC),
            FLOAT4 | FLOAT8 => plain(FLOAT8),
            INTERVAL => plain(INTERVAL),
            _ => None,
        },
        "min" | "max" => match oid {
            VARCHAR => Some(Column { collation: of.collation.clone(), ..plain(TEXT)? }),
            TEXT => Some(Column { collation: of.collation.clone(), ..plain(TEXT)? }),
            oid => plain(oid).filter(|_| oid != BOOL),
        },
        "bool_and" | "bool_or" | "every" => plain(BOOL).filter(|_| oid == BOOL),
        "bit_and" | "bit_or" | "bit_xor" => {
            plain(oid).filter(|_| [INT2, INT4, INT8].contains(&oid))
        }
        "count" => plain(INT8),
        _ => None,
    }
}

impl<'c, 't> Analysis<'c, 't> {
    /// The type of an expression; its typmod is left out, except for a plain column's.
    pub fn type_of(&self, node: Node<'t>, scope: usize) -> Option<Column> {
        let found = self.infer(node, scope, 0)?;
        // The collation of text comes from what is within.
        let derived = is_text(found.type_oid)
            && !matches!(node, Node::ColumnRef(_) | Node::CollateClause(_))
            && found.collation.is_none();
        (!derived || self.is_of_default_collation(node, scope)).then_some(found)
    }

    fn is_of_default_collation(&self, node: Node<'t>, scope: usize) -> bool {
        let mut stack = vec![node];
        while let Some(node) = stack.pop() {
            match node {
                Node::CollateClause(_) | Node::SubLink(_) => return false,
                Node::ColumnRef(_) => {
                    let place = self.place(node, scope).and_then(|it| self.output(it));
                    match place.and_then(|it| it.column.as_ref()) {
                        Some(column) if column.collation.is_none() => {}
                        _ => return false,
                    }
                }
                _ => node.push_children(&mut stack),
            }
        }
        true
    }

    fn infer(&self, node: Node<'t>, scope: usize, depth: usize) -> Option<Column> {
        if depth > 50 {
            return None;
        }
        let of = |node| self.infer(node, scope, depth + 1);
        match node {
            Node::ColumnRef(_) => self.output(self.place(node, scope)?)?.column.clone(),
            Node::A_Const(it) => match it.val().filter(|_| !it.isnull())? {
                Node::Integer(_) => plain(INT4),
                Node::Float(it) => match text(it.fval()).parse::<i64>() {
                    Ok(_) => plain(INT8),
                    Err(_) => plain(NUMERIC),
                },
                Node::Boolean(_) => plain(BOOL),
                _ => None,
            },
            Node::TypeCast(it) => {
                let name = type_name(it.type_name()?)?;
                NAMES.iter().find(|(.., it)| *it == name).and_then(|(oid, ..)| plain(*oid))
            }
            Node::CollateClause(it) => {
                let arg = of(it.arg()?).filter(|it| is_text(it.type_oid))?;
                let collation = match texts(it.collname()).as_slice() {
                    ["C" | "POSIX"] | ["pg_catalog", "C" | "POSIX"] => "pg_catalog.\"C\"",
                    names => &self.catalog.linguistic_named(names)?.quoted,
                };
                Some(Column { collation: Some(collation.to_owned()), ..arg })
            }
            Node::BoolExpr(_) | Node::NullTest(_) | Node::BooleanTest(_) => plain(BOOL),
            Node::SubLink(it) if it.sub_link_type() == c::EXISTS_SUBLINK => plain(BOOL),
            Node::A_Expr(it) => self.operation(it, scope, depth),
            Node::CoalesceExpr(it) => self.common(it.args().iter(), scope, depth),
            Node::MinMaxExpr(it) => self.common(it.args().iter(), scope, depth),
            Node::CaseExpr(it) => {
                let results = it.args().iter().filter_map(|it| match it {
                    Node::CaseWhen(it) => it.result(),
                    _ => None,
                });
                self.common(results.chain(it.defresult()), scope, depth)
            }
            Node::FuncCall(it) => self.called(it, scope, depth),
            _ => None,
        }
    }

    /// The common type of the arms of CASE and the like.
    fn common(
        &self,
        arms: impl Iterator<Item = Node<'t>>,
        scope: usize,
        depth: usize,
    ) -> Option<Column> {
        let mut common: Option<Column> = None;
        let mut modifiers = Vec::new();
        for arm in arms {
            if matches!(arm, Node::A_Const(it) if it.isnull()) {
                continue;
            }
            let it = self.infer(arm, scope, depth + 1)?;
            modifiers.push(it.sql_type.clone());
            common = Some(match common {
                None => it,
                Some(before) if before.type_oid == it.type_oid => it,
                Some(before) => {
                    let rank = |oid| TOWER.iter().position(|it| *it == oid);
                    let higher = rank(before.type_oid)?.max(rank(it.type_oid)?);
                    plain(TOWER.get(higher).copied()?)?
                }
            });
        }
        // One typmod of all is kept.
        let first = modifiers.first().filter(|it| it.contains('('));
        if first.is_some_and(|first| modifiers.iter().all(|it| it == first)) {
            return None;
        }
        plain(common?.type_oid)
    }

    fn operation(&self, it: A_Expr<'t>, scope: usize, depth: usize) -> Option<Column> {
        let name = operator(it.name())?;
        match it.kind() {
            c::AEXPR_OP => {}
            c::AEXPR_NULLIF => return None,
            _ => return plain(BOOL),
        }
        if ["=", "<>", "<", "<=", ">", ">="].contains(&name) {
            // Of rows as well.
            return plain(BOOL);
        }
        let right = self.infer(it.rexpr()?, scope, depth + 1)?.type_oid;
        let Some(left) = it.lexpr() else {
            return plain(right).filter(|_| name == "-" && TOWER.contains(&right));
        };
        let left = self.infer(left, scope, depth + 1)?.type_oid;
        let rank = |oid| TOWER.iter().position(|it| *it == oid);
        if let (Some(a), Some(b)) = (rank(left), rank(right)) {
            let higher = TOWER.get(a.max(b)).copied()?;
            let is_float = matches!(higher, FLOAT4 | FLOAT8);
            if !["+", "-", "*", "/"].contains(&name) && (name != "%" || is_float) {
                return None;
            }
            // Only two of them make a float4.
            return plain(if higher == FLOAT4 && left != right { FLOAT8 } else { higher });
        }
        match (left, name, right) {
            (DATE, "-", DATE) => plain(INT4),
            (DATE, "+" | "-", INT4) => plain(DATE),
            (DATE, "+" | "-", INTERVAL) => plain(TIMESTAMP),
            (TIMESTAMP, "-", TIMESTAMP) | (TIMESTAMPTZ, "-", TIMESTAMPTZ) => plain(INTERVAL),
            (TIMESTAMP | TIMESTAMPTZ, "+" | "-", INTERVAL) => plain(left),
            (INTERVAL, "+" | "-", INTERVAL) => plain(INTERVAL),
            (TEXT, "||", TEXT) => plain(TEXT),
            _ => None,
        }
    }

    fn called(&self, it: FuncCall<'t>, scope: usize, depth: usize) -> Option<Column> {
        let names = texts(it.funcname());
        let name = *names.last()?;
        let arg = |index| {
            let arg = it.args().iter().nth(index)?;
            self.infer(arg, scope, depth + 1)
        };
        match call(it, self.catalog) {
            Call::Aggregate("count") => return plain(INT8),
            Call::Aggregate("rank" | "dense_rank") if it.over().is_some() => return plain(INT8),
            Call::Aggregate(name) if !it.agg_within_group() => return aggregated(name, &arg(0)?),
            Call::Plain => {}
            _ => return None,
        }
        if it.func_variadic() {
            return None;
        }
        match name {
            "row_number" | "rank" | "dense_rank" => plain(INT8),
            "date_trunc" if it.args().len() == 2 => match arg(1)?.type_oid {
                TIMESTAMP => plain(TIMESTAMP),
                DATE | TIMESTAMPTZ => plain(TIMESTAMPTZ),
                INTERVAL => plain(INTERVAL),
                _ => None,
            },
            "extract" => plain(NUMERIC),
            "date_part" => plain(FLOAT8),
            "date" => plain(DATE),
            "length" | "char_length" => {
                plain(INT4).filter(|_| arg(0).is_some_and(|it| is_text(it.type_oid)))
            }
            "to_char" | "concat" | "concat_ws" | "md5" | "format" => plain(TEXT),
            "abs" => plain(arg(0)?.type_oid).filter(|it| TOWER.contains(&it.type_oid)),
            "round" | "ceil" | "floor" | "trunc" => {
                plain(NUMERIC).filter(|_| arg(0).is_some_and(|it| it.type_oid == NUMERIC))
            }
            name if OF_TEXT.contains(&name) => {
                plain(TEXT).filter(|_| arg(0).is_some_and(|it| is_text(it.type_oid)))
            }
            _ => None,
        }
    }
}
