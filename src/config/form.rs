//! The forms that a value may have (choices, texts, lists, flags; quantities stand beside): each reads a value
//! and says in words what it accepts. Knows no particular key.

use std::fmt::Display;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::{Code, Fault, Span};
use super::nearest::nearest;
use super::tree::Slot;

/// What a value must look like.
pub(super) trait Form: Sync {
    /// What it becomes.
    type Value;

    /// Reads the value, or says what is wrong with it.
    fn read(&self, value: &Spanned<DeValue<'_>>, slot: &mut Slot<'_>) -> Option<Self::Value>;

    /// What is accepted, in words: completes "accepted: …".
    fn accepted(&self) -> String;

    /// Whether the value must never be shown.
    fn secret(&self) -> bool {
        false
    }
}

/// Why a text is not what it should be. Completes the key's name to a sentence.
pub(super) struct Complaint {
    pub code: Code,
    pub text: String,
    pub help: Option<String>,
    /// Whether the value turned out to be a secret.
    pub conceal: bool,
}

impl Complaint {
    /// The value has the wrong form.
    pub fn bad(text: impl Into<String>) -> Self {
        Self { code: Code::BadValue, text: text.into(), help: None, conceal: false }
    }

    /// The value will be accepted later.
    pub fn not_yet(what: impl Display) -> Self {
        Self {
            code: Code::NotYet,
            text: format!("{what} is not supported by this version yet"),
            help: None,
            conceal: false,
        }
    }

    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl Slot<'_> {
    /// Collects what is wrong with the value.
    pub fn complain(&mut self, span: Span, complaint: Complaint, accepted: &str) {
        if complaint.conceal {
            self.sink.secrets.push(span.clone());
        }
        let help = complaint.help.unwrap_or_else(|| format!("accepted: {accepted}"));
        let fault = Fault::new(complaint.code, span, format!("{}: {}", self.name, complaint.text));
        self.sink.fault(fault.help(help));
    }

    /// Collects that the value has the wrong type.
    pub fn wrong_type(&mut self, value: &Spanned<DeValue<'_>>, must: &str, accepted: &str) {
        let fault = Fault::new(Code::WrongType, value.span(), format!("{} must be {must}", self.name));
        let given = with_article(value.get_ref().type_str());
        self.sink.fault(fault.label(format!("this is {given}")).help(format!("accepted: {accepted}")));
    }

    /// The value as a table of one to `max` entries of a kind, if it is one.
    pub fn table<'v, 't>(
        &mut self,
        value: &'v Spanned<DeValue<'t>>,
        (max, what): (usize, &str),
        accepted: &str,
    ) -> Option<&'v DeTable<'t>> {
        let Some(table) = value.get_ref().as_table() else {
            self.wrong_type(value, "a table", accepted);
            return None;
        };
        if table.is_empty() || table.len() > max {
            let complaint = Complaint::bad(format!("{} {what}", table.len()));
            self.complain(value.span(), complaint, &format!("1 to {max} {what}"));
            return None;
        }
        Some(table)
    }

    /// The value as text, if it is one.
    pub fn text<'v>(&mut self, value: &'v Spanned<DeValue<'_>>, must: &str, accepted: &str) -> Option<&'v str> {
        let text = value.get_ref().as_str();
        if text.is_none() {
            self.wrong_type(value, must, accepted);
        }
        text
    }
}

/// `a string`, `an integer`.
pub(super) fn with_article(noun: &str) -> String {
    let article = if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {noun}")
}

/// A text that something else makes sense of.
pub(super) struct Text<T> {
    pub parse: fn(&str) -> Result<T, Complaint>,
    pub accepted: &'static str,
    pub secret: bool,
}

impl<T> Form for Text<T> {
    type Value = T;

    fn read(&self, value: &Spanned<DeValue<'_>>, slot: &mut Slot<'_>) -> Option<T> {
        let text = slot.text(value, "a string", self.accepted)?;
        match (self.parse)(text) {
            Ok(good) => Some(good),
            Err(complaint) => {
                slot.complain(value.span(), complaint, self.accepted);
                None
            }
        }
    }

    fn accepted(&self) -> String {
        self.accepted.to_owned()
    }

    fn secret(&self) -> bool {
        self.secret
    }
}

/// One of a few words.
pub(super) struct Choice<T: 'static> {
    pub options: &'static [(&'static str, T)],
    /// Words that a later version will accept.
    pub later: &'static [&'static str],
}

impl<T: Copy + Sync> Form for Choice<T> {
    type Value = T;

    fn read(&self, value: &Spanned<DeValue<'_>>, slot: &mut Slot<'_>) -> Option<T> {
        let accepted = self.accepted();
        let text = slot.text(value, "a string", &accepted)?;
        if let Some((_, good)) = self.options.iter().find(|(word, _)| *word == text) {
            return Some(*good);
        }
        let complaint = if self.later.contains(&text) {
            Complaint::not_yet(format_args!("`{text}`"))
        } else {
            let unknown = Complaint::bad(format!("`{text}` is none of the accepted values"));
            match nearest(text, self.options.iter().map(|(word, _)| *word)) {
                Some(near) => unknown.help(format!("did you mean \"{near}\"? accepted: {accepted}")),
                None => unknown,
            }
        };
        slot.complain(value.span(), complaint, &accepted);
        None
    }

    fn accepted(&self) -> String {
        self.options.iter().map(|(word, _)| format!("\"{word}\"")).collect::<Vec<_>>().join(", ")
    }
}

/// `true` or `false`.
pub(super) struct Flag;

impl Form for Flag {
    type Value = bool;

    fn read(&self, value: &Spanned<DeValue<'_>>, slot: &mut Slot<'_>) -> Option<bool> {
        let flag = value.get_ref().as_bool();
        if flag.is_none() {
            slot.wrong_type(value, "true or false", &self.accepted());
        }
        flag
    }

    fn accepted(&self) -> String {
        "true, false (without quotes)".to_owned()
    }
}

/// `"off"`, or what the other form accepts.
pub(super) struct OffOr<F>(pub F);

impl<F: Form> Form for OffOr<F> {
    type Value = Option<F::Value>;

    fn read(&self, value: &Spanned<DeValue<'_>>, slot: &mut Slot<'_>) -> Option<Self::Value> {
        if value.get_ref().as_str() == Some("off") {
            return Some(None);
        }
        let before = slot.sink.faults.len();
        let read = self.0.read(value, slot);
        let helps = slot.sink.faults[before..].iter_mut().filter_map(|fault| fault.help.as_mut());
        helps.for_each(|help| help.push_str(", or \"off\""));
        read.map(Some)
    }

    fn accepted(&self) -> String {
        format!("{}, or \"off\"", self.0.accepted())
    }
}

/// An array of one form, each element with its place. A bad element makes the whole list bad, after all were read.
pub(super) struct List<F> {
    pub element: F,
    /// Fewer elements are a fault.
    pub min: usize,
    /// More elements are a fault.
    pub max: usize,
    /// Whether one element may stand without brackets.
    pub bare: bool,
}

impl<F: Form> Form for List<F> {
    type Value = Vec<(Span, F::Value)>;

    fn read(&self, value: &Spanned<DeValue<'_>>, slot: &mut Slot<'_>) -> Option<Self::Value> {
        let Some(items) = value.get_ref().as_array() else {
            if self.bare {
                return Some(vec![(value.span(), self.element.read(value, slot)?)]);
            }
            slot.wrong_type(value, "an array", &self.accepted());
            return None;
        };
        if !(self.min..=self.max).contains(&items.len()) {
            let complaint = match items.len() {
                0 => Complaint::bad("the array is empty"),
                count if count < self.min => Complaint::bad(format!("{count} elements are too few")),
                count => Complaint::bad(format!("{count} elements are too many")),
            };
            slot.complain(value.span(), complaint, &format!("{} to {} elements", self.min, self.max));
            return None;
        }
        let read: Vec<_> = items.iter().map(|item| Some((item.span(), self.element.read(item, slot)?))).collect();
        read.into_iter().collect()
    }

    fn accepted(&self) -> String {
        let element = self.element.accepted();
        if self.bare { format!("{element}, or an array of these") } else { format!("an array of: {element}") }
    }
}
