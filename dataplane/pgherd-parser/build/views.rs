//! From bindgen's structs to a view per node type: typed accessors, and a table of its fields.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Fields of a struct, with their types as bindgen writes them, white space removed.
type Fields = Vec<(String, String)>;

struct Headers {
    structs: BTreeMap<String, Fields>,
    aliases: BTreeMap<String, String>,
    constants: BTreeSet<String>,
}

impl Headers {
    fn is_node(&self, name: &str) -> bool {
        self.constants.contains(&format!("NodeTag_T_{name}"))
    }
}

/// The source of `views.rs`.
pub fn generate(bindings: &str) -> String {
    let headers = read(bindings);
    let nodes: Vec<&String> = headers
        .structs
        .keys()
        .filter(|name| headers.is_node(name))
        .filter(|name| !["List", "Bitmapset"].contains(&name.as_str()))
        .collect();
    let mut out = String::new();
    enumeration(&mut out, &nodes);
    for name in &nodes {
        view(&mut out, &headers, name);
    }
    constants(&mut out, &headers);
    out
}

fn read(bindings: &str) -> Headers {
    let file = syn::parse_file(bindings).expect("bindgen writes Rust");
    let mut headers =
        Headers { structs: BTreeMap::new(), aliases: BTreeMap::new(), constants: BTreeSet::new() };
    for item in file.items {
        match item {
            syn::Item::Struct(item) => {
                let fields = item.fields.iter().filter_map(|field| {
                    Some((field.ident.as_ref()?.to_string(), spelled(&field.ty)))
                });
                headers.structs.insert(item.ident.to_string(), fields.collect());
            }
            syn::Item::Type(item) => {
                headers.aliases.insert(item.ident.to_string(), spelled(&item.ty));
            }
            syn::Item::Const(item) => {
                headers.constants.insert(item.ident.to_string());
            }
            _ => {}
        }
    }
    headers
}

/// `*mut Name`, or the last part of a path.
fn spelled(ty: &syn::Type) -> String {
    match ty {
        syn::Type::Ptr(pointer) => format!("*{}", spelled(&pointer.elem)),
        syn::Type::Path(path) => {
            path.path.segments.last().map(|it| it.ident.to_string()).unwrap_or_default()
        }
        _ => String::new(),
    }
}

fn enumeration(out: &mut String, nodes: &[&String]) {
    out.push_str("/// A node of the tree, by its type.\n");
    out.push_str("#[derive(Debug, Clone, Copy, PartialEq, Eq)]\npub enum Node<'t> {\n");
    out.push_str("    List(List<'t>),\n    /// Of a type that this build does not know.\n");
    out.push_str("    Unknown(u32),\n");
    for name in nodes {
        writeln!(out, "    {name}({name}<'t>),").expect("strings grow");
    }
    out.push_str("}\n\nimpl<'t> Node<'t> {\n    pub(crate) fn classified(tag: u32, raw: Raw<'t>) -> Self {\n");
    out.push_str("        match tag {\n");
    for name in nodes {
        writeln!(out, "            sys::NodeTag_T_{name} => Self::{name}({name}(raw)),")
            .expect("strings grow");
    }
    out.push_str("            other => Self::Unknown(other),\n        }\n    }\n\n");
    out.push_str("    pub(crate) fn layout(self) -> Option<(Raw<'t>, &'static [Field])> {\n");
    out.push_str("        match self {\n            Self::List(_) | Self::Unknown(_) => None,\n");
    for name in nodes {
        writeln!(out, "            Self::{name}(node) => Some((node.0, {name}::FIELDS)),")
            .expect("strings grow");
    }
    out.push_str("        }\n    }\n}\n");
}

/// What an accessor gives, and how.
enum Kind {
    /// A method of `Raw` and its result.
    Read(&'static str, &'static str),
    /// A pointer to a node or a list.
    Child,
    /// A node within the node.
    Inline(String),
    /// The header, or what no raw tree has.
    Skipped,
}

fn kind(headers: &Headers, ty: &str) -> Kind {
    if let Some(target) = ty.strip_prefix('*') {
        let node =
            target == "Node" || target == "Expr" || target == "List" || headers.is_node(target);
        return match target {
            "c_char" => Kind::Read("text", "Option<&'t [u8]>"),
            "Bitmapset" => Kind::Skipped,
            _ if node => Kind::Child,
            _ => Kind::Skipped,
        };
    }
    match ty {
        "bool" => Kind::Read("boolean", "bool"),
        "c_int" | "i32" => Kind::Read("int", "i32"),
        "c_uint" | "u32" => Kind::Read("uint", "u32"),
        "c_char" => Kind::Read("character", "u8"),
        "NodeTag" | "Expr" | "Node" => Kind::Skipped,
        // The value of a constant: a node of one of five types, or none.
        "ValUnion" => Kind::Inline(ty.to_owned()),
        _ if headers.structs.contains_key(ty) => Kind::Inline(ty.to_owned()),
        _ => match headers.aliases.get(ty) {
            Some(target) if target != ty => kind(headers, target),
            _ => Kind::Skipped,
        },
    }
}

fn view(out: &mut String, headers: &Headers, name: &str) {
    let fields = &headers.structs[name];
    writeln!(out, "\n/// `{name}` of Postgres's parsenodes.h, primnodes.h or value.h.")
        .expect("strings grow");
    writeln!(
        out,
        "#[derive(Debug, Clone, Copy, PartialEq, Eq)]\npub struct {name}<'t>(Raw<'t>);\n"
    )
    .expect("strings grow");
    writeln!(out, "impl<'t> {name}<'t> {{").expect("strings grow");
    out.push_str(
        "    #[allow(dead_code)]\n    pub(crate) fn address(self) -> std::ptr::NonNull<u8> {\n",
    );
    out.push_str("        self.0.address()\n    }\n\n");
    let mut children = Vec::new();
    collect_children(headers, name, "0", &mut children);
    writeln!(out, "    const FIELDS: &'static [Field] = &[{}];\n", children.join(", "))
        .expect("strings grow");
    for (field, ty) in fields {
        let method = snake(field);
        let offset = format!("std::mem::offset_of!(sys::{name}, {field})");
        let (result, body) = match kind(headers, ty) {
            Kind::Read(read, result) => (result.to_owned(), format!("self.0.{read}({offset})")),
            Kind::Child if ty == "*List" => {
                ("List<'t>".to_owned(), format!("self.0.list({offset})"))
            }
            Kind::Child => ("Option<Node<'t>>".to_owned(), format!("self.0.child({offset})")),
            Kind::Inline(inner) if inner == "ValUnion" => {
                ("Option<Node<'t>>".to_owned(), format!("self.0.inline({offset})"))
            }
            // An abstract struct: its own pointers are in the table of children.
            Kind::Inline(inner) if !headers.is_node(&inner) => continue,
            Kind::Inline(inner) => {
                (format!("{inner}<'t>"), format!("{inner}(self.0.at({offset}))"))
            }
            Kind::Skipped => continue,
        };
        // SAFETY of the generated code: the view exists only for nodes whose tag says that they
        // are this struct, and the field has the type that the reading method expects.
        writeln!(out, "    pub fn {method}(self) -> {result} {{").expect("strings grow");
        writeln!(out, "        // SAFETY: the field's offset and type are the header's.")
            .expect("strings grow");
        writeln!(out, "        unsafe {{ {body} }}\n    }}").expect("strings grow");
    }
    out.push_str("}\n");
}

/// Entries of a struct's table: every place where a child may hang, those of inlined structs too.
fn collect_children(headers: &Headers, name: &str, base: &str, children: &mut Vec<String>) {
    for (field, ty) in &headers.structs[name] {
        let offset = format!("{base} + std::mem::offset_of!(sys::{name}, {field})");
        let label = field.trim_end_matches('_');
        match kind(headers, ty) {
            Kind::Child => children
                .push(format!("Field {{ name: \"{label}\", offset: {offset}, inline: false }}")),
            Kind::Inline(inner) if inner == "ValUnion" => children
                .push(format!("Field {{ name: \"{label}\", offset: {offset}, inline: true }}")),
            Kind::Inline(inner) => collect_children(headers, &inner, &offset, children),
            Kind::Read(..) | Kind::Skipped => {}
        }
    }
}

/// Enum constants by their own names, which bindgen prefixes with their type's.
fn constants(out: &mut String, headers: &Headers) {
    out.push_str("\n/// The values of the enums that fields have, by their names in C.\n");
    out.push_str("pub mod constants {\n");
    for name in headers.constants.iter().filter(|name| name.starts_with("CURSOR_OPT_")) {
        writeln!(out, "    pub const {name}: u32 = crate::sys::{name};").expect("strings grow");
    }
    for name in &headers.constants {
        let Some((ty, short)) = headers
            .aliases
            .keys()
            .filter_map(|ty| Some((ty, name.strip_prefix(ty)?.strip_prefix('_')?)))
            .max_by_key(|(ty, _)| ty.len())
        else {
            continue;
        };
        if ty == "NodeTag" || short.is_empty() || !short.starts_with(|c: char| c.is_alphabetic()) {
            continue;
        }
        let constant = short.to_uppercase();
        let signed = headers.aliases.get(ty).is_some_and(|it| it == "c_int");
        let integer = if signed { "i32" } else { "u32" };
        writeln!(out, "    pub const {constant}: {integer} = crate::sys::{name};")
            .expect("strings grow");
    }
    out.push_str("}\n");
}

/// `targetList` as `target_list`; what Rust reserves gets an underscore.
fn snake(field: &str) -> String {
    let mut name = String::new();
    let mut former = '_';
    for c in field.chars() {
        if c.is_ascii_uppercase() && former != '_' && !former.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(c.to_ascii_lowercase());
        former = c;
    }
    let keyword = ["as", "in", "where", "type", "final", "ref", "move", "override", "virtual"];
    if keyword.contains(&name.as_str()) {
        name.push('_');
    }
    name
}
