//! Who looks at the feed. There is an end of seats; one whose viewer has taken nothing for long (a connection that is dead and does
//! not know it) is given to the next who comes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Viewers at the same time.
pub const MOST: usize = 64;

/// A viewer that takes nothing for so long is taken to be gone, in microseconds. There is a tick every second.
const PATIENCE: u64 = 30_000_000;

/// All seats.
#[derive(Debug, Default)]
pub struct Seats {
    /// Held when a viewer comes and once a second; a short list.
    taken: Mutex<Vec<Weak<Seat>>>,
}

/// One viewer's.
#[derive(Debug)]
pub struct Seat {
    /// When it last took a word, in microseconds of the clock.
    seen: AtomicU64,
    lost: AtomicBool,
}

impl Seats {
    /// A seat, where one is free or its viewer has gone.
    pub fn take(&self, now: u64) -> Option<Arc<Seat>> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.retain(|seat| seat.strong_count() > 0);
        if taken.len() >= MOST {
            let dead = |seat: &Weak<Seat>| seat.upgrade().is_none_or(|seat| seat.is_dead(now));
            let at = taken.iter().position(dead)?;
            if let Some(seat) = taken.swap_remove(at).upgrade() {
                seat.lost.store(true, Ordering::Relaxed);
            }
        }
        let seat = Arc::new(Seat { seen: AtomicU64::new(now), lost: AtomicBool::new(false) });
        taken.push(Arc::downgrade(&seat));
        Some(seat)
    }

    /// Whether anybody looks.
    pub fn is_anybody(&self) -> bool {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.iter().any(|seat| seat.strong_count() > 0)
    }
}

impl Seat {
    /// Its viewer takes a word. Whether the seat is still its own.
    pub fn keep(&self, now: u64) -> bool {
        self.seen.store(now, Ordering::Relaxed);
        !self.lost.load(Ordering::Relaxed)
    }

    fn is_dead(&self, now: u64) -> bool {
        now.saturating_sub(self.seen.load(Ordering::Relaxed)) > PATIENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_house_gives_the_seat_of_the_dead_to_the_next() {
        let seats = Seats::default();
        assert!(!seats.is_anybody());
        let taken: Vec<_> = (0..MOST).map(|_| seats.take(0).unwrap()).collect();
        assert!(seats.take(PATIENCE).is_none(), "all may still be there");
        taken[1..].iter().for_each(|seat| assert!(seat.keep(PATIENCE + 1)));
        let next = seats.take(PATIENCE + 1).unwrap();
        assert!(!taken[0].keep(PATIENCE + 2) && next.keep(PATIENCE + 2));
        assert!(seats.take(PATIENCE + 2).is_none());
        drop(next);
        assert!(seats.take(PATIENCE + 2).is_some(), "whoever goes leaves a seat");
        drop(taken);
        assert!(!seats.is_anybody());
    }
}
