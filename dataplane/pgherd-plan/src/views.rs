//! Views whose rows the shards give each its share of: read like tables. Other
//! views keep their queries, which take their place in statements.

use pgherd_parser::{Node, StringSyntax, Tree};

use crate::catalog::{Catalog, Kind, ViewRow};
use crate::local::{Analysis, Rows};
use crate::walk::texts;

impl Catalog {
    /// Adds what views are; those that are not surely parted or the same everywhere are refused.
    pub fn add_views(&mut self, mut views: Vec<ViewRow>) {
        // Of views over views, the inner ones become known first.
        loop {
            let mut found = Vec::new();
            views.retain(|view| match self.judge(view) {
                Some(known) => {
                    found.push((view.schema.clone(), view.name.clone(), known));
                    false
                }
                None => true,
            });
            if found.is_empty() {
                break;
            }
            for (schema, name, (kind, placement)) in found {
                if let Some(table) = self.tables.get_mut(&(schema, name)) {
                    table.kind = kind;
                    table.placement = placement;
                }
            }
        }
        for view in views {
            let definition = view.definition.trim().trim_end_matches(';').to_owned();
            if self.is_unambiguous(&definition) {
                self.definitions.insert((view.schema, view.name), definition);
            }
        }
    }

    /// Whether a definition means the same under another search path: functions of `pg_catalog` are
    /// written without their schema.
    fn is_unambiguous(&self, definition: &str) -> bool {
        let Ok(tree) = Tree::parse(definition, StringSyntax::Standard) else { return false };
        let Some(Node::SelectStmt(select)) = tree.statements().next().and_then(|it| it.stmt())
        else {
            return false;
        };
        let mut stack = vec![Node::SelectStmt(select)];
        while let Some(node) = stack.pop() {
            if let Node::FuncCall(call) = node
                && let [name] = texts(call.funcname()).as_slice()
                && self.function(name).is_some()
            {
                return false;
            }
            node.push_children(&mut stack);
        }
        // Such a literal depends on `standard_conforming_strings`.
        !definition.contains('\\')
    }

    fn judge(&self, view: &ViewRow) -> Option<(Kind, usize)> {
        let tree = Tree::parse(&view.definition, StringSyntax::Standard).ok()?;
        let Some(Node::SelectStmt(select)) = tree.statements().next()?.stmt() else { return None };
        if select.limit_count().is_some() || select.limit_offset().is_some() {
            return None;
        }
        let mut analysis = Analysis::new(self, &[]);
        let spread = analysis.statement(select)?;
        if analysis.top.as_ref().is_some_and(|it| it.broken) {
            return None;
        }
        let parted = match spread.rows {
            Rows::Everywhere => false,
            Rows::Parted => true,
            Rows::Dependent => return None,
        };
        let table = self.table(Some(&view.schema), &view.name, &[])?;
        let outputs = spread.outputs.filter(|it| it.len() == table.columns.len());
        let key = outputs.iter().flatten().enumerate().find_map(|(column, output)| {
            let key = output.key.filter(|it| !it.filled)?;
            Some((column, key.kind.placement))
        });
        let (key, placement) = key.map_or((None, 0), |(key, placement)| (Some(key), placement));
        Some((Kind::View { parted, key: key.filter(|_| parted) }, placement))
    }
}
