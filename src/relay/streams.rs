//! How many notification streams are open on this instance, over all worker threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::reject::Cause;

/// How many notification streams are open on this instance.
#[derive(Clone, Debug, Default)]
pub struct Streams(Arc<AtomicUsize>);

/// One open notification stream.
#[derive(Debug)]
pub(crate) struct Open(Streams);

impl Streams {
    /// Counts one more until it is dropped.
    ///
    /// # Errors
    /// [`Cause::Full`] where there are `most` already.
    pub(super) fn open(&self, most: usize) -> Result<Open, Cause> {
        let before = self.0.fetch_add(1, Ordering::Relaxed);
        let open = Open(self.clone());
        if before >= most { Err(Cause::Full("notification streams")) } else { Ok(open) }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}
