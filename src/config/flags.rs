//! A configuration from the command line's few flags. Goes through the same tree and the same checks as
//! a file; the source that faults are shown in is the command line itself.

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::fault::Faults;
use super::settings::Config;
use super::tree::Sink;
use super::{finish, read};

/// The command line as it is built up: its text, and the places of the values in it.
#[derive(Default)]
struct CommandLine {
    text: String,
}

impl CommandLine {
    fn push<'v>(&mut self, flag: &str, value: &'v str) -> Spanned<DeValue<'v>> {
        let gap = if self.text.is_empty() { "" } else { " " };
        self.text.push_str(&format!("{gap}{flag} "));
        let start = self.text.len();
        self.text.push_str(value);
        Spanned::new(start..self.text.len(), DeValue::String(value.into()))
    }
}

fn entry<'v>(
    name: &'static str,
    value: Spanned<DeValue<'v>>,
) -> (Spanned<std::borrow::Cow<'v, str>>, Spanned<DeValue<'v>>) {
    (Spanned::new(value.span(), name.into()), value)
}

/// The flag that stands for a key.
fn flag(key: &str) -> Option<&'static str> {
    match key {
        "listen" => Some("--listen"),
        "admin" => Some("--admin"),
        "store.url" => Some("--store"),
        "pool.backends" => Some("--backend"),
        _ => None,
    }
}

impl Config {
    /// A configuration with one pool at `/mcp`, from flags; what is not given has its default.
    ///
    /// # Errors
    /// If any value is bad, or no backend is given: all faults are returned, and name the flags.
    pub fn quick(
        listen: Option<&str>,
        admin: Option<&str>,
        backends: &[String],
        store: Option<&str>,
    ) -> Result<Self, Faults> {
        let mut line = CommandLine::default();
        let mut top = DeTable::new();
        top.extend(listen.map(|value| entry("listen", line.push("--listen", value))));
        top.extend(admin.map(|value| entry("admin", line.push("--admin", value))));
        if let Some(url) = store {
            let table: DeTable<'_> = [entry("url", line.push("--store", url))].into_iter().collect();
            top.extend([entry("store", Spanned::new(0..0, DeValue::Table(table)))]);
        }
        let mut urls = DeArray::new();
        backends.iter().for_each(|url| urls.push(line.push("--backend", url)));
        let end = line.text.len();
        let mut pool = DeTable::new();
        if !backends.is_empty() {
            pool.extend([entry("backends", Spanned::new(0..end, DeValue::Array(urls)))]);
        }
        let mut pools = DeArray::new();
        pools.push(Spanned::new(end..end, DeValue::Table(pool)));
        top.extend([entry("pool", Spanned::new(end..end, DeValue::Array(pools)))]);
        let mut sink = Sink { flag: Some(flag), ..Sink::default() };
        let config = read::document(&top, &mut sink);
        finish("command line", &line.text, config, sink)
    }
}
