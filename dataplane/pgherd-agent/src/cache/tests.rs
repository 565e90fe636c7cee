//! What survives on disk: crashes, damage and contents that kill.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use pgherd_proto::v1::SnapshotId;

use super::{Cache, CacheError, Stored};

fn stored(generation: u64, hash: &str) -> Stored {
    Stored {
        id: SnapshotId { lineage: "l".into(), generation, content_hash: hash.into() },
        document: format!("{{\"clusters\":[]}}\n{hash}\0").into_bytes(),
    }
}

fn keep(cache: &mut Cache, generation: u64, hash: &str) {
    cache.begin(hash).unwrap();
    cache.commit(&stored(generation, hash)).unwrap();
}

fn hashes(cache: &Cache) -> String {
    cache.load_good().map(|stored| stored.id.content_hash).collect::<Vec<_>>().join(" ")
}

fn files(cache: &Cache) -> Vec<PathBuf> {
    cache.numbers().into_iter().map(|number| cache.dir.join(super::file_name(number))).collect()
}

#[test]
fn the_last_three_contents_are_kept_newest_first() {
    let dir = tempfile::tempdir().unwrap();
    let mut cache = Cache::open(dir.path()).unwrap();
    assert!(cache.load_newest_good().is_none());
    for (generation, hash) in [(1, "a"), (2, "b"), (3, "c"), (4, "d")] {
        keep(&mut cache, generation, hash);
    }
    assert_eq!(hashes(&cache), "d c b");
    // The same content under a new generation takes the place of the old one.
    cache.commit(&stored(5, "d")).unwrap();
    assert_eq!(hashes(&cache), "d c b");
    assert_eq!(cache.load_newest_good(), Some(stored(5, "d")));
    keep(&mut cache, 6, "b");
    assert_eq!(hashes(&cache), "b d c");
    assert_eq!(files(&cache).len(), 3);
}

#[test]
fn what_is_kept_is_there_after_a_restart_and_for_the_owner_only() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("made/for/it");
    keep(&mut Cache::open(&dir).unwrap(), 1, "a");
    let cache = Cache::open(&dir).unwrap();
    assert_eq!(cache.load_newest_good(), Some(stored(1, "a")));
    assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    for entry in fs::read_dir(&dir).unwrap() {
        let mode = entry.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn any_damage_to_the_newest_file_falls_to_the_one_before() {
    let dir = tempfile::tempdir().unwrap();
    let mut cache = Cache::open(dir.path()).unwrap();
    keep(&mut cache, 1, "a");
    keep(&mut cache, 2, "b");
    let newest = files(&cache).pop().unwrap();
    let whole = fs::read(&newest).unwrap();
    for index in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[index] ^= 0x20;
        fs::write(&newest, bytes).unwrap();
        assert_eq!(hashes(&cache), "a", "byte {index} was changed");
        fs::write(&newest, &whole[..index]).unwrap();
        assert_eq!(hashes(&cache), "a", "cut at {index}");
    }
    fs::write(&newest, whole).unwrap();
    assert_eq!(hashes(&cache), "b a");
    // A file that cannot be read is not counted among the three.
    fs::write(&newest, "").unwrap();
    keep(&mut cache, 3, "c");
    assert_eq!(hashes(&cache), "c a");
    assert_eq!(files(&cache).len(), 2);
}

#[test]
fn a_content_that_kills_is_tried_last_and_after_two_deaths_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let mut cache = Cache::open(dir.path()).unwrap();
    keep(&mut cache, 1, "a");
    keep(&mut cache, 2, "b");
    cache.begin("b").unwrap();
    drop(cache);

    let mut cache = Cache::open(dir.path()).unwrap();
    assert_eq!(hashes(&cache), "a b");
    // Activating the one before does not clear the name of the other.
    keep(&mut cache, 1, "a");
    drop(cache);
    let mut cache = Cache::open(dir.path()).unwrap();
    assert_eq!(hashes(&cache), "a b");
    assert!(!cache.is_deadly("b"));
    cache.begin("b").unwrap();
    drop(cache);

    let mut cache = Cache::open(dir.path()).unwrap();
    assert_eq!(hashes(&cache), "a");
    assert!(cache.is_deadly("b"));
    // A refusal is no death, and a success clears the content.
    cache.begin("a").unwrap();
    cache.abandon().unwrap();
    keep(&mut cache, 3, "b");
    drop(cache);
    assert_eq!(hashes(&Cache::open(dir.path()).unwrap()), "b a");
}

#[test]
fn a_directory_has_one_user_at_a_time_and_must_be_writable() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path()).unwrap();
    assert!(matches!(Cache::open(dir.path()), Err(CacheError::InUse { .. })));
    drop(cache);
    Cache::open(dir.path()).unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Cache::open(&file).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot create {}", file.display()));
}

#[test]
fn a_damaged_journal_and_unfinished_files_do_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    keep(&mut Cache::open(dir.path()).unwrap(), 1, "a");
    fs::write(dir.path().join("activation.json"), "{").unwrap();
    fs::write(dir.path().join("unfinished.snapshot.000000000002"), "half").unwrap();
    fs::write(dir.path().join("snapshot.notes"), "hello").unwrap();
    let mut cache = Cache::open(dir.path()).unwrap();
    assert_eq!(hashes(&cache), "a");
    keep(&mut cache, 2, "b");
    assert_eq!(hashes(&cache), "b a");
}
