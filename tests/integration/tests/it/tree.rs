//! Rules of the repository that no compiler checks.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A file wants a reason beyond so many lines, its tests not counted.
const LONGEST: usize = 500;
/// Files that are longer, each with its reason.
const LONG: &[(&str, &str)] = &[];
/// Crates with `unsafe`, and lints of their own therefore, each with its reason.
const UNSAFE: &[(&str, &str)] = &[
    ("dataplane/pgherd-collation/Cargo.toml", "compares text with the C library's strcoll_l"),
    ("dataplane/pgherd-parser/Cargo.toml", "reads the tree of Postgres's parser, which is C"),
];
/// Directories that are not ours to check.
const SKIPPED: &[&str] = &["target", "node_modules", ".git", "dist"];
/// Manifests outside of the workspace, each with its reason.
const OUTSIDE: &[(&str, &str)] = &[(
    "tests/fuzz/runner/Cargo.toml",
    "libFuzzer's macro has `unsafe` in it, and its programs are built with sanitizers only",
)];
/// Names that say nothing about a file's content.
const VAGUE: &[&str] = &["utils", "util", "helper", "helpers", "common", "manager", "misc"];

fn root() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(here.ancestors().nth(2).context("two directories up")?.to_owned())
}

/// Files with this extension, relative to the root.
fn files(extension: &str) -> Result<Vec<PathBuf>> {
    fn walk(directory: &Path, extension: &str, found: &mut Vec<PathBuf>) -> Result<()> {
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if path.is_dir() && !path.is_symlink() && !SKIPPED.contains(&name) {
                walk(&path, extension, found)?;
            } else if path.extension().is_some_and(|it| it == extension) {
                found.push(path);
            }
        }
        Ok(())
    }
    let root = root()?;
    let mut found = Vec::new();
    walk(&root, extension, &mut found)?;
    found.sort();
    found.into_iter().map(|path| Ok(path.strip_prefix(&root)?.to_owned())).collect()
}

/// The files for which `wrong` gives a complaint.
#[track_caller]
fn check(extension: &str, wrong: impl Fn(&Path, &str) -> Option<String>) {
    let root = root().expect("the workspace has a root");
    let files = files(extension).expect("the tree can be read");
    assert!(!files.is_empty(), "no .{extension} files below {}", root.display());
    let complaints: Vec<String> = files
        .iter()
        .filter_map(|path| {
            let text = fs::read_to_string(root.join(path)).expect("sources are UTF-8");
            wrong(path, &text).map(|complaint| format!("{}: {complaint}", path.display()))
        })
        .collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn every_file_says_first_what_it_is_for() {
    check("rs", |_, text| {
        (!text.starts_with("//!")).then(|| "does not begin with `//!`".to_owned())
    });
}

#[test]
fn modules_are_named_files() {
    check("rs", |path, _| {
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let vague = VAGUE.contains(&stem).then(|| "a name that says nothing".to_owned());
        vague.or((stem == "mod").then(|| "foo.rs beside foo/, no mod.rs".to_owned()))
    });
}

#[test]
fn files_are_short() {
    check("rs", |path, text| {
        let is_test = path.iter().any(|part| part == "tests" || part == "tests.rs");
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text);
        let lines = code.lines().count();
        let excused = LONG.iter().any(|(long, _)| Path::new(long) == path);
        (!is_test && !excused && lines > LONGEST).then(|| format!("{lines} lines and no reason"))
    });
}

#[test]
fn reasons_for_long_files_are_still_needed() -> Result<()> {
    let root = root()?;
    for (path, reason) in LONG {
        let lines = fs::read_to_string(root.join(path))?.lines().count();
        assert!(lines > LONGEST && !reason.is_empty(), "{path} has {lines} lines");
    }
    Ok(())
}

#[test]
fn versions_stand_in_the_workspace_only() {
    check("toml", |path, text| {
        let is_outside = OUTSIDE.iter().any(|(outside, _)| Path::new(outside) == path);
        if path.file_name()? != "Cargo.toml" || path.components().count() == 1 || is_outside {
            return None;
        }
        let manifest: toml::Table = text.parse().ok()?;
        let lints = manifest.get("lints").and_then(|lints| lints.get("workspace"));
        let excused = UNSAFE.iter().any(|(manifest, _)| Path::new(manifest) == path);
        if !excused && lints.and_then(toml::Value::as_bool) != Some(true) {
            return Some("lacks `[lints] workspace = true`".to_owned());
        }
        let tables = ["dependencies", "dev-dependencies", "build-dependencies"];
        let dependencies = tables.iter().filter_map(|table| manifest.get(*table)?.as_table());
        dependencies
            .flatten()
            .find(|(_, value)| value.get("workspace").and_then(toml::Value::as_bool) != Some(true))
            .map(|(name, _)| format!("{name} has a version of its own"))
    });
}

#[test]
fn unsafe_code_stays_forbidden() -> Result<()> {
    let manifest: toml::Table = fs::read_to_string(root()?.join("Cargo.toml"))?.parse()?;
    let lint = &manifest["workspace"]["lints"]["rust"]["unsafe_code"];
    assert_eq!(lint.as_str(), Some("forbid"));
    for (manifest, reason) in UNSAFE {
        let manifest: toml::Table = fs::read_to_string(root()?.join(manifest))?.parse()?;
        let clippy = &manifest["lints"]["clippy"];
        assert_eq!(clippy["undocumented_unsafe_blocks"].as_str(), Some("deny"), "{reason}");
    }
    Ok(())
}
