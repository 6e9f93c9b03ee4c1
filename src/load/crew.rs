//! Worker threads and the users on them: who lives on which thread, in which era, and with or without a stream. Each thread has a runtime of its own, so
//! that users share nothing with those of another one.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::line::{Endpoint, Line};
use super::plan::Due;
use super::run::{Eras, RunError, Settings};
use super::user::{Around, Streams, User};
use crate::clock::Clock;
use crate::mcp::version::Era;
use crate::tasks::Crew;

/// A user, and where its steps come from.
pub(super) type Person = (User, mpsc::Receiver<Due>);

/// The users of one thread, and for each the end of the queue that is the pacer's.
pub(super) fn people(
    settings: &Settings,
    endpoint: &Arc<Endpoint>,
    (clock, thread): (&Clock, usize),
    around: &Arc<Around>,
) -> (Vec<mpsc::Sender<Due>>, Vec<Person>) {
    let numbers = (0..settings.pace.users).skip(thread).step_by(settings.threads);
    let person = |number: u32| {
        let (sender, receiver) = mpsc::channel(settings.backlog.max(1));
        let line = Line::new(endpoint, number as usize, clock);
        let era = match settings.eras {
            Eras::Legacy => Era::Legacy,
            Eras::Mix if number.is_multiple_of(2) => Era::Legacy,
            Eras::Modern | Eras::Mix => Era::Modern,
        };
        let streams = if holds_stream(number, settings.streams, settings.eras) { Streams::Held } else { Streams::None };
        (sender, (User { number, era, streams, line, around: Arc::clone(around) }, receiver))
    };
    numbers.map(person).unzip()
}

/// Spread evenly over the users, and over the eras where there are two: of each pair of users both do or neither.
fn holds_stream(number: u32, share: f64, eras: Eras) -> bool {
    let rank = if eras == Eras::Mix { number / 2 } else { number };
    let before = |rank: u32| (f64::from(rank) * share + 1e-9).floor();
    before(rank + 1) > before(rank)
}

/// The queues by user, from those by thread.
pub(super) fn in_order(mut queues: Vec<Vec<mpsc::Sender<Due>>>, users: u32) -> Vec<mpsc::Sender<Due>> {
    for queues in &mut queues {
        queues.reverse();
    }
    let threads = queues.len();
    (0..users as usize).filter_map(|user| queues[user % threads].pop()).collect()
}

/// A thread with a runtime of its own, on which these users live.
pub(super) fn work(thread: usize, users: Vec<Person>, longest: Duration) -> Result<oneshot::Receiver<()>, RunError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(RunError::Thread)?;
    let (tell, done) = oneshot::channel();
    let living = move || {
        runtime.block_on(async {
            let mut crew = Crew::default();
            for (user, steps) in users {
                crew.spawn(user.live(steps));
            }
            crew.join(longest).await;
        });
        let _ = tell.send(());
    };
    let builder = std::thread::Builder::new().name(format!("load-{thread}"));
    builder.spawn(living).map_err(RunError::Thread)?;
    Ok(done)
}

/// Lets this process have as many descriptors as it may, and says so where these are too few.
pub(super) fn make_room(settings: &Settings) -> Result<(), RunError> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    // A call and its resumption, and a stream, for each; some for all else.
    let streams = (f64::from(settings.pace.users) * settings.streams).ceil();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of users")]
    let needed = u64::from(settings.pace.users) + streams as u64 + 100;
    let limits = getrlimit(Resource::Nofile);
    let most = limits.maximum.unwrap_or(u64::MAX);
    if limits.current.is_some_and(|current| current < most) {
        // Where it is not allowed, what there is has to do.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limits.maximum, maximum: limits.maximum });
    }
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    if limit < needed { Err(RunError::Descriptors { needed, limit }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_come_in_the_order_of_their_users() {
        let (mut ends, mut queues) = (Vec::new(), vec![Vec::new(), Vec::new(), Vec::new()]);
        for user in 0..8_usize {
            // How much room a queue has says whose it is.
            let (sender, receiver) = mpsc::channel(user + 1);
            queues[user % 3].push(sender);
            ends.push(receiver);
        }
        let rooms: Vec<usize> = in_order(queues, 8).iter().map(mpsc::Sender::capacity).collect();
        assert_eq!(rooms, [1, 2, 3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn streams_are_held_by_the_share_that_was_asked_for_and_in_both_eras() {
        let holders = |share: f64, eras: Eras| -> Vec<u32> {
            (0..1000).filter(|user| holds_stream(*user, share, eras)).collect()
        };
        for (share, wanted) in [(0.0, 0), (0.3, 300), (1.0, 1000), (0.001, 1)] {
            assert_eq!(holders(share, Eras::Legacy).len(), wanted, "{share}");
        }
        let both = holders(0.3, Eras::Mix);
        assert_eq!((both.len(), both.iter().filter(|user| user.is_multiple_of(2)).count()), (300, 150));
    }
}
