//! The form of claims: names, each with the values of which a caller must have one. Knows no particular row.

use toml::Spanned;
use toml::de::DeValue;

use crate::config::form::{Complaint, Form};
use crate::config::limit::{Glob, form::glob};
use crate::config::tree::Slot;

/// Bytes that a claim's name has at most.
const LONGEST_NAME: usize = 128;

/// Claims and their values, in the order in which they are written.
pub(in crate::config) struct Claims {
    /// More claims, or more values of one, are a fault.
    pub max: usize,
}

impl Form for Claims {
    type Value = Vec<(Box<str>, Vec<Glob>)>;

    fn read(&self, value: &Spanned<DeValue<'_>>, slot: &mut Slot<'_>) -> Option<Self::Value> {
        let table = slot.table(value, (self.max, "claims"), &self.accepted())?;
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        let read: Vec<_> = entries
            .into_iter()
            .map(|(name, values)| {
                let name: &str = name.get_ref().as_ref();
                let values = self.values(values, slot)?;
                if name.is_empty() || name.len() > LONGEST_NAME {
                    let complaint = Complaint::bad(format!("a claim's name has 1 to {LONGEST_NAME} bytes"));
                    slot.complain(value.span(), complaint, &self.accepted());
                    return None;
                }
                Some((Box::from(name), values))
            })
            .collect();
        read.into_iter().collect()
    }

    fn accepted(&self) -> String {
        "a table such as { org = \"acme\", team = [\"data\", \"platform-*\"] }".to_owned()
    }
}

impl Claims {
    fn values(&self, value: &Spanned<DeValue<'_>>, slot: &mut Slot<'_>) -> Option<Vec<Glob>> {
        let items: Vec<&Spanned<DeValue<'_>>> = match value.get_ref().as_array() {
            Some(items) => items.iter().collect(),
            None => vec![value],
        };
        if items.is_empty() || items.len() > self.max {
            let complaint = Complaint::bad(format!("{} values", items.len()));
            slot.complain(value.span(), complaint, &format!("1 to {} values", self.max));
            return None;
        }
        let accepted = self.accepted();
        let read: Vec<_> = items
            .into_iter()
            .map(|item| {
                let text = slot.text(item, "a string, or an array of strings", &accepted)?;
                glob(text).map_err(|complaint| slot.complain(item.span(), complaint, &accepted)).ok()
            })
            .collect();
        read.into_iter().collect()
    }
}
