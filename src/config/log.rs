//! What is logged, how, and where it goes: the settings, and how they are read. Writes nothing.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use toml::Spanned;
use toml::de::DeValue;

use super::form::{Complaint, Form};
use super::read::preset;
use super::schema::log;
use super::tree::{Reader, Slot};
use super::values;

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// The least severe level that is logged.
    pub level: LogLevel,
    /// The form of log lines.
    pub format: LogFormat,
    /// Where the access log goes.
    pub access: AccessLog,
}

/// How severe a log line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Something failed that should not.
    Error,
    /// Something is odd, and goes on.
    Warn,
    /// What an operator wants to know.
    Info,
    /// What a developer wants to know.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// All of them, the most severe first.
    pub const ALL: [Self; 5] = [Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace];

    /// The word for it, as it stands in a configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Where the access log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessLog {
    /// Standard output.
    Stdout,
    /// Standard error, among the other log lines.
    Stderr,
    /// The end of this file.
    File(PathBuf),
    /// Nowhere.
    Off,
}

/// A word, or the path of a file.
pub(super) struct Place;

impl Form for Place {
    type Value = AccessLog;

    fn read(&self, value: &Spanned<DeValue<'_>>, slot: &mut Slot<'_>) -> Option<AccessLog> {
        let text = slot.text(value, "a string", &self.accepted())?;
        match place(text) {
            Ok(place) => Some(place),
            Err(complaint) => {
                slot.complain(value.span(), complaint, &self.accepted());
                None
            }
        }
    }

    fn accepted(&self) -> String {
        "\"stdout\", \"stderr\", \"off\", or the path of a file, with a `/` in it".to_owned()
    }
}

/// A file's path has a slash in it, so that no misspelt word becomes a file.
fn place(text: &str) -> Result<AccessLog, Complaint> {
    match text {
        "stdout" => Ok(AccessLog::Stdout),
        "stderr" => Ok(AccessLog::Stderr),
        "off" => Ok(AccessLog::Off),
        path if path.contains('/') && !path.ends_with('/') => values::file(path).map(AccessLog::File),
        _ => Err(Complaint::bad(format!("`{text}` is neither a known word nor the path of a file"))),
    }
}

pub(super) fn read(reader: &mut Reader<'_>) -> LogSettings {
    LogSettings {
        level: reader.get(&log::LOG_LEVEL),
        format: reader.get(&log::LOG_FORMAT),
        access: reader.get(&log::LOG_ACCESS),
    }
}

impl Default for LogSettings {
    fn default() -> Self {
        preset(&log::LOG, read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_misspelt_word_becomes_a_file() {
        assert_eq!(place("off").ok(), Some(AccessLog::Off));
        assert_eq!(place("./access.log").ok(), Some(AccessLog::File("./access.log".into())));
        for text in ["", "stdut", "access.log", "/var/log/"] {
            assert!(place(text).is_err(), "{text}");
        }
    }
}
