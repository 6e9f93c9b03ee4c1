//! Reads what `/metrics` answers in plain text.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use crate::support::ask;
use crate::support::http::get;

/// One family as it stands on the page.
#[derive(Debug, Default)]
pub struct Family {
    pub kind: String,
    pub labels: BTreeSet<String>,
}

/// A page of metrics.
#[derive(Debug, Default)]
pub struct Page {
    pub text: String,
    /// By name and labels as they are written.
    pub samples: BTreeMap<String, f64>,
    pub families: BTreeMap<String, Family>,
}

impl Page {
    /// Asks an admin listener.
    pub fn of(admin: SocketAddr) -> Self {
        let answer = ask(admin, &get("/metrics", &[]));
        assert_eq!(answer.status, 200, "{}", answer.text());
        Self::read(answer.text())
    }

    fn read(text: String) -> Self {
        let mut page = Self::default();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a type has a name");
                page.families.entry(name.into()).or_default().kind = kind.into();
            } else if !line.starts_with('#') {
                let (series, value) = line.rsplit_once(' ').expect("a sample has a value");
                let value = value.parse().expect("a value is a number");
                assert!(page.samples.insert(series.into(), value).is_none(), "twice: {series}");
                page.note_labels(series);
            }
        }
        page.text = text;
        page
    }

    fn note_labels(&mut self, series: &str) {
        let name = series.split('{').next().expect("there is a first part");
        let bare = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
        let known = bare.filter(|bare| self.families.contains_key(*bare)).unwrap_or(name);
        let family = self.families.get_mut(known).unwrap_or_else(|| panic!("{name} has no type"));
        family.labels.extend(labels(series).into_iter().map(|(name, _)| name).filter(|name| name != "le"));
    }

    /// The sum over all series of this name whose labels have these values.
    pub fn sum(&self, name: &str, wanted: &[(&str, &str)]) -> f64 {
        let fits = |series: &str| {
            let labels = labels(series);
            let has = |(name, value): &(&str, &str)| labels.iter().any(|(n, v)| n == name && v == value);
            series.split('{').next() == Some(name) && wanted.iter().all(has)
        };
        self.samples.iter().filter(|(series, _)| fits(series)).map(|(_, value)| value).sum()
    }

    /// The values that a label has in the series of this name.
    pub fn values(&self, name: &str, label: &str) -> BTreeSet<String> {
        let own = self.samples.keys().filter(|series| series.split('{').next() == Some(name));
        own.flat_map(|series| labels(series)).filter(|(name, _)| name == label).map(|(_, value)| value).collect()
    }
}

/// The labels of a series; values as they are written.
fn labels(series: &str) -> Vec<(String, String)> {
    let Some((_, rest)) = series.split_once('{') else { return Vec::new() };
    let rest = rest.strip_suffix("\"}").expect("braces and quotes are closed");
    let pairs = rest.split("\",").map(|pair| pair.split_once("=\"").expect("a label has a value"));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
