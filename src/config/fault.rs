//! Faults of a configuration and how they are shown: each with its place, a caret and what would be
//! accepted. Refuses to judge: what is a fault is said by those that read and check.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::secret::credentials;

/// A place in the source, in bytes.
pub(super) type Span = Range<usize>;

/// Faults beyond these are counted, not shown.
const SHOWN: usize = 50;

/// What kind of fault it is; stable over versions, for scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The text is no TOML, or no UTF-8.
    Syntax,
    /// No key or section of this name exists.
    UnknownKey,
    /// A later version will know it.
    NotYet,
    /// A key that has no default is not there.
    Missing,
    /// A string where a number should be, and the like.
    WrongType,
    /// A number, duration or size beyond its range.
    OutOfRange,
    /// The value does not have the form that it should.
    BadValue,
    /// Given twice, where it must be given once.
    Duplicate,
    /// Two settings that contradict each other.
    Conflict,
    /// A secret that cannot be read from where it should be.
    Secret,
    /// Allowed, but seldom meant: a warning.
    Careless,
}

impl Code {
    /// The code as it is printed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Syntax => "syntax",
            Self::UnknownKey => "unknown-key",
            Self::NotYet => "not-yet",
            Self::Missing => "missing",
            Self::WrongType => "wrong-type",
            Self::OutOfRange => "out-of-range",
            Self::BadValue => "bad-value",
            Self::Duplicate => "duplicate",
            Self::Conflict => "conflict",
            Self::Secret => "secret",
            Self::Careless => "careless",
        }
    }
}

/// One fault, or one warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What kind it is.
    pub code: Code,
    /// What is wrong, in one line; never contains a secret.
    pub message: String,
    /// Where it is: bytes of the source.
    pub span: Range<usize>,
    /// What stands under the caret; may be empty.
    pub label: String,
    /// What would be accepted, or what to do.
    pub help: Option<String>,
    /// Another place that has to do with it, and how.
    pub related: Option<(Range<usize>, String)>,
}

impl Fault {
    pub(super) fn new(code: Code, span: Span, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), span, label: String::new(), help: None, related: None }
    }

    pub(super) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(super) fn related(mut self, span: Option<Span>, label: impl Into<String>) -> Self {
        self.related = span.map(|span| (span, label.into()));
        self
    }
}

/// All faults (or all warnings) of one source, in the order of their places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    name: String,
    text: String,
    list: Vec<Fault>,
}

impl Faults {
    /// Keeps a copy of the source to show, with every secret in it blotted out.
    pub(super) fn new(name: &str, text: &str, secrets: &[Span], mut list: Vec<Fault>) -> Self {
        if list.is_empty() {
            return Self::default();
        }
        list.sort_by_key(|fault| (fault.span.start, fault.span.end));
        let text = blot(&blot(text, secrets), &credentials(text));
        Self { name: name.to_owned(), text, list }
    }

    /// Each fault, in the order of the places in the source.
    #[must_use]
    pub fn as_slice(&self) -> &[Fault] {
        &self.list
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Each fault with its line and column, both from 1.
    pub fn places(&self) -> impl Iterator<Item = (usize, usize, &Fault)> {
        self.list.iter().map(|fault| {
            let (line, column) = self.position(fault.span.start);
            (line, column, fault)
        })
    }

    /// One line for each, `source:line:column: message`, for logs.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.places().map(|(line, column, fault)| format!("{}:{line}:{column}: {}", self.name, fault.message))
    }

    /// Shows each fault with its line, a caret under the place and what would be accepted; coloured for a terminal if asked.
    #[must_use]
    pub fn render(&self, colour: Colour) -> String {
        let renderer = match colour {
            Colour::Plain => Renderer::plain(),
            Colour::Ansi => Renderer::styled(),
        };
        let shown = self.list.iter().take(SHOWN).map(|fault| renderer.render(&[self.group(fault)]));
        let mut text = shown.collect::<Vec<_>>().join("\n\n");
        if self.list.len() > SHOWN {
            text.push_str(&format!("\n\nand {} more", self.list.len() - SHOWN));
        }
        text
    }

    fn group<'a>(&'a self, fault: &'a Fault) -> Group<'a> {
        let label = (!fault.label.is_empty()).then_some(fault.label.as_str());
        let primary = AnnotationKind::Primary.span(self.within(&fault.span)).label(label);
        let related = fault.related.iter();
        let related = related.map(|(span, label)| AnnotationKind::Context.span(self.within(span)).label(label));
        let snippet =
            Snippet::source(&self.text).path(&self.name).annotation(primary).annotations(related.collect::<Vec<_>>());
        let level = if fault.code == Code::Careless { Level::WARNING } else { Level::ERROR };
        let group = level.primary_title(&fault.message).id(fault.code.as_str()).element(snippet);
        group.elements(fault.help.iter().map(|help| Level::HELP.message(help)))
    }

    /// The span, cut to the source and to whole characters.
    fn within(&self, span: &Span) -> Span {
        let start = floor(&self.text, span.start);
        start..floor(&self.text, span.end).max(start)
    }

    /// Line and column, both from 1; a column is a character.
    fn position(&self, offset: usize) -> (usize, usize) {
        let before = &self.text[..floor(&self.text, offset)];
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[start..].chars().count() + 1)
    }
}

/// Whether faults are shown with colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// Text alone.
    Plain,
    /// With ANSI escape sequences, for a terminal.
    Ansi,
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Colour::Plain))
    }
}

impl std::error::Error for Faults {}

/// The last character boundary that is not beyond the offset.
fn floor(text: &str, offset: usize) -> usize {
    (0..=offset.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// The first character boundary that is not before the offset.
fn ceil(text: &str, offset: usize) -> usize {
    (offset..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len())
}

/// Puts a star for every byte of a secret, so that all other places stay where they are.
fn blot(text: &str, secrets: &[Span]) -> String {
    let mut text = text.to_owned();
    for span in secrets {
        let (start, end) = (floor(&text, span.start), ceil(&text, span.end));
        let stars = text[start..end].bytes().map(|byte| if byte == b'\n' { '\n' } else { '*' }).collect::<String>();
        text.replace_range(start..end, &stars);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_shown_as_stars() {
        let secret = 6..12;
        let faults = Faults::new("a", "key = \"ä§\"\n", &[secret], vec![Fault::new(Code::BadValue, 6..12, "bad")]);
        assert!(faults.to_string().contains("key = ******\n"), "{faults}");
    }

    #[test]
    fn any_span_can_be_shown() {
        for span in [0..0, 3..4, 2..99, 99..100, Range { start: 5, end: 2 }] {
            let faults = Faults::new("a", "ää\n", &[], vec![Fault::new(Code::Syntax, span, "bad")]);
            assert!(faults.to_string().contains("--> a:"), "{faults}");
        }
    }

    #[test]
    fn lines_and_columns_count_from_one() {
        let faults = Faults::new("a", "x\näb", &[], vec![Fault::new(Code::Syntax, 4..5, "bad")]);
        assert_eq!(faults.lines().collect::<Vec<_>>(), ["a:2:2: bad"]);
    }

    #[test]
    fn a_flood_of_faults_is_cut() {
        let list = (0..60).map(|at| Fault::new(Code::Syntax, at..at, "bad")).collect();
        assert!(Faults::new("a", &"x".repeat(60), &[], list).to_string().ends_with("and 10 more"));
    }
}
