//! Views whose rows the shards give each its share of: read like tables. Other
//! views keep their queries, which take their place in statements.

use pgherd_parser::{Node, StringSyntax, Tree};

use crate::catalog::{Catalog, Kind, Table, ViewRow};
use crate::local::{Analysis, Rows};
use crate::walk::texts;

impl Catalog {
    /// Adds what views are; those that are not surely parted or the same everywhere are refused.
    pub fn add_views(&mut self, mut views: Vec<ViewRow>) {
        self.keep_views_of_schemas(&mut views);
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

    /// The query of a view that is to take its place.
    pub(crate) fn definition(&self, table: &Table) -> Option<&str> {
        let key = (table.schema.clone(), table.name.clone());
        self.definitions.get(&key).map(String::as_str)
    }

    pub(crate) fn is_materialized(&self, table: &Table) -> bool {
        self.materialized.contains(&(table.schema.clone(), table.name.clone()))
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

    /// Views in schemas that are on one shard are tables of it, if all that they read is there.
    fn keep_views_of_schemas(&mut self, views: &mut Vec<ViewRow>) {
        // Views over views: what one cannot be seen to read, no other is believed to.
        loop {
            let mut opaque = None;
            for view in views.iter() {
                let key = (view.schema.clone(), view.name.clone());
                let kind = self.tables.get(&key).map(|it| it.kind);
                if let Some(Kind::SchemaSharded { shard }) = kind
                    && !self.is_whole_on(view, shard)
                {
                    opaque = Some(key);
                    break;
                }
            }
            match opaque.and_then(|key| self.tables.get_mut(&key)) {
                Some(table) => table.kind = Kind::Opaque,
                None => break,
            }
        }
        views.retain(|it| self.schemas().place(&it.schema).is_none());
    }

    fn is_whole_on(&self, view: &ViewRow, shard: usize) -> bool {
        let Ok(tree) = Tree::parse(&view.definition, StringSyntax::Standard) else { return false };
        let context = crate::Context { catalog: self, search_path: &[], shards: 0 };
        let query = tree.statements().next().and_then(|it| it.stmt());
        query.is_some_and(|it| crate::schemas::is_on(it, shard, &context))
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
