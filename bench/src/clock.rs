//! The one place that reads clocks. Times for measurement only; nothing here is injected, since a
//! benchmark has no other time than the machine's.

use std::process::Command;
use std::time::Instant;

/// Monotonic time.
#[expect(clippy::disallowed_methods, reason = "the harness's one reader of the clock")]
pub fn now() -> Instant {
    Instant::now()
}

/// The date and time in UTC as `date` prints it in `format`, for names and notes; `unknown` if it can't be asked.
pub fn date(format: &str) -> String {
    let asked = Command::new("date").arg("-u").arg(format!("+{format}")).output();
    asked.map_or_else(|_| "unknown".into(), |out| String::from_utf8_lossy(&out.stdout).trim().into())
}
