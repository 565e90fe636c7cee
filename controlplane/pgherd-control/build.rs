//! Puts the dashboard where it is embedded from: what `npm run build` made, or, when there is
//! none, a page that says so. Building pgherd needs no Node.

use std::{env, error::Error, fs, io, path::Path};

const PLACEHOLDER: &str = r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>pgherd</title>
<h1>pgherd</h1>
<p>The control plane runs. This build has no dashboard: run <code>npm ci</code> and
<code>npm run build</code> in <code>web/</code> and build again.</p>
<p>The API: <a href="/api/docs">/api/docs</a></p>
</html>
"#;

fn main() -> Result<(), Box<dyn Error>> {
    let dist = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../../web/dist");
    let page = Path::new(&env::var("OUT_DIR")?).join("page");
    // A path that does not exist yet makes cargo look again at each build, as it should.
    println!("cargo:rerun-if-changed={}", dist.display());
    if page.exists() {
        fs::remove_dir_all(&page)?;
    }
    fs::create_dir_all(&page)?;
    if dist.join("index.html").exists() {
        copy(&dist, &page)?;
    } else {
        fs::write(page.join("index.html"), PLACEHOLDER)?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            fs::create_dir_all(&target)?;
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}
