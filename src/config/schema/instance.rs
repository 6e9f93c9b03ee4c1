//! The rows of what an instance is called. Decides nothing else.

use super::text;
use crate::config::form::Text;
use crate::config::tree::{Optional, Section, Shape};
use crate::config::values;

section! { INSTANCE: Table "instance", "What this instance is called among those that share its store.", below [];
    INSTANCE_NAME: Optional<Text<String>> = Optional { name: "name", absent: "what this machine, or container, is called", sample: r#""gateway-1""#,
        form: text(values::name, "up to 64 letters, digits, `-`, `_` and `.`"),
        doc: "The name under which operators see it. Names need not differ: each start has an id of its own." };
}
