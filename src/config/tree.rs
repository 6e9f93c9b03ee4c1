//! Reads typed values from the spanned tree of a TOML document by the rows of the schema, and collects
//! every fault on the way instead of stopping at the first. Knows no particular key.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::{Code, Fault, Span};
use super::form::Form;
use super::nearest::nearest;
use super::schema;

/// One table of the document: its keys and the tables below it.
pub(super) struct Section {
    /// The dotted name as in a header; empty for the top level.
    pub header: &'static str,
    /// How it is written.
    pub shape: Shape,
    /// What it is about.
    pub doc: &'static str,
    /// Its keys, in the order of the reference.
    pub keys: &'static [&'static dyn Row],
    /// The tables below it.
    pub below: &'static [&'static Self],
}

/// How a section is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// At most once: `[header]`. All its keys have defaults.
    Table,
    /// At most once, and not there by default: `[header]`.
    OptionalTable,
    /// At least once: `[[header]]`.
    Tables,
    /// Any number of times, and not there by default: `[[header]]`.
    OptionalTables,
    /// As a value in braces.
    Inline,
}

impl Shape {
    /// Whether a file without it has it all the same, or could not do without.
    pub const fn is_default(self) -> bool {
        matches!(self, Self::Table | Self::Tables)
    }
}

impl Section {
    /// The last part of the header: the key under which the section stands.
    pub fn key(&self) -> &'static str {
        self.header.rsplit('.').next().unwrap_or(self.header)
    }

    /// The header with its brackets.
    pub fn bracketed(&self) -> String {
        match self.shape {
            Shape::Table | Shape::OptionalTable => format!("[{}]", self.header),
            Shape::Tables | Shape::OptionalTables => format!("[[{}]]", self.header),
            Shape::Inline => format!("a table in `{}`", self.header),
        }
    }
}

/// A key with a default, written as it would be in a file.
pub(super) struct Key<F> {
    pub name: &'static str,
    pub preset: &'static str,
    pub form: F,
    pub doc: &'static str,
}

/// A key that may be left out and then means something else than one of its values.
pub(super) struct Optional<F> {
    pub name: &'static str,
    /// What leaving it out means.
    pub absent: &'static str,
    /// A value to show.
    pub sample: &'static str,
    pub form: F,
    pub doc: &'static str,
}

/// A key that must be given.
pub(super) struct Needed<F> {
    pub name: &'static str,
    /// A value to show.
    pub sample: &'static str,
    pub form: F,
    pub doc: &'static str,
}

/// What happens where a key is not given.
pub(super) enum Given {
    Preset(&'static str),
    Absent { means: &'static str, sample: &'static str },
    Needed { sample: &'static str },
}

/// What every key has, whatever its type.
pub(super) trait Row: Sync {
    fn name(&self) -> &'static str;
    fn doc(&self) -> &'static str;
    fn given(&self) -> Given;
    fn accepted(&self) -> String;
    fn secret(&self) -> bool;
}

macro_rules! row {
    ($key:ident, $self:ident => $given:expr) => {
        impl<F: Form> Row for $key<F> {
            fn name(&self) -> &'static str {
                self.name
            }
            fn doc(&self) -> &'static str {
                self.doc
            }
            fn given(&$self) -> Given {
                $given
            }
            fn accepted(&self) -> String {
                self.form.accepted()
            }
            fn secret(&self) -> bool {
                self.form.secret()
            }
        }
    };
}

row!(Key, self => Given::Preset(self.preset));
row!(Optional, self => Given::Absent { means: self.absent, sample: self.sample });
row!(Needed, self => Given::Needed { sample: self.sample });

/// Where faults and warnings are collected while a document is read.
#[derive(Default)]
pub(super) struct Sink {
    pub faults: Vec<Fault>,
    pub warnings: Vec<Fault>,
    pub secrets: Vec<Span>,
    /// How keys are called in messages: the flag for a key, on the command line.
    pub flag: Option<fn(&str) -> Option<&'static str>>,
}

impl Sink {
    /// What a key is called in messages.
    pub fn name(&self, section: &Section, key: &str) -> String {
        let path = if section.header.is_empty() { key.to_owned() } else { format!("{}.{key}", section.header) };
        match self.flag.and_then(|flag| flag(&path)) {
            Some(flag) => format!("`{flag}`"),
            None => format!("`{path}`"),
        }
    }

    pub fn fault(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    pub fn warn(&mut self, fault: Fault) {
        self.warnings.push(fault);
    }
}

/// One value on its way from the document into a setting.
pub(super) struct Slot<'a> {
    /// What the key is called in messages.
    pub name: String,
    pub sink: &'a mut Sink,
}

/// One section of the document while it is read.
pub(super) struct Reader<'a> {
    pub section: &'static Section,
    pub sink: &'a mut Sink,
    /// Where the section stands.
    pub at: Span,
    table: Option<&'a DeTable<'a>>,
    bad: Vec<&'static str>,
}

impl<'a> Reader<'a> {
    /// Opens a section, and reports what stands in it under no known name. Without a table every key has its default.
    pub fn new(section: &'static Section, table: Option<&'a DeTable<'a>>, at: Span, sink: &'a mut Sink) -> Self {
        for (key, value) in table.into_iter().flatten() {
            report_unknown(section, key, value, sink);
        }
        Self { section, sink, at, table, bad: Vec::new() }
    }

    /// The value of a key, or its default; the default also stands in for a bad value, whose fault is collected.
    pub fn get<F: Form>(&mut self, key: &Key<F>) -> F::Value {
        self.given(key, &key.form).unwrap_or_else(|| preset(key))
    }

    /// The value of a key, if it is given and good.
    pub fn find<F: Form>(&mut self, key: &Optional<F>) -> Option<F::Value> {
        self.given(key, &key.form)
    }

    /// The value of a key; its absence is a fault.
    pub fn need<F: Form>(&mut self, key: &Needed<F>) -> Option<F::Value> {
        if self.span(key).is_none() {
            let name = self.name(key);
            let written = match self.sink.flag {
                Some(_) => format!("{} {}", name.trim_matches('`'), key.sample.trim_matches(['[', ']', '"'])),
                None => format!("{} = {}", key.name, key.sample),
            };
            let fault = Fault::new(Code::Missing, self.at.clone(), format!("{name} is missing"));
            let fault = fault.help(format!("it has no default: write for instance `{written}`"));
            self.sink.fault(fault);
        }
        self.given(key, &key.form)
    }

    fn given<F: Form>(&mut self, row: &dyn Row, form: &F) -> Option<F::Value> {
        debug_assert!(self.section.keys.iter().any(|key| key.name() == row.name()), "{} is no row", row.name());
        let value = self.table?.get(row.name())?;
        if row.secret() {
            self.sink.secrets.push(value.span());
        }
        let name = self.name(row);
        let good = form.read(value, &mut Slot { name, sink: &mut *self.sink });
        if good.is_none() {
            self.bad.push(row.name());
        }
        good
    }

    /// Where the value of a key stands, if it is given.
    pub fn span(&self, row: &dyn Row) -> Option<Span> {
        self.table?.get(row.name()).map(Spanned::span)
    }

    /// Whether the value of a key is given and bad, so that nothing more need be said about it.
    pub fn is_bad(&self, row: &dyn Row) -> bool {
        self.bad.contains(&row.name())
    }

    /// What a key is called in messages.
    pub fn name(&self, row: &dyn Row) -> String {
        self.sink.name(self.section, row.name())
    }

    /// The table of a section below this one.
    pub fn below(&mut self, section: &'static Section) -> Reader<'_> {
        let value = self.table.and_then(|table| table.get(section.key()));
        let table = value.and_then(|value| value.get_ref().as_table());
        if let (Some(value), None) = (value, table) {
            self.sink.fault(wrong_shape(section, value));
        }
        let at = value.map_or(self.at.clone(), Spanned::span);
        Reader::new(section, table, at, &mut *self.sink)
    }

    /// The tables of a section below this one that may stand many times, with their places.
    pub fn each_below(&mut self, section: &'static Section) -> Vec<(Span, &'a DeTable<'a>)> {
        let Some(value) = self.table.and_then(|table| table.get(section.key())) else { return Vec::new() };
        let items = value.get_ref().as_array().map(|items| items.iter().collect::<Vec<_>>());
        let mut tables = Vec::new();
        for item in items.unwrap_or_else(|| vec![value]) {
            match item.get_ref().as_table() {
                Some(table) if value.get_ref().is_array() => tables.push((item.span(), table)),
                _ => self.sink.fault(wrong_shape(section, item)),
            }
        }
        tables
    }

    /// Whether the section itself is in the document, in its right shape.
    pub fn is_there(&self) -> bool {
        self.table.is_some()
    }

    /// Where something stands under the section's name, in whatever shape.
    pub fn place(&self, section: &Section) -> Option<Span> {
        self.table?.get(section.key()).map(Spanned::span)
    }

    /// Whether anything stands under the section's name, in whatever shape.
    pub fn has(&self, section: &Section) -> bool {
        self.place(section).is_some()
    }
}

fn preset<F: Form>(key: &Key<F>) -> F::Value {
    let value = DeValue::parse(key.preset).ok();
    let mut sink = Sink::default();
    let value = value.and_then(|value| key.form.read(&value, &mut Slot { name: String::new(), sink: &mut sink }));
    value.expect("the presets are constants, and a test reads each of them")
}

fn wrong_shape(section: &Section, value: &Spanned<DeValue<'_>>) -> Fault {
    let given = value.get_ref().type_str();
    Fault::new(
        Code::WrongType,
        value.span(),
        format!("`{}` must be written as {}", section.header, section.bracketed()),
    )
    .label(format!("this is {}", super::form::with_article(given)))
    .help(format!("start it with a line `{}`, its keys below", section.bracketed()))
}

fn report_unknown(
    section: &'static Section,
    key: &Spanned<DeTableKey<'_>>,
    value: &Spanned<DeValue<'_>>,
    sink: &mut Sink,
) {
    let name: &str = key.get_ref();
    let names = || section.keys.iter().map(|row| row.name()).chain(section.below.iter().map(|below| below.key()));
    if names().any(|known| known == name) {
        return;
    }
    let near = nearest(name, names());
    let is_secret = |near: &str| section.keys.iter().any(|row| row.name() == near && row.secret());
    // The value of a misspelt secret is a secret too, and so is what another program would call one.
    if near.is_some_and(is_secret)
        || ["key", "secret", "password", "token", "credential"].iter().any(|word| name.contains(word))
    {
        sink.secrets.push(value.span());
    }
    let shown = sink.name(section, name);
    if let Some(later) = schema::LATER.iter().find(|later| later.section == section.header && later.key == name) {
        let fault = Fault::new(Code::NotYet, key.span(), format!("{shown} is not supported by this version yet"));
        sink.fault(fault.help(format!("it will be for {}; leave it out", later.meant_for)));
        return;
    }
    let fault = Fault::new(Code::UnknownKey, key.span(), format!("{shown} is not a known key"));
    let help = match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => elsewhere(name).unwrap_or_else(|| format!("known here: {}", names().collect::<Vec<_>>().join(", "))),
    };
    sink.fault(fault.help(help));
}

/// Where a key of this name would be known.
fn elsewhere(name: &str) -> Option<String> {
    let section = schema::sections().into_iter().find(|section| section.keys.iter().any(|row| row.name() == name))?;
    if section.header.is_empty() {
        return Some(format!("`{name}` stands at the top level, before the first `[…]` line"));
    }
    Some(format!("`{name}` belongs under `{}`", section.bracketed()))
}

type DeTableKey<'a> = toml::de::DeString<'a>;
