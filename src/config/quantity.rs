//! The forms of quantities: durations, sizes and counts, each within bounds that the fault names.
//! Knows no particular key.

use std::fmt::Display;
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::fault::{Code, Fault, Span};
use super::form::{Complaint, Form};
use super::tree::Slot;
use super::{duration, size};

/// A duration such as `"30s"`.
pub(super) struct Period {
    pub min: Duration,
    pub max: Duration,
}

/// A size such as `"64KiB"`, in bytes.
pub(super) struct Size {
    pub min: usize,
    pub max: usize,
    /// Sizes above this are worth a warning.
    pub usual: usize,
}

/// A whole number.
pub(super) struct Count<T> {
    pub min: T,
    pub max: T,
    /// Numbers above this are worth a warning.
    pub usual: T,
}

/// On which side of its bounds a value lies.
#[derive(Clone, Copy)]
enum Beyond {
    Below,
    Above,
}

fn beyond<T: PartialOrd>(given: &T, min: &T, max: &T) -> Option<Beyond> {
    if given < min {
        return Some(Beyond::Below);
    }
    (given > max).then_some(Beyond::Above)
}

impl Slot<'_> {
    fn out_of_range(&mut self, span: Span, beyond: Beyond, min: &str, max: &str) {
        let label = match beyond {
            Beyond::Below => format!("less than {min}"),
            Beyond::Above => format!("more than {max}"),
        };
        let fault = Fault::new(Code::OutOfRange, span, format!("{} is out of range", self.name));
        self.sink.fault(fault.label(label).help(format!("accepted: from {min} to {max}")));
    }

    fn unusual(&mut self, span: Span, usual: &str) {
        let fault = Fault::new(Code::Careless, span, format!("{} is unusually large", self.name));
        let help = "a bound this large hardly protects this instance's memory and its other clients";
        self.sink.warn(fault.label(format!("more than {usual}")).help(help));
    }
}

impl Form for Period {
    type Value = Duration;

    fn read(&self, value: &Spanned<DeValue<'_>>, slot: &mut Slot<'_>) -> Option<Duration> {
        let accepted = self.accepted();
        if let Some(number) = value.get_ref().as_integer() {
            let unit = format!("{accepted}; write the unit, as in \"{number}s\" or \"{number}ms\"");
            slot.wrong_type(value, "a duration in quotes", &unit);
            return None;
        }
        let text = slot.text(value, "a duration in quotes", &accepted)?;
        let Some(given) = duration::parse(text) else {
            let accepted = format!("{accepted}, in units d, h, m, s and ms, as in \"1h30m\"");
            slot.complain(value.span(), Complaint::bad(format!("`{text}` is not a duration")), &accepted);
            return None;
        };
        if let Some(beyond) = beyond(&given, &self.min, &self.max) {
            slot.out_of_range(value.span(), beyond, &duration::text(self.min), &duration::text(self.max));
            return None;
        }
        Some(given)
    }

    fn accepted(&self) -> String {
        format!("a duration from \"{}\" to \"{}\"", duration::text(self.min), duration::text(self.max))
    }
}

impl Form for Size {
    type Value = usize;

    fn read(&self, value: &Spanned<DeValue<'_>>, slot: &mut Slot<'_>) -> Option<usize> {
        let accepted = self.accepted();
        if let Some(number) = value.get_ref().as_integer() {
            let unit = format!("{accepted}; write the unit, as in \"{number}B\"");
            slot.wrong_type(value, "a size in quotes", &unit);
            return None;
        }
        let text = slot.text(value, "a size in quotes", &accepted)?;
        let Some(given) = size::parse(text) else {
            let hint = size::corrected(text).map_or(String::new(), |text| format!("did you mean \"{text}\"? "));
            let units = "in units B, kB, MB, GB (by 1000) or KiB, MiB, GiB (by 1024)";
            let complaint = Complaint::bad(format!("`{text}` is not a size"));
            slot.complain(value.span(), complaint.help(format!("{hint}accepted: {accepted}, {units}")), "");
            return None;
        };
        if let Some(beyond) = beyond(&given, &self.min, &self.max) {
            slot.out_of_range(value.span(), beyond, &size::text(self.min), &size::text(self.max));
            return None;
        }
        if given > self.usual {
            slot.unusual(value.span(), &size::text(self.usual));
        }
        Some(given)
    }

    fn accepted(&self) -> String {
        format!("a size from \"{}\" to \"{}\"", size::text(self.min), size::text(self.max))
    }
}

impl<T: TryFrom<i64> + PartialOrd + Copy + Display + Sync> Form for Count<T> {
    type Value = T;

    fn read(&self, value: &Spanned<DeValue<'_>>, slot: &mut Slot<'_>) -> Option<T> {
        let Some(number) = value.get_ref().as_integer() else {
            slot.wrong_type(value, "a whole number", &self.accepted());
            return None;
        };
        let typed = i64::from_str_radix(number.as_str(), number.radix()).ok().and_then(|given| T::try_from(given).ok());
        // What does not even fit into the type lies beyond the bounds on the side that its sign tells.
        let fits = typed.ok_or(if number.as_str().starts_with('-') { Beyond::Below } else { Beyond::Above });
        match fits.and_then(|given| beyond(&given, &self.min, &self.max).map_or(Ok(given), Err)) {
            Ok(given) => {
                if given > self.usual {
                    slot.unusual(value.span(), &self.usual.to_string());
                }
                Some(given)
            }
            Err(beyond) => {
                slot.out_of_range(value.span(), beyond, &self.min.to_string(), &self.max.to_string());
                None
            }
        }
    }

    fn accepted(&self) -> String {
        format!("a whole number from {} to {}", self.min, self.max)
    }
}
