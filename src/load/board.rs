//! The picture of a run in the terminal: redrawn every second on a terminal, a line every five seconds anywhere else.

use std::io::{self, IsTerminal, Write};

use super::record::Tally;
use super::run::Live;
use super::words::{count, digits, micros, moment, plain};

/// How often a plain line is written.
const EVERY_SECONDS: f64 = 5.0;

/// The picture.
pub struct Board<'a> {
    out: &'a mut dyn Write,
    live: bool,
    /// How long the run is, in seconds.
    length: f64,
    /// Lines that stand on the screen and are to be drawn over.
    drawn: usize,
    /// When the last plain line was written.
    last: f64,
}

impl<'a> Board<'a> {
    /// A picture of a run of that many seconds, drawn over where standard error is a terminal.
    pub fn new(out: &'a mut dyn Write, length: f64) -> Self {
        Self { out, live: io::stderr().is_terminal(), length, drawn: 0, last: 0.0 }
    }

    /// Shows how it goes. That it cannot be shown does not end the run.
    pub fn show(&mut self, live: &Live<'_>) {
        let at = live.at.as_secs_f64();
        let mut text = self.erase();
        for event in live.events {
            text.push_str(&format!("{:>8}  {}\n", moment(event.at.as_secs_f64()), plain(&event.what)));
        }
        if self.live {
            let picture = picture(live, self.length);
            self.drawn = picture.lines().count();
            text.push_str(&picture);
        } else if at - self.last >= EVERY_SECONDS - 0.5 {
            self.last = at;
            text.push_str(&one_line(live));
        }
        drop(self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()));
    }

    /// Takes the picture away, for what comes after it.
    pub fn close(&mut self) {
        let text = self.erase();
        drop(self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()));
    }

    fn erase(&mut self) -> String {
        match std::mem::take(&mut self.drawn) {
            0 => String::new(),
            lines => format!("\u{1b}[{lines}A\r\u{1b}[J"),
        }
    }
}

/// Answers and errors a second, lately.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn rates(live: &Live<'_>) -> (f64, f64) {
    let seconds = live.seconds.max(0.001);
    (live.lately.answered() as f64 / seconds, live.lately.failed() as f64 / seconds)
}

fn percentiles(tally: &Tally) -> [String; 5] {
    [0.5, 0.9, 0.99, 0.999, 1.0]
        .map(|share| if tally.answered() == 0 { "-".to_owned() } else { micros(tally.latency.at(share)) })
}

fn picture(live: &Live<'_>, length: f64) -> String {
    let at = live.at.as_secs_f64();
    let (answered, failed) = rates(live);
    let columns = |name: &str, tally: &Tally| {
        let cells: String = percentiles(tally).iter().map(|cell| format!("{cell:>10}")).collect();
        format!("  {name:<12}{cells}\n")
    };
    let mut text = format!("  {} {} of {}\n", bar(at / length.max(0.001)), moment(at), moment(length));
    text.push_str("  latency            p50       p90       p99     p99.9       max\n");
    text.push_str(&columns("lately", live.lately));
    text.push_str(&columns("all along", live.whole));
    text.push_str(&format!(
        "  {} answers/s, {} errors/s; {} answered, {} errors, {} waiting\n",
        digits(answered),
        digits(failed),
        count(live.whole.answered()),
        count(live.whole.failed()),
        count(waiting(live.whole))
    ));
    text.push_str(&format!("  {} users in a session, {} streams open\n", count(live.users), count(live.streams)));
    text
}

fn one_line(live: &Live<'_>) -> String {
    let (answered, failed) = rates(live);
    let [p50, _, p99, _, max] = percentiles(live.lately);
    format!(
        "{:>8}  {} answers/s, {} errors/s, p50 {p50}, p99 {p99}, max {max}; {} users, {} streams, {} waiting, {} errors so far\n",
        moment(live.at.as_secs_f64()),
        digits(answered),
        digits(failed),
        count(live.users),
        count(live.streams),
        count(waiting(live.whole)),
        count(live.whole.failed())
    )
}

/// Calls whose moment has come, and that have not ended.
fn waiting(whole: &Tally) -> u64 {
    let ended: u64 = whole.users.values().map(|user| user.answered + user.failed + user.missed).sum();
    whole.planned.saturating_sub(ended)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a width")]
fn bar(part: f64) -> String {
    const WIDTH: usize = 30;
    let full = ((part.clamp(0.0, 1.0) * WIDTH as f64) as usize).min(WIDTH);
    format!("[{}{}]", "=".repeat(full), " ".repeat(WIDTH - full))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::load::record::{Call, FIRST, Recorder};
    use crate::load::run::Event;

    fn tally() -> Tally {
        let recorder = Recorder::default();
        for _ in 0..10 {
            recorder.planned();
        }
        let took = Duration::from_millis(12);
        for _ in 0..8 {
            let lag = Duration::ZERO;
            recorder.call(Call { user: 0, operation: FIRST, latency: took, service: took, lag, outcome: Ok(()) });
        }
        recorder.take()
    }

    #[test]
    fn a_plain_line_comes_every_few_seconds_and_events_at_once() {
        let (mut out, whole) = (Vec::new(), tally());
        let mut board = Board::new(&mut out, 60.0);
        board.live = false;
        for second in 1..=12 {
            let events = [Event { at: Duration::from_secs(second), what: "a killed".to_owned() }];
            let events = if second == 2 { &events[..] } else { &[] };
            let at = Duration::from_secs(second);
            board.show(&Live { at, lately: &whole, seconds: 4.0, whole: &whole, users: 9, streams: 3, events });
        }
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(text.starts_with("     2 s  a killed\n"), "{text}");
        assert!(text.contains("2.00 answers/s") && text.contains("9 users, 3 streams, 2 waiting, 0 errors"), "{text}");
    }

    #[test]
    fn a_live_picture_is_drawn_over_and_taken_away() {
        let (mut out, whole) = (Vec::new(), tally());
        let mut board = Board::new(&mut out, 60.0);
        board.live = true;
        for at in [1, 2] {
            let at = Duration::from_secs(at);
            board.show(&Live { at, lately: &whole, seconds: 1.0, whole: &whole, users: 9, streams: 3, events: &[] });
        }
        board.close();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.matches("\u{1b}[6A").count(), 2, "{text:?}");
        assert!(text.ends_with("\u{1b}[J") && text.contains("p99.9"), "{text:?}");
    }
}
