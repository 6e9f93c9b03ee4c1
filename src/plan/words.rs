//! Numbers of a plan as people read them, and the whole numbers that follow from them.

use crate::load::words::{count, digits, micros};

pub use crate::load::words::plain;

/// A number of things: whole ones with their thousands apart, small ones with three digits.
#[must_use]
pub fn number(value: f64) -> String {
    let is_whole = (value - value.round()).abs() < 1e-9;
    if is_whole || value >= 999.5 { count(whole(value.round())) } else { small(value) }
}

/// Three digits that count, also far below one.
#[must_use]
pub fn small(value: f64) -> String {
    if value == 0.0 || value >= 0.1 {
        return digits(value);
    }
    if value < 1e-6 {
        return "under 0.000001".to_owned();
    }
    let places = (0..8).find(|places| value * 10_f64.powi(*places) >= 9.95).unwrap_or(8);
    let text = format!("{value:.*}", usize::try_from(places).unwrap_or(8));
    text.trim_end_matches('0').to_owned()
}

/// A part of a whole in percent, without zeros behind the point.
#[must_use]
pub fn share(part: f64) -> String {
    let text = crate::load::words::share(part);
    text.strip_suffix(" %").map_or_else(|| text.clone(), |number| format!("{} %", trimmed(number)))
}

/// Without zeros behind the point.
fn trimmed(number: &str) -> &str {
    if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number }
}

/// A number for a command line: three digits, and no thousands set apart.
#[must_use]
pub fn argument(value: f64) -> String {
    trimmed(&small(value)).to_owned()
}

/// About how long, in the largest unit of which there are two.
#[must_use]
pub fn about(value: f64) -> String {
    let units = [(86_400.0, "d"), (3600.0, "h"), (60.0, "min")];
    match units.iter().find(|(length, _)| value >= 2.0 * length) {
        Some((length, unit)) => format!("{} {unit}", trimmed(&digits(value / length))),
        None => seconds(value),
    }
}

/// A time, from microseconds to days.
#[must_use]
pub fn seconds(value: f64) -> String {
    match value {
        v if v >= 1.0 && v.fract() == 0.0 => {
            let units = [(86_400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s")];
            let fits = |(length, _): &&(f64, &str)| v >= *length && v % length == 0.0;
            let (length, unit) = units.iter().find(fits).unwrap_or(&units[3]);
            format!("{} {unit}", v / length)
        }
        v if v > 0.0 && v < 1e-5 => format!("{} µs", trimmed(&digits(v * 1e6))),
        v => micros(whole((v * 1e6).round())),
    }
}

/// A time as configuration files have it, in whole seconds.
#[must_use]
pub fn setting(value: f64) -> String {
    seconds(value.ceil()).replace(' ', "").replace("min", "m")
}

/// A size.
#[must_use]
pub fn bytes(value: f64) -> String {
    let units = [(1_073_741_824.0, "GiB"), (1_048_576.0, "MiB"), (1024.0, "KiB")];
    match units.iter().find(|(size, _)| value >= *size) {
        Some((size, unit)) => format!("{} {unit}", plainly(value / size)),
        None => format!("{} bytes", number(value.round())),
    }
}

/// Three digits, and none behind the point where they are zero.
fn plainly(value: f64) -> String {
    if value.fract() == 0.0 { count(whole(value)) } else { digits(value) }
}

/// The whole number that this is; what is below nothing, or no number, is nothing.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast keeps within the type's bounds")]
pub const fn whole(value: f64) -> u64 {
    value as u64
}

/// The next whole number that is not below; a millionth above one is none, since that is how fractions are kept.
#[must_use]
pub fn up(value: f64) -> u32 {
    u32::try_from(whole((value - 1e-6).ceil())).unwrap_or(u32::MAX)
}

/// The next multiple of a step that is not below.
#[must_use]
pub fn up_to(value: f64, step: u64) -> u64 {
    whole(value.ceil()).div_ceil(step).saturating_mul(step)
}

/// A count as a number to compute with.
#[must_use]
pub fn real(count: u32) -> f64 {
    f64::from(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!([0.0, 3.0, 12_345.0, 1.5, 0.0151, 99.96].map(number), ["0", "3", "12,345", "1.50", "0.015", "100"]);
        assert_eq!([0.0, 0.004_2, 0.25, 2e-7].map(small), ["0.00", "0.0042", "0.25", "under 0.000001"]);
        assert_eq!(
            [168e-6, 0.8, 60.0, 90.0, 3600.0, 86_400.0].map(seconds),
            ["168 µs", "800 ms", "1 min", "90 s", "1 h", "1 d"]
        );
        assert_eq!([4.8e-6, 0.0].map(seconds), ["4.8 µs", "0 µs"]);
        assert_eq!([0.0, 0.5, 1.0, 0.123, 1e-9].map(share), ["0 %", "50 %", "100 %", "12.3 %", "under 0.01 %"]);
        assert_eq!([30.0, 150.0, 26_667.0, 1e6].map(about), ["30 s", "2.5 min", "7.41 h", "11.6 d"]);
        assert_eq!([54.0, 0.5, 5400.0].map(argument), ["54", "0.5", "5400"]);
        assert_eq!([60.0, 90.0, 0.2].map(setting), ["1m", "90s", "1s"]);
        assert_eq!([580.0, 2160.0, 41_943_040.0, 1e10].map(bytes), ["580 bytes", "2.11 KiB", "40 MiB", "9.31 GiB"]);
    }

    #[test]
    fn whole_numbers_are_not_below() {
        assert_eq!([0.0, 1.0, 1.000_000_1, 1.01, -3.0].map(up), [0, 1, 1, 2, 0]);
        assert_eq!((up_to(1.0, 64), up_to(64.0, 64), up_to(64.5, 64)), (64, 64, 128));
    }
}
