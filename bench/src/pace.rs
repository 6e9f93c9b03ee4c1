//! The open loop: requests start at planned times, and latency counts from the plan, so that a proxy that
//! stalls can't hide the requests that wait behind the stall. A thread waits on a kernel timer, since the
//! runtime's own timers know only milliseconds.

use std::convert::Infallible;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::client::{Call, Connection};
use crate::clock;
use crate::load::Recorder;

/// Requests that may wait for one caller's connection before the peer counts as too slow.
const BACKLOG: usize = 256;

/// Starts the timer and one task per caller; calls go round all callers in turn. The timer's thread ends soon
/// after the last task.
///
/// # Errors
/// If there is no kernel timer to be had.
pub fn spawn(
    callers: Vec<(Connection, Call)>,
    rate: u32,
    recorder: &Arc<Recorder>,
    tasks: &mut JoinSet<Result<Infallible>>,
) -> Result<()> {
    ensure!(rate > 0 && !callers.is_empty(), "there is nothing to plan");
    let mut plans = Vec::with_capacity(callers.len());
    for (connection, call) in callers {
        let (plan, planned) = mpsc::channel(BACKLOG);
        plans.push(plan);
        tasks.spawn(follow(connection, call, planned, Arc::clone(recorder)));
    }
    let interval = Duration::from_secs(1) / rate;
    let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC)?;
    timer.set(Expiration::Interval(TimeSpec::from_duration(interval)), TimerSetTimeFlags::empty())?;
    thread::spawn(move || tick(&timer, interval, &plans));
    Ok(())
}

/// Plans until a caller is gone or has too many plans before it; both end all callers, and with them the slot.
fn tick(timer: &TimerFd, interval: Duration, plans: &[mpsc::Sender<Instant>]) {
    let mut planned = clock::now();
    let mut turns = plans.iter().cycle();
    while timer.wait().is_ok() {
        while planned + interval <= clock::now() {
            planned += interval;
            if turns.next().is_none_or(|plan| plan.try_send(planned).is_err()) {
                return;
            }
        }
    }
}

async fn follow(
    mut connection: Connection,
    mut call: Call,
    mut planned: mpsc::Receiver<Instant>,
    recorder: Arc<Recorder>,
) -> Result<Infallible> {
    loop {
        let begin = planned.recv().await.context("the peer does not keep the pace")?;
        let source = connection.call(&mut call).await?;
        recorder.note(begin, source);
    }
}
