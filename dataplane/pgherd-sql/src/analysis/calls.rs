//! What a reading statement calls, and whether anything in it writes: a walk over its tree.

use pgherd_parser::{FuncCall, List, Node};

use crate::builtin::{Builtin, builtin};
use crate::{FunctionName, Unknown};

/// What a walk has found.
#[derive(Debug, Default)]
pub struct Calls {
    pub needs_primary: bool,
    pub functions: Vec<FunctionName>,
    pub builtins: Vec<&'static str>,
}

impl Calls {
    /// Walks over `node` and all below it, with a stack of its own: trees are as deep as clients
    /// like. Ends early where the primary is needed anyway.
    pub fn walk(&mut self, node: Node<'_>, budget: &mut usize) -> Result<(), Unknown> {
        let mut stack = vec![node];
        while let Some(node) = stack.pop() {
            *budget = budget.checked_sub(1).ok_or(Unknown::TooDeep)?;
            self.visit(node)?;
            if self.needs_primary {
                return Ok(());
            }
            node.push_children(&mut stack);
        }
        Ok(())
    }

    fn visit(&mut self, node: Node<'_>) -> Result<(), Unknown> {
        match node {
            // FOR UPDATE and its kin take locks on rows; INTO makes a table.
            Node::SelectStmt(select) => {
                self.needs_primary |=
                    !select.locking_clause().is_empty() || select.into_clause().is_some();
            }
            Node::InsertStmt(_)
            | Node::UpdateStmt(_)
            | Node::DeleteStmt(_)
            | Node::MergeStmt(_) => self.needs_primary = true,
            Node::FuncCall(call) => self.call(call)?,
            Node::RangeTableSample(sample) => {
                self.name(function_name(sample.method())?);
            }
            _ if is_harmless(node) => {}
            _ => return Err(Unknown::Node),
        }
        Ok(())
    }

    fn call(&mut self, call: FuncCall<'_>) -> Result<(), Unknown> {
        let function = function_name(call.funcname())?;
        if tells_of_recovery(&function, call) {
            self.needs_primary = true;
        }
        self.name(function);
        Ok(())
    }

    fn name(&mut self, function: FunctionName) {
        let schema = function.schema.as_deref();
        if let None | Some("pg_catalog") = schema {
            match builtin(&function.name) {
                Some((_, Builtin::MayWrite)) => self.needs_primary = true,
                Some((name, Builtin::Reads)) if schema.is_none() => {
                    if !self.builtins.contains(&name) {
                        self.builtins.push(name);
                    }
                }
                Some(_) => {}
                // A newer server's, perhaps.
                None if schema.is_some() => self.needs_primary = true,
                None => self.own(function),
            }
        } else {
            self.own(function);
        }
    }

    fn own(&mut self, function: FunctionName) {
        if !self.functions.contains(&function) {
            // Comparing each with each is only for texts of ordinary size.
            self.needs_primary |= self.functions.len() >= MOST_FUNCTIONS;
            self.functions.push(function);
        }
    }
}

/// More functions of the database's own than this in one statement: the primary.
const MOST_FUNCTIONS: usize = 256;

/// `current_setting('transaction_read_only')` and its kin, where a replica says something else
/// than the primary; `set_config` of those, which a replica refuses.
fn tells_of_recovery(function: &FunctionName, call: FuncCall<'_>) -> bool {
    if !matches!(&*function.name, "current_setting" | "set_config") {
        return false;
    }
    let Some(Node::A_Const(constant)) = call.args().first() else { return false };
    let Some(Node::String(name)) = constant.val() else { return false };
    name.sval().is_some_and(is_of_the_instance)
}

/// Parameters that recovery decides.
pub fn is_of_the_instance(parameter: &[u8]) -> bool {
    [&b"transaction_read_only"[..], b"in_hot_standby", b"transaction_isolation"]
        .iter()
        .any(|name| parameter.eq_ignore_ascii_case(name))
}

/// `name` or `schema.name`; what has more parts is no function that can be looked up.
fn function_name(parts: List<'_>) -> Result<FunctionName, Unknown> {
    let mut parts = parts.iter().rev();
    let mut part = || match parts.next() {
        Some(Node::String(part)) => {
            let text = std::str::from_utf8(part.sval().ok_or(Unknown::Node)?);
            Ok(Some(Box::from(text.map_err(|_| Unknown::Encoding)?)))
        }
        Some(_) => Err(Unknown::Node),
        None => Ok(None),
    };
    let name = part()?.ok_or(Unknown::Node)?;
    let schema = part()?;
    // `database.schema.name`, where the database must be the current one: rare enough.
    if part()?.is_some() {
        return Err(Unknown::Node);
    }
    Ok(FunctionName { schema, name })
}

/// Nodes of queries and expressions that call nothing by themselves. Operators and casts count as
/// such, though a database may define them with functions that write: none has been seen that does.
fn is_harmless(node: Node<'_>) -> bool {
    use Node::{
        A_ArrayExpr, A_Const, A_Expr, A_Indices, A_Indirection, A_Star, Alias, BitString, BoolExpr,
        Boolean, BooleanTest, CTECycleClause, CTESearchClause, CaseExpr, CaseWhen, CoalesceExpr,
        CollateClause, ColumnDef, ColumnRef, CommonTableExpr, Float, GroupingFunc, GroupingSet,
        Integer, JoinExpr, JsonAggConstructor, JsonArgument, JsonArrayAgg, JsonArrayConstructor,
        JsonArrayQueryConstructor, JsonBehavior, JsonFormat, JsonFuncExpr, JsonIsPredicate,
        JsonKeyValue, JsonObjectAgg, JsonObjectConstructor, JsonOutput, JsonParseExpr,
        JsonReturning, JsonScalarExpr, JsonSerializeExpr, JsonTable, JsonTableColumn,
        JsonTablePathSpec, JsonValueExpr, List, MinMaxExpr, NamedArgExpr, NullTest, ParamRef,
        RangeFunction, RangeSubselect, RangeTableFunc, RangeTableFuncCol, RangeVar, ResTarget,
        RowExpr, SQLValueFunction, SetToDefault, SortBy, String, SubLink, TypeCast, TypeName,
        WindowDef, WithClause, XmlExpr, XmlSerialize,
    };
    matches!(
        node,
        A_ArrayExpr(_)
            | A_Const(_)
            | A_Expr(_)
            | A_Indices(_)
            | A_Indirection(_)
            | A_Star(_)
            | Alias(_)
            | BitString(_)
            | Boolean(_)
            | BooleanTest(_)
            | BoolExpr(_)
            | CTECycleClause(_)
            | CTESearchClause(_)
            | CaseExpr(_)
            | CaseWhen(_)
            | CoalesceExpr(_)
            | CollateClause(_)
            | ColumnDef(_)
            | ColumnRef(_)
            | CommonTableExpr(_)
            | Float(_)
            | GroupingFunc(_)
            | GroupingSet(_)
            | Integer(_)
            | JoinExpr(_)
            | JsonAggConstructor(_)
            | JsonArgument(_)
            | JsonArrayAgg(_)
            | JsonArrayConstructor(_)
            | JsonArrayQueryConstructor(_)
            | JsonBehavior(_)
            | JsonFormat(_)
            | JsonFuncExpr(_)
            | JsonIsPredicate(_)
            | JsonKeyValue(_)
            | JsonObjectAgg(_)
            | JsonObjectConstructor(_)
            | JsonOutput(_)
            | JsonParseExpr(_)
            | JsonReturning(_)
            | JsonScalarExpr(_)
            | JsonSerializeExpr(_)
            | JsonTable(_)
            | JsonTableColumn(_)
            | JsonTablePathSpec(_)
            | JsonValueExpr(_)
            | List(_)
            | MinMaxExpr(_)
            | NamedArgExpr(_)
            | NullTest(_)
            | ParamRef(_)
            | RangeFunction(_)
            | RangeSubselect(_)
            | RangeTableFunc(_)
            | RangeTableFuncCol(_)
            | RangeVar(_)
            | ResTarget(_)
            | RowExpr(_)
            | SQLValueFunction(_)
            | SetToDefault(_)
            | SortBy(_)
            | String(_)
            | SubLink(_)
            | TypeCast(_)
            | TypeName(_)
            | WindowDef(_)
            | WithClause(_)
            | XmlExpr(_)
            | XmlSerialize(_)
    )
}
