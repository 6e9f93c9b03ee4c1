//! Keeps any one kind of log line from drowning the others: what is said at one place in the code has a budget, and what goes beyond
//! it is counted. Lines for developers have none: who asks for those wants them all.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tracing::callsite::Identifier;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::registry::LookupSpan;

use super::events::message_of;
use crate::clock::Clock;

/// Lines of one kind that may come at once.
const AT_ONCE: u64 = 100;

/// One more may come each time that this has passed.
const APART: Duration = Duration::from_millis(100);

/// The budgets of all kinds of lines; there are as many as places in the code.
#[derive(Debug)]
pub(super) struct Flood {
    clock: Clock,
    /// Taken for a moment by each line of level `info` or above.
    budgets: Mutex<HashMap<Identifier, Budget>>,
}

#[derive(Debug, Default)]
struct Budget {
    /// When the lines said so far would have come, had they come as slowly as they may in the long run; in microseconds since 1970.
    arrival: u64,
    left_out: u64,
    message: Box<str>,
}

impl Flood {
    pub fn new(clock: Clock) -> Self {
        Self { clock, budgets: Mutex::default() }
    }

    /// Whether the line may be said.
    pub fn lets(&self, event: &Event<'_>) -> bool {
        if *event.metadata().level() > Level::INFO {
            return true;
        }
        let now = self.clock.micros();
        let mut budgets = self.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        let budget = budgets.entry(event.metadata().callsite()).or_default();
        if budget.spend(now) {
            return true;
        }
        if budget.left_out == 0 {
            budget.message = message_of(event);
        }
        budget.left_out += 1;
        false
    }

    /// What was left out since this was last asked: the messages, and how often each.
    pub fn left_out(&self) -> Vec<(Box<str>, u64)> {
        let mut budgets = self.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        let left_out = budgets.values_mut().filter(|budget| budget.left_out > 0);
        left_out.map(|budget| (std::mem::take(&mut budget.message), std::mem::take(&mut budget.left_out))).collect()
    }
}

impl Budget {
    fn spend(&mut self, now: u64) -> bool {
        let apart = u64::try_from(APART.as_micros()).unwrap_or(u64::MAX);
        let arrival = self.arrival.max(now);
        let has_room = arrival - now <= (AT_ONCE - 1) * apart;
        if has_room {
            self.arrival = arrival + apart;
        }
        has_room
    }
}

/// Writes lines as `form` does, as long as the budget lasts.
pub(super) struct Bounded<F> {
    pub form: F,
    pub flood: Arc<Flood>,
}

impl<S, N, F> FormatEvent<S, N> for Bounded<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        if self.flood.lets(event) { self.form.format_event(context, writer, event) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::PoisonError;

    use tracing_subscriber::fmt;
    use tracing_subscriber::layer::SubscriberExt;

    use super::super::events::{Events, Keep};
    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Page {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).write(text)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn say(times: usize) {
        (0..times).for_each(|_| tracing::info!("refused"));
    }

    #[test]
    fn a_thousand_lines_of_one_kind_are_a_hundred_and_a_word() {
        let clock = Clock::manual();
        let flood = Arc::new(Flood::new(clock.clone()));
        let events = Arc::new(Events::new(clock.clone()));
        let page = Page::default();
        let to = page.clone();
        let written = fmt::layer().with_writer(move || to.clone()).with_ansi(false);
        let written = written.map_event_format(|form| Bounded { form, flood: Arc::clone(&flood) });
        let subscriber = tracing_subscriber::registry().with(written).with(Keep::new(Arc::clone(&events)));
        tracing::subscriber::with_default(subscriber, || {
            say(1000);
            tracing::info!("another kind");
            (0..200).for_each(|_| tracing::debug!("for developers"));
            clock.advance(APART * 3);
            say(5);
        });
        let text = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
        for (said, expected) in [("refused", 103), ("another kind", 1), ("for developers", 200)] {
            assert_eq!(text.lines().filter(|line| line.ends_with(said)).count(), expected, "{said}");
            assert_eq!(events.after(0, 1000).iter().filter(|event| &*event.message == said).count(), expected);
        }
        assert_eq!(flood.left_out(), [("refused".into(), 902)]);
        assert_eq!(flood.left_out(), []);
    }
}
