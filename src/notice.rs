//! Notice of changes to files: what the system tells, and how patient its hearers are. Reads no file.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{Event, EventKind, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

/// Editors and orchestrators write in several steps: changes this close together are one.
pub const SETTLE: Duration = Duration::from_millis(200);

/// Where the operating system tells nothing of changes, files are looked at this often.
pub const LOOK: Duration = Duration::from_secs(10);

/// Has `tell` hear of changes in the directory that may concern these files, which lie in it, until what is given back is dropped. The
/// directory is watched, since a mounted ConfigMap swaps a link in it: whoever hears has to compare what the files hold.
///
/// # Errors
/// Where the system gives no notice.
pub fn watch(
    directory: &Path,
    files: Vec<PathBuf>,
    tell: mpsc::Sender<()>,
) -> notify::Result<notify::RecommendedWatcher> {
    let mut names = names(&files);
    let mut watcher = notify::recommended_watcher(move |noticed: notify::Result<Event>| {
        match &noticed {
            Ok(event) if is_written(event) == Some(false) => return,
            Ok(event) if is_written(event) == Some(true) => {
                // A log may lie beside them, and be written all the time.
                if !event.paths.iter().any(|path| path.file_name().is_some_and(|name| names.contains(name))) {
                    return;
                }
            }
            // Something has come, gone, or got another name: what the files are links to may be another one now.
            _ => names = self::names(&files),
        }
        // A full channel means that a look is due already.
        let _ = tell.try_send(());
    })?;
    watcher.watch(directory, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

/// The directory that holds a file.
#[must_use]
pub fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// Whether somebody has written into a file, or has only looked into one; none where it is neither.
const fn is_written(event: &Event) -> Option<bool> {
    match event.kind {
        EventKind::Modify(ModifyKind::Data(_)) | EventKind::Access(AccessKind::Close(AccessMode::Write)) => Some(true),
        EventKind::Access(_) => Some(false),
        _ => None,
    }
}

/// Their names, and of those that are links also the names of what they lead to.
fn names(files: &[PathBuf]) -> HashSet<OsString> {
    let targets = files.iter().filter_map(|file| file.canonicalize().ok());
    let all = files.iter().cloned().chain(targets);
    all.filter_map(|path| Some(path.file_name()?.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use super::*;

    /// How often one has heard until it was quiet for a while.
    async fn heard(told: &mut mpsc::Receiver<()>) -> usize {
        let mut count = 0;
        while tokio::time::timeout(Duration::from_millis(300), told.recv()).await.is_ok() {
            count += 1;
        }
        count
    }

    #[tokio::test]
    async fn a_log_beside_a_file_and_whoever_reads_it_tell_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (file, log) = (folder.path().join("moorline.toml"), folder.path().join("access.log"));
        let (real, link) = (folder.path().join("real"), folder.path().join("linked.toml"));
        fs::write(&file, "a").unwrap();
        fs::write(&real, "a").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let mut lines = fs::File::create(&log).unwrap();
        let (tell, mut told) = mpsc::channel(1000);
        let watching = watch(directory_of(&file), vec![file.clone(), link], tell).unwrap();
        for _ in 0..100 {
            lines.write_all(b"line\n").unwrap();
            drop(fs::read(&file).unwrap());
        }
        assert_eq!(heard(&mut told).await, 0);
        fs::write(&file, "b").unwrap();
        assert!(heard(&mut told).await > 0, "the file was written");
        fs::write(&real, "b").unwrap();
        assert!(heard(&mut told).await > 0, "what the other one leads to was written");
        fs::rename(&real, folder.path().join("gone")).unwrap();
        assert!(heard(&mut told).await > 0, "and has got another name");
        drop(watching);
    }
}
