//! Where statements go that name what is in schemas of one shard.

use pgherd_config::ShardedSchema;
use pgherd_parser::{StringSyntax, Tree};
use pgherd_sharding::SchemaPlacement;

use super::*;
use crate::{
    Column, ColumnRow, FunctionRow, Parameter, Placement, Plan, Rules, TableRow, ViewRow, outline,
};

const SHARDS: usize = 3;

/// No key has a known shard.
struct Nowhere;

impl Placement for Nowhere {
    fn shard(&self, _: &Table, _: &Column, _: &Parameter<'_>) -> Option<usize> {
        None
    }
}

/// `a` and `b` are on shard 1, `c` on shard 2.
fn catalog(has_sharded: bool) -> Catalog {
    let tables = [
        ("a", "orders", "id", "r"),
        ("a", "pages", "id", "v"),
        ("a", "all_users", "id", "v"),
        ("b", "orders", "id", "r"),
        ("c", "orders", "id", "r"),
        ("c", "notes", "id", "r"),
        ("public", "countries", "code", "r"),
        ("public", "users", "id", "r"),
    ];
    let columns = tables.map(|(schema, table, column, relation_kind)| ColumnRow {
        schema: schema.to_owned(),
        table: table.to_owned(),
        relation_kind: relation_kind.to_owned(),
        column: column.to_owned(),
        type_oid: 20,
        sql_type: "bigint".to_owned(),
        plain_type: "bigint".to_owned(),
        deterministic: true,
        type_kind: "b".to_owned(),
        ..ColumnRow::default()
    });
    let function = |schema: &str, name: &str| FunctionRow {
        schema: schema.to_owned(),
        name: name.to_owned(),
        immutable: false,
        plain: true,
    };
    let schema = |schema: &str, shard| ShardedSchema { schema: schema.into(), shard: Some(shard) };
    let schemas = [schema("a", 1), schema("b", 1), schema("c", 2)];
    let rules = Rules {
        sharded: if has_sharded { vec![(Some("users".into()), "id".into())] } else { vec![] },
        reference: vec!["countries".into()],
        schemas: SchemaPlacement::new(&schemas, SHARDS),
        shards: SHARDS,
        ..Rules::default()
    };
    let functions = vec![function("a", "report"), function("public", "spy")];
    let mut catalog = Catalog::new(columns.into(), functions, &rules);
    let named = [("a", "report"), ("a", "ids"), ("a", "mood"), ("a", "orders"), ("c", "ids")];
    for shard in 0..SHARDS {
        catalog.add_objects(shard, named.map(|(schema, it)| (schema.into(), it.into())));
    }
    let fact = |schema: &str, table: &str, value: &str| TableRow {
        schema: schema.to_owned(),
        table: table.to_owned(),
        kind: "default".to_owned(),
        name: "id".to_owned(),
        value: value.to_owned(),
    };
    catalog.add_tables(vec![
        fact("a", "orders", "nextval('a.ids'::regclass)"),
        fact("c", "notes", "nextval('public.ids'::regclass)"),
    ]);
    let view = |name: &str, definition: &str| ViewRow {
        schema: "a".to_owned(),
        name: name.to_owned(),
        definition: definition.to_owned(),
    };
    catalog.add_views(vec![
        view("pages", "SELECT id FROM a.orders JOIN public.countries ON true"),
        view("all_users", "SELECT id FROM public.users"),
    ]);
    catalog
}

fn plan(sql: &str, path: &[&str], has_sharded: bool) -> (Plan, Home) {
    let tree = Tree::parse(sql, StringSyntax::Standard).expect("valid SQL");
    let catalog = catalog(has_sharded);
    let context = Context { catalog: &catalog, search_path: path, shards: SHARDS };
    let statement = tree.statements().next().expect("a statement");
    let outline = outline(statement, sql, &context);
    (outline.plan(&[], &Nowhere), outline.home())
}

#[track_caller]
fn goes_to(sql: &str, path: &[&str], shard: usize) {
    let (plan, home) = plan(sql, path, false);
    assert_eq!((plan, home), (Plan::Single(shard), Home::On(shard)), "{sql}");
}

#[track_caller]
fn refused(sql: &str, path: &[&str], has_sharded: bool, words: &str) {
    match plan(sql, path, has_sharded).0 {
        Plan::Refuse(refusal) => {
            let text = refusal.to_string();
            assert!(text.contains(words), "{sql}: {text}");
        }
        other => panic!("{sql}: {other:?}"),
    }
}

#[test]
fn what_is_all_on_one_shard_goes_there() {
    for sql in [
        "SELECT * FROM a.orders",
        "SELECT count(*) FROM a.orders, b.orders o, countries",
        "SELECT * FROM a.orders FOR UPDATE",
        "WITH x AS (DELETE FROM a.orders RETURNING *) INSERT INTO b.orders SELECT * FROM x",
        "SELECT a.report()",
        "SELECT nextval('a.ids')",
        "SELECT 'x'::a.mood, to_regclass('c.orders')",
        "SELECT 'a.orders'::regclass",
        "MERGE INTO a.orders USING b.orders ON false WHEN NOT MATCHED THEN INSERT VALUES (1)",
        "UPDATE a.orders SET id = 1 FROM b.orders",
        "INSERT INTO a.orders DEFAULT VALUES",
        "SELECT * FROM a.pages",
        "CALL a.report()",
    ] {
        goes_to(sql, &["public"], 1);
    }
}

#[test]
fn names_are_looked_for_along_the_path() {
    for sql in [
        "SELECT * FROM orders",
        "SELECT 1",
        "SELECT report(), spy()",
        "SELECT nextval('ids')",
        "SELECT NULL::mood",
        "SELECT * FROM countries",
        "SELECT * FROM pg_class",
        "DO ''",
    ] {
        goes_to(sql, &["a", "public"], 1);
    }
    goes_to("SELECT * FROM orders", &["c", "a"], 2);
    goes_to("SELECT * FROM report()", &["c", "a"], 1);
    // Not of the path's shard.
    goes_to("SELECT * FROM c.orders", &["a"], 2);
    assert_eq!(plan("SELECT 1", &["a", "c"], false), (Plan::Any, Home::Any));
    // A sequence that is everybody's.
    assert_eq!(plan("SELECT nextval('public.ids')", &["a"], false).0, Plan::Single(0));
}

#[test]
fn definitions_go_to_the_shard_of_their_schema() {
    for sql in [
        "CREATE SCHEMA a",
        "DROP SCHEMA a, b CASCADE",
        "CREATE TABLE a.new (id int PRIMARY KEY REFERENCES a.orders)",
        "CREATE TABLE a.new AS SELECT * FROM a.orders",
        "ALTER TABLE a.orders ADD n int",
        "CREATE INDEX CONCURRENTLY ON a.orders (id)",
        "CREATE VIEW a.v AS SELECT * FROM a.orders, countries",
        "CREATE TYPE a.color AS ENUM ('red')",
        "DROP TYPE a.mood",
        "DROP FUNCTION a.report()",
        "CREATE FUNCTION a.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "GRANT SELECT ON a.orders TO x",
        "GRANT USAGE ON SCHEMA a TO x",
        "GRANT SELECT ON ALL TABLES IN SCHEMA a TO x",
        "COMMENT ON COLUMN a.orders.id IS 'x'",
        "TRUNCATE a.orders",
        "VACUUM a.orders",
        "DROP TABLE IF EXISTS a.nothing",
        "CREATE SEQUENCE a.s",
        "ALTER SCHEMA a RENAME TO b",
        "ALTER TABLE a.orders SET SCHEMA b",
        "CREATE TRIGGER t BEFORE INSERT ON a.orders FOR EACH ROW EXECUTE FUNCTION spy()",
    ] {
        goes_to(sql, &["public"], 1);
    }
    goes_to("CREATE TABLE new (id int)", &["a", "public"], 1);
    goes_to("DROP TABLE orders", &["c", "public"], 2);
    goes_to("DROP TABLE IF EXISTS nothing", &["a"], 1);
    for sql in ["CREATE SCHEMA other", "CREATE TYPE public.t AS ENUM ()", "DROP TABLE countries"] {
        let (plan, _) = plan(sql, &["public", "a"], false);
        assert!(matches!(plan, Plan::Everywhere(_)), "{sql}: {plan:?}");
    }
}

#[test]
fn what_no_shard_knows_is_refused() {
    let path = &["public"];
    refused("ALTER SCHEMA a RENAME TO c", path, false, "on several shards");
    refused("ALTER TABLE a.orders SET SCHEMA public", path, false, "on several shards");
    refused("DROP TABLE a.orders, c.orders", path, false, "on several shards");
    refused("CREATE VIEW v AS SELECT * FROM a.orders", path, false, "a definition for all shards");
    refused("CREATE VIEW a.v AS SELECT * FROM c.orders", path, false, "on others");
    refused("CREATE VIEW a.v AS SELECT * FROM users", path, true, "on others");
    refused("CREATE TABLE a.t (id int REFERENCES users)", path, true, "on others");
    refused("CREATE TEMP TABLE t (id int)", &["a"], false, "temporary");
    refused("SELECT * FROM a.all_users", path, true, "a view");
    // It may read tables of which this shard has a part.
    refused("SELECT report() FROM a.orders", &["a"], true, "report()");
    refused("DO ''", &["a"], true, "DO");
}

#[test]
fn what_is_on_two_shards_is_gathered() {
    let sql = "SELECT * FROM a.orders JOIN c.orders o USING (id) WHERE o.id > 1";
    let (plan, home) = plan(sql, &["public"], false);
    let Plan::Finish(finish) = plan else { panic!("{plan:?}") };
    let gathers: Vec<_> =
        finish.gathers.iter().map(|it| (it.shards.clone(), it.query.as_str())).collect();
    let expected = [
        (vec![1], "SELECT \"id\" FROM \"a\".\"orders\""),
        (vec![2], "SELECT \"id\" FROM \"c\".\"orders\" WHERE (\"id\" > (1))"),
    ];
    assert_eq!(gathers, expected);
    assert_eq!(home, Home::Nowhere);
}

#[test]
fn writes_take_rows_of_other_shards_along() {
    for sql in [
        "UPDATE a.orders SET id = 2 FROM c.notes WHERE notes.id = orders.id",
        "INSERT INTO a.orders SELECT id FROM c.notes",
        "DELETE FROM a.orders WHERE id IN (SELECT id FROM c.notes)",
    ] {
        let (plan, home) = plan(sql, &["public"], false);
        let Plan::Write(write) = plan else { panic!("{sql}: {plan:?}") };
        assert_eq!(home, Home::Nowhere);
        assert_eq!(write.texts.iter().map(|it| it.0).collect::<Vec<_>>(), [1], "{sql}");
        assert_eq!(write.gathers.len(), 1, "{sql}");
        assert_eq!(write.gathers[0].shards, [2], "{sql}");
    }
    // Its numbers are drawn where everybody's are.
    let (plan, _) = plan("INSERT INTO c.notes DEFAULT VALUES", &["public"], false);
    assert!(!matches!(plan, Plan::Single(_)), "{plan:?}");
}
