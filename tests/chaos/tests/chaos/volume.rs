//! A small disk of its own, to be filled.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use pgherd_harness::scratch::Scratch;

/// What `/proc/mounts` calls it, with our process id behind.
const NAME: &str = "pgherd-chaos-";

/// A mounted file system in memory; dropping it unmounts it.
pub struct Volume {
    path: PathBuf,
    _scratch: Scratch,
}

/// A file that takes all the room until it is dropped.
pub struct Ballast(PathBuf);

impl Volume {
    /// One of so many MiB.
    pub fn new(megabytes: u32) -> Result<Self> {
        ensure!(
            rustix::process::geteuid().is_root(),
            "mounting a small disk needs root: run this test as root"
        );
        unmount_orphans()?;
        let scratch = Scratch::new("disk")?;
        let path = scratch.path().join("disk");
        std::fs::create_dir(&path)?;
        let name = format!("{NAME}{}", std::process::id());
        let options = format!("size={megabytes}m,mode=0755");
        let target = path.display().to_string();
        run("mount", &["-t", "tmpfs", "-o", &options, &name, &target])?;
        Ok(Self { path, _scratch: scratch })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Moves a directory here and leaves a link in its place.
    pub fn take(&self, from: &Path, to: &Path) -> Result<()> {
        run("cp", &["-a", &from.display().to_string(), &to.display().to_string()])?;
        std::fs::remove_dir_all(from)?;
        std::os::unix::fs::symlink(to, from).context("cannot leave a link")
    }

    /// Leaves no room.
    pub fn fill(&self) -> Result<Ballast> {
        let path = self.path.join("ballast");
        let mut file = File::create(&path)?;
        let block = vec![0; 64 * 1024];
        while file.write_all(&block).is_ok() {}
        Ok(Ballast(path))
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // Lazily: whoever fails with it still has it open.
        let _ = run("umount", &["--lazy", &self.path.display().to_string()]);
    }
}

impl Drop for Ballast {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// What tests that were killed left mounted.
fn unmount_orphans() -> Result<()> {
    for line in std::fs::read_to_string("/proc/mounts")?.lines() {
        let mut words = line.split(' ');
        let (Some(name), Some(path)) = (words.next(), words.next()) else { continue };
        let Some(pid) = name.strip_prefix(NAME) else { continue };
        if !Path::new("/proc").join(pid).exists() {
            run("umount", &["--lazy", path])?;
        }
    }
    Ok(())
}

fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let output = Command::new(program).args(arguments).output();
    let output = output.with_context(|| format!("cannot run {program}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {arguments:?}: {said}");
    Ok(())
}
