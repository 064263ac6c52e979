//! The binary in a folder of its own.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use serde_json::Value;

use crate::support::eventually;
use crate::support::gateway::Folder;

/// Where the shipped files are.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A folder to start the program in; removed with everything in it on drop.
pub struct Place {
    folder: Folder,
    environment: BTreeMap<&'static str, String>,
}

impl Place {
    /// Empty.
    pub fn new() -> Self {
        Self { folder: Folder::new(), environment: BTreeMap::new() }
    }

    /// With one plaintext listener `http` on a free port, an admin API on another, and these routes.
    pub fn serving(routes: &str) -> Self {
        let place = Self::new();
        place.write("routes.yaml", routes);
        place.write("config/gateway.yaml", bootstrap(""));
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub fn set(mut self, variable: &'static str, value: impl ToString) -> Self {
        self.environment.insert(variable, value.to_string());
        self
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SLUICE_")) {
            command.env_remove(name);
        }
        command.args(arguments).current_dir(self.folder.path()).envs(&self.environment).stdin(Stdio::null());
        command
    }

    /// Starts something that goes on.
    pub fn start(&self, arguments: &[&str]) -> Process {
        let (out, err) = (self.path("stdout.log"), self.path("stderr.log"));
        let mut command = self.command(arguments);
        let child = command.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap()).spawn().unwrap();
        Process { child, out, err }
    }

    /// Runs something that ends.
    pub async fn run(&self, arguments: &[&str]) -> Ended {
        let mut process = self.start(arguments);
        let status = process.ended().await;
        Ended { code: status.code(), out: process.out(), err: process.err() }
    }
}

/// A bootstrap file with one plaintext listener, without a sandbox, and with these further lines.
pub fn bootstrap(more: &str) -> String {
    format!(
        "version: 1\nthreads: 1\nlisteners: [{{ name: http, address: \"127.0.0.1:0\" }}]\n\
         admin: {{ address: \"127.0.0.1:0\" }}\ndrain: {{ delay: 0s, timeout: 8s }}\n{more}"
    )
}

/// What a command left behind.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ended {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    #[track_caller]
    pub fn with(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }
}

/// A program that runs; killed on drop.
pub struct Process {
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Process {
    /// What it has written to stdout.
    pub fn out(&self) -> String {
        fs::read_to_string(&self.out).unwrap()
    }

    /// What it has written to stderr.
    pub fn err(&self) -> String {
        fs::read_to_string(&self.err).unwrap()
    }

    /// Waits until stderr has this.
    pub async fn says(&self, what: &str) -> String {
        eventually(&format!("stderr says {what}"), async || Some(self.err()).filter(|text| text.contains(what))).await
    }

    /// Waits for the first line of stdout, and reads it.
    pub async fn first_line(&self) -> Value {
        let line = eventually("a line on stdout", async || {
            let out = self.out();
            Some(out.split_once('\n')?.0.to_owned())
        });
        let line = line.await;
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line}"))
    }

    /// Waits for what a gateway started with `--format json` says of itself.
    pub async fn started(&self) -> Started {
        Started(self.first_line().await)
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let Output { status, stderr, .. } = Command::new("kill").args(["-s", name, &pid]).output().unwrap();
        assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    }

    pub async fn ended(&mut self) -> ExitStatus {
        eventually("the process ends", async || self.child.try_wait().unwrap()).await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // An error means that it has ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub struct Started(pub Value);

impl Started {
    #[track_caller]
    pub fn listener(&self, name: &str) -> SocketAddr {
        address(&self.0["listeners"][name])
    }

    #[track_caller]
    pub fn admin(&self) -> SocketAddr {
        address(&self.0["admin"])
    }
}

#[track_caller]
pub fn address(value: &Value) -> SocketAddr {
    value.as_str().unwrap_or_else(|| panic!("no address: {value}")).parse().unwrap()
}
