//! Rules of the house that the compiler does not check: which room may name which, and what no file may hold.

use std::fs;
use std::path::{Path, PathBuf};

/// What each room may name of the others; `config::checked` means that part alone, `*` all of them.
///
/// `route`, `transform` and `upstream` are engines: they work on plain values, so that they run without a server.
/// `listener`, `pipeline` and `forward` carry a request together and know each other.
const ALLOWED: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("route", &["base"]),
    ("config", &["base", "route"]),
    ("transform", &["base", "config::checked"]),
    ("upstream", &["base", "config::checked"]),
    ("telemetry", &["base", "config::checked"]),
    ("sandbox", &["base"]),
    ("auth", &["base", "config::checked"]),
    ("anomaly", &["base", "config::checked"]),
    ("cache", &["base", "config::checked"]),
    ("partner", &["base", "config::checked"]),
    ("rate_limit", &["base", "config::checked"]),
    ("store", &["base"]),
    (
        "snapshot",
        &[
            "anomaly",
            "auth",
            "base",
            "cache",
            "config",
            "partner",
            "rate_limit",
            "route",
            "telemetry",
            "transform",
            "upstream",
        ],
    ),
    (
        "pipeline",
        &[
            "anomaly",
            "auth",
            "base",
            "cache",
            "config::checked",
            "listener",
            "rate_limit",
            "route",
            "snapshot",
            "telemetry",
            "transform",
        ],
    ),
    ("forward", &["base", "cache", "config::checked", "listener", "pipeline", "snapshot", "telemetry", "transform"]),
    (
        "listener",
        &["auth", "base", "cache", "config::checked", "forward", "pipeline", "snapshot", "telemetry", "transform"],
    ),
    (
        "admin",
        &["anomaly", "auth", "base", "cache", "config::checked", "listener", "route", "snapshot", "store", "telemetry"],
    ),
    (
        "app",
        &[
            "admin",
            "anomaly",
            "auth",
            "base",
            "cache",
            "config",
            "forward",
            "listener",
            "rate_limit",
            "sandbox",
            "snapshot",
            "store",
            "telemetry",
            "upstream",
        ],
    ),
    ("cli", &["*"]),
    ("main", &["cli"]),
];

/// The only folder that names Pingora.
const PINGORA: &str = "src/forward/pingora/";

/// Longer files become a folder with the same public face.
const MAX_LINES: usize = 450;

/// Files of tests only, whose length is no burden on whoever reads the code.
const TESTS: &[&str] = &["tests.rs", "properties.rs", "invariants.rs"];

#[test]
fn rooms_name_only_the_rooms_they_may() {
    let mut faults = Vec::new();
    for file in sources("src") {
        let Some(module) = module_of(&file.name) else { continue };
        let Some((room, allowed)) = ALLOWED.iter().find(|(room, _)| *room == module[0]) else {
            faults.push(format!("{}: the room has no line in the table of {}", file.name, file!()));
            continue;
        };
        for (line, path) in paths(&tokens(&file.text), &module) {
            let place = format!("{}:{line}", file.name);
            if path[0].starts_with("pingora") && path.len() > 1 && !file.name.starts_with(PINGORA) {
                faults.push(format!("{place}: only {PINGORA} names Pingora, not `{}`", path.join("::")));
            }
            let [start, of_ours @ ..] = path.as_slice() else { continue };
            if start != "crate" || of_ours.is_empty() || of_ours[0] == *room {
                continue;
            }
            let within =
                |part: &&str| *part == "*" || part.split("::").eq(of_ours.iter().take(part.split("::").count()));
            if !allowed.iter().any(within) {
                faults.push(format!("{place}: {room} must not name {}", of_ours.join("::")));
            }
        }
    }
    none(&faults);
}

#[test]
fn files_stay_short() {
    let long =
        |file: &File| !TESTS.iter().any(|name| file.name.ends_with(name)) && file.text.lines().count() > MAX_LINES;
    let faults: Vec<_> = sources("src").into_iter().filter(long).map(|file| file.name).collect();
    none(&faults);
}

/// `unwrap` and the like outside tests are clippy's to find (`[lints]` in Cargo.toml).
#[test]
fn nothing_is_left_for_later_and_no_test_is_skipped_or_sleeps() {
    let mut faults = Vec::new();
    for file in ["src", "tests", "benches"].into_iter().flat_map(sources) {
        let tokens = tokens(&file.text);
        for (at, (line, token)) in tokens.iter().enumerate() {
            let next = tokens.get(at + 1).map_or("", |(_, token)| token);
            let found = match *token {
                "todo" | "unimplemented" | "dbg" => next == "!",
                "ignore" => next == "]" || next == "=",
                // Wait for the condition (`support::eventually`), or keep a step on an interval.
                "sleep" | "sleep_until" => file.name.starts_with("tests/") || file.name.ends_with("/tests.rs"),
                _ => false,
            };
            if found {
                faults.push(format!("{}:{line}: `{token}`", file.name));
            }
        }
    }
    none(&faults);
}

/// The other tests say nothing when this reader is blind.
#[test]
fn the_reader_finds_every_way_to_name_a_room() {
    let text = r##"
        //! crate::comment::a
        /* crate::comment::b /* nested */ crate::comment::c */
        pub(crate) use crate::{base::clock, config::{self, checked::{Route as R}}};
        const TEXT: &str = "crate::text::a \" crate::text::b";
        const RAW: &str = r#"crate::text::c "quoted" "#;
        fn one<'a>(quote: char) -> bool { quote == '"' || quote == '\'' || crate::route::find::<'a>(quote) }
        mod inner {
            use super::super::sibling;
            fn two() { super::super::super::upstream::pick() }
        }
        fn three() { pingora::proxy::http() + super::super::telemetry::count() + self::own::x() }
    "##;
    let module = ["listener".to_owned(), "tls".to_owned()];
    let found: Vec<String> = paths(&tokens(text), &module)
        .into_iter()
        .map(|(line, path)| format!("{line} {}", path.join("::")))
        .filter(|path| path.contains("::"))
        .collect();
    let expected = [
        "4 crate::base::clock",
        "4 crate::config",
        "4 crate::config::checked::Route",
        "7 crate::route::find",
        "9 crate::listener::sibling",
        "10 crate::upstream::pick",
        "12 pingora::proxy::http",
        "12 crate::telemetry::count",
        "12 crate::listener::tls::own::x",
    ];
    assert_eq!(found, expected);
}

#[track_caller]
fn none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

struct File {
    /// From the root of the package.
    name: String,
    text: String,
}

/// The Rust files below `folder`, those of the fuzz package excepted.
fn sources(folder: &str) -> Vec<File> {
    fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, into);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                into.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    collect(&root.join(folder), &mut found);
    found.retain(|path| !path.starts_with(root.join("tests/fuzz")));
    found.sort();
    assert!(!found.is_empty(), "{folder} holds no Rust file");
    let read = |path: PathBuf| File {
        name: path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(),
        text: fs::read_to_string(&path).unwrap(),
    };
    found.into_iter().map(read).collect()
}

/// `src/listener/tls/mod.rs` is `[listener, tls]`; the root of the library is of no room.
fn module_of(name: &str) -> Option<Vec<String>> {
    let path = name.strip_prefix("src/")?.strip_suffix(".rs")?;
    let path = path.strip_suffix("/mod").unwrap_or(path);
    (path != "lib").then(|| path.split('/').map(str::to_owned).collect())
}

/// Words and signs with their lines; comments, texts, characters and lifetimes are left out.
fn tokens(text: &str) -> Vec<(usize, &str)> {
    let bytes = text.as_bytes();
    let starts = |at: usize, with: &str| bytes[at..].starts_with(with.as_bytes());
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii();
    let (mut at, mut line, mut found) = (0, 1, Vec::new());
    while at < bytes.len() {
        let start = at;
        if starts(at, "//") {
            at += text[at..].find('\n').unwrap_or(bytes.len() - at);
        } else if starts(at, "/*") {
            let mut depth = 0;
            while at < bytes.len() && (depth > 0 || at == start) {
                match (starts(at, "/*"), starts(at, "*/")) {
                    (true, _) => depth += 1,
                    (_, true) => depth -= 1,
                    _ => {}
                }
                at += if starts(at, "/*") || starts(at, "*/") { 2 } else { 1 };
            }
        } else if let Some(hashes) = raw_text(&text[at..]) {
            let end = format!("\"{}", "#".repeat(hashes));
            let body = at + text[at..].find('"').unwrap() + 1;
            at = body + text[body..].find(&end).unwrap() + end.len();
        } else if bytes[at] == b'"' {
            at += 1;
            while bytes[at] != b'"' {
                at += if bytes[at] == b'\\' { 2 } else { 1 };
            }
            at += 1;
        } else if bytes[at] == b'\'' {
            at += 1;
            let first = text[at..].chars().next().unwrap();
            if first == '\\' {
                at += 2 + text[at + 2..].find('\'').unwrap() + 1;
            } else if starts(at + first.len_utf8(), "'") {
                at += first.len_utf8() + 1;
            } else {
                at += bytes[at..].iter().take_while(|byte| is_word(**byte)).count();
            }
        } else if is_word(bytes[at]) {
            at += bytes[at..].iter().take_while(|byte| is_word(**byte)).count();
            found.push((line, &text[start..at]));
        } else {
            at += if starts(at, "::") { 2 } else { 1 };
            if !bytes[start].is_ascii_whitespace() {
                found.push((line, &text[start..at]));
            }
        }
        line += text[start..at].matches('\n').count();
    }
    found
}

/// The number of `#` when a raw text begins here.
fn raw_text(text: &str) -> Option<usize> {
    let text = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let rest = text.trim_start_matches('#');
    rest.starts_with('"').then(|| text.len() - rest.len())
}

/// Every path with its line. What begins with `crate`, `sluice`, `self` or `super` is given from `crate` on.
fn paths(tokens: &[(usize, &str)], module: &[String]) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    // For each open brace, whether it is that of an inline module.
    let mut braces = Vec::new();
    let mut module = module.to_vec();
    let mut at = 0;
    while let Some((_, token)) = tokens.get(at) {
        match *token {
            "{" => {
                let name = (at >= 2 && tokens[at - 2].1 == "mod").then(|| tokens[at - 1].1.to_owned());
                braces.push(name.is_some());
                module.extend(name);
                at += 1;
            }
            "}" => {
                if braces.pop() == Some(true) {
                    module.pop();
                }
                at += 1;
            }
            _ if is_name(token) => {
                let known = found.len();
                at = path(tokens, at, &[], &mut found);
                found[known..].iter_mut().for_each(|(_, path)| from_the_root(path, &module));
            }
            _ => at += 1,
        }
    }
    found
}

/// Reads the path, or the tree of paths in a `use`, that begins at `at`; gives where it ends.
fn path(tokens: &[(usize, &str)], mut at: usize, before: &[String], found: &mut Vec<(usize, Vec<String>)>) -> usize {
    let mut path = before.to_vec();
    let line = tokens[at].0;
    while let Some((_, token)) = tokens.get(at) {
        if *token == "{" {
            at += 1;
            while tokens[at].1 != "}" {
                at = self::path(tokens, at, &path, found);
                while tokens[at].1 != "," && tokens[at].1 != "}" {
                    at += 1;
                }
                at += usize::from(tokens[at].1 == ",");
            }
            return at + 1;
        }
        if *token != "self" || path.is_empty() {
            path.push((*token).to_owned());
        }
        at += 1;
        let goes_on = tokens.get(at).is_some_and(|(_, token)| *token == "::")
            && tokens.get(at + 1).is_some_and(|(_, token)| is_name(token) || *token == "{" || *token == "*");
        if !goes_on {
            break;
        }
        at += 1;
    }
    found.push((line, path));
    at
}

fn is_name(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

fn from_the_root(path: &mut Vec<String>, module: &[String]) {
    let (replaced, kept) = match path[0].as_str() {
        "sluice" => (1, 0),
        "self" | "super" => {
            let own = usize::from(path[0] == "self");
            let upwards = path[own..].iter().take_while(|segment| *segment == "super").count();
            (own + upwards, module.len().saturating_sub(upwards))
        }
        _ => return,
    };
    let root = std::iter::once("crate".to_owned()).chain(module[..kept].iter().cloned());
    path.splice(..replaced, root);
}
