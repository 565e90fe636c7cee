//! Trees from text and back: views, round trips, depth, threads.

use pgherd_parser::{Node, ParseError, StringSyntax, Tree};

fn parse(sql: &str) -> Tree {
    Tree::parse(sql, StringSyntax::Standard).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// The statements of a text, deparsed.
fn deparsed(sql: &str) -> Vec<String> {
    parse(sql)
        .statements()
        .map(|it| it.deparse().unwrap_or_else(|e| panic!("{sql}: {e}")))
        .collect()
}

/// The types of all nodes in the order of the walk, with their strings and integers: two texts
/// with one such outline mean the same.
fn outline(sql: &str) -> Vec<String> {
    let tree = parse(sql);
    let mut found = Vec::new();
    let mut stack: Vec<Node<'_>> = tree.statements().filter_map(|it| it.stmt()).collect();
    while let Some(node) = stack.pop() {
        found.push(match node {
            Node::String(it) => format!("{:?}", String::from_utf8_lossy(it.sval().unwrap_or(b""))),
            Node::Integer(it) => it.ival().to_string(),
            Node::Float(it) => String::from_utf8_lossy(it.fval().unwrap_or(b"")).into_owned(),
            Node::RangeVar(it) => format!("{:?}", it.relname()),
            Node::A_Expr(it) => format!("A_Expr {}", it.kind()),
            // Its views print addresses: the name alone.
            other => format!("{other:?}").split('(').next().unwrap_or_default().to_owned(),
        });
        node.push_children(&mut stack);
    }
    found
}

const CORPUS: &str = include_str!("corpus.sql");

fn corpus() -> impl Iterator<Item = &'static str> {
    CORPUS.split(";\n").map(str::trim).filter(|it| !it.is_empty() && !it.starts_with("--"))
}

#[test]
fn statements_survive_the_way_to_text_and_back() {
    let mut count = 0;
    for sql in corpus() {
        let [text] = &deparsed(sql)[..] else { panic!("{sql} is not one statement") };
        assert_eq!(outline(text), outline(sql), "{sql} became {text}");
        assert_eq!(deparsed(text), [text.as_str()], "{sql}");
        count += 1;
    }
    assert!(count > 80, "{count} statements");
}

#[test]
fn views_have_the_fields_of_the_headers() {
    let tree =
        parse("SELECT a.b AS c, 42 FROM s.t x WHERE d = 'é' ORDER BY 1 LIMIT 5; DELETE FROM u");
    let statements: Vec<Node<'_>> = tree.statements().filter_map(|it| it.stmt()).collect();
    let [Node::SelectStmt(select), Node::DeleteStmt(delete)] = statements[..] else {
        panic!("{statements:?}")
    };
    let names: Vec<_> = select
        .target_list()
        .iter()
        .map(|target| match target {
            Node::ResTarget(target) => target.name(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(names, [Some(&b"c"[..]), None]);
    let Some(Node::RangeVar(table)) = select.from_clause().first() else { panic!("no table") };
    assert_eq!((table.schemaname(), table.relname()), (Some(&b"s"[..]), Some(&b"t"[..])));
    assert_eq!(table.relpersistence(), b'p');
    let Some(Node::A_Expr(condition)) = select.where_clause() else { panic!("no condition") };
    let Some(Node::A_Const(constant)) = condition.rexpr() else { panic!("no constant") };
    let Some(Node::String(text)) = constant.val() else { panic!("no string") };
    assert_eq!(text.sval(), Some("é".as_bytes()));
    assert_eq!((select.sort_clause().len(), select.all()), (1, false));
    assert!(select.limit_count().is_some() && select.limit_offset().is_none());
    assert!(delete.where_clause().is_none() && delete.using_clause().is_empty());
    let fields: Vec<&str> = Node::SelectStmt(select).fields().map(|(name, _)| name).collect();
    assert_eq!(fields, ["targetList", "fromClause", "whereClause", "sortClause", "limitCount"]);
}

#[test]
fn null_has_no_value() {
    let tree = parse("SELECT NULL");
    let Some(Node::SelectStmt(select)) = tree.statements().next().and_then(|it| it.stmt()) else {
        panic!("no SELECT")
    };
    let Some(Node::ResTarget(target)) = select.target_list().first() else { panic!("no target") };
    let Some(Node::A_Const(constant)) = target.val() else { panic!("no constant") };
    assert!(constant.isnull() && constant.val().is_none());
}

#[test]
fn errors_carry_the_parsers_words() {
    let error = Tree::parse("SELECT 1 FROM FROM t", StringSyntax::Standard).expect_err("no SQL");
    let message = "syntax error at or near \"FROM\"".to_owned();
    assert_eq!(error, ParseError::Refused { message, position: 15 });
    let zero = Tree::parse("SELECT 1\0", StringSyntax::Standard);
    assert_eq!(zero.expect_err("a zero"), ParseError::Zero);
    assert_eq!(parse("; ;").statements().count(), 0);
}

#[test]
fn backslashes_follow_the_setting() {
    let sql = "SELECT 'a\\'b'";
    assert!(Tree::parse(sql, StringSyntax::Standard).is_err());
    assert!(Tree::parse(sql, StringSyntax::Backslashes).is_ok());
    // The setting is the parse's own.
    assert!(Tree::parse(sql, StringSyntax::Standard).is_err());
}

#[test]
fn depth_is_an_error_at_worst() {
    for sql in [
        format!("SELECT {}1", "1+".repeat(100_000)),
        format!("SELECT 1{}", " UNION SELECT 1".repeat(50_000)),
        format!("SELECT {}1{}", "(SELECT ".repeat(1_500), ")".repeat(1_500)),
    ] {
        let tree = parse(&sql);
        let mut nodes = 0;
        let mut stack: Vec<Node<'_>> = tree.statements().filter_map(|it| it.stmt()).collect();
        while let Some(node) = stack.pop() {
            nodes += 1;
            node.push_children(&mut stack);
        }
        assert!(nodes > 1_500, "{nodes} in {}", &sql[..20]);
        // The deparser recurses, but looks at its stack.
        if let Some(Err(error)) = tree.statements().next().map(|it| it.deparse()) {
            assert!(error.message.contains("stack depth"), "{error}");
        }
    }
    assert!(Tree::parse(&"(".repeat(100_000), StringSyntax::Standard).is_err());
    // After errors for lack of stack the parser goes on working.
    assert_eq!(deparsed("SELECT 1"), ["SELECT 1"]);
}

#[test]
fn trees_live_side_by_side_and_on_many_threads() {
    let threads: Vec<_> = (0..8)
        .map(|i| {
            std::thread::Builder::new()
                .stack_size(512 * 1024)
                .spawn(move || {
                    for j in 0..200 {
                        let first = parse(&format!("SELECT {i} + {j}"));
                        let second = parse("SELECT a FROM b");
                        assert!(Tree::parse("SELECT FROM FROM", StringSyntax::Standard).is_err());
                        let text = first.statements().next().map(|it| it.deparse());
                        assert_eq!(text, Some(Ok(format!("SELECT {i} + {j}"))));
                        drop(first);
                        let text = second.statements().next().map(|it| it.deparse());
                        assert_eq!(text, Some(Ok("SELECT a FROM b".to_owned())));
                    }
                })
                .expect("a thread")
        })
        .collect();
    for thread in threads {
        thread.join().expect("no panic");
    }
}

/// The parser warns on stderr by itself; what clients send must not fill the proxy's log.
#[test]
fn warnings_are_not_printed() {
    const CHILD: &str = "PGHERD_TEST_WARNS";
    let sql = format!("CREATE GLOBAL TEMP TABLE t (a int); SELECT {}", "x".repeat(100));
    if std::env::var_os(CHILD).is_some() {
        assert_eq!(parse(&sql).statements().count(), 2);
        return;
    }
    let output = std::process::Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "warnings_are_not_printed", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .expect("this program starts");
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !printed.contains("GLOBAL"), "{printed}");
}
