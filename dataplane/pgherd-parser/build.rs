//! Builds the shim, and from the C headers the typed views on the parser's nodes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

#[path = "build/views.rs"]
mod views;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=build");
    println!("cargo:rerun-if-changed=src/shim.c");
    println!("cargo:rerun-if-changed=src/nodes.h");
    println!("cargo:rerun-if-env-changed=PGHERD_LIBPG_QUERY");

    let library = library();
    let includes = [
        library.clone(),
        library.join("vendor"),
        library.join("src"),
        library.join("src/include"),
        library.join("src/postgres/include"),
    ];
    cc::Build::new().file("src/shim.c").includes(&includes).warnings(false).compile("pgherd_shim");

    let bindings = bindgen::Builder::default()
        .header("src/nodes.h")
        .clang_args(includes.iter().map(|it| format!("-I{}", it.display())))
        .allowlist_file(".*/nodes/(nodes|parsenodes|primnodes|value|pg_list|lockoptions)\\.h")
        .allowlist_function("pgherd_.*")
        .allowlist_var("PG_QUERY_DISABLE_.*")
        .layout_tests(false)
        .generate_comments(false)
        .generate()
        .expect("bindgen reads the parser's headers");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    // bindgen 0.66 writes the edition of 2021.
    let bindings = bindings.to_string().replace("extern \"C\" {", "unsafe extern \"C\" {");
    fs::write(out.join("sys.rs"), &bindings).expect("OUT_DIR is writable");
    fs::write(out.join("views.rs"), views::generate(&bindings)).expect("OUT_DIR is writable");
}

/// The C sources that came with the crate pg_query, whose library is linked: struct layouts and
/// macros must be those of the very same version. The crate does not tell where it lies (it sets no
/// `links`), so cargo is asked.
fn library() -> PathBuf {
    let found = env::var_os("PGHERD_LIBPG_QUERY").map(PathBuf::from);
    let found = found.or_else(|| asked(&["--offline"])).or_else(|| asked(&[]));
    let found =
        found.expect("the sources of pg_query; PGHERD_LIBPG_QUERY can name its libpg_query");
    assert!(found.join("pg_query.h").exists(), "no pg_query.h in {}", found.display());
    found
}

fn asked(more: &[&str]) -> Option<PathBuf> {
    let output = Command::new(env::var_os("CARGO")?)
        .args(["metadata", "--format-version", "1", "--locked", "--filter-platform"])
        .arg(env::var_os("TARGET")?)
        .args(more)
        .current_dir(env::var_os("CARGO_MANIFEST_DIR")?)
        .output()
        .ok()?;
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
    let packages = metadata["packages"].as_array()?;
    let package = packages.iter().find(|package| package["name"] == "pg_query")?;
    let manifest = Path::new(package["manifest_path"].as_str()?);
    Some(manifest.parent()?.join("libpg_query"))
}
