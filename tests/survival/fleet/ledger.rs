//! What the servers wrote down before they answered: it outlives them, and tells what really ran where.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

/// One file for all servers of a fleet.
pub struct Ledger {
    path: PathBuf,
    _folder: TempDir,
}

impl Ledger {
    pub fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("ledger");
        std::fs::write(&path, "").unwrap();
        Self { path, _folder: folder }
    }

    pub fn path(&self) -> &str {
        self.path.to_str().unwrap()
    }

    /// All entries of one kind, oldest first.
    pub fn entries(&self, what: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.path).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("servers write JSON"));
        lines.filter(|entry| entry["what"] == *what).collect()
    }

    /// The labels of calls that ran more than once though they must not, and how often.
    pub fn duplicates(&self) -> BTreeMap<String, usize> {
        let mut times = self.times("record", "label");
        times.retain(|_, times| *times > 1);
        times
    }

    /// How many calls ran that must not run twice.
    pub fn recorded(&self) -> usize {
        self.entries("record").len()
    }

    /// How often each value of `key` stands in entries of one kind. Those without it are left out.
    pub fn times(&self, what: &str, key: &str) -> BTreeMap<String, usize> {
        let mut times = BTreeMap::new();
        for entry in self.entries(what) {
            if let Some(value) = entry[key].as_str() {
                *times.entry(value.to_owned()).or_default() += 1;
            }
        }
        times
    }
}
