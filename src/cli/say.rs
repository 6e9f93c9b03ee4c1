//! What commands say on standard output. Whoever reads it may have read enough (`| head`): that ends the command, and is no failure.

use std::io::{self, Write};

/// Nobody reads standard output any more.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads standard output")]
pub struct NobodyReads;

/// Says it, all of it, at once.
///
/// # Errors
/// [`NobodyReads`], or what the system says where standard output cannot be written.
pub fn say(words: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(words.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(NobodyReads.into()),
        Err(error) => Err(anyhow::Error::new(error).context("cannot write to standard output")),
    }
}
