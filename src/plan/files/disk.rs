//! Puts the files into a folder: all of them or, where one is there already, none.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use super::{FilesError, PlannedFile};

/// What to do with a file that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and nothing is written.
    Keep,
    /// It is written over.
    Replace,
}

/// Writes the files into a folder, which is made.
///
/// # Errors
/// [`FilesError::There`], [`FilesError::Disk`]: each names the file.
pub fn write(folder: &Path, files: &[PlannedFile], existing: Existing) -> Result<(), FilesError> {
    let failed = |path: &Path, source| FilesError::Disk { path: path.to_owned(), source };
    fs::create_dir_all(folder).map_err(|source| failed(folder, source))?;
    if existing == Existing::Keep {
        // A link that leads nowhere is there, too.
        let there = files.iter().map(|file| folder.join(file.name)).find(|path| path.symlink_metadata().is_ok());
        if let Some(path) = there {
            return Err(FilesError::There(path));
        }
    }
    for file in files {
        let path = folder.join(file.name);
        one(&path, &file.text, existing).map_err(|source| match (source.kind(), existing) {
            (io::ErrorKind::AlreadyExists, Existing::Keep) => FilesError::There(path.clone()),
            _ => failed(&path, source),
        })?;
    }
    Ok(())
}

fn one(path: &Path, text: &str, existing: Existing) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true);
    match existing {
        Existing::Keep => options.create_new(true),
        Existing::Replace => options.create(true).truncate(true),
    };
    options.open(path)?.write_all(text.as_bytes())
}
