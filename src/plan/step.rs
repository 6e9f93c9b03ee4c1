//! One step of the arithmetic: what is computed, the formula with its numbers, what comes of it, and which constants it stands on.
//! The number that is shown is the number that the plan goes on with.

use std::fmt;

use super::costs::Cost;
use super::words;

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    Count,
    /// Things in a second.
    PerSecond,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// CPU cores.
    Cores,
    /// A part of a whole.
    Share,
}

impl Unit {
    /// As it stands in the JSON form.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::PerSecond => "per_second",
            Self::Seconds => "seconds",
            Self::Bytes => "bytes",
            Self::Cores => "cores",
            Self::Share => "share",
        }
    }
}

/// A number with its unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantity {
    /// In the unit's base.
    pub value: f64,
    /// What it counts.
    pub unit: Unit,
}

impl Quantity {
    /// Things.
    #[must_use]
    pub const fn count(value: f64) -> Self {
        Self { value, unit: Unit::Count }
    }

    /// Things in a second.
    #[must_use]
    pub const fn per_second(value: f64) -> Self {
        Self { value, unit: Unit::PerSecond }
    }

    /// Seconds.
    #[must_use]
    pub const fn seconds(value: f64) -> Self {
        Self { value, unit: Unit::Seconds }
    }

    /// Bytes.
    #[must_use]
    pub const fn bytes(value: f64) -> Self {
        Self { value, unit: Unit::Bytes }
    }

    /// CPU cores.
    #[must_use]
    pub const fn cores(value: f64) -> Self {
        Self { value, unit: Unit::Cores }
    }

    /// A part of a whole.
    #[must_use]
    pub const fn share(value: f64) -> Self {
        Self { value, unit: Unit::Share }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&match self.unit {
            Unit::Count => words::number(self.value),
            Unit::PerSecond => format!("{}/s", words::number(self.value)),
            Unit::Seconds => words::seconds(self.value),
            Unit::Bytes => words::bytes(self.value),
            Unit::Cores => format!("{} cores", words::small(self.value)),
            Unit::Share => words::share(self.value),
        })
    }
}

/// One step.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// By what name programs find it.
    pub id: &'static str,
    /// What is computed.
    pub what: &'static str,
    /// How, with the numbers put in.
    pub formula: String,
    /// What comes of it.
    pub result: Quantity,
    /// The constants in it.
    pub costs: Vec<&'static Cost>,
}

/// The steps of a plan, in their order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Steps(pub Vec<Step>);

impl Steps {
    /// Notes a step, and answers its number.
    pub fn add(&mut self, id: &'static str, what: &'static str, formula: impl fmt::Display, result: Quantity) -> f64 {
        self.0.push(Step { id, what, formula: formula.to_string(), result, costs: Vec::new() });
        result.value
    }

    /// Says on which constants the last step stands.
    pub fn by(&mut self, costs: &[&'static Cost]) {
        if let Some(last) = self.0.last_mut() {
            last.costs.extend(costs);
        }
    }

    /// The step of that name.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Step> {
        self.0.iter().find(|step| step.id == id)
    }

    /// All constants that are used, each once, in the order of their first use.
    #[must_use]
    pub fn costs(&self) -> Vec<&'static Cost> {
        let mut costs: Vec<&'static Cost> = Vec::new();
        for cost in self.0.iter().flat_map(|step| &step.costs) {
            if costs.iter().all(|known| known.id != cost.id) {
                costs.push(cost);
            }
        }
        costs
    }
}
