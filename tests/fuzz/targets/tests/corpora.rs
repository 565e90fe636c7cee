//! Gives each target what lies in its corpus, and every beginning of it.

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use pgherd_fuzz_targets::TARGETS;

/// Of longer files only the whole is tried.
const SHORT: usize = 512;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus")
}

/// Runs the target on each file of its corpus.
#[track_caller]
fn check(name: &str) {
    let directory = directory().join(name);
    let files = fs::read_dir(&directory).expect("a target has a corpus");
    let mut files: Vec<PathBuf> = files.map(|it| it.expect("it can be read").path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", directory.display());
    for file in files {
        let data = fs::read(&file).expect("it can be read");
        let shortest = if data.len() <= SHORT { 0 } else { data.len() };
        for length in shortest..=data.len() {
            let run = || pgherd_fuzz_targets::run(name, &data[..length]);
            assert!(catch_unwind(run).is_ok(), "{} up to byte {length}", file.display());
        }
    }
}

macro_rules! corpora {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            check(stringify!($name));
        })*

        #[test]
        fn every_target_has_its_test_its_corpus_and_its_program() {
            let targets: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
            assert_eq!(targets, [$(stringify!($name)),*]);
            let entries = fs::read_dir(directory()).expect("there are corpora");
            let mut corpora: Vec<String> = entries
                .map(|it| it.expect("it can be read").file_name().into_string().expect("ASCII"))
                .collect();
            corpora.sort();
            assert_eq!(targets, corpora);
            let manifest = include_str!("../../runner/Cargo.toml");
            let programs: Vec<&str> = manifest
                .split("[[bin]]\nname = \"")
                .skip(1)
                .filter_map(|it| it.split('"').next())
                .collect();
            assert_eq!(targets, programs);
        }
    };
}

corpora! {
    backend cancel_keys certificates error_response frontend mentions owed params
    scram_client scram_server setting_names snapshot sql_names startup tls_stream verifiers
}
