//! The rows of what is logged. Decides nothing else.

use super::{choice, key};
use crate::config::form::Choice;
use crate::config::log::{LogFormat, LogLevel, Place};
use crate::config::tree::{Key, Section, Shape};

section! { LOG: Table "log", "What is logged, and how.", below [];
    LOG_LEVEL: Key<Choice<LogLevel>> = key("level", r#""info""#, choice(&[("error", LogLevel::Error), ("warn", LogLevel::Warn),
        ("info", LogLevel::Info), ("debug", LogLevel::Debug), ("trace", LogLevel::Trace)]),
        "The least severe level that is logged, to standard error. RUST_LOG in the environment is used instead where it is set; the admin API can change it while Moorline runs.");
    LOG_FORMAT: Key<Choice<LogFormat>> = key("format", r#""text""#, choice(&[("text", LogFormat::Text), ("json", LogFormat::Json)]),
        "Lines for people, or one JSON object a line.");
    LOG_ACCESS: Key<Place> = key("access", r#""stdout""#, Place,
        "Where the access log goes, one line a request. A file is written at its end, made if it is not there, and opened anew on SIGHUP, so that it may be moved away. docs/logs.md explains each field.");
}
