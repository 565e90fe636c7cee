//! The queries of WITH.

use pgherd_parser::Node;

use crate::plan::Refusal;
use crate::walk::text;
use crate::walker::{Env, Walker};

impl<'t> Walker<'_, 't> {
    /// WITH: its queries, whose names are visible from then on.
    pub fn with<'e>(
        &mut self,
        with: Option<Node<'t>>,
        inner: &mut Env<'e>,
        parent: Option<usize>,
        depth: usize,
    ) -> Result<(), Refusal>
    where
        't: 'e,
    {
        let Some(Node::WithClause(with)) = with else { return Ok(()) };
        let name = |node: Node<'t>| match node {
            Node::CommonTableExpr(it) => text(it.ctename()),
            _ => "",
        };
        if with.recursive() {
            inner.names = with.ctes().iter().map(name).collect();
        }
        for cte in with.ctes().iter() {
            let Node::CommonTableExpr(it) = cte else { continue };
            match it.ctequery() {
                Some(Node::SelectStmt(query)) => self.query(query, inner, parent, depth + 1)?,
                Some(query) => {
                    self.object("a data-modifying statement in WITH");
                    self.writes = true;
                    crate::write::in_with(self, query, inner, depth + 1)?;
                }
                None => {}
            }
            inner.names.push(name(cte));
        }
        Ok(())
    }
}
