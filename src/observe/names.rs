//! Names as labels: few, whatever clients send. Methods that the protocol knows have their own; a tool has its own once a call of it has
//! been answered well, as long as there is room; all others share one.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::names::PoolId;

/// The methods of the protocol's versions, the frequent ones first, and what else the walk serves.
const METHODS: [&str; 30] = [
    "tools/call",
    "tools/list",
    "initialize",
    "notifications/initialized",
    "ping",
    "GET",
    "DELETE",
    "reply",
    "notification",
    "server/discover",
    "resources/read",
    "resources/list",
    "resources/templates/list",
    "resources/subscribe",
    "resources/unsubscribe",
    "prompts/list",
    "prompts/get",
    "completion/complete",
    "logging/setLevel",
    "subscriptions/listen",
    "tasks/get",
    "tasks/result",
    "tasks/list",
    "tasks/cancel",
    "tasks/update",
    "batch",
    "OPTIONS",
    "POST",
    "PUT",
    OTHER,
];

/// What all others are called.
pub const OTHER: &str = "other";

/// A method, as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Method(u8);

impl Method {
    /// What is not among those that have a label of their own.
    pub const OTHER: Self = Self(29);

    /// The label of a method.
    #[must_use]
    pub fn of(name: &str) -> Self {
        let at = METHODS.iter().position(|known| *known == name);
        at.and_then(|at| u8::try_from(at).ok()).map_or(Self::OTHER, Self)
    }

    /// The label's text.
    #[must_use]
    pub fn name(self) -> &'static str {
        METHODS[usize::from(self.0)]
    }
}

/// A tool, as a label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tool(u16);

impl Tool {
    /// No tool is called.
    pub const NONE: Self = Self(0);
    /// A tool without a label of its own.
    pub const OTHER: Self = Self(1);
}

/// The tools that have labels, in the order in which they got them.
#[derive(Debug)]
pub struct Tools {
    most: usize,
    /// Taken where a thread meets a name for the first time, and where somebody reads all.
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    labels: HashMap<PoolId, HashMap<Box<str>, Tool>>,
    names: Vec<Box<str>>,
}

impl Tools {
    /// Room for that many.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { most: most.min(usize::from(u16::MAX) - 2), known: Mutex::default() }
    }

    /// The label of a tool that has one.
    #[must_use]
    pub fn find(&self, pool: PoolId, name: &str) -> Option<Tool> {
        self.known().labels.get(&pool)?.get(name).copied()
    }

    /// The label of a tool, its own if there is room for it.
    #[must_use]
    pub fn admit(&self, pool: PoolId, name: &str) -> Tool {
        let mut known = self.known();
        if let Some(label) = known.labels.get(&pool).and_then(|labels| labels.get(name)) {
            return *label;
        }
        let Some(label) = u16::try_from(known.names.len() + 2).ok().filter(|_| known.names.len() < self.most) else {
            return Tool::OTHER;
        };
        known.names.push(name.into());
        known.labels.entry(pool).or_default().insert(name.into(), Tool(label));
        Tool(label)
    }

    /// The label's text; none where no tool is called.
    #[must_use]
    pub fn name(&self, label: Tool) -> Option<Box<str>> {
        match label {
            Tool::NONE => None,
            Tool::OTHER => Some(OTHER.into()),
            Tool(number) => self.known().names.get(usize::from(number) - 2).cloned(),
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_has_its_label_and_strangers_share_one() {
        for method in METHODS {
            assert_eq!(Method::of(method).name(), method);
        }
        assert_eq!(Method::of("tools/call\n").name(), "other");
        assert_eq!(Method::OTHER.name(), "other");
    }

    #[test]
    fn tools_have_labels_while_there_is_room() {
        let tools = Tools::new(2);
        let pool = PoolId(1);
        let (a, b) = (tools.admit(pool, "a"), tools.admit(pool, "b"));
        assert_eq!((tools.admit(pool, "c"), tools.admit(pool, "a")), (Tool::OTHER, a));
        assert_eq!((tools.find(pool, "b"), tools.find(pool, "c"), tools.find(PoolId(2), "a")), (Some(b), None, None));
        let name = |label| tools.name(label);
        assert_eq!(
            (name(a).as_deref(), name(Tool::OTHER).as_deref(), name(Tool::NONE)),
            (Some("a"), Some("other"), None)
        );
    }
}
