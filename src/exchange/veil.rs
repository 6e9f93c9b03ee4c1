//! What a caller is shown of lists of tools, and what not. Knows only names; who may do what is decided elsewhere.

use std::fmt;
use std::sync::Arc;

use crate::mcp::tool_list::{self, Unreadable};

/// Which tools a caller is shown.
#[derive(Clone)]
pub struct Veil(Arc<dyn Fn(&str) -> bool + Send + Sync>);

impl Veil {
    /// Shows the tools of which `may_be_shown` says so.
    #[must_use]
    pub fn new(may_be_shown: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(may_be_shown))
    }

    /// A server's message as the caller is shown it; `None` where it is shown as it is.
    ///
    /// # Errors
    /// [`Unreadable`] where nobody can say what stands in it: it is not shown.
    pub fn over(&self, message: &[u8]) -> Result<Option<Vec<u8>>, Unreadable> {
        tool_list::without(message, &*self.0)
    }
}

impl fmt::Debug for Veil {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Veil")
    }
}
