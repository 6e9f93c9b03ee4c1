//! Where access log lines go: a thread of its own writes them, so that a slow terminal or disk holds nobody up. Opens the file that
//! they go to, and opens it anew where somebody has moved it away.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use tokio::sync::oneshot;

use crate::config::AccessLog;

/// Lines that wait to be written at most; further ones are counted and dropped.
const MOST_WAITING: usize = 8192;

/// Bytes that are written at once.
const AT_ONCE: usize = 64 * 1024;

/// The way to the writing thread.
#[derive(Debug)]
pub struct Sink {
    orders: SyncSender<Order>,
    dropped: AtomicU64,
    on: AtomicBool,
}

#[derive(Debug)]
enum Order {
    Write(String),
    /// What comes from now on goes elsewhere.
    Turn(Place),
    /// Tells when all that was ordered before is written.
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
        let (orders, waiting) = sync_channel(MOST_WAITING);
        std::thread::Builder::new().name("access log".into()).spawn(move || write_all(&waiting, place))?;
        Ok(Self { orders, dropped: AtomicU64::new(0), on: AtomicBool::new(*access != AccessLog::Off) })
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
        self.on.store(*access != AccessLog::Off, Ordering::Relaxed);
        let busy = |_| io::Error::new(io::ErrorKind::WouldBlock, "too many lines wait to be written");
        self.orders.try_send(Order::Turn(place)).map_err(busy)
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

    /// Hands a line over, or drops it if too many wait.
    pub fn write(&self, line: String) {
        if self.orders.try_send(Order::Write(line)).is_err() {
            let dropped = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
            if dropped.is_power_of_two() {
                tracing::warn!(dropped, "access log lines dropped: too many wait to be written");
            }
        }
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

/// Writes until the other end is gone; whatever waits is written at once.
fn write_all(waiting: &Receiver<Order>, mut place: Place) {
    let mut lines: Vec<u8> = Vec::with_capacity(AT_ONCE);
    while let Ok(first) = waiting.recv() {
        let mut next = Some(first);
        while let Some(order) = next {
            carry_out(order, &mut place, &mut lines);
            next = waiting.try_recv().ok();
        }
        put(&mut place, &mut lines);
    }
}

fn carry_out(order: Order, place: &mut Place, lines: &mut Vec<u8>) {
    match order {
        Order::Write(line) => {
            lines.extend_from_slice(line.as_bytes());
            if lines.len() >= AT_ONCE {
                put(place, lines);
            }
        }
        Order::Turn(to) => {
            put(place, lines);
            *place = to;
        }
        Order::Tell(tell) => {
            put(place, lines);
            // Whoever asked may have stopped waiting.
            let _ = tell.send(());
        }
    }
}

fn put(place: &mut Place, lines: &mut Vec<u8>) {
    if !lines.is_empty() {
        place.write(lines);
        lines.clear();
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
        let sink = Sink::to(&to).unwrap();
        sink.write("one\n".into());
        sink.settle().await;
        fs::rename(&log, &moved).unwrap();
        sink.write("two\n".into());
        sink.turn(&to).unwrap();
        sink.write("three\n".into());
        sink.settle().await;
        assert_eq!(fs::read_to_string(&moved).unwrap(), "before\none\ntwo\n");
        assert_eq!(fs::read_to_string(&log).unwrap(), "three\n");
    }

    #[tokio::test]
    async fn what_cannot_be_opened_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("access.log");
        let sink = Sink::to(&AccessLog::File(log.clone())).unwrap();
        assert!(sink.turn(&AccessLog::File(folder.path().join("missing/access.log"))).is_err());
        sink.write("still here\n".into());
        sink.settle().await;
        assert_eq!(fs::read_to_string(&log).unwrap(), "still here\n");
        sink.turn(&AccessLog::Off).unwrap();
        assert!(!sink.is_on());
    }
}
