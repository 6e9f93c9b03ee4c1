//! The example file and the reference page, written from the schema so that they cannot disagree with
//! what is read. Writes no file itself.

use super::schema;
use super::tree::{Given, Row, Section, Shape};

const WIDTH: usize = 110;

const EXAMPLE_HEAD: &str = "\
# Every key of Moorline's configuration with its default; keys that have none are commented out, and so are
# whole sections that are not there by default: limits, upstreams, and rules of what is kept of results.
# The shortest useful file is the [[pool]] at the end alone. docs/configuration.md says what each key accepts.
#
# Durations are whole numbers with a unit (d, h, m, s, ms), as in \"30s\" or \"1h30m\".
# Sizes are a whole number with a unit (B, kB, MB, GB by 1000; KiB, MiB, GiB by 1024), as in \"64KiB\".
# Rates are a count and a time (d, h, min, s), as in \"60/min\" or \"10/30s\".
";

const REFERENCE_HEAD: &str = "\
# Configuration reference

Moorline reads one TOML file: `moorline serve --config moorline.toml`. The shortest useful one:

```toml
[[pool]]
backends = [\"http://127.0.0.1:3001/mcp\", \"http://127.0.0.1:3002/mcp\"]
```

`moorline.example.toml` holds every key with its default.

- **Faults.** An unknown key is a fault, not ignored. All faults are shown at once, each with its line, a caret and what would be
  accepted; Moorline does not start, and on a reload goes on with the configuration that it has. What is allowed but seldom meant is a warning.
- **Durations** are whole numbers with a unit, largest unit first: `d`, `h`, `m`, `s`, `ms`. `\"30s\"`, `\"50ms\"`, `\"1h30m\"`.
- **Sizes** are one whole number with a unit: `B`; `kB`, `MB`, `GB` (by 1000); `KiB`, `MiB`, `GiB` (by 1024). `\"64KiB\"`, `\"500kB\"`.
- **Rates** are a count, a slash and a time, `d`, `h`, `min` or `s` with or without a number: `\"60/min\"`, `\"1000/h\"`, `\"10/30s\"`. At most
  1000000 a second, and a time of at most 30 days.
- **Patterns** for names have `*` for any number of characters: `\"search_*\"`. Everything else stands for itself, and case matters.
- **Secrets** come from a file or an environment variable and are shown as stars in messages.
- **Paths** of files are taken relative to the directory in which Moorline was started.
";

/// The text of `moorline.example.toml`: every key with its default, explained.
#[must_use]
pub fn example() -> String {
    let mut text = EXAMPLE_HEAD.to_owned();
    for section in schema::sections().into_iter().filter(|section| section.shape != Shape::Inline) {
        text.push('\n');
        text.push_str(&comment(section.doc));
        let mark = if section.shape.is_default() { "" } else { "# " };
        if !section.header.is_empty() {
            text.push_str(&format!("{mark}{}\n", section.bracketed()));
        }
        for row in section.keys {
            text.push('\n');
            text.push_str(&example_row(*row, mark));
        }
    }
    text
}

/// A key with its default, behind the mark of its section.
fn example_row(row: &dyn Row, mark: &str) -> String {
    let accepted = comment(&format!("Accepted: {}.", row.accepted()));
    let (doc, line) = match row.given() {
        Given::Preset(value) => (row.doc().to_owned(), format!("{mark}{} = {value}", row.name())),
        Given::Needed { sample } => {
            (format!("{} No default.", sentence(row.doc())), format!("{mark}{} = {sample}", row.name()))
        }
        Given::Absent { means, sample } => {
            (format!("{} If left out: {means}.", sentence(row.doc())), format!("# {} = {sample}", row.name()))
        }
    };
    format!("{}{accepted}{line}\n", comment(&doc))
}

/// The text of `docs/configuration.md`: every key with its default, what it accepts and what it means.
#[must_use]
pub fn reference() -> String {
    let mut text = REFERENCE_HEAD.to_owned();
    let restart: Vec<_> = schema::RESTART.iter().map(|(key, _)| format!("`{key}`")).collect();
    text.push_str(&format!(
        "- **Reload.** A change of {} is in force only after a restart; every other change is taken over by a reload.\n",
        restart.join(", ")
    ));
    for section in schema::sections() {
        text.push_str(&reference_section(section));
    }
    text.push_str(&later());
    text
}

fn reference_section(section: &Section) -> String {
    let title = match (section.header, section.shape) {
        ("", _) => "Top level".to_owned(),
        (header, Shape::Inline) => format!("Tables in `{header}`"),
        _ => format!("`{}`", section.bracketed()),
    };
    let mut text = format!("\n## {title}\n\n{}\n\n", section.doc);
    text.push_str("| key | default | accepted | meaning |\n|---|---|---|---|\n");
    for row in section.keys {
        let given = match row.given() {
            Given::Preset(value) => format!("`{value}`"),
            Given::Absent { means, .. } => format!("none: {means}"),
            Given::Needed { .. } => "none: must be given".to_owned(),
        };
        let cells = [format!("`{}`", row.name()), given, row.accepted(), sentence(row.doc())];
        text.push_str(&format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | ")));
    }
    text
}

fn later() -> String {
    let mut text =
        "\n## Not supported by this version yet\n\nThese names are refused with just these words.\n\n".to_owned();
    text.push_str("| name | meant for |\n|---|---|\n");
    for later in schema::LATER {
        let path =
            if later.section.is_empty() { later.key.to_owned() } else { format!("{}.{}", later.section, later.key) };
        text.push_str(&format!("| `{path}` | {} |\n", later.meant_for));
    }
    text
}

fn sentence(text: &str) -> String {
    format!("{}.", text.trim_end_matches('.'))
}

/// The text as comment lines of bounded width.
fn comment(text: &str) -> String {
    let mut lines = vec![String::from("#")];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + word.chars().count() < WIDTH => line.push_str(&format!(" {word}")),
            _ => lines.push(format!("# {word}")),
        }
    }
    lines.join("\n") + "\n"
}
