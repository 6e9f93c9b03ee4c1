//! How long calls wait where only so many run at the same time: the queue M/M/c by A. K. Erlang (*Solution of some problems in the theory of
//! probabilities of significance in automatic telephone exchanges*, 1917); in today's terms L. Kleinrock, *Queueing Systems* I, 1975, section 3.5.
//!
//! It takes arrivals to be at random and service times to be exponential. Where calls take all the same time, they wait about half as long. Calls
//! of a session go to its server, so each server is a queue of its own: that waits longer than one queue for all.

/// The probability that all slots are taken where nobody waits (Erlang B), by its recurrence, which neither overflows nor cancels.
#[must_use]
pub fn erlang_b(slots: u32, offered: f64) -> f64 {
    (1..=slots).fold(1.0, |blocked, slot| offered * blocked / (f64::from(slot) + offered * blocked))
}

/// The fewest slots at which no more than this part of the calls finds none, where nobody waits; `most` where it takes more.
#[must_use]
pub fn slots(offered: f64, most_lost: f64, most: u32) -> u32 {
    let mut blocked = 1.0;
    for slot in 1..=most {
        blocked = offered * blocked / (f64::from(slot) + offered * blocked);
        if blocked <= most_lost {
            return slot;
        }
    }
    most
}

/// The probability that a call has to wait (Erlang C). 1 where more is offered than there are slots.
#[must_use]
pub fn erlang_c(slots: u32, offered: f64) -> f64 {
    let all = f64::from(slots);
    if offered >= all {
        return 1.0;
    }
    let blocked = erlang_b(slots, offered);
    all * blocked / (all - offered * (1.0 - blocked))
}

/// How calls wait.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wait {
    /// Which part of them waits at all.
    pub share: f64,
    /// The mean wait of all, in seconds.
    pub mean: f64,
    /// 99 of a hundred wait at most so long.
    pub p99: f64,
}

/// How calls wait that come at a rate (a second), take so long (seconds), and of which `slots` run at once. None where the line only grows.
#[must_use]
pub fn wait(slots: u32, rate: f64, service: f64) -> Option<Wait> {
    let offered = rate * service;
    let spare = f64::from(slots) - offered;
    if spare <= 0.0 {
        return None;
    }
    let share = erlang_c(slots, offered);
    // The rate at which a line gets shorter: slots/service - rate.
    let decay = spare / service;
    let p99 = ((share / 0.01).ln() / decay).max(0.0);
    Some(Wait { share, mean: share / decay, p99 })
}

/// How many servers with so many slots each carry the calls: none is busier than `most_busy`, and on average nobody waits longer than
/// `most_wait` of the time that a call takes. Each gets an equal part of the calls.
#[must_use]
pub fn servers(slots: u32, (rate, service): (f64, f64), most_busy: f64, most_wait: f64) -> u32 {
    let slots = slots.max(1);
    let carries = |count: u32| {
        let each = rate / f64::from(count);
        let busy = each * service / f64::from(slots);
        busy <= most_busy + 1e-9 && wait(slots, each, service).is_some_and(|wait| wait.mean <= most_wait * service)
    };
    let mut low = super::words::up(rate * service / f64::from(slots) / most_busy).max(1);
    // One more server makes nobody wait longer, so the first that carries is found by halves.
    let mut high = low;
    while !carries(high) && high < u32::MAX / 2 {
        low = high + 1;
        high *= 2;
    }
    while low < high {
        let middle = low + (high - low) / 2;
        if carries(middle) { high = middle } else { low = middle + 1 }
    }
    low
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_agrees_with_the_tables() {
        // Erlang's own table and Kleinrock's: B(10, 5) = 0.018385, C(10, 5) = 0.0361, B(1, 1) = 1/2.
        assert!((erlang_b(10, 5.0) - 0.018_384_57).abs() < 1e-8, "{}", erlang_b(10, 5.0));
        assert!((erlang_c(10, 5.0) - 0.036_105_36).abs() < 1e-7, "{}", erlang_c(10, 5.0));
        assert!((erlang_b(1, 1.0) - 0.5).abs() < 1e-12);
        // M/M/1: waits with the probability rho, for rho / (mu - lambda) on average.
        let one = wait(1, 0.5, 1.0).unwrap();
        assert!((one.share - 0.5).abs() < 1e-12 && (one.mean - 1.0).abs() < 1e-12);
        assert!((one.p99 - (0.5_f64 / 0.01).ln() / 0.5).abs() < 1e-12);
    }

    #[test]
    fn a_simulated_queue_waits_as_long() {
        // A model that knows nothing of formulas: slots that are free again at a time.
        let chance = crate::clock::Chance::seeded(11);
        #[expect(clippy::cast_precision_loss, reason = "53 bits")]
        let random = || -(1.0 - (chance.next() >> 11) as f64 / (1_u64 << 53) as f64).ln();
        let (slots, rate, service) = (4, 3.0, 1.0);
        let mut free = [0.0_f64; 4];
        let (mut now, mut waited, mut late) = (0.0, 0.0, 0);
        let calls = 200_000;
        for _ in 0..calls {
            now += random() / rate;
            let first = free.iter_mut().min_by(|a, b| a.total_cmp(b)).unwrap();
            let begin = first.max(now);
            waited += begin - now;
            late += u32::from(begin > now);
            *first = begin + random() * service;
        }
        let expected = wait(slots, rate, service).unwrap();
        let mean = waited / f64::from(calls);
        assert!((mean / expected.mean - 1.0).abs() < 0.08, "{mean} {expected:?}");
        assert!((f64::from(late) / f64::from(calls) / expected.share - 1.0).abs() < 0.04, "{late} {expected:?}");
    }

    #[test]
    fn slots_are_the_fewest_that_lose_few() {
        // Erlang's table: 10 offered and one of a thousand lost take 21.
        assert_eq!(slots(10.0, 0.001, 1000), 21);
        assert_eq!((slots(0.0, 0.001, 1000), slots(1e9, 0.001, 1000)), (1, 1000));
    }

    proptest! {
        #[test]
        fn one_slot_less_would_lose_more(offered in 0.01..500.0_f64, lost in 0.0001..0.1_f64) {
            let count = slots(offered, lost, 10_000);
            prop_assert!(erlang_b(count, offered) <= lost);
            prop_assert!(count == 1 || erlang_b(count - 1, offered) > lost);
        }

        #[test]
        fn waiting_is_less_likely_with_more_slots_and_more_so_with_more_calls(slots in 1..200_u32, offered in 0.01..150.0_f64) {
            let waits = erlang_c(slots, offered);
            prop_assert!((0.0..=1.0).contains(&waits));
            prop_assert!(erlang_c(slots + 1, offered) <= waits + 1e-12);
            prop_assert!(erlang_c(slots, offered * 1.1) >= waits - 1e-12);
            prop_assert!(erlang_b(slots, offered) <= waits + 1e-12);
        }

        #[test]
        fn the_servers_are_the_fewest_that_carry(
            slots in 1..64_u32, rate in 0.01..5000.0_f64, service in 0.001..30.0_f64, busy in 0.1..0.95_f64
        ) {
            let count = servers(slots, (rate, service), busy, 0.25);
            let carries = |count: u32| {
                let each = rate / f64::from(count);
                each * service / f64::from(slots) <= busy + 1e-9
                    && wait(slots, each, service).is_some_and(|wait| wait.mean <= 0.25 * service)
            };
            prop_assert!(carries(count));
            prop_assert!(count == 1 || !carries(count - 1));
            prop_assert!(servers(slots, (rate * 1.3, service), busy, 0.25) >= count);
            prop_assert!(servers(slots + 1, (rate, service), busy, 0.25) <= count);
        }
    }
}
