//! Follows one file: its content now, and again whenever it is another. Knows nothing of what is in it.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::notice::{SETTLE, directory_of, watch};

/// A file is never longer, in bytes.
const LARGEST: u64 = 16 << 20;

/// Gives the content of the file, or why there is none, at once and whenever that changes; for ever. `look` is how often it
/// is read where the system gives no notice.
pub(super) async fn follow(path: &Path, look: Duration, mut take: impl FnMut(io::Result<Vec<u8>>)) {
    let (tell, mut changed) = mpsc::channel::<()>(1);
    let watching = watch(directory_of(path), vec![path.to_owned()], tell);
    if let Err(error) = &watching {
        tracing::warn!(file = %path.display(), %error, "no notice of changes to the file; it is looked at now and then");
    }
    let mut known: Option<Result<Vec<u8>, io::ErrorKind>> = None;
    loop {
        let now = read(path);
        let seen = now.as_ref().map(Clone::clone).map_err(io::Error::kind);
        if known.as_ref() != Some(&seen) {
            known = Some(seen);
            take(now);
        }
        let noticed = tokio::select! {
            Some(()) = changed.recv() => true,
            () = tokio::time::sleep(look) => false,
        };
        if noticed {
            tokio::time::sleep(SETTLE).await;
        }
    }
}

/// The content of a file.
///
/// # Errors
/// Where it cannot be read, or is longer than any.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?.take(LARGEST + 1).read_to_end(&mut text)?;
    if text.len() as u64 > LARGEST {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("longer than {LARGEST} bytes")));
    }
    Ok(text)
}
