//! Hands each step of the plan to its user at its moment, from a thread of its own, which waits to a fraction of a millisecond. It waits for
//! no user: a call that finds its user's queue full is counted as missed, and not sent.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::plan::{Due, Plan, Step};
use super::record::Recorder;
use crate::clock::Clock;

/// A bell that ends the pacer's waits.
#[derive(Debug, Default)]
pub struct Halt {
    // Guards whether the bell was rung. Taken once a wait, and once to ring.
    rung: Mutex<bool>,
    bell: Condvar,
}

impl Halt {
    /// No further step is handed out.
    pub fn ring(&self) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.bell.notify_all();
    }

    /// Waits so long; says whether the bell was rung.
    fn wait(&self, time: Duration) -> bool {
        let rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.bell.wait_timeout_while(rung, time, |rung| !*rung);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Hands out all steps, blocking; returns at the plan's end, or soon after the bell.
pub fn pace(
    plan: Plan,
    queues: &[mpsc::Sender<Due>],
    recorder: &Recorder,
    (clock, start): (&Clock, Instant),
    halt: &Halt,
) {
    for due in plan {
        let moment = start + due.at;
        loop {
            let left = moment.saturating_duration_since(clock.now());
            if halt.wait(left) {
                return;
            }
            if clock.now() >= moment {
                break;
            }
        }
        hand(due, queues, recorder);
    }
}

fn hand(due: Due, queues: &[mpsc::Sender<Due>], recorder: &Recorder) {
    let queue = usize::try_from(due.user).ok().and_then(|user| queues.get(user));
    let taken = queue.is_some_and(|queue| queue.try_send(due).is_ok());
    if matches!(due.step, Step::Call(_)) {
        if taken { recorder.planned() } else { recorder.missed(due.user) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::plan::{Pace, Shape};

    fn plan(users: u32, millis: u64) -> Plan {
        Plan::new(Pace {
            users,
            think: Duration::from_millis(10),
            shape: Shape::Constant,
            session_calls: None,
            ramp: Duration::ZERO,
            duration: Duration::from_millis(millis),
            seed: 5,
        })
    }

    #[test]
    fn a_call_that_finds_no_room_is_counted_and_the_plan_goes_on() {
        let (clock, recorder) = (Clock::system(), Recorder::default());
        let (slow, mut slow_end) = mpsc::channel(3);
        let (quick, mut quick_end) = mpsc::channel(100);
        pace(plan(2, 200), &[slow, quick], &recorder, (&clock, clock.now()), &Halt::default());
        let count = |end: &mut mpsc::Receiver<Due>| std::iter::from_fn(|| end.try_recv().ok()).count() as u64;
        let (waiting, taken) = (count(&mut slow_end), count(&mut quick_end));
        // Its session's begin takes a place, too.
        assert_eq!(waiting, 3);
        let tally = recorder.take();
        assert!((39..=40).contains(&tally.planned), "{}", tally.planned);
        assert_eq!(tally.users[&0].missed + (waiting - 1) + (taken - 1), tally.planned);
        assert!(!tally.users.contains_key(&1));
    }

    /// How late the steps of a short plan came, the least first.
    fn lateness() -> Vec<Duration> {
        let (clock, recorder) = (Clock::system(), Recorder::default());
        let start = clock.now();
        let (queue, mut end) = mpsc::channel(100);
        let halt = Halt::default();
        std::thread::scope(|scope| {
            let paced = clock.clone();
            let (recorder, halt) = (&recorder, &halt);
            scope.spawn(move || pace(plan(1, 300), &[queue], recorder, (&paced, start), halt));
            let mut late: Vec<Duration> = Vec::new();
            while let Some(due) = end.blocking_recv() {
                let now = clock.now().duration_since(start);
                late.push(now.checked_sub(due.at).expect("no step comes before its moment"));
            }
            late.sort_unstable();
            late
        })
    }

    #[test]
    fn steps_come_at_their_moments_and_not_before() {
        // On a machine that is busy with other tests it may take some attempts.
        let on_time = (0..30).map(|_| lateness()).find(|late| late[late.len() / 2] < Duration::from_millis(2));
        assert!(on_time.is_some_and(|late| late.len() >= 30));
    }

    #[test]
    fn the_bell_ends_it() {
        let (clock, halt) = (Clock::system(), Halt::default());
        halt.ring();
        let (queue, mut end) = mpsc::channel(100);
        pace(plan(1, 3_600_000), &[queue], &Recorder::default(), (&clock, clock.now()), &halt);
        assert!(end.try_recv().is_err());
    }
}
