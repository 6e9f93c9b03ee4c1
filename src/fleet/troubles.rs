//! What went wrong with a backend lately, for operators: the last few things, each counted as long as it goes on.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Troubles of one backend that are remembered.
pub const MOST_TROUBLES: usize = 8;

/// Characters of one trouble that are kept.
const LONGEST: usize = 256;

/// Something that went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// When it was so last.
    pub at: Instant,
    /// What it was, in words.
    pub what: Box<str>,
    /// How often it was so without anything else between.
    pub times: u64,
}

/// The last troubles of one backend. The lock is taken where something fails, and by operators; never where all goes well.
#[derive(Debug, Default)]
pub struct Troubles(Mutex<VecDeque<Trouble>>);

impl Troubles {
    /// Something went wrong.
    pub fn note(&self, what: &str, at: Instant) {
        let what: String = what.chars().take(LONGEST).collect();
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match held.back_mut().filter(|last| *last.what == *what) {
            Some(last) => (last.at, last.times) = (at, last.times.saturating_add(1)),
            None => {
                if held.len() == MOST_TROUBLES {
                    held.pop_front();
                }
                held.push_back(Trouble { at, what: what.into(), times: 1 });
            }
        }
    }

    /// The latest first.
    #[must_use]
    pub fn latest(&self) -> Vec<Trouble> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().rev().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::Clock;

    #[test]
    fn what_goes_on_is_one_trouble_and_what_is_old_is_forgotten() {
        let (clock, troubles) = (Clock::manual(), Troubles::default());
        troubles.note("refused", clock.now());
        clock.advance(Duration::from_secs(1));
        troubles.note("refused", clock.now());
        assert_eq!(troubles.latest(), [Trouble { at: clock.now(), what: "refused".into(), times: 2 }]);
        (0..20).for_each(|number| troubles.note(&format!("{number}{}", "x".repeat(1000)), clock.now()));
        let latest = troubles.latest();
        assert_eq!(latest.len(), MOST_TROUBLES);
        assert!(latest[0].what.starts_with("19x") && latest[0].what.len() == LONGEST);
    }
}
