//! Where access log lines go. Each thread that serves writes its lines into a tray of its own; a thread that does nothing else gathers
//! them a moment later and writes all at once, so that no request waits for a slow terminal or disk, and none wakes anybody for its one
//! line. Opens the file that they go to, and opens it anew where somebody has moved it away.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::config::AccessLog;

/// Bytes that wait in one tray at most; further lines are counted and dropped.
const MOST_WAITING: usize = 1 << 20;

/// Lines lie in their tray for so long, that others may come: what it takes to wake the writing thread costs more than a line.
const GATHER: Duration = Duration::from_millis(10);

/// Orders that wait for the writing thread. A tray rings once until it is emptied.
const ORDERS: usize = 256;

/// The way to the writing thread.
#[derive(Debug)]
pub struct Sink {
    orders: SyncSender<Order>,
    trays: Arc<Trays>,
    dropped: AtomicU64,
    on: AtomicBool,
}

/// Where one thread writes its lines.
#[derive(Debug)]
pub struct Pen {
    sink: Arc<Sink>,
    tray: Arc<Tray>,
}

/// All trays. Held while they are emptied, by the writing thread or by a turn to another place: so whatever was written before the turn
/// goes to the old place, and what comes after it to the new one. Taken some 20 times a second, never by a request.
#[derive(Debug, Default)]
struct Trays(Mutex<Vec<Arc<Tray>>>);

/// Lines of one thread. The lock is its own, but for the moment in which the tray is emptied.
#[derive(Debug, Default)]
struct Tray(Mutex<Vec<u8>>);

#[derive(Debug)]
enum Order {
    /// There is something in a tray.
    Gather,
    /// What comes from now on goes elsewhere; that was written before.
    Turn(Place, Vec<u8>),
    /// Tells when all that was written before is in its place.
    Tell(oneshot::Sender<()>),
}

/// Where lines go.
#[derive(Debug)]
enum Place {
    Stdout,
    Stderr,
    File(File),
    Nowhere,
}

impl Sink {
    /// A sink for the configured place.
    ///
    /// # Errors
    /// If the file cannot be opened, or there is no thread to be had.
    pub fn to(access: &AccessLog) -> io::Result<Self> {
        let place = Place::of(access)?;
        let (orders, waiting) = sync_channel(ORDERS);
        let trays = Arc::new(Trays::default());
        let all = Arc::clone(&trays);
        std::thread::Builder::new().name("access log".into()).spawn(move || write_all(&waiting, &all, place))?;
        Ok(Self { orders, trays, dropped: AtomicU64::new(0), on: AtomicBool::new(*access != AccessLog::Off) })
    }

    /// A tray for one more thread.
    #[must_use]
    pub fn pen(self: &Arc<Self>) -> Pen {
        let tray = Arc::new(Tray::default());
        self.trays.held().push(Arc::clone(&tray));
        Pen { sink: Arc::clone(self), tray }
    }

    /// Whether lines are wanted.
    pub fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// Has what comes from now on go to this place; a file is opened anew, even if it is the same.
    ///
    /// # Errors
    /// If it cannot be opened: then all stays as it was.
    pub fn turn(&self, access: &AccessLog) -> io::Result<()> {
        let place = Place::of(access)?;
        let held = self.trays.held();
        let mut before = Vec::new();
        held.iter().for_each(|tray| before.append(&mut tray.held()));
        match self.orders.try_send(Order::Turn(place, before)) {
            Ok(()) => {
                self.on.store(*access != AccessLog::Off, Ordering::Relaxed);
                Ok(())
            }
            Err(TrySendError::Full(order) | TrySendError::Disconnected(order)) => {
                if let (Order::Turn(_, before), Some(tray)) = (order, held.first()) {
                    tray.held().splice(..0, before);
                }
                Err(io::Error::new(io::ErrorKind::WouldBlock, "too many lines wait to be written"))
            }
        }
    }

    /// Waits until all that was handed over before is written.
    pub async fn settle(&self) {
        let (tell, told) = oneshot::channel();
        if self.orders.try_send(Order::Tell(tell)).is_ok() {
            drop(told.await);
        }
    }

    /// Lines that were dropped.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl Pen {
    /// Has a line written to the end of what waits, or drops it if too much waits.
    pub fn write(&self, line: impl FnOnce(&mut Vec<u8>)) {
        let mut lines = self.tray.held();
        let is_first = lines.is_empty();
        if lines.len() < MOST_WAITING {
            line(&mut lines);
            drop(lines);
            if is_first {
                // Where many orders wait, the thread looks into all trays anyhow.
                let _ = self.sink.orders.try_send(Order::Gather);
            }
            return;
        }
        drop(lines);
        let dropped = self.sink.dropped.fetch_add(1, Ordering::Relaxed) + 1;
        if dropped.is_power_of_two() {
            tracing::warn!(dropped, "access log lines dropped: too many wait to be written");
        }
    }
}

impl Trays {
    fn held(&self) -> MutexGuard<'_, Vec<Arc<Tray>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tray {
    fn held(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    fn of(access: &AccessLog) -> io::Result<Self> {
        Ok(match access {
            AccessLog::Stdout => Self::Stdout,
            AccessLog::Stderr => Self::Stderr,
            AccessLog::File(path) => Self::File(OpenOptions::new().append(true).create(true).open(path)?),
            AccessLog::Off => Self::Nowhere,
        })
    }

    fn write(&mut self, lines: &[u8]) {
        if lines.is_empty() {
            return;
        }
        let written = match self {
            Self::Stdout => io::stdout().lock().write_all(lines).and_then(|()| io::stdout().flush()),
            Self::Stderr => io::stderr().write_all(lines),
            Self::File(file) => file.write_all(lines),
            Self::Nowhere => Ok(()),
        };
        let Err(error) = written else { return };
        match self {
            // A full disk may have room again; the flood of these lines is held back elsewhere.
            Self::File(_) => tracing::error!(%error, "the access log cannot be written, lines are lost"),
            // A closed pipe stays closed, and must not end the program.
            Self::Stdout | Self::Stderr | Self::Nowhere => *self = Self::Nowhere,
        }
    }
}

/// Writes until nobody can order any more.
fn write_all(orders: &Receiver<Order>, trays: &Trays, mut place: Place) {
    // Takes turns with each tray's own, so that no room is asked for again and again.
    let mut spare = Vec::new();
    while let Ok(first) = orders.recv() {
        if matches!(first, Order::Gather) {
            std::thread::sleep(GATHER);
        }
        // What to write, and where to turn to after it.
        let (mut steps, mut tells) = (Vec::new(), Vec::new());
        let held = trays.held();
        for order in std::iter::once(first).chain(std::iter::from_fn(|| orders.try_recv().ok())) {
            match order {
                Order::Gather => {}
                Order::Turn(to, before) => steps.push((before, Some(to))),
                Order::Tell(tell) => tells.push(tell),
            }
        }
        for tray in held.iter() {
            let mut waiting = tray.held();
            if !waiting.is_empty() {
                steps.push((std::mem::replace(&mut *waiting, std::mem::take(&mut spare)), None));
            }
        }
        drop(held);
        for (mut lines, to) in steps {
            place.write(&lines);
            place = to.unwrap_or(place);
            lines.clear();
            spare = lines;
        }
        // Whoever asked may have stopped waiting.
        tells.into_iter().for_each(|tell| {
            let _ = tell.send(());
        });
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn a_file_that_was_moved_away_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (log, moved) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
        fs::write(&log, "before\n").unwrap();
        let to = AccessLog::File(log.clone());
        let sink = Arc::new(Sink::to(&to).unwrap());
        let (pen, other) = (sink.pen(), sink.pen());
        pen.write(|line| line.extend_from_slice(b"one\n"));
        sink.settle().await;
        fs::rename(&log, &moved).unwrap();
        other.write(|line| line.extend_from_slice(b"two\n"));
        sink.turn(&to).unwrap();
        pen.write(|line| line.extend_from_slice(b"three\n"));
        sink.settle().await;
        assert_eq!(fs::read_to_string(&moved).unwrap(), "before\none\ntwo\n");
        assert_eq!(fs::read_to_string(&log).unwrap(), "three\n");
    }

    #[tokio::test]
    async fn what_cannot_be_opened_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("access.log");
        let sink = Arc::new(Sink::to(&AccessLog::File(log.clone())).unwrap());
        let pen = sink.pen();
        assert!(sink.turn(&AccessLog::File(folder.path().join("missing/access.log"))).is_err());
        pen.write(|line| line.extend_from_slice(b"still here\n"));
        sink.settle().await;
        assert_eq!(fs::read_to_string(&log).unwrap(), "still here\n");
        sink.turn(&AccessLog::Off).unwrap();
        assert!(!sink.is_on());
    }

    #[tokio::test]
    async fn what_nobody_takes_is_dropped_and_counted() {
        let sink = Arc::new(Sink::to(&AccessLog::Off).unwrap());
        let pen = sink.pen();
        let held = sink.trays.held();
        let line = "x".repeat(1023) + "\n";
        (0..1030).for_each(|_| pen.write(|waiting| waiting.extend_from_slice(line.as_bytes())));
        assert_eq!(sink.dropped(), 6);
        drop(held);
        sink.settle().await;
        pen.write(|waiting| waiting.extend_from_slice(line.as_bytes()));
        assert_eq!(sink.dropped(), 6, "there is room again");
    }
}
