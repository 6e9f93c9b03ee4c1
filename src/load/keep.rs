//! Reports in files: written whole or not at all, and read with a word on what is wrong where one is no report.

use std::io;
use std::path::{Path, PathBuf};

use super::report::{FORMAT, Report, VERSION};

/// Why a report is not there.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// The file cannot be read or written.
    #[error("{}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It holds something else.
    #[error("{} is no report of moorline load: {why}", path.display())]
    Form {
        /// Which one.
        path: PathBuf,
        /// What it is instead.
        why: String,
    },
}

/// Writes a text to a file, which is never half written.
///
/// # Errors
/// [`KeepError::File`].
pub fn write(path: &Path, text: &str) -> Result<(), KeepError> {
    let failed = |source| KeepError::File { path: path.to_owned(), source };
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    std::fs::write(&beside, text).map_err(failed)?;
    std::fs::rename(&beside, path).map_err(failed)
}

/// A report as it is kept.
#[must_use]
pub fn text(report: &Report) -> String {
    let mut text = serde_json::to_string(report).expect("a report has no map with keys that are no text");
    text.push('\n');
    text
}

/// Reads reports. One without a label gets the name of its file, and labels that are not unique get numbers.
///
/// # Errors
/// [`KeepError`] names the file.
pub fn read_all(paths: &[PathBuf]) -> Result<Vec<Report>, KeepError> {
    let mut reports: Vec<Report> = Vec::with_capacity(paths.len());
    for path in paths {
        let mut report = read(path)?;
        if report.label.is_empty() {
            report.label = path.file_stem().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        }
        if reports.iter().any(|other| other.label == report.label) {
            report.label = format!("{} ({})", report.label, reports.len() + 1);
        }
        reports.push(report);
    }
    Ok(reports)
}

fn read(path: &Path) -> Result<Report, KeepError> {
    let text = std::fs::read_to_string(path).map_err(|source| KeepError::File { path: path.to_owned(), source })?;
    let form = |why: String| KeepError::Form { path: path.to_owned(), why };
    let value: serde_json::Value = serde_json::from_str(&text).map_err(|error| form(error.to_string()))?;
    if value["format"] != FORMAT {
        return Err(form(format!("its \"format\" is not {FORMAT:?}")));
    }
    if value["version"] != VERSION {
        return Err(form(format!("it has version {}, this program reads version {VERSION}", value["version"])));
    }
    serde_json::from_value(value).map_err(|error| form(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_report_is_refused_in_words() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        for (text, part) in [
            ("{", "EOF"),
            ("{}", "its \"format\" is not"),
            (r#"{"format":"moorline-load","version":99}"#, "version 99"),
            (r#"{"format":"moorline-load","version":1}"#, "missing field"),
        ] {
            write(&path, text).unwrap();
            let error = read_all(std::slice::from_ref(&path)).unwrap_err().to_string();
            assert!(error.contains(part) && error.contains("a.json"), "{error}");
        }
        assert!(matches!(read_all(&[folder.path().join("none")]), Err(KeepError::File { .. })));
    }
}
