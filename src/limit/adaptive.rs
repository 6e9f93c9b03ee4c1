//! How many requests a backend can bear, found out from its latency: the gradient of Netflix's concurrency-limits
//! (`Gradient2Limit`), measured per tool, since tools differ in latency more than load does. Pure arithmetic.

use std::collections::HashMap;

/// Where it begins, and the least that it comes down to.
const FIRST: f64 = 20.0;
const LEAST: f64 = 4.0;

/// How much slower than usual is still usual.
const TOLERANCE: f64 = 1.5;

/// How much of a new estimate counts.
const SMOOTHING: f64 = 0.2;

/// Samples after which the usual latency has forgotten 63 % of what it was.
const LONG: f64 = 600.0;

/// Samples of a tool before anything follows from them.
const FEW: u32 = 10;

/// Tools whose latency is known.
const TOOLS: usize = 64;

/// What is known of one backend.
#[derive(Debug)]
pub struct Adaptive {
    limit: f64,
    usual: HashMap<u64, Usual>,
}

/// The usual latency of one tool, in seconds.
#[derive(Clone, Copy, Debug)]
struct Usual {
    latency: f64,
    samples: u32,
}

impl Default for Adaptive {
    fn default() -> Self {
        Self { limit: FIRST, usual: HashMap::new() }
    }
}

impl Adaptive {
    /// How many requests may run now.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is from 4 to 100,000")]
    pub fn limit(&self, most: u32) -> u32 {
        self.limit.min(f64::from(most)).max(1.0) as u32
    }

    /// Learns that a call of `tool` took so many seconds while so many ran.
    pub fn learn(&mut self, tool: u64, seconds: f64, running: u32, most: u32) {
        self.make_room(tool);
        let usual = self.usual.entry(tool).or_insert(Usual { latency: seconds, samples: 0 });
        usual.samples = usual.samples.saturating_add(1);
        // The average forms quickly at first.
        let weight = (1.0 / f64::from(usual.samples)).max(1.0 / LONG);
        usual.latency += (seconds - usual.latency) * weight;
        // After a long overload what is usual has grown with it: it comes down again sooner than it went up.
        if usual.latency > seconds * 2.0 {
            usual.latency *= 0.95;
        }
        // Where not even half of the limit is used, nothing is learnt of the limit.
        if usual.samples < FEW || f64::from(running) * 2.0 < self.limit {
            return;
        }
        let gradient = (TOLERANCE * usual.latency / seconds.max(1e-9)).clamp(0.5, 1.0);
        let room = self.limit.sqrt();
        let wanted = self.limit * gradient + room;
        self.limit = (self.limit * (1.0 - SMOOTHING) + wanted * SMOOTHING).clamp(LEAST, f64::from(most.max(4)));
    }

    /// Where the table is full, the tool that is known least goes: names that somebody invents drive out each other.
    fn make_room(&mut self, tool: u64) {
        if self.usual.len() < TOOLS || self.usual.contains_key(&tool) {
            return;
        }
        let least = self.usual.iter().min_by_key(|(_, usual)| usual.samples).map(|(tool, _)| *tool);
        least.and_then(|least| self.usual.remove(&least));
    }

    /// A call failed because the backend is overloaded.
    pub fn back_off(&mut self) {
        self.limit = (self.limit * 0.9).max(LEAST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that works on `width` calls at the same time, 10 ms each; what is beyond waits.
    fn latency(width: u32, running: u32) -> f64 {
        0.010 * (f64::from(running) / f64::from(width)).max(1.0)
    }

    fn settle(adaptive: &mut Adaptive, width: u32, load: u32) {
        for _ in 0..3000 {
            let running = load.min(adaptive.limit(1000));
            adaptive.learn(1, latency(width, running), running, 1000);
        }
    }

    #[test]
    fn an_overloaded_backend_is_given_about_what_it_can_bear() {
        for width in [10, 50, 200] {
            let mut adaptive = Adaptive::default();
            // Its usual latency is known from quieter times.
            (0..700).for_each(|_| adaptive.learn(1, 0.010, 1, 1000));
            for _ in 0..400 {
                let running = adaptive.limit(1000);
                adaptive.learn(1, latency(width, running), running, 1000);
            }
            let limit = adaptive.limit(1000);
            assert!(limit > width * 8 / 10 && limit < width * 3 + 10, "{limit} for {width}");
        }
    }

    #[test]
    fn an_idle_backend_keeps_its_limit_and_a_fast_one_gets_more() {
        let mut adaptive = Adaptive::default();
        settle(&mut adaptive, 1000, 2);
        assert_eq!(adaptive.limit(1000), 20);
        settle(&mut adaptive, 1000, 500);
        assert!(adaptive.limit(1000) >= 500);
        assert_eq!(adaptive.limit(30), 30);
    }

    #[test]
    fn a_slow_tool_does_not_make_the_backend_look_slow() {
        let mut adaptive = Adaptive::default();
        for _ in 0..1000 {
            let running = adaptive.limit(1000);
            adaptive.learn(1, 0.010, running, 1000);
            adaptive.learn(2, 5.0, running, 1000);
        }
        assert!(adaptive.limit(1000) > 100, "{}", adaptive.limit(1000));
    }

    #[test]
    fn invented_tools_cost_no_memory_and_drive_out_nobody() {
        let mut adaptive = Adaptive::default();
        (0..100).for_each(|_| adaptive.learn(7, 0.01, 1, 1000));
        (1000..100_000).for_each(|tool| adaptive.learn(tool, 0.01, 1, 1000));
        assert!(adaptive.usual.len() <= TOOLS);
        assert!(adaptive.usual.contains_key(&7), "the one that is really called is known still");
    }
}
