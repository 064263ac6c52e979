use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::Receiver;

use super::*;

/// Long enough for any machine; a test that passes never waits for it.
const PATIENCE: Duration = Duration::from_secs(30);

/// A folder of its own, taken away at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("sluice-watch-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// As editors and deployments do it.
    fn replace(&self, name: &str, text: &str) {
        self.write("new", text);
        fs::rename(self.path("new"), self.path(name)).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// Watches, and tells the text of the first file at every call.
fn watch(paths: Vec<PathBuf>, poll: Duration) -> (Watcher, Receiver<String>) {
    let (told, calls) = mpsc::channel();
    let timing = Timing { quiet: Duration::from_millis(30), most: Duration::from_millis(500), poll };
    let first = paths[0].clone();
    let changed = move || told.send(fs::read_to_string(&first).unwrap_or_default()).unwrap();
    (Watcher::start_with(paths, timing, changed).unwrap(), calls)
}

/// Events only: the slow look would come too late.
fn by_events(path: PathBuf) -> (Watcher, Receiver<String>) {
    watch(vec![path], PATIENCE * 10)
}

#[test]
fn a_file_put_in_the_place_of_another() {
    let folder = Folder::new();
    folder.write("routes.yaml", "one");
    let (_watcher, calls) = by_events(folder.path("routes.yaml"));
    folder.replace("routes.yaml", "two");
    assert_eq!(calls.recv_timeout(PATIENCE).unwrap(), "two");
    folder.replace("routes.yaml", "three");
    assert_eq!(calls.recv_timeout(PATIENCE).unwrap(), "three");
}

#[test]
fn a_file_written_anew_in_place() {
    let folder = Folder::new();
    folder.write("routes.yaml", "one");
    let (_watcher, calls) = by_events(folder.path("routes.yaml"));
    folder.write("routes.yaml", "two");
    assert_eq!(calls.recv_timeout(PATIENCE).unwrap(), "two");
}

#[test]
fn the_same_bytes_are_no_change_and_neither_is_another_file() {
    let folder = Folder::new();
    folder.write("routes.yaml", "one");
    let (_watcher, calls) = by_events(folder.path("routes.yaml"));
    folder.replace("routes.yaml", "one");
    folder.write("access.log", "line");
    folder.write("routes.yaml", "one");
    folder.write("routes.yaml", "two");
    assert_eq!(calls.recv_timeout(PATIENCE).unwrap(), "two");
    assert!(calls.try_recv().is_err());
}

#[test]
fn a_config_map_is_swapped_by_its_inner_link() {
    let folder = Folder::new();
    for (version, text) in [("..1", "one"), ("..2", "two"), ("..3", "three")] {
        fs::create_dir(folder.path(version)).unwrap();
        folder.write(&format!("{version}/routes.yaml"), text);
    }
    symlink("..1", folder.path("..data")).unwrap();
    symlink("..data/routes.yaml", folder.path("routes.yaml")).unwrap();
    let (_watcher, calls) = by_events(folder.path("routes.yaml"));
    for (version, text) in [("..2", "two"), ("..3", "three")] {
        symlink(version, folder.path("..data_tmp")).unwrap();
        fs::rename(folder.path("..data_tmp"), folder.path("..data")).unwrap();
        assert_eq!(calls.recv_timeout(PATIENCE).unwrap(), text);
    }
}

#[test]
fn a_link_to_a_file_elsewhere() {
    let (folder, elsewhere) = (Folder::new(), Folder::new());
    elsewhere.write("real.yaml", "one");
    symlink(elsewhere.path("real.yaml"), folder.path("routes.yaml")).unwrap();
    let (_watcher, calls) = by_events(folder.path("routes.yaml"));
    elsewhere.replace("real.yaml", "two");
    assert_eq!(calls.recv_timeout(PATIENCE).unwrap(), "two");
}

#[test]
fn a_file_that_goes_and_comes_back() {
    let folder = Folder::new();
    folder.write("routes.yaml", "one");
    let (_watcher, calls) = by_events(folder.path("routes.yaml"));
    fs::remove_file(folder.path("routes.yaml")).unwrap();
    folder.write("routes.yaml", "two");
    assert_eq!(calls.recv_timeout(PATIENCE).unwrap(), "two");
}

#[test]
fn any_of_several_files() {
    let folder = Folder::new();
    folder.write("a.pem", "one");
    folder.write("b.pem", "one");
    let (_watcher, calls) = watch(vec![folder.path("a.pem"), folder.path("b.pem")], PATIENCE * 10);
    folder.replace("b.pem", "two");
    assert_eq!(calls.recv_timeout(PATIENCE).unwrap(), "one");
}

#[test]
fn a_folder_that_is_not_there_yet_is_found_by_looking() {
    let folder = Folder::new();
    let (_watcher, calls) = watch(vec![folder.path("later/routes.yaml")], Duration::from_millis(20));
    fs::create_dir(folder.path("later")).unwrap();
    folder.replace("later/routes.yaml", "one");
    assert_eq!(calls.recv_timeout(PATIENCE).unwrap(), "one");
}

/// Looks at a file after each step, and gives what was warned of.
fn warnings(file: &mut File, steps: &[&dyn Fn()]) -> Vec<String> {
    let folder = Folder::new();
    let lines = Arc::new(fs::File::create(folder.path("log")).unwrap());
    let subscriber = tracing_subscriber::fmt().with_ansi(false).without_time().with_writer(lines);
    tracing::subscriber::with_default(subscriber.finish(), || {
        for step in steps {
            step();
            file.look();
        }
    });
    fs::read_to_string(folder.path("log")).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn a_file_that_is_gone_is_told_once_and_what_was_read_goes_on() {
    let folder = Folder::new();
    let path = folder.path("routes.yaml");
    let write = || folder.write("routes.yaml", "one");
    let remove = || fs::remove_file(&path).unwrap();
    write();
    let mut file = File::new(path.clone());
    assert!(file.read().unwrap());
    let told = warnings(&mut file, &[&|| {}, &remove, &|| {}, &write, &remove]);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.iter().all(|line| line.contains("what was read last stays in force")), "{told:?}");
}

#[test]
fn a_file_that_was_never_there_is_not_warned_of() {
    let folder = Folder::new();
    let path = folder.path("routes.yaml");
    let mut file = File::new(path.clone());
    assert!(file.read().is_err());
    let nothing = || {};
    assert_eq!(warnings(&mut file, &[&nothing, &nothing]), [""; 0]);
    // One that comes and cannot be read is another matter.
    let told = warnings(&mut file, &[&|| fs::create_dir(&path).unwrap(), &nothing]);
    assert_eq!(told.len(), 1, "{told:?}");
}

#[test]
fn dropping_ends_the_thread() {
    let folder = Folder::new();
    folder.write("routes.yaml", "one");
    let (watcher, calls) = by_events(folder.path("routes.yaml"));
    drop(watcher);
    // The callback, and with it the sender, is gone.
    assert!(matches!(calls.recv_timeout(PATIENCE), Err(RecvTimeoutError::Disconnected)));
}
