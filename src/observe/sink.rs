//! Where access log lines go: a thread of its own writes them, so that a slow terminal or disk holds nobody up.

use std::io::{BufWriter, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::config::AccessLog;

/// Lines that wait to be written at most; further ones are counted and dropped.
const MOST_WAITING: usize = 8192;

/// The way to the writing thread.
#[derive(Debug)]
pub struct Sink {
    lines: SyncSender<String>,
    dropped: AtomicU64,
}

impl Sink {
    /// A sink for the configured place; none where the log is off.
    pub fn to(access: AccessLog) -> Option<Self> {
        let (lines, waiting) = sync_channel(MOST_WAITING);
        let write: fn(&Receiver<String>) = match access {
            AccessLog::Off => return None,
            AccessLog::Stdout => |waiting| write_all(waiting, BufWriter::new(std::io::stdout())),
            AccessLog::Stderr => |waiting| write_all(waiting, BufWriter::new(std::io::stderr())),
        };
        let thread = std::thread::Builder::new().name("access log".into()).spawn(move || write(&waiting));
        if let Err(error) = thread {
            tracing::error!(%error, "no thread for the access log; it stays off");
            return None;
        }
        Some(Self { lines, dropped: AtomicU64::new(0) })
    }

    /// Hands a line over, or drops it if too many wait.
    pub fn write(&self, line: String) {
        if self.lines.try_send(line).is_err() {
            let dropped = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
            if dropped.is_power_of_two() {
                tracing::warn!(dropped, "access log lines dropped");
            }
        }
    }
}

/// Writes until the other end is gone; flushes whenever nothing waits.
fn write_all(waiting: &Receiver<String>, mut to: impl Write) {
    while let Ok(line) = waiting.recv() {
        let more = std::iter::from_fn(|| waiting.try_recv().ok());
        let written = std::iter::once(line).chain(more).try_for_each(|line| to.write_all(line.as_bytes()));
        // A closed pipe must not end the program: there is nobody to tell either.
        if written.and_then(|()| to.flush()).is_err() {
            return;
        }
    }
}
