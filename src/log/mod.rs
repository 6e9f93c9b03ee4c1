//! The log of this process: which lines are written to standard error, that no kind of them becomes a flood, and the recent ones that
//! an operator wants to see. Says nothing itself but how much was left out. The access log is `observe`'s.

mod events;
mod flood;

use std::io::IsTerminal;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

pub use events::{Event, Events, MOST_KEPT};

use crate::clock::Clock;
use crate::config::{LogFormat, LogLevel, LogSettings};
use events::{Keep, Notable};
use flood::{Bounded, Flood};

/// How often it is told how many lines were left out.
const TELL: Duration = Duration::from_secs(10);

/// The log. Cheap to clone; all clones are one log.
#[derive(Clone, Debug)]
pub struct Log {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    events: Arc<Events>,
    flood: Arc<Flood>,
    /// Taken where the level is asked for or changed, which a line never does.
    level: Mutex<Level>,
}

#[derive(Debug)]
struct Level {
    now: LogLevel,
    /// What the configuration says; none where the environment says it in its place.
    configured: Option<LogLevel>,
    handle: Option<reload::Handle<EnvFilter, Registry>>,
}

impl Log {
    /// Has this process log to standard error from now on. `RUST_LOG` is used instead of the configured level where it is set. Where
    /// the process has a log already, that one stays, and this one hears nothing.
    #[must_use]
    pub fn start(settings: &LogSettings, clock: &Clock) -> Self {
        let from_environment = EnvFilter::try_from_default_env().ok();
        let configured = from_environment.is_none().then_some(settings.level);
        let filter = from_environment.unwrap_or_else(|| filter(settings.level));
        let now = configured.unwrap_or_else(|| filter.max_level_hint().map_or(LogLevel::Trace, nearest));
        let log = Self::new(clock, Level { now, configured, handle: None });
        let (filter, handle) = reload::Layer::new(filter);
        let flood = Arc::clone(&log.shared.flood);
        let written = fmt::layer().with_writer(std::io::stderr);
        let written = match settings.format {
            LogFormat::Json => written.json().map_event_format(|form| Bounded { form, flood }).boxed(),
            LogFormat::Text => {
                let written = written.with_ansi(std::io::stderr().is_terminal());
                written.map_event_format(|form| Bounded { form, flood }).boxed()
            }
        };
        let kept = Keep::new(Arc::clone(&log.shared.events)).with_filter(Notable);
        // A second log in one process (tests) is refused, which is fine.
        if tracing_subscriber::registry().with(written.with_filter(filter)).with(kept).try_init().is_ok() {
            log.level_held().handle = Some(handle);
        }
        log
    }

    /// A log that hears nothing, for an instance whose process logs elsewhere or not at all.
    #[must_use]
    pub fn unheard(clock: &Clock) -> Self {
        Self::new(clock, Level { now: LogLevel::Info, configured: None, handle: None })
    }

    fn new(clock: &Clock, level: Level) -> Self {
        let events = Arc::new(Events::new(clock.clone()));
        let flood = Arc::new(Flood::new(clock.clone()));
        Self { shared: Arc::new(Shared { events, flood, level: Mutex::new(level) }) }
    }

    /// The recent lines.
    #[must_use]
    pub fn events(&self) -> &Arc<Events> {
        &self.shared.events
    }

    /// The least severe level that is written now.
    #[must_use]
    pub fn level(&self) -> LogLevel {
        self.level_held().now
    }

    /// Has this level and all more severe ones written from now on, whatever the configuration or the environment says.
    pub fn set_level(&self, level: LogLevel) {
        let mut held = self.level_held();
        let handle = held.handle.as_ref();
        if handle.is_none_or(|handle| handle.reload(filter(level)).is_ok()) {
            held.now = level;
        }
    }

    /// Takes new settings: a level that has changed in the configuration holds from now on, unless the environment has said another.
    pub fn reconfigure(&self, settings: &LogSettings) {
        let changed = {
            let mut held = self.level_held();
            let known = held.configured.as_mut().filter(|known| **known != settings.level);
            known.map(|known| *known = settings.level)
        };
        if changed.is_some() {
            self.set_level(settings.level);
        }
    }

    /// Tells now and then how many lines were left out, for ever.
    pub async fn keep(self) {
        loop {
            tokio::time::sleep(TELL).await;
            self.tell_left_out();
        }
    }

    /// Tells how many lines were left out since this was last told, if any were.
    pub fn tell_left_out(&self) {
        for (line, count) in self.shared.flood.left_out() {
            tracing::warn!(line = &*line, count, "too many log lines of one kind; some were left out");
        }
    }

    fn level_held(&self) -> MutexGuard<'_, Level> {
        self.shared.level.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is written at a level. Some libraries say more than anybody asked for.
fn filter(level: LogLevel) -> EnvFilter {
    EnvFilter::new(format!("{},hickory_resolver=warn,hyper=warn", level.name()))
}

fn nearest(filter: LevelFilter) -> LogLevel {
    let same = |level: &LogLevel| filter == level_filter(*level);
    LogLevel::ALL.into_iter().find(same).unwrap_or(LogLevel::Error)
}

const fn level_filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::AccessLog;

    fn settings(level: LogLevel) -> LogSettings {
        LogSettings { level, format: LogFormat::Text, access: AccessLog::Off }
    }

    #[test]
    fn an_operators_level_stays_until_the_configuration_changes() {
        let level = Level { now: LogLevel::Info, configured: Some(LogLevel::Info), handle: None };
        let log = Log::new(&Clock::manual(), level);
        log.set_level(LogLevel::Debug);
        log.reconfigure(&settings(LogLevel::Info));
        assert_eq!(log.level(), LogLevel::Debug);
        log.reconfigure(&settings(LogLevel::Warn));
        assert_eq!(log.level(), LogLevel::Warn);
    }

    #[test]
    fn what_the_environment_says_outlasts_a_reload() {
        let log = Log::new(&Clock::manual(), Level { now: LogLevel::Trace, configured: None, handle: None });
        log.reconfigure(&settings(LogLevel::Error));
        assert_eq!(log.level(), LogLevel::Trace);
        log.set_level(LogLevel::Error);
        assert_eq!(log.level(), LogLevel::Error);
    }

    #[test]
    fn every_level_is_found_again_in_its_filter() {
        for level in LogLevel::ALL {
            assert_eq!(nearest(level_filter(level)), level);
            // Libraries are let say a little more than the rest at level `error`.
            let hint = filter(level).max_level_hint().map(nearest);
            assert_eq!(hint, Some(if level == LogLevel::Error { LogLevel::Warn } else { level }));
        }
    }

    #[test]
    fn a_changed_level_holds_for_the_lines_that_follow() {
        let log = Log::new(&Clock::manual(), Level { now: LogLevel::Warn, configured: None, handle: None });
        let (layer, handle) = reload::Layer::new(filter(LogLevel::Warn));
        log.level_held().handle = Some(handle);
        let lines = Arc::new(Events::new(Clock::manual()));
        let kept = Keep::new(Arc::clone(&lines)).with_filter(layer);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(kept), || {
            tracing::info!("too quiet");
            log.set_level(LogLevel::Debug);
            tracing::debug!("heard");
            log.set_level(LogLevel::Error);
            tracing::warn!("too quiet again");
        });
        let heard: Vec<_> = lines.after(0, 10).iter().map(|event| event.message.to_string()).collect();
        assert_eq!(heard, ["heard"]);
    }
}
