//! The files as they are shipped, and what a test may replace in them: addresses and paths, each of which must be there.

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};

/// Where the files lie.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy")
}

/// A file of `deploy/` in the making.
pub struct Shipped {
    name: String,
    text: String,
}

impl Shipped {
    /// `name` is its path below `deploy/`.
    pub fn read(name: &str) -> Self {
        let text = fs::read_to_string(folder().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        Self { name: name.to_owned(), text }
    }

    /// Replaces an address or a path, wherever it stands.
    pub fn put(mut self, instead: impl Display, of: &str) -> Self {
        assert!(self.text.contains(of), "there is no {of:?} in {}:\n{}", self.name, self.text);
        self.text = self.text.replace(of, &instead.to_string());
        self
    }

    /// Whether this stands in it.
    pub fn names(&self, what: &str) -> bool {
        self.text.contains(what)
    }

    /// Adds lines at the end: what a test is about beside the file.
    pub fn and(mut self, more: &str) -> Self {
        self.text.push_str(more);
        self
    }

    pub fn text(self) -> String {
        self.text
    }
}

/// All shipped files with this name, or this ending, in any folder; paths below `deploy/`.
pub fn all(ending: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_str().unwrap().ends_with(ending) {
                found.push(path.strip_prefix(folder()).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}
