//! Who else was there at the last look, so that it is told when an instance comes, leaves, or is gone without a word. It asks nobody,
//! and judges nobody by a picture that is old.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::names::InstanceId;

/// The others, as they were.
#[derive(Debug, Default)]
pub struct Company {
    known: BTreeMap<InstanceId, Known>,
    /// After the store was away, those that are missing may just not have reported yet.
    unsure_until: Option<Instant>,
}

#[derive(Debug)]
struct Known {
    name: Box<str>,
    reported: Instant,
}

/// What became of somebody.
#[derive(Debug, PartialEq, Eq)]
pub enum Change {
    /// Has come.
    Came(Box<str>),
    /// Has said that it goes, and has gone.
    Left(Box<str>),
    /// Has gone without a word: it died, or cannot reach the store.
    Lost(Box<str>),
}

impl Company {
    /// What has changed since the last look. `present` are the others, each with its name and how long ago it reported; `patience` is
    /// how long one may take to report. Who is missing before that time is over has said that it goes.
    pub fn look(
        &mut self,
        present: impl Iterator<Item = (InstanceId, Box<str>, Duration)>,
        is_old: bool,
        (now, patience): (Instant, Duration),
    ) -> Vec<Change> {
        if is_old {
            self.unsure_until = Some(now + patience);
            return Vec::new();
        }
        let mut there = BTreeMap::new();
        let mut changes = Vec::new();
        for (id, name, age) in present {
            if !self.known.contains_key(&id) {
                changes.push(Change::Came(name.clone()));
            }
            there.insert(id, Known { name, reported: now.checked_sub(age).unwrap_or(now) });
        }
        let missing = self.known.extract_if(.., |id, _| !there.contains_key(id)).collect::<Vec<_>>();
        if self.unsure_until.is_some_and(|until| now < until) {
            there.extend(missing);
        } else {
            self.unsure_until = None;
            changes.extend(missing.into_iter().map(|(_, one)| {
                let is_early = now.saturating_duration_since(one.reported) < patience;
                if is_early { Change::Left(one.name) } else { Change::Lost(one.name) }
            }));
        }
        self.known = there;
        changes
    }
}

impl Change {
    /// Writes it to the log.
    pub fn tell(&self) {
        match self {
            Self::Came(name) => tracing::info!(instance = %name, "another instance shares the store"),
            Self::Left(name) => tracing::info!(instance = %name, "an instance has left"),
            Self::Lost(name) => tracing::warn!(
                instance = %name,
                "an instance is gone without a word: it has ended, or cannot reach the store; sessions that it knew are served here when they are asked for"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    const PATIENCE: Duration = Duration::from_secs(6);

    type Other = (InstanceId, Box<str>, Duration);

    fn other(id: u64, age: u64) -> Other {
        (InstanceId(id), id.to_string().into(), Duration::from_secs(age))
    }

    #[test]
    fn who_comes_leaves_or_is_lost_is_told_once() {
        let (mut company, start) = (Company::default(), Clock::manual().now());
        let mut look = |others: &[Other], seconds: u64| {
            company.look(others.iter().cloned(), false, (start + Duration::from_secs(seconds), PATIENCE))
        };
        let came = look(&[other(1, 0), other(2, 0)], 0);
        assert_eq!(came, [Change::Came("1".into()), Change::Came("2".into())]);
        assert!(look(&[other(1, 3), other(2, 1)], 3).is_empty());
        assert_eq!(look(&[other(1, 5)], 5), [Change::Left("2".into())]);
        assert_eq!(look(&[], 6), [Change::Lost("1".into())]);
        assert!(look(&[], 7).is_empty());
    }

    #[test]
    fn after_an_outage_of_the_store_nobody_is_taken_for_lost_too_early() {
        let (mut company, now) = (Company::default(), Clock::manual().now());
        company.look([other(1, 0)].into_iter(), false, (now, PATIENCE));
        assert!(company.look([].into_iter(), true, (now, PATIENCE)).is_empty());
        let back = now + Duration::from_secs(1);
        assert!(company.look([].into_iter(), false, (back, PATIENCE)).is_empty(), "the store came back empty");
        assert!(company.look([other(1, 1)].into_iter(), false, (back, PATIENCE)).is_empty(), "it never went");
        assert!(company.look([].into_iter(), false, (back, PATIENCE)).is_empty());
        let later = now + PATIENCE;
        assert_eq!(company.look([].into_iter(), false, (later, PATIENCE)), [Change::Lost("1".into())]);
    }
}
