//! Fair queues for what only so many may have at the same time: who has least comes first, equals take turns, and each
//! caller's requests stay in their order. One waiter at a time tries; the others sleep. It knows not what is tried, and bounds both length and time.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::shares::Shares;
use crate::clock::Clock;
use crate::store::counters::{BudgetId, Micros, Subject};

/// What is waited for: slots of one budget for one subject.
pub type Line = (BudgetId, Subject);

/// How often whoever's turn it is tries without having been told that something was given back: other instances do not tell.
const LOOK: Duration = Duration::from_millis(25);

/// How long a queue may become, and how long each waits in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Waiters of one line, on this instance.
    pub most: u32,
    /// How long each waits.
    pub wait: Duration,
}

impl Patience {
    /// Until when somebody waits who begins now.
    #[must_use]
    pub fn until(self) -> Instant {
        tokio::time::sleep(self.wait).deadline()
    }
}

/// Why somebody did not get a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turned {
    /// Too many wait already.
    Full,
    /// The time is over.
    Late,
}

/// All queues of this instance, and who has how much of what they are for.
#[derive(Debug)]
pub struct Queues {
    /// Taken by requests whose number is limited, each time they begin and end; by no others.
    lines: DashMap<Line, Waiting>,
    clock: Clock,
}

/// Where somebody gets in, among the requests of the same caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Back,
    /// It was its turn already.
    Front,
}

/// Who runs and who waits in one line.
#[derive(Debug, Default)]
struct Waiting {
    shares: Shares,
    /// Callers who wait, in the order of their turns.
    callers: VecDeque<Subject>,
    of: HashMap<Subject, VecDeque<oneshot::Sender<()>>>,
    length: u32,
    /// Whether somebody has the turn.
    taken: bool,
    freed: Arc<Notify>,
}

impl Waiting {
    fn is_idle(&self, now: Micros) -> bool {
        self.waits() == 0 && self.shares.are_forgotten(now)
    }

    fn waits(&self) -> u32 {
        self.length + u32::from(self.taken)
    }

    fn enter(&mut self, caller: Subject, end: End) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        let own = self.of.entry(caller).or_default();
        if own.is_empty() {
            self.callers.push_back(caller);
        }
        match end {
            End::Back => own.push_back(sender),
            End::Front => own.push_front(sender),
        }
        self.length += 1;
        receiver
    }

    /// Makes room for a caller's request where everything is full: the last one of whoever has most waiting must go, if
    /// that is more than this caller would have. Whether there is room now.
    fn make_room(&mut self, caller: Subject, most: u32) -> bool {
        if self.waits() < most {
            return true;
        }
        self.tidy();
        if self.waits() < most {
            return true;
        }
        let own = self.of.get(&caller).map_or(0, VecDeque::len);
        let Some(richest) = self.of.values_mut().max_by_key(|waiting| waiting.len()) else { return false };
        if richest.len() <= own + 1 {
            return false;
        }
        drop(richest.pop_back());
        self.length = self.length.saturating_sub(1);
        true
    }

    /// Gives the turn to a request of the caller who has least; of equals, of the one who has waited longest for a turn.
    /// Requests that gave up are passed over.
    fn advance(&mut self) {
        self.taken = false;
        while let Some(place) = (0..self.callers.len()).min_by_key(|place| self.shares.runs(self.callers[*place])) {
            let Some(caller) = self.callers.remove(place) else { return };
            let Entry::Occupied(mut own) = self.of.entry(caller) else { continue };
            let next = own.get_mut().pop_front();
            if own.get().is_empty() {
                own.remove();
            } else {
                self.callers.push_back(caller);
            }
            self.length = self.length.saturating_sub(u32::from(next.is_some()));
            if next.is_some_and(|next| next.send(()).is_ok()) {
                self.taken = true;
                return;
            }
        }
    }

    /// Whether somebody waits who has less than `caller`.
    fn has_poorer(&self, caller: Subject) -> bool {
        let own = self.shares.runs(caller);
        let waits =
            |other: &Subject| self.of.get(other).is_some_and(|own| own.iter().any(|waiter| !waiter.is_closed()));
        self.callers.iter().any(|other| self.shares.runs(*other) < own && waits(other))
    }

    /// Forgets those that gave up, so that they do not count against the bound.
    fn tidy(&mut self) {
        for own in self.of.values_mut() {
            own.retain(|waiter| !waiter.is_closed());
        }
        self.of.retain(|_, own| !own.is_empty());
        self.callers.retain(|caller| self.of.contains_key(caller));
        self.length = u32::try_from(self.of.values().map(VecDeque::len).sum::<usize>()).unwrap_or(u32::MAX);
    }
}

/// The turn in one line: while it is held, nobody else of the line tries.
#[derive(Debug)]
pub struct Turn<'a> {
    queues: &'a Queues,
    line: Line,
    caller: Subject,
    until: Instant,
    freed: Arc<Notify>,
    /// Whether it was given up for somebody who has less.
    left: bool,
}

impl Queues {
    /// No queues yet.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { lines: DashMap::new(), clock }
    }

    /// Whether a caller must wait for its turn, though there may be one of `most` left: others wait already, or it would
    /// take what those need who have less.
    #[must_use]
    pub fn must_wait(&self, line: Line, caller: Subject, most: u32) -> bool {
        let now = self.clock.micros();
        let waits = |waiting: &Waiting| waiting.waits() > 0 || !waiting.shares.leaves_room(caller, most, now);
        self.lines.get(&line).is_some_and(|waiting| waits(&waiting))
    }

    /// Somebody has got through.
    pub fn begun(&self, line: Line, caller: Subject) {
        self.lines.entry(line).or_default().shares.begin(caller, self.clock.micros());
    }

    /// Somebody who had got through has ended.
    pub fn ended(&self, line: Line, caller: Subject) {
        let Some(mut waiting) = self.lines.get_mut(&line) else { return };
        waiting.shares.end(caller, self.clock.micros());
        waiting.freed.notify_one();
    }

    /// Forgets lines that nobody uses any more. For now and then.
    pub fn tidy(&self) {
        let now = self.clock.micros();
        self.lines.retain(|_, waiting| !waiting.is_idle(now));
    }

    /// Waits for `caller`'s turn until then; where `most` wait already, not at all, or in the place of somebody who has more
    /// requests waiting.
    ///
    /// # Errors
    /// [`Turned`].
    pub async fn turn(&self, line: Line, caller: Subject, (most, until): (u32, Instant)) -> Result<Turn<'_>, Turned> {
        let (called, freed) = {
            let mut waiting = self.lines.entry(line).or_default();
            if !waiting.make_room(caller, most) {
                return Err(Turned::Full);
            }
            (self.enter(&mut waiting, caller), Arc::clone(&waiting.freed))
        };
        // From here on its end passes the turn on, also where nobody waits for it any more.
        Called { queues: self, line, called, had: false }.wait(until).await?;
        Ok(Turn { queues: self, line, caller, until, freed, left: false })
    }

    fn enter(&self, waiting: &mut Waiting, caller: Subject) -> oneshot::Receiver<()> {
        let called = waiting.enter(caller, End::Back);
        if waiting.taken {
            // Whoever has the turn may have to give it up.
            waiting.freed.notify_one();
        } else {
            waiting.advance();
        }
        called
    }

    fn pass_on(&self, line: Line) {
        if let Some(mut waiting) = self.lines.get_mut(&line) {
            waiting.advance();
        }
    }
}

/// Somebody who waits to be called.
struct Called<'a> {
    queues: &'a Queues,
    line: Line,
    called: oneshot::Receiver<()>,
    had: bool,
}

impl Called<'_> {
    async fn wait(mut self, until: Instant) -> Result<(), Turned> {
        let called = tokio::time::timeout_at(until, &mut self.called).await;
        self.had = matches!(called, Ok(Ok(())));
        match called {
            Ok(Ok(())) => Ok(()),
            // Somebody who has less waits in its place.
            Ok(Err(_)) => Err(Turned::Full),
            Err(_) => Err(Turned::Late),
        }
    }
}

impl Drop for Called<'_> {
    fn drop(&mut self) {
        if self.had {
            return;
        }
        self.called.close();
        // It may have been called at the very moment when it gave up.
        if self.called.try_recv().is_ok() {
            self.queues.pass_on(self.line);
        }
    }
}

/// What whoever has the turn does now.
enum Look {
    Try,
    Wait,
    /// Others have less: it waits to be called again.
    Yield(oneshot::Receiver<()>),
}

impl Turn<'_> {
    /// Until it is worth a try, where there are `most` in all. Lets those go first who have less.
    ///
    /// # Errors
    /// [`Turned::Late`] where the time is over.
    pub async fn ready(&mut self, most: u32) -> Result<(), Turned> {
        loop {
            match self.look(most) {
                Look::Try => return Ok(()),
                Look::Wait => self.rest().await?,
                Look::Yield(called) => {
                    let called = Called { queues: self.queues, line: self.line, called, had: false };
                    called.wait(self.until).await?;
                    self.left = false;
                }
            }
        }
    }

    /// Until something was given back, or it may have been somewhere else.
    ///
    /// # Errors
    /// [`Turned::Late`] where the time is over.
    pub async fn rest(&self) -> Result<(), Turned> {
        let look = tokio::time::timeout(LOOK, self.freed.notified());
        tokio::time::timeout_at(self.until, look).await.map(drop).map_err(|_| Turned::Late)
    }

    fn look(&mut self, most: u32) -> Look {
        let Some(mut waiting) = self.queues.lines.get_mut(&self.line) else { return Look::Try };
        if waiting.has_poorer(self.caller) {
            let called = waiting.enter(self.caller, End::Front);
            waiting.advance();
            self.left = true;
            return Look::Yield(called);
        }
        let room = waiting.shares.leaves_room(self.caller, most, self.queues.clock.micros());
        if room { Look::Try } else { Look::Wait }
    }

    /// The line that it is the turn of.
    #[must_use]
    pub const fn line(&self) -> Line {
        self.line
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if !self.left {
            self.queues.pass_on(self.line);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures_util::FutureExt;
    use futures_util::future::join_all;

    use super::*;

    const LINE: Line = (BudgetId(1), Subject(0));
    fn patient() -> (u32, Instant) {
        (1000, Patience { most: 1000, wait: Duration::from_secs(10) }.until())
    }

    #[tokio::test]
    async fn callers_take_turns_however_many_requests_each_has() {
        let queues = Queues::new(Clock::manual());
        let first = queues.turn(LINE, Subject(9), patient()).await.unwrap();
        let order = Mutex::new(Vec::new());
        let (queues, order) = (&queues, &order);
        let wait = |caller: u128| async move {
            let turn = queues.turn(LINE, Subject(caller), patient()).await.unwrap();
            order.lock().unwrap().push(caller);
            drop(turn);
        };
        let greedy = (0..10).map(|_| 1);
        let waiters = join_all(greedy.chain([2, 3, 2]).map(wait));
        let ((), _) = tokio::join!(
            async {
                tokio::task::yield_now().await;
                assert_eq!(queues.lines.get(&LINE).map(|waiting| waiting.length), Some(13));
                drop(first);
            },
            waiters
        );
        let order = order.lock().unwrap().clone();
        assert_eq!(order[..6], [1, 2, 3, 1, 2, 1], "{order:?}");
        queues.tidy();
        assert_eq!(queues.lines.len(), 0);
    }

    #[tokio::test]
    async fn a_full_queue_refuses_and_a_slow_one_gives_up() {
        let queues = Queues::new(Clock::manual());
        let patience = (2, Patience { most: 2, wait: Duration::from_millis(50) }.until());
        let turn = queues.turn(LINE, Subject(1), patience).await.unwrap();
        let second = queues.turn(LINE, Subject(2), patience);
        let third = async {
            tokio::task::yield_now().await;
            queues.turn(LINE, Subject(3), patience).await.err()
        };
        let (second, third) = tokio::join!(second, third);
        assert_eq!((second.err(), third), (Some(Turned::Late), Some(Turned::Full)));
        while turn.rest().await.is_ok() {}
        drop(turn);
        assert!(!queues.must_wait(LINE, Subject(1), 1));
    }

    #[tokio::test]
    async fn whoever_gives_up_passes_the_turn_on() {
        let queues = Queues::new(Clock::manual());
        let first = queues.turn(LINE, Subject(1), patient()).await.unwrap();
        let mut second = Box::pin(queues.turn(LINE, Subject(2), patient()));
        assert!((&mut second).now_or_never().is_none());
        let mut third = Box::pin(queues.turn(LINE, Subject(3), patient()));
        assert!((&mut third).now_or_never().is_none());
        // Called, but dropped before it could notice.
        drop(first);
        drop(second);
        assert!(third.now_or_never().is_some_and(|turn| turn.is_ok()));
        queues.tidy();
        assert_eq!(queues.lines.len(), 0);
    }

    #[tokio::test]
    async fn what_is_given_back_wakes_whose_turn_it_is() {
        let queues = Queues::new(Clock::manual());
        queues.begun(LINE, Subject(2));
        let turn = queues.turn(LINE, Subject(1), patient()).await.unwrap();
        queues.ended(LINE, Subject(2));
        assert!(turn.rest().now_or_never().is_some());
        assert!(turn.rest().now_or_never().is_none());
    }

    #[tokio::test]
    async fn whose_turn_it_is_lets_those_go_first_who_have_less() {
        let queues = Queues::new(Clock::manual());
        let (greedy, modest) = (Subject(1), Subject(2));
        queues.begun(LINE, greedy);
        queues.begun(LINE, greedy);
        let mut turn = queues.turn(LINE, greedy, patient()).await.unwrap();
        let mut waits = Box::pin(queues.turn(LINE, modest, patient()));
        assert!((&mut waits).now_or_never().is_none());
        queues.ended(LINE, greedy);
        let mut rest = Box::pin(turn.ready(3));
        assert!((&mut rest).now_or_never().is_none(), "it still has one, the other none");
        let other = waits.now_or_never().unwrap().unwrap();
        queues.begun(LINE, modest);
        drop(other);
        assert!(rest.now_or_never().is_some(), "now both have one");
    }

    #[tokio::test]
    async fn in_a_full_queue_whoever_has_most_makes_room() {
        let queues = Queues::new(Clock::manual());
        let (most, until) = (4, patient().1);
        let (greedy, modest) = (Subject(1), Subject(2));
        let first = queues.turn(LINE, greedy, (most, until)).await.unwrap();
        let mut waits: Vec<_> = (0..3).map(|_| Box::pin(queues.turn(LINE, greedy, (most, until)))).collect();
        waits.iter_mut().for_each(|wait| assert!(wait.now_or_never().is_none()));
        let more = queues.turn(LINE, greedy, (most, until)).await;
        assert_eq!(more.err(), Some(Turned::Full));
        let mut other = Box::pin(queues.turn(LINE, modest, (most, until)));
        assert!((&mut other).now_or_never().is_none(), "it waits");
        let last = waits.pop().unwrap();
        assert_eq!(last.now_or_never().unwrap().err(), Some(Turned::Full), "the last of the greedy one's has gone");
        drop(first);
    }
}
