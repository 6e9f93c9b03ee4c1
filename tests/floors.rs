//! The shape of the source, held: imports run strictly downwards, tasks start in one place, every file says what it
//! is for, and none grows too long.
#![expect(clippy::unwrap_used, reason = "a test's own helpers fail by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The floors, from the ground up. A module may use what stands on a lower line; not its neighbours.
const FLOORS: [&[&str]; 16] = [
    &["names", "clock", "tasks", "notice", "seal", "mcp", "config", "drain", "sweep", "meter"],
    &["tls", "log"],
    &["auth", "reject", "store", "wire"],
    &["fleet", "load"],
    &["exchange", "plan"],
    &["identify", "authorize", "session", "cache", "limit", "route", "relay", "observe"],
    &["rehome", "toll"],
    &["walk"],
    &["listener"],
    &["survey"],
    &["instances"],
    &["admin"],
    &["app"],
    &["demo"],
    &["cli"],
    &["main", "lib"],
];

/// The one exception: ids that cross a move carry an epoch.
const BESIDE: (&str, &str) = ("mcp", "names");

/// Lines that a file may have without its tests.
const LONGEST: usize = 400;

struct Source {
    /// Path below `src`.
    path: PathBuf,
    text: String,
}

impl Source {
    /// The module at the top of the tree that the file belongs to.
    fn module(&self) -> &str {
        let first = self.path.components().next().unwrap().as_os_str().to_str().unwrap();
        first.trim_end_matches(".rs")
    }

    /// Whether the whole file is compiled for tests only: a `tests` module, or one that its parent declares so.
    fn is_test(&self, all: &[Self]) -> bool {
        let name = self.path.file_stem().unwrap().to_str().unwrap();
        if self.path.iter().any(|part| part == "tests" || part == "tests.rs") {
            return true;
        }
        let parent = self.path.parent().unwrap();
        let declaration = format!("#[cfg(test)] mod {name};");
        let near = |other: &&Self| {
            other.path == parent.join("mod.rs") || other.path == Path::new("lib.rs") && parent == Path::new("")
        };
        all.iter().filter(near).any(|other| without_visibility(&squeeze(&other.text)).contains(&declaration))
    }

    /// The code without its tests, which stand at the end, and without comments.
    fn code(&self) -> String {
        let end = self.lines_before_tests();
        let lines = self.text.lines().take(end).filter(|line| !line.trim_start().starts_with("//"));
        lines.collect::<Vec<_>>().join("\n")
    }

    fn lines_before_tests(&self) -> usize {
        let lines: Vec<&str> = self.text.lines().collect();
        let opens = |pair: &[&str]| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{');
        lines.windows(2).position(opens).unwrap_or(lines.len())
    }
}

fn squeeze(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `pub` and `pub(…)` left out.
fn without_visibility(text: &str) -> String {
    let mut out = text.replace("pub ", "");
    while let Some(at) = out.find("pub(") {
        let end = out[at..].find(") ").map_or(out.len(), |length| at + length + 2);
        out.replace_range(at..end, "");
    }
    out
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push(Source { path: path.strip_prefix(&root).unwrap().to_owned(), text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(found.len() > 60, "the source is gone");
    found
}

/// The modules at the top of the tree that this code names: `crate::x`, `crate::{x, y::z}`, and `moorline::x` in the binary.
fn named_in(code: &str) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    for root in ["crate::", "moorline::"] {
        for (at, _) in code.match_indices(root) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$') {
                continue;
            }
            let rest = &code[at + root.len()..];
            match rest.strip_prefix('{') {
                Some(list) => named.extend(heads_of(list)),
                None => named.extend(word(rest)),
            }
        }
    }
    named
}

/// The first names in a braced list, up to the brace that closes it.
fn heads_of(list: &str) -> Vec<String> {
    let (mut depth, mut heads, mut item) = (0, Vec::new(), String::new());
    for c in list.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => heads.extend(word(std::mem::take(&mut item).trim())),
            _ if depth == 0 => item.push(c),
            _ => {}
        }
    }
    heads.extend(word(item.trim()));
    heads
}

/// The name at the start of the text; none where it is no module's.
fn word(text: &str) -> Option<String> {
    let name: String = text.chars().take_while(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '_').collect();
    (!name.is_empty() && name != "self").then_some(name)
}

fn floor_of(module: &str) -> usize {
    let floor = FLOORS.iter().position(|floor| floor.contains(&module));
    assert!(
        floor.is_some(),
        "src/{module} stands on no floor: say in tests/floors.rs and ARCHITECTURE.md where it belongs"
    );
    floor.unwrap()
}

fn may_use(user: &str, used: &str) -> bool {
    user == used || floor_of(used) < floor_of(user) || (user, used) == BESIDE
}

#[test]
fn imports_run_strictly_downwards() {
    let all = sources();
    let mut wrong = Vec::new();
    for source in all.iter().filter(|source| !source.is_test(&all)) {
        for used in named_in(&source.code()) {
            if !may_use(source.module(), &used) {
                wrong.push(format!("src/{} uses crate::{used}", source.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "upwards or sideways:\n{}", wrong.join("\n"));
}

#[test]
fn the_reader_of_imports_sees_them_all() {
    let code = "use crate::clock::Clock;\nuse crate::{names::Epoch, store::{self, Berth}, wire};\nlet x = crate::seal::random();\n$crate::no";
    let named: Vec<String> = named_in(code).into_iter().collect();
    assert_eq!(named, ["clock", "names", "seal", "store", "wire"]);
    assert!(may_use("relay", "fleet") && !may_use("relay", "session") && !may_use("store", "fleet"));
    assert!(may_use("admin", "listener") && !may_use("listener", "admin"));
}

#[test]
fn tasks_are_started_in_one_place() {
    let all = sources();
    let others = all.iter().filter(|source| source.path != Path::new("tasks.rs") && !source.is_test(&all));
    let starts = |source: &&Source| {
        let code = source.code();
        ["tokio::spawn", "tokio::task::spawn", "task::spawn_local", "JoinSet::"]
            .iter()
            .any(|start| code.contains(start))
    };
    let wrong: Vec<_> = others.filter(starts).map(|source| source.path.display().to_string()).collect();
    assert!(wrong.is_empty(), "tasks are started outside src/tasks.rs: {wrong:?}");
}

#[test]
fn every_file_says_what_it_is_for() {
    let all = sources();
    let silent = all.iter().filter(|source| !source.text.starts_with("//! "));
    let silent: Vec<_> = silent.map(|source| source.path.display().to_string()).collect();
    assert!(silent.is_empty(), "no //! at the top: {silent:?}");
}

#[test]
fn no_file_grows_too_long() {
    let all = sources();
    let long = all.iter().filter(|source| !source.is_test(&all) && source.lines_before_tests() > LONGEST);
    let long: Vec<_> =
        long.map(|source| format!("{}: {}", source.path.display(), source.lines_before_tests())).collect();
    assert!(long.is_empty(), "over {LONGEST} lines without tests: {long:?}");
}
