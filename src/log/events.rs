//! The recent log lines of this program that say what an operator wants to know. Owns how many are kept and how long each may be; what
//! a line says is decided where it is logged, and secrets never get there.

use std::collections::{BTreeMap, VecDeque};
use std::error::Error;
use std::fmt::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Filter, Layer};

use super::flood::Flood;
use crate::clock::Clock;
use crate::config::LogLevel;

/// Lines that are kept; the oldest goes first.
pub const MOST_KEPT: usize = 512;

/// Bytes of a message, and of each text in its fields, that are kept.
const LONGEST_TEXT: usize = 512;

/// Fields of a line that are kept.
const MOST_FIELDS: usize = 24;

/// The beginning of what our own lines are called.
const OWN: &str = env!("CARGO_PKG_NAME");

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// Counts up from 1 without a gap, in this process.
    pub number: u64,
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// How severe.
    pub level: LogLevel,
    /// What has happened.
    pub message: Box<str>,
    /// To whom, where and how: texts, numbers and truth values.
    pub fields: BTreeMap<&'static str, Value>,
}

/// The recent lines, the oldest first.
#[derive(Debug)]
pub struct Events {
    clock: Clock,
    /// Taken for each line of some importance and by who reads them; such lines are few (see `flood`).
    kept: Mutex<VecDeque<Arc<Event>>>,
    newest: watch::Sender<u64>,
}

impl Events {
    /// None yet.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { clock, kept: Mutex::default(), newest: watch::Sender::new(0) }
    }

    /// Up to `most` lines whose number is greater than `number`: the newest of them, the oldest first.
    #[must_use]
    pub fn after(&self, number: u64, most: usize) -> Vec<Arc<Event>> {
        let kept = self.held();
        let from = kept.partition_point(|event| event.number <= number);
        kept.iter().skip(from.max(kept.len().saturating_sub(most))).cloned().collect()
    }

    /// Whoever waits for the next line waits for this to change: it is the number of the newest, 0 before the first.
    #[must_use]
    pub fn newest(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    fn add(&self, level: LogLevel, read: Read) {
        let at = self.clock.unix_millis();
        let mut kept = self.held();
        let number = kept.back().map_or(0, |event| event.number) + 1;
        if kept.len() == MOST_KEPT {
            kept.pop_front();
        }
        let Read { message, fields } = read;
        kept.push_back(Arc::new(Event { number, at, level, message: message.into(), fields }));
        // Told before the lock is let go of: the numbers that others see never go back.
        self.newest.send_replace(number);
    }

    fn held(&self) -> MutexGuard<'_, VecDeque<Arc<Event>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps the lines that it is shown.
pub(super) struct Keep {
    events: Arc<Events>,
    flood: Flood,
}

impl Keep {
    pub fn new(events: Arc<Events>) -> Self {
        let flood = Flood::new(events.clock.clone());
        Self { events, flood }
    }
}

impl<S: Subscriber> Layer<S> for Keep {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if !self.flood.lets(event) {
            return;
        }
        let mut read = Read::default();
        event.record(&mut read);
        self.events.add(level_of(event.metadata()), read);
    }
}

fn level_of(metadata: &Metadata<'_>) -> LogLevel {
    match *metadata.level() {
        Level::ERROR => LogLevel::Error,
        Level::WARN => LogLevel::Warn,
        Level::INFO => LogLevel::Info,
        Level::DEBUG => LogLevel::Debug,
        Level::TRACE => LogLevel::Trace,
    }
}

/// What an operator wants to know: lines of our own, at level `info` and above.
pub(super) struct Notable;

fn is_notable(metadata: &Metadata<'_>) -> bool {
    *metadata.level() <= Level::INFO && metadata.target().split("::").next() == Some(OWN)
}

impl<S> Filter<S> for Notable {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        is_notable(metadata)
    }

    // Asked once for each place in the code, so that lines that nobody wants cost nothing.
    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if is_notable(metadata) { Interest::always() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::INFO)
    }
}

/// What stands in a line.
#[derive(Debug, Default)]
struct Read {
    message: String,
    fields: BTreeMap<&'static str, Value>,
}

impl Read {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        if self.fields.len() < MOST_FIELDS {
            self.fields.insert(field.name(), value.into());
        }
    }

    fn put_text(&mut self, field: &Field, text: fmt::Arguments<'_>) {
        let text = bounded(text);
        if field.name() == "message" { self.message = text } else { self.put(field, text) }
    }
}

impl Visit for Read {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put_text(field, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put_text(field, format_args!("{value}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let mut text = bounded(format_args!("{value}"));
        let mut source = value.source();
        while let Some(cause) = source.filter(|_| text.len() < LONGEST_TEXT) {
            text = bounded(format_args!("{text}: {cause}"));
            source = cause.source();
        }
        self.put(field, text);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.put(field, u64::try_from(value).unwrap_or(u64::MAX));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }
}

/// The message of a line.
pub(super) fn message_of(event: &tracing::Event<'_>) -> Box<str> {
    let mut read = Read::default();
    event.record(&mut read);
    read.message.into()
}

/// The text, or its beginning.
fn bounded(text: fmt::Arguments<'_>) -> String {
    let mut bounded = Bounded(String::new());
    // Stops where the bound is reached; nothing else can fail.
    let _ = bounded.write_fmt(text);
    bounded.0
}

struct Bounded(String);

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = LONGEST_TEXT.saturating_sub(self.0.len());
        if text.len() <= room {
            self.0.push_str(text);
            return Ok(());
        }
        self.0.push_str(&text[..text.floor_char_boundary(room)]);
        self.0.push('…');
        Err(fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    fn heard(say: impl FnOnce()) -> Arc<Events> {
        let events = Arc::new(Events::new(Clock::manual()));
        let kept = Keep::new(Arc::clone(&events)).with_filter(Notable);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(kept), say);
        events
    }

    #[test]
    fn a_line_is_kept_with_its_fields() {
        let events = heard(|| {
            let error = std::io::Error::other("no room");
            tracing::warn!(backend = %"b:1", tries = 3, dead = true, error = &error as &dyn Error, "backend ejected");
            tracing::debug!("nothing for operators");
            tracing::error!(target: "hyper", "not ours");
            tracing::error!(target: "moorline_neighbour", "not ours either");
        });
        let kept = events.after(0, 10);
        assert_eq!(kept.len(), 1);
        let json = serde_json::to_string(&*kept[0]).unwrap();
        let at = Clock::manual().unix_millis();
        let fields = r#"{"backend":"b:1","dead":true,"error":"no room","tries":3}"#;
        assert_eq!(
            json,
            format!(r#"{{"number":1,"at":{at},"level":"warn","message":"backend ejected","fields":{fields}}}"#)
        );
    }

    #[test]
    fn the_oldest_lines_make_room_and_numbers_go_on() {
        let events = Events::new(Clock::manual());
        (0..MOST_KEPT + 3).for_each(|_| events.add(LogLevel::Info, Read::default()));
        let kept = events.after(0, usize::MAX);
        assert_eq!((kept.len(), kept[0].number), (MOST_KEPT, 4));
        let numbers = |after, most| events.after(after, most).iter().map(|event| event.number).collect::<Vec<_>>();
        assert_eq!(numbers(512, 10), [513, 514, 515]);
        assert_eq!(numbers(0, 2), [514, 515]);
        assert_eq!(numbers(515, 2), [0_u64; 0]);
    }

    #[test]
    fn no_line_is_longer_than_it_may_be() {
        let long = "ä".repeat(10_000);
        let events = heard(|| {
            tracing::info!(long, debugged = ?long, "{long}");
            tracing::error!(error = &std::io::Error::other(long.clone()) as &dyn Error, "failed");
        });
        let kept = events.after(0, 10);
        let whole: usize = kept.iter().map(|event| serde_json::to_string(&**event).unwrap().len()).sum();
        assert!(whole < 5 * LONGEST_TEXT, "{whole}");
        assert!(kept[0].message.ends_with('…'));
    }

    #[tokio::test]
    async fn who_waits_hears_of_the_next_line() {
        let events = Arc::new(Events::new(Clock::manual()));
        let mut newest = events.newest();
        let kept = Keep::new(Arc::clone(&events));
        let waiting = tokio::spawn(async move { newest.wait_for(|number| *number == 1).await.map(|number| *number) });
        tracing::subscriber::with_default(tracing_subscriber::registry().with(kept), || tracing::info!("said"));
        let told = tokio::time::timeout(Duration::from_secs(5), waiting).await.unwrap().unwrap();
        assert_eq!(told.unwrap(), 1);
    }
}
