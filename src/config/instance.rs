//! What an instance is called: the settings, and how they are read. Knows no other instance.

use super::schema::instance;
use super::tree::Reader;

/// What an instance is called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstanceSettings {
    /// Its name; `None` leaves it to what the machine is called.
    pub name: Option<String>,
}

pub(super) fn read(reader: &mut Reader<'_>) -> InstanceSettings {
    InstanceSettings { name: reader.find(&instance::INSTANCE_NAME) }
}
