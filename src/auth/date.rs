//! Dates as files of keys have them: to seconds since 1970 and back. Tells no time.

use toml::value::{Datetime, Offset};

const DAY: i64 = 86_400;

/// Seconds since 1970 of a date with time and zone, 0 for what lies before; `None` where either is missing.
pub(super) fn unix(date: &Datetime) -> Option<u64> {
    let (day, time, zone) = (date.date?, date.time?, date.offset?);
    let minutes = match zone {
        Offset::Z => 0,
        Offset::Custom { minutes } => i64::from(minutes),
    };
    let days = days_since_1970(i64::from(day.year), i64::from(day.month), i64::from(day.day));
    let of_day = i64::from(time.hour) * 3600 + i64::from(time.minute) * 60 + i64::from(time.second.unwrap_or(0));
    Some(u64::try_from(days * DAY + of_day - minutes * 60).unwrap_or(0))
}

/// The date as it is written (RFC 3339), in UTC.
pub(super) fn text(unix: u64) -> String {
    // Before the year 10000, which is as far as the form goes.
    let unix = i64::try_from(unix).unwrap_or(i64::MAX).min(253_402_300_799);
    let (year, month, day) = date(unix / DAY);
    let of_day = unix % DAY;
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Days from 1970-01-01 to a date of the Gregorian calendar (Hinnant, "chrono-Compatible Low-Level Date Algorithms").
const fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The date so many days after 1970-01-01 (the same).
const fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + if month <= 2 { 1 } else { 0 }, month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert_eq, proptest};

    use super::*;

    fn read(text: &str) -> Option<u64> {
        unix(&text.parse().unwrap())
    }

    #[test]
    fn dates_are_what_calendars_say() {
        assert_eq!(read("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(read("2000-02-29T12:00:00Z"), Some(951_825_600));
        assert_eq!(read("2027-01-15T10:00:00+02:00"), Some(1_800_000_000));
        assert_eq!(read("1969-12-31T23:59:59Z"), Some(0));
        assert_eq!(read("2027-01-15"), None);
        assert_eq!(read("2027-01-15T10:00:00"), None);
        assert_eq!(text(951_825_600), "2000-02-29T12:00:00Z");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(seconds in 0_u64..253_402_300_800) {
            prop_assert_eq!(read(&text(seconds)), Some(seconds));
        }
    }
}
