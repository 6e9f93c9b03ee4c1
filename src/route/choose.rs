//! The choice between backends: power of two choices (Mitzenmacher 2001) with a load that knows sessions, requests
//! in flight and a latency average (peak EWMA). Pure arithmetic.

use crate::clock::Chance;
use crate::fleet::Load;

/// Latency below which backends count as equally fast for a request, in seconds.
const NOISE: f64 = 0.005;

/// The same for a session. A peak average jumps at every hiccup of a busy machine; that must not move what stays for long
/// (measured: with the bound above, 300 sessions on a loaded machine spread 126 : 108 : 66).
const NOISE_TO_SESSIONS: f64 = 0.1;

/// A backend that is slower than the other counts as at most this much more loaded when a *session* is placed: it will
/// stay for long, and what is slow today need not be slow tomorrow.
const MOST_SLOWER: f64 = 4.0;

/// Draws two different candidates and returns the better one.
pub fn best_of_two<T>(
    mut candidates: impl Iterator<Item = T> + Clone,
    chance: &Chance,
    better: impl Fn(&T, &T) -> bool,
) -> Option<T> {
    let count = candidates.clone().count();
    if count < 2 {
        return candidates.next();
    }
    let first = chance.below(count);
    let second = (first + 1 + chance.below(count - 1)) % count;
    let a = candidates.clone().nth(first)?;
    let b = candidates.nth(second)?;
    Some(if better(&b, &a) { b } else { a })
}

/// Whether `a` is strictly the better place. `stays`: for a session, where the number of sessions counts most; else for a
/// single request, where what is in flight and how fast it goes counts.
pub fn is_better(a: Load, b: Load, stays: bool) -> bool {
    let (slower_a, slower_b) = slowness(a.latency, b.latency, stays);
    cost(a, stays) * slower_a < cost(b, stays) * slower_b
}

fn cost(load: Load, stays: bool) -> f64 {
    let held = if stays { f64::from(load.sessions) } else { 0.0 };
    (held + f64::from(load.in_flight) + 1.0) / f64::from(load.weight)
}

/// How much slower each is than the faster of the two.
fn slowness(a: f64, b: f64, stays: bool) -> (f64, f64) {
    let (noise, most) = if stays { (NOISE_TO_SESSIONS, MOST_SLOWER) } else { (NOISE, f64::INFINITY) };
    let fastest = a.min(b).max(noise);
    let slower = |latency: f64| (latency.max(noise) / fastest).min(most);
    (slower(a), slower(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(sessions: u32, in_flight: u32, latency: f64, weight: u32) -> Load {
        Load { in_flight, sessions, latency, weight }
    }

    #[test]
    fn of_one_it_is_that_one_and_of_none_it_is_none() {
        let chance = Chance::seeded(1);
        assert_eq!(best_of_two([7].iter(), &chance, |_, _| true), Some(&7));
        assert_eq!(best_of_two([0; 0].iter(), &chance, |_, _| true), None);
    }

    #[test]
    fn three_hundred_sessions_spread_evenly() {
        let chance = Chance::seeded(42);
        let mut sessions = [0_u32; 3];
        for _ in 0..300 {
            let at = |i: usize| load(sessions[i], 0, 0.001, 1);
            let chosen = best_of_two(0..3_usize, &chance, |a, b| is_better(at(*a), at(*b), true)).unwrap();
            sessions[chosen] += 1;
        }
        let (least, most) = (sessions.iter().min().unwrap(), sessions.iter().max().unwrap());
        assert!(f64::from(*most) <= 1.3 * f64::from(*least), "{sessions:?}");
    }

    #[test]
    fn weights_are_shares() {
        let chance = Chance::seeded(3);
        let mut sessions = [0_u32; 2];
        for _ in 0..400 {
            let at = |i: usize| load(sessions[i], 0, 0.001, if i == 0 { 1 } else { 3 });
            let chosen = best_of_two(0..2_usize, &chance, |a, b| is_better(at(*a), at(*b), true)).unwrap();
            sessions[chosen] += 1;
        }
        assert!((95..=105).contains(&sessions[0]), "{sessions:?}");
    }

    #[test]
    fn a_request_avoids_the_slow_and_a_session_only_within_reason() {
        assert!(is_better(load(0, 5, 0.01, 1), load(0, 0, 1.0, 1), false));
        assert!(is_better(load(0, 0, 1.0, 1), load(10, 0, 0.01, 1), true));
    }

    #[test]
    fn small_differences_of_latency_do_not_count() {
        assert!(!is_better(load(5, 0, 0.0001, 1), load(5, 0, 0.004, 1), false));
        assert!(!is_better(load(5, 0, 0.0001, 1), load(5, 0, 0.09, 1), true));
    }
}
