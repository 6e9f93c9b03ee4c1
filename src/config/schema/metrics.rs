//! The rows of what is counted. Decides nothing else.

use super::{count, key};
use crate::config::form::Flag;
use crate::config::quantity::Count;
use crate::config::tree::{Key, Section, Shape};

section! { METRICS: Table "metrics", "What is counted of requests, for `/metrics` and the dashboard.", below [];
    REQUESTS: Key<Flag> = key("requests", "true", Flag,
        "Whether requests are counted and timed. Without it, only refusals, connections, sessions and the like are known.");
    MAX_TOOLS: Key<Count<usize>> = key("max_tools", "200", count(0, 5_000, 2_000),
        "Tools that are counted by name. A tool gets its name once a call of it was answered well; those for which there is no room are counted together.");
}
