//! Notice of changes to files: what the system tells, and how patient its hearers are. Reads no file.

use std::path::Path;
use std::time::Duration;

use notify::{RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

/// Editors and orchestrators write in several steps: changes this close together are one.
pub const SETTLE: Duration = Duration::from_millis(200);

/// Where the operating system tells nothing of changes, files are looked at this often.
pub const LOOK: Duration = Duration::from_secs(10);

/// Has `tell` hear of changes in the directory that holds the file at `path`, until what is given back is dropped. The directory is
/// watched, since a mounted ConfigMap swaps a link in it: whoever hears has to compare what the file holds.
///
/// # Errors
/// Where the system gives no notice.
pub fn watch(path: &Path, tell: mpsc::Sender<()>) -> notify::Result<notify::RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |_| {
        // A full channel means that a look is due already.
        let _ = tell.try_send(());
    })?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    watcher.watch(directory, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}
