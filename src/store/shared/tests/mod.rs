//! The shared store under everything that can happen to the far one.

mod healthy;
mod outages;
mod partitions;
mod world;
