//! A share of all traces: the same ones for everybody who takes the same share, since the trace's own name decides.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::chance_here;
use crate::mcp::trace_context::TraceId;

/// The bits of a trace's name that are left to chance (W3C Trace Context 2, §3.2.2.3.3).
const CHANCE: u64 = (1 << 56) - 1;

/// The share that holds now, for whoever asks at each request. Nothing at first.
#[derive(Debug, Default)]
pub struct Held(AtomicU64);

impl Held {
    /// From now on this one holds.
    pub fn hold(&self, share: Share) {
        self.0.store(share.below, Ordering::Relaxed);
    }

    /// What holds.
    pub fn get(&self) -> Share {
        Share { below: self.0.load(Ordering::Relaxed) }
    }
}

/// A share of all traces.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    below: u64,
}

impl Share {
    /// The share, from 0 to 1.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "clamped first"
    )]
    pub fn of(share: f64) -> Self {
        Self { below: (share.clamp(0.0, 1.0) * (CHANCE + 1) as f64) as u64 }
    }

    /// Whether it takes this trace.
    pub fn takes(self, trace: TraceId) -> bool {
        let [.., a, b, c, d, e, f, g] = trace.0;
        u64::from_be_bytes([0, a, b, c, d, e, f, g]) < self.below
    }

    /// A new trace, if it takes that one.
    pub fn draw(self) -> Option<TraceId> {
        if self.below == 0 {
            return None;
        }
        let low = chance_here();
        if low & CHANCE >= self.below {
            return None;
        }
        // Never zero, whatever chance says.
        let high = chance_here().max(1);
        Some(TraceId((u128::from(high) << 64 | u128::from(low)).to_be_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_all_is_taken() {
        for (share, expected) in [(0.0, 0..=0), (0.01, 700..=1300), (0.5, 49_000..=51_000), (1.0, 100_000..=100_000)] {
            let share = Share::of(share);
            let drawn: Vec<_> = (0..100_000).filter_map(|_| share.draw()).collect();
            assert!(expected.contains(&drawn.len()), "{} of 100,000", drawn.len());
            assert!(drawn.iter().all(|trace| share.takes(*trace)));
        }
    }

    #[test]
    fn the_name_decides() {
        let [low, high] = [0_u128, CHANCE.into()].map(|bits| TraceId((1 << 100 | bits).to_be_bytes()));
        assert!(Share::of(0.001).takes(low) && !Share::of(0.999).takes(high));
        assert!(Share::of(1.0).takes(high) && !Share::of(0.0).takes(low));
    }
}
