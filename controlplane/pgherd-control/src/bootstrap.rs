//! The first tokens of a new database.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use anyhow::Context as _;
use pgherd_store::{BootstrapTokens, Store};

/// Makes the first tokens if there have never been any, and writes them to `file` or prints them.
pub async fn bootstrap(store: &Store, file: Option<&Path>) -> anyhow::Result<()> {
    let made = store
        .bootstrap_tokens(|tokens| match file {
            Some(file) => write(file, tokens)
                .with_context(|| format!("writing the first tokens to {}", file.display())),
            None => print(tokens).context("printing the first tokens"),
        })
        .await
        .context("making the first tokens")??;
    match (made, file) {
        (true, Some(file)) => tracing::info!("the first tokens are in {}", file.display()),
        (false, Some(file)) if !file.exists() => {
            tracing::warn!("the database has tokens already: {} is not written", file.display())
        }
        _ => {}
    }
    Ok(())
}

/// Replaces the file as a whole: its reader sees all of it or nothing.
fn write(file: &Path, tokens: &BootstrapTokens) -> io::Result<()> {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", std::process::id()));
    let temporary = file.with_file_name(name);
    let mut out =
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let written = serde_json::to_writer(&out, tokens)
        .map_err(io::Error::from)
        .and_then(|()| out.write_all(b"\n"))
        .and_then(|()| out.sync_all())
        .and_then(|()| fs::rename(&temporary, file));
    if written.is_err() {
        // Nothing to add to the first error when this fails as well.
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn print(tokens: &BootstrapTokens) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "These tokens are shown this once:")?;
    writeln!(out, "  admin token (REST, dashboard): {}", tokens.admin)?;
    writeln!(out, "  proxy token (--token-file):    {}", tokens.proxy)?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use pgherd_store::BootstrapTokens;

    #[test]
    fn the_file_is_for_its_owner_only_and_replaces_an_old_one() {
        let file = std::env::temp_dir().join(format!("pgherd-bootstrap-{}", std::process::id()));
        for admin in ["one", "two"] {
            let tokens = BootstrapTokens { admin: admin.to_owned(), proxy: "p".to_owned() };
            super::write(&file, &tokens).unwrap();
        }
        let text = std::fs::read_to_string(&file).unwrap();
        let mode = std::fs::metadata(&file).unwrap().permissions().mode() & 0o777;
        std::fs::remove_file(&file).unwrap();
        assert_eq!((text.as_str(), mode), ("{\"admin\":\"two\",\"proxy\":\"p\"}\n", 0o600));
    }
}
