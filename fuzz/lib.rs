//! The sources under fuzz, built without the rest of Moorline so that few dependencies are instrumented.

#[path = "../src/mcp/mod.rs"]
pub mod mcp;
#[path = "../src/names.rs"]
pub mod names;
#[path = "../src/seal.rs"]
pub mod seal;
