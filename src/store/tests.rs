use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;
use rusqlite::Connection;

use super::quotas::Quota;
use super::revocations::Revocation;
use super::{OpenProblem, Store, StoreError};

static NUMBER: AtomicU64 = AtomicU64::new(0);

/// A folder of its own, removed on drop.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new() -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("sluice-store-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// In a folder that is not there yet.
    fn file(&self) -> std::path::PathBuf {
        self.0.join("state/sluice.db")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

fn open(file: &Path) -> Store {
    Store::open(file, || {}).unwrap()
}

fn refused(file: &Path) -> OpenProblem {
    let error = Store::open(file, || {}).expect_err("refused");
    assert!(error.to_string().starts_with(&format!("store.file: {}: ", file.display())), "{error}");
    error.problem
}

fn quota(key: &str, period_start: u64, count: u64) -> Quota {
    let (scope, rule, key) = ("route all".into(), "daily".into(), key.into());
    Quota { scope, rule, key, period_start, period_end: period_start + 100, count }
}

fn revocation(id: &str) -> Revocation {
    Revocation { id: id.into(), subject: Some("ann".into()), revoked_at: 7, ..Revocation::default() }
}

#[tokio::test]
async fn what_was_saved_is_there_after_a_restart() {
    let folder = Folder::new();
    let store = open(&folder.file());
    let full = Revocation {
        id: "2".into(),
        token_id: Some("é\u{0}\"'".into()),
        issuer: Some("main".into()),
        issued_before: Some(u64::MAX >> 1),
        until: Some(0),
        reason: Some(String::new()),
        ..revocation("2")
    };
    store.change_revocations(vec![revocation("1"), full.clone()], vec![]).await.unwrap();
    store.save_quotas(Arc::new([quota("acme", 0, 3), quota("acme", 100, 1), quota("bob", 100, 9)])).await.unwrap();
    store.close().await;
    let store = open(&folder.file());
    assert_eq!(store.load_revocations().await.unwrap(), [revocation("1"), full]);
    assert_eq!(store.load_quotas(99).await.unwrap().len(), 3);
    assert_eq!(store.load_quotas(100).await.unwrap(), [quota("acme", 100, 1), quota("bob", 100, 9)]);
    store.change_revocations(vec![], vec!["1".into(), "9".into()]).await.unwrap();
    assert_eq!(store.forget_quotas(100).await.unwrap(), 1);
    store.close().await;
    let store = open(&folder.file());
    assert_eq!(store.load_revocations().await.unwrap().len(), 1);
    assert_eq!(store.load_quotas(0).await.unwrap().len(), 2);
}

#[tokio::test]
async fn what_was_saved_is_there_after_a_crash() {
    let folder = Folder::new();
    let store = open(&folder.file());
    store.change_revocations(vec![revocation("1")], vec![]).await.unwrap();
    store.save_quotas(Arc::new([quota("acme", 0, 3)])).await.unwrap();
    // What a killed process leaves: the file with its journal, in the middle of its life.
    let after = folder.0.join("after");
    fs::create_dir(&after).unwrap();
    for name in ["sluice.db", "sluice.db-wal"] {
        fs::copy(folder.file().with_file_name(name), after.join(name)).unwrap();
    }
    // The last write reached the disk by half.
    let wal = after.join("sluice.db-wal");
    let torn = fs::read(&wal).unwrap();
    store.save_quotas(Arc::new([quota("acme", 0, 4)])).await.unwrap();
    let whole = fs::read(folder.file().with_file_name("sluice.db-wal")).unwrap();
    assert!(whole.len() > torn.len() + 100, "the journal grows");
    fs::write(&wal, &whole[..torn.len() + 100]).unwrap();
    let reopened = open(&after.join("sluice.db"));
    assert_eq!(reopened.load_revocations().await.unwrap(), [revocation("1")]);
    assert_eq!(reopened.load_quotas(0).await.unwrap(), [quota("acme", 0, 3)]);
}

#[tokio::test]
async fn a_count_never_goes_down_within_its_period() {
    let folder = Folder::new();
    let store = open(&folder.file());
    for used in [5, 3, 4] {
        store.save_quotas(Arc::new([quota("acme", 0, used), quota("acme", 100, used)])).await.unwrap();
    }
    let used: Vec<u64> = store.load_quotas(0).await.unwrap().iter().map(|quota| quota.count).collect();
    assert_eq!(used, [5, 5]);
    store.save_quotas(Arc::new([quota("acme", 0, 6)])).await.unwrap();
    assert_eq!(store.load_quotas(0).await.unwrap()[0].count, 6);
}

#[tokio::test]
async fn a_file_that_was_open_to_others_is_private_from_the_start_on() {
    let folder = Folder::new();
    let names = ["sluice.db", "sluice.db-wal", "sluice.db-shm"].map(|name| folder.file().with_file_name(name));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let before = open(&folder.file());
    before.change_revocations(vec![revocation("1")], vec![]).await.unwrap();
    for path in &names {
        fs::set_permissions(path, fs::Permissions::from_mode(0o664)).unwrap();
    }
    // With the journal of one that still runs, or that was killed.
    let after = open(&folder.file());
    assert_eq!(names.each_ref().map(|path| mode(path)), [0o600; 3]);
    before.close().await;
    after.change_revocations(vec![revocation("2")], vec![]).await.unwrap();
    assert_eq!(names.each_ref().map(|path| mode(path)), [0o600; 3]);
    after.close().await;
    // Of another program: refused, and not touched.
    let other = folder.0.join("other.db");
    Connection::open(&other).unwrap().execute_batch("CREATE TABLE theirs (a)").unwrap();
    fs::set_permissions(&other, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(refused(&other), OpenProblem::Foreign));
    assert_eq!(mode(&other), 0o644);
}

#[tokio::test]
async fn the_file_is_for_this_user_alone_and_has_its_pragmas() {
    let folder = Folder::new();
    let store = open(&folder.file());
    store.change_revocations(vec![revocation("1")], vec![]).await.unwrap();
    for name in ["sluice.db", "sluice.db-wal"] {
        let mode = fs::metadata(folder.file().with_file_name(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let (mode, synchronous, foreign_keys): (String, i64, i64) = store
        .run("look", |connection| {
            let text = |name| connection.pragma_query_value(None, name, |row| row.get(0));
            let number = |name| connection.pragma_query_value(None, name, |row| row.get(0));
            Ok((text("journal_mode")?, number("synchronous")?, number("foreign_keys")?))
        })
        .await
        .unwrap();
    assert_eq!((mode.as_str(), synchronous, foreign_keys), ("wal", 1, 1));
}

#[tokio::test]
async fn files_that_are_not_ours_are_refused_and_left_alone() {
    let folder = Folder::new();
    let file = folder.0.join("other");

    fs::write(&file, "listeners: []\n".repeat(100)).unwrap();
    let before = fs::read(&file).unwrap();
    assert!(matches!(refused(&file), OpenProblem::NoDatabase));
    assert_eq!(fs::read(&file).unwrap(), before);

    fs::remove_file(&file).unwrap();
    Connection::open(&file).unwrap().execute_batch("CREATE TABLE bookmarks (title TEXT)").unwrap();
    let before = fs::read(&file).unwrap();
    assert!(matches!(refused(&file), OpenProblem::Foreign));
    assert_eq!(fs::read(&file).unwrap(), before);

    assert!(matches!(refused(&folder.0), OpenProblem::File(_)));
    assert!(matches!(refused(&file.join("below/a.db")), OpenProblem::Folder(_)));
}

#[tokio::test]
async fn a_file_of_a_newer_version_is_refused() {
    let folder = Folder::new();
    open(&folder.file()).close().await;
    Connection::open(folder.file()).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let problem = refused(&folder.file());
    assert!(matches!(problem, OpenProblem::Newer { found: 99, known: 1 }), "{problem}");
    Connection::open(folder.file()).unwrap().pragma_update(None, "user_version", -1).unwrap();
    assert!(matches!(refused(&folder.file()), OpenProblem::Newer { .. }));
}

#[tokio::test]
async fn a_torn_file_is_refused() {
    let folder = Folder::new();
    let store = open(&folder.file());
    let many = (0..5_000).map(|id| revocation(&id.to_string())).collect();
    store.change_revocations(many, vec![]).await.unwrap();
    store.close().await;
    let whole = fs::read(folder.file()).unwrap();
    assert!(!folder.file().with_file_name("sluice.db-wal").exists(), "all is in the file");

    fs::write(folder.file(), &whole[..whole.len() / 2]).unwrap();
    assert!(matches!(refused(&folder.file()), OpenProblem::Damaged(_)));

    let mut scratched = whole.clone();
    scratched[20_000..24_000].fill(0xA5);
    fs::write(folder.file(), &scratched).unwrap();
    let problem = refused(&folder.file());
    assert!(matches!(problem, OpenProblem::Damaged(_)), "{problem}");

    fs::write(folder.file(), &whole[..60]).unwrap();
    assert!(matches!(refused(&folder.file()), OpenProblem::NoDatabase | OpenProblem::Damaged(_)));

    fs::write(folder.file(), &whole).unwrap();
    assert_eq!(open(&folder.file()).load_revocations().await.unwrap().len(), 5_000);
}

#[tokio::test]
async fn a_failure_is_counted_changes_nothing_and_passes() {
    let folder = Folder::new();
    let failed = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&failed);
    let store = Store::open(&folder.file(), move || {
        counter.fetch_add(1, Ordering::Relaxed);
    })
    .unwrap();
    store.run("break", |connection| connection.execute_batch("ALTER TABLE quotas RENAME TO gone")).await.unwrap();
    for _ in 0..2 {
        assert!(matches!(store.save_quotas(Arc::new([quota("a", 0, 1)])).await, Err(StoreError::Sqlite(_))));
    }
    assert_eq!((failed.load(Ordering::Relaxed), store.health().errors), (2, 2));
    store.load_revocations().await.unwrap();
    let failing = store.health().failing;
    assert_eq!(failing.iter().map(|failing| failing.what).collect::<Vec<_>>(), ["save quotas"]);
    assert!(failing[0].error.contains("no such table"), "{failing:?}");
    let panicked = store.run("panic", |_| -> rusqlite::Result<()> { panic!("on purpose") }).await;
    assert!(matches!(panicked, Err(StoreError::Panicked)));
    store.run("mend", |connection| connection.execute_batch("ALTER TABLE gone RENAME TO quotas")).await.unwrap();
    store.save_quotas(Arc::new([quota("a", 0, 1)])).await.unwrap();
    assert_eq!(store.health().failing.iter().map(|failing| failing.what).collect::<Vec<_>>(), ["panic"]);
    assert_eq!(store.health().errors, 3);
    store.close().await;
    store.close().await;
    assert!(matches!(store.load_quotas(0).await, Err(StoreError::Closed)));
}

#[tokio::test]
async fn a_batch_is_kept_whole_or_not_at_all() {
    let folder = Folder::new();
    let store = open(&folder.file());
    let sql = "CREATE TRIGGER no BEFORE INSERT ON quotas WHEN new.key = 'bad' BEGIN SELECT raise(ABORT, 'no'); END";
    store.run("set up", |connection| connection.execute_batch(sql)).await.unwrap();
    store.save_quotas(Arc::new([quota("good", 0, 1), quota("bad", 0, 1)])).await.unwrap_err();
    assert_eq!(store.load_quotas(0).await.unwrap(), []);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any bytes as a store: opened or refused, never a panic.
    #[test]
    fn any_file_is_opened_or_refused(at in 0_usize..12_288, noise in proptest::collection::vec(any::<u8>(), 1..64)) {
        let folder = Folder::new();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async { open(&folder.file()).close().await });
        let mut bytes = fs::read(folder.file()).unwrap();
        for (byte, new) in bytes.iter_mut().skip(at).zip(&noise) {
            *byte = *new;
        }
        fs::write(folder.file(), &bytes).unwrap();
        if let Ok(store) = Store::open(&folder.file(), || {}) {
            runtime.block_on(async {
                drop(store.load_revocations().await);
                drop(store.load_quotas(0).await);
                store.close().await;
            });
        }
    }
}
