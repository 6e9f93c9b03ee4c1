//! Whether all users were served alike: Jain's index (Jain, Chiu and Hawe 1984), which is 1 where all have the same and 1/n where one of n has
//! all, over what part of their calls was answered and over how long they waited.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::record::User;

/// Users that are told one by one at most, evenly chosen from the sorted ones.
const TOLD: usize = 500;

/// How evenly users were served.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Fairness {
    /// Jain's index over the share of each user's calls that was answered.
    pub answered: f64,
    /// Jain's index over each user's mean latency.
    pub latency: f64,
    /// Users who made calls.
    pub users: u64,
    /// Users who wanted to make calls, and none of these was answered.
    pub unserved: u64,
    /// Whoever waited longest on average.
    pub worst: Option<OneUser>,
    /// Mean latencies in microseconds, the shortest first; of many users, evenly chosen ones.
    pub mean_us: Vec<u64>,
}

/// One user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OneUser {
    /// Which one, counted from 0 in the order of arrival.
    pub user: u32,
    /// Its calls that went well.
    pub answered: u64,
    /// Its calls that did not, or were never sent.
    pub failed: u64,
    /// Their mean latency.
    pub mean_us: u64,
    /// The longest one.
    pub max_us: u64,
}

/// How evenly these users were served.
#[must_use]
pub fn fairness(users: &HashMap<u32, User>, arrived: u32) -> Fairness {
    let mut all: Vec<OneUser> = users.iter().filter(|(user, _)| **user < arrived).map(one).collect();
    all.sort_by_key(|user| (user.mean_us, user.user));
    let served: Vec<&OneUser> = all.iter().filter(|user| user.answered > 0).collect();
    #[expect(clippy::cast_precision_loss, reason = "an index needs no more than 52 bits")]
    let shares = all.iter().map(|user| user.answered as f64 / (user.answered + user.failed).max(1) as f64);
    #[expect(clippy::cast_precision_loss, reason = "as above")]
    let means = served.iter().map(|user| user.mean_us as f64);
    let step = served.len().div_ceil(TOLD).max(1);
    Fairness {
        answered: jain(shares),
        latency: jain(means),
        users: all.len() as u64,
        unserved: (all.len() - served.len()) as u64,
        worst: served.last().map(|user| **user),
        // From the end, so that the worst is among them.
        mean_us: served.iter().rev().step_by(step).rev().map(|user| user.mean_us).collect(),
    }
}

fn one((number, user): (&u32, &User)) -> OneUser {
    OneUser {
        user: *number,
        answered: user.answered,
        failed: user.failed + user.missed,
        mean_us: user.latency_micros / user.answered.max(1),
        max_us: user.longest_micros,
    }
}

/// Jain's index; 1 where there is nothing to be shared.
fn jain(shares: impl Iterator<Item = f64>) -> f64 {
    let (mut count, mut sum, mut squares) = (0.0, 0.0, 0.0);
    for share in shares {
        count += 1.0;
        sum += share;
        squares += share * share;
    }
    if squares > 0.0 { sum * sum / (count * squares) } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(answered: u64, failed: u64, mean: u64) -> User {
        User { answered, failed, latency_micros: mean * answered, longest_micros: mean, ..User::default() }
    }

    #[test]
    fn equal_service_is_fair_and_one_for_all_is_not() {
        assert!((jain([3.0; 7].into_iter()) - 1.0).abs() < 1e-12);
        assert!((jain([5.0, 0.0, 0.0, 0.0].into_iter()) - 0.25).abs() < 1e-12);
        assert!((jain(std::iter::empty()) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn the_worst_user_is_named() {
        let users = HashMap::from([(0, user(10, 0, 1000)), (1, user(5, 5, 9000)), (2, user(0, 3, 0))]);
        let found = fairness(&users, 3);
        assert_eq!((found.users, found.unserved), (3, 1));
        assert_eq!(found.worst.map(|worst| (worst.user, worst.mean_us, worst.failed)), Some((1, 9000, 5)));
        // (1 + 0.5)^2 / (3 * 1.25); (1 + 9)^2 / (2 * 82).
        assert!((found.answered - 0.6).abs() < 1e-9 && (found.latency - 100.0 / 164.0).abs() < 1e-9, "{found:?}");
    }

    #[test]
    fn of_many_users_some_are_told_and_the_worst_is_among_them() {
        let users: HashMap<u32, User> = (0..2500).map(|number| (number, user(1, 0, u64::from(number)))).collect();
        let told = fairness(&users, 2500).mean_us;
        assert!(told.len() <= TOLD && told.last() == Some(&2499), "{}", told.len());
    }
}
