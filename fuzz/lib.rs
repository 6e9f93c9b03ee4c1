//! What is under fuzz: the library itself, and an instance of it that fuzz targets talk to.

pub mod scene;

pub use moorline::{mcp, names, seal};
