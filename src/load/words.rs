//! Numbers as people read them. The same in the terminal and in the page.

/// A duration in its unit: `850 µs`, `1.23 ms`, `12.3 s`.
#[must_use]
pub fn micros(micros: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let value = micros as f64;
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{} ms", digits(value / 1e3)),
        1_000_000..600_000_000 => format!("{} s", digits(value / 1e6)),
        _ => format!("{} min", digits(value / 6e7)),
    }
}

/// Three digits that count, and no point behind the third.
#[must_use]
pub fn digits(value: f64) -> String {
    match value.abs() {
        size if size >= 99.95 => format!("{value:.0}"),
        size if size >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// A count, its thousands apart.
#[must_use]
pub fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A time within a run: `7.5 s`, `2 min 05 s`.
#[must_use]
pub fn moment(seconds: f64) -> String {
    if seconds < 60.0 {
        let text = format!("{seconds:.1}");
        return format!("{} s", text.strip_suffix(".0").unwrap_or(&text));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the length of a run")]
    let whole = seconds.round() as u64;
    let (minutes, seconds) = (whole / 60, whole % 60);
    if minutes < 60 {
        format!("{minutes} min {seconds:02} s")
    } else {
        format!("{} h {:02} min", minutes / 60, minutes % 60)
    }
}

/// A part of a whole in percent, never rounded to nothing or to all of it.
#[must_use]
pub fn share(part: f64) -> String {
    let percent = part * 100.0;
    match percent {
        p if p > 99.99 && part < 1.0 => "99.99 %".to_owned(),
        p if p > 0.0 && p < 0.01 => "under 0.01 %".to_owned(),
        p => format!("{} %", digits(p)),
    }
}

/// Text that a server chose: it does nothing to a terminal.
#[must_use]
pub fn plain(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_debug().collect() } else { vec![c] }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        let shown = [0, 850, 1_234, 56_789, 999_499, 1_500_000, 900_000_000].map(micros);
        assert_eq!(shown, ["0 µs", "850 µs", "1.23 ms", "56.8 ms", "999 ms", "1.50 s", "15.0 min"]);
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([7.5, 30.0, 125.0, 3_900.0].map(moment), ["7.5 s", "30 s", "2 min 05 s", "1 h 05 min"]);
        assert_eq!(
            [1.0, 0.999_999, 0.5, 0.000_001, 0.0].map(share),
            ["100 %", "99.99 %", "50.0 %", "under 0.01 %", "0.00 %"]
        );
        assert_eq!(plain("a\u{1b}[2J"), "a\\u{1b}[2J");
    }
}
