//! A run: worker threads with their users, the pacer, the chaos, and the second hand that collects what was counted. It begins nothing before
//! the server has been visited once, and returns when all users have gone home.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};

use super::chaos::Moment;
use super::crew::{in_order, make_room, people, work};
use super::discover::{DiscoverError, Wish, discover};
use super::line::{Endpoint, Line};
use super::mix::Mix;
use super::pacer::{Halt, pace};
use super::plan::{Due, Pace, Plan};
use super::process::Troupe;
use super::record::{Recorder, Tally};
use super::series::{Point, Series};
use super::stream::Gauges;
use super::trouble::{Mishap, Trouble};
use super::user::{Around, longest_farewell};
use crate::clock::Clock;
use crate::mcp::version::Era;

/// How often what was counted is collected and shown.
const TICK: Duration = Duration::from_secs(1);

/// Collections that the live figures are taken from.
const LATELY: usize = 5;

/// Time between the end of the set-up and the first planned moment.
const HEAD_START: Duration = Duration::from_millis(50);

/// In which era users live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eras {
    /// All with sessions.
    Legacy,
    /// All without.
    Modern,
    /// Every other one.
    Mix,
}

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where.
    pub endpoint: Endpoint,
    /// Who and when.
    pub pace: Pace,
    /// In which era.
    pub eras: Eras,
    /// Share of the users, 0 to 1, who hold a notification stream open.
    pub streams: f64,
    /// What they do.
    pub wish: Wish,
    /// Calls that may wait for one user; what comes on top is missed.
    pub backlog: usize,
    /// Threads that users are spread over.
    pub threads: usize,
    /// What happens to the run's processes.
    pub chaos: Vec<Moment>,
}

/// Why a run did not take place.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The server cannot be loaded.
    #[error(transparent)]
    Discover(#[from] DiscoverError),
    /// Not enough descriptors.
    #[error(
        "{needed} connections need more descriptors than the {limit} that this process may have: raise `ulimit -n`"
    )]
    Descriptors {
        /// What the run needs.
        needed: u64,
        /// What there is.
        limit: u64,
    },
    /// A thread or runtime cannot be made.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// As planned.
    Whole,
    /// It was cut short.
    Cut,
}

/// What happened to a process, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// From the run's start.
    pub at: Duration,
    /// What, for people.
    pub what: String,
}

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// Everything that was counted.
    pub whole: Tally,
    /// The same over time.
    pub series: Vec<Point>,
    /// What was done to processes, and what they did themselves.
    pub events: Vec<Event>,
    /// The names of the operations, in the tally's order.
    pub operations: Vec<String>,
    /// From the first planned moment to the end of the last answer, or of the plan if that is later.
    pub took: Duration,
    /// How it ended.
    pub ending: Ending,
    /// Calls that were planned before it was cut, and were not made for that.
    pub left_undone: u64,
}

/// How the run is doing.
#[derive(Debug)]
pub struct Live<'a> {
    /// From the start.
    pub at: Duration,
    /// What was counted in the last seconds.
    pub lately: &'a Tally,
    /// How many seconds these were.
    pub seconds: f64,
    /// All that was counted.
    pub whole: &'a Tally,
    /// Users in a session.
    pub users: u64,
    /// Open notification streams.
    pub streams: u64,
    /// What happened since the last time.
    pub events: &'a [Event],
}

/// The parts of a run that goes on.
struct Running<'a> {
    clock: &'a Clock,
    start: Instant,
    recorders: Vec<Arc<Recorder>>,
    gauges: Arc<Gauges>,
    whole: Tally,
    lately: VecDeque<(Tally, Duration)>,
    collected: Duration,
    series: Series,
    events: Vec<Event>,
    told: usize,
}

/// Runs it. `interrupt` ends it early; `show` is told about once a second how it goes.
///
/// # Errors
/// [`RunError`]: nothing was begun.
pub async fn run(
    settings: &Settings,
    troupe: &mut Troupe,
    clock: &Clock,
    interrupt: impl Future<Output = ()>,
    show: &mut dyn FnMut(&Live<'_>),
) -> Result<Outcome, RunError> {
    make_room(settings)?;
    let endpoint = Arc::new(settings.endpoint.clone());
    let visitor = Line::new(&endpoint, 0, clock);
    let era = if settings.eras == Eras::Modern { Era::Modern } else { Era::Legacy };
    let mix = discover(&visitor, era, &settings.wish).await?;
    if settings.eras == Eras::Mix {
        // It must be there for both; what it offers is taken to be the same.
        discover(&visitor, Era::Modern, &settings.wish).await?;
    }
    drop(visitor);
    let start = clock.now() + HEAD_START;
    let cut = Arc::new(AtomicBool::new(false));
    let mut running = Running::new(settings, clock, start);
    let (mut queues, mut done) = (Vec::new(), Vec::new());
    for thread in 0..settings.threads {
        let recorder = Arc::clone(&running.recorders[thread]);
        let gauges = Arc::clone(&running.gauges);
        let around = Around { mix: mix.clone(), recorder, gauges, start, cut: Arc::clone(&cut) };
        let (senders, users) = people(settings, &endpoint, (clock, thread), &Arc::new(around));
        queues.push(senders);
        let longest = HEAD_START + settings.pace.duration + longest_farewell(endpoint.timeout);
        done.push(work(thread, users, longest)?);
    }
    let queues = in_order(queues, settings.pace.users);
    let halt = Arc::new(Halt::default());
    done.push(pacing(settings, queues, &running, &halt)?);
    let ending = running.attend((&settings.chaos, troupe), (done, interrupt), (&halt, &cut), show).await;
    Ok(running.outcome(&mix, settings, ending))
}

/// A thread that hands out the plan's steps.
fn pacing(
    settings: &Settings,
    queues: Vec<mpsc::Sender<Due>>,
    running: &Running<'_>,
    halt: &Arc<Halt>,
) -> Result<oneshot::Receiver<()>, RunError> {
    let (plan, halt) = (Plan::new(settings.pace), Arc::clone(halt));
    let (clock, start) = (running.clock.clone(), running.start);
    // The last recorder is nobody else's.
    let recorder = Arc::clone(&running.recorders[settings.threads]);
    let (tell, done) = oneshot::channel();
    let pacing = move || {
        pace(plan, &queues, &recorder, (&clock, start), &halt);
        drop(queues);
        let _ = tell.send(());
    };
    std::thread::Builder::new().name("load-pacer".to_owned()).spawn(pacing).map_err(RunError::Thread)?;
    Ok(done)
}

impl<'a> Running<'a> {
    fn new(settings: &Settings, clock: &'a Clock, start: Instant) -> Self {
        Self {
            clock,
            start,
            recorders: (0..=settings.threads).map(|_| Arc::default()).collect(),
            gauges: Arc::default(),
            whole: Tally::default(),
            lately: VecDeque::new(),
            collected: Duration::ZERO,
            series: Series::new(settings.pace.duration),
            events: Vec::new(),
            told: 0,
        }
    }

    fn at(&self) -> Duration {
        self.clock.now().saturating_duration_since(self.start)
    }

    /// Looks on until all threads are done; carries out the chaos meanwhile.
    async fn attend(
        &mut self,
        (chaos, troupe): (&[Moment], &mut Troupe),
        (done, interrupt): (Vec<oneshot::Receiver<()>>, impl Future<Output = ()>),
        (halt, cut): (&Halt, &AtomicBool),
        show: &mut dyn FnMut(&Live<'_>),
    ) -> Ending {
        let mut done = std::pin::pin!(futures_util::future::join_all(done));
        let mut interrupt = std::pin::pin!(interrupt);
        let mut ending = Ending::Whole;
        let mut moments = chaos.iter().peekable();
        // On a machine that is too busy a moment may come late; a pause must not be the shorter for it.
        let mut slip = Duration::ZERO;
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tick.reset_at((self.start + TICK).into());
        loop {
            let next = moments.peek().map(|moment| self.start + moment.at + slip);
            tokio::select! {
                biased;
                () = &mut interrupt, if ending == Ending::Whole => {
                    ending = Ending::Cut;
                    cut.store(true, Ordering::Relaxed);
                    halt.ring();
                }
                () = until(next), if ending == Ending::Whole => {
                    if let Some(moment) = moments.next() {
                        self.befall(moment, troupe);
                        slip = slip.max(self.at().saturating_sub(moment.at));
                    }
                }
                _ = &mut done => break,
                _ = tick.tick() => {
                    self.notice_ends(troupe);
                    self.collect();
                    self.tell(show);
                }
            }
        }
        self.notice_ends(troupe);
        self.collect();
        self.tell(show);
        ending
    }

    fn befall(&mut self, moment: &Moment, troupe: &mut Troupe) {
        let at = self.at();
        let what = match moment.happen(troupe) {
            Ok(()) => moment.words(),
            Err(why) => format!("not done: {} ({why})", moment.words()),
        };
        self.events.push(Event { at, what });
    }

    fn notice_ends(&mut self, troupe: &mut Troupe) {
        let at = self.at();
        let ends = troupe.ended().into_iter();
        self.events.extend(ends.map(|(name, status)| Event { at, what: format!("{name} ended ({status})") }));
    }

    fn collect(&mut self) {
        let now = self.at();
        let mut tally = Tally::default();
        self.recorders.iter().for_each(|recorder| tally.join(&recorder.take()));
        self.whole.join(&tally);
        let open = (self.gauges.users.load(Ordering::Relaxed), self.gauges.streams.load(Ordering::Relaxed));
        self.series.add(now, &tally, open);
        self.lately.push_back((tally, now.saturating_sub(self.collected)));
        self.collected = now;
        if self.lately.len() > LATELY {
            self.lately.pop_front();
        }
    }

    fn tell(&mut self, show: &mut dyn FnMut(&Live<'_>)) {
        let mut lately = Tally::default();
        self.lately.iter().for_each(|(tally, _)| lately.join(tally));
        show(&Live {
            at: self.collected,
            lately: &lately,
            seconds: self.lately.iter().map(|(_, time)| time.as_secs_f64()).sum(),
            whole: &self.whole,
            users: self.gauges.users.load(Ordering::Relaxed),
            streams: self.gauges.streams.load(Ordering::Relaxed),
            events: &self.events[self.told..],
        });
        self.told = self.events.len();
    }

    fn outcome(mut self, mix: &Mix, settings: &Settings, ending: Ending) -> Outcome {
        let users = self.whole.users.values();
        let ended: u64 = users.map(|user| user.answered + user.failed + user.missed).sum();
        let rest = self.whole.planned.saturating_sub(ended);
        let mut left_undone = 0;
        if ending == Ending::Cut {
            left_undone = rest;
        } else if rest > 0 {
            self.whole.errors.insert(Trouble::Unfinished, rest);
            let said = Mishap::new(Trouble::Unfinished, "planned in time, and not ended when the run was").said;
            self.whole.said.insert(Trouble::Unfinished, said);
        }
        let parts = mix.parts().iter().map(|part| part.name.clone());
        let took = match ending {
            Ending::Whole => self.collected.max(settings.pace.duration),
            Ending::Cut => self.collected,
        };
        Outcome {
            whole: self.whole,
            series: self.series.points(),
            events: self.events,
            operations: ["begin a session", "end a session"].map(str::to_owned).into_iter().chain(parts).collect(),
            took,
            ending,
            left_undone,
        }
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}
