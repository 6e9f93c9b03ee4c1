//! The mix: what users ask for, and how often each. Reads it from options; what is to be found out from the server is `discover`'s.

use super::message::Ask;

/// One thing that users do, with its share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What reports call it.
    pub name: String,
    /// What is asked.
    pub ask: Ask,
    /// Its share, among those of the others.
    pub weight: u32,
}

/// Things that are no tools, and how often users do them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Also {
    /// `tools/list`.
    pub list: u32,
    /// `ping`, in the modern era `server/discover`.
    pub ping: u32,
    /// `resources/read`, of the resources that the server lists.
    pub resources: u32,
}

impl Default for Also {
    fn default() -> Self {
        Self { list: 5, ping: 3, resources: 2 }
    }
}

/// The share of all tools together, where they have no weights of their own.
pub const TOOLS: u32 = 90;

/// A tool as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// Its share, among those of the other tools.
    pub weight: u32,
    /// Its arguments, a JSON object; none: made up from its schema.
    pub arguments: Option<String>,
}

/// The mix of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mix {
    parts: Vec<Part>,
    total: u64,
}

impl Mix {
    /// A mix of these; those of no weight are left out.
    #[must_use]
    pub fn new(parts: Vec<Part>) -> Self {
        let parts: Vec<Part> = parts.into_iter().filter(|part| part.weight > 0).collect();
        let total = parts.iter().map(|part| u64::from(part.weight)).sum();
        Self { parts, total }
    }

    /// Its parts.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The part that a random number picks; none where there is none.
    #[must_use]
    pub fn pick(&self, number: u64) -> Option<(usize, &Part)> {
        let mut at = (u128::from(number) * u128::from(self.total)) >> 64;
        self.parts.iter().enumerate().find(|(_, part)| {
            let weight = u128::from(part.weight);
            let hit = at < weight;
            at = at.saturating_sub(weight);
            hit
        })
    }
}

/// Reads `NAME[=WEIGHT][:ARGUMENTS]`, such as `search=3:{"q":"berth"}`.
///
/// # Errors
/// What is wrong with it.
pub fn wanted(text: &str) -> Result<Wanted, String> {
    let (head, arguments) = match text.split_once(":{") {
        Some((head, rest)) => (head, Some(format!("{{{rest}"))),
        None => (text, None),
    };
    if let Some(arguments) = &arguments {
        let filled = arguments.replace(super::message::UNIQUE, "1");
        serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&filled)
            .map_err(|error| format!("the arguments of {head} are no JSON object: {error}"))?;
    }
    let (name, weight) = match head.rsplit_once('=') {
        Some((name, weight)) => (name, weight_of(weight)?),
        None => (head, 1),
    };
    if name.is_empty() || weight == 0 {
        return Err("give a name and a weight over 0, such as search=3:{\"q\":\"berth\"}".to_owned());
    }
    Ok(Wanted { name: name.to_owned(), weight, arguments })
}

/// A weight, within what can be added up.
fn weight_of(text: &str) -> Result<u32, String> {
    let weight = text.parse().ok().filter(|weight| *weight <= 10_000);
    weight.ok_or_else(|| format!("{text:?} is no weight: use a whole number up to 10000"))
}

/// Reads `none`, or some of `list=5,ping=3,resources=2`; what is left out does not happen.
///
/// # Errors
/// What is wrong with it.
pub fn also(text: &str) -> Result<Also, String> {
    let mut also = Also { list: 0, ping: 0, resources: 0 };
    for item in text.split(',').map(str::trim).filter(|item| !item.is_empty() && *item != "none") {
        let (name, weight) = item.split_once('=').unwrap_or((item, "1"));
        let weight = weight_of(weight)?;
        match name {
            "list" => also.list = weight,
            "ping" => also.ping = weight,
            "resources" => also.resources = weight,
            _ => return Err(format!("{name:?} is unknown: list, ping and resources can be asked for")),
        }
    }
    Ok(also)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_are_read_with_weights_and_arguments() {
        let of = |name: &str, weight, arguments: Option<&str>| {
            Ok(Wanted { name: name.into(), weight, arguments: arguments.map(Into::into) })
        };
        assert_eq!(wanted("echo"), of("echo", 1, None));
        assert_eq!(wanted("echo=3"), of("echo", 3, None));
        assert_eq!(wanted(r#"a.b=2:{"q":"x:{unique}=1"}"#), of("a.b", 2, Some(r#"{"q":"x:{unique}=1"}"#)));
        assert_eq!(wanted(r#"n:{"n":{unique}}"#), of("n", 1, Some(r#"{"n":{unique}}"#)));
        for wrong in ["", "=3", "a=0", "a=x", "a:{", r#"a:{"q":}"#] {
            assert!(wanted(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn all_else_is_read_or_left_out() {
        assert_eq!(also("none"), Ok(Also { list: 0, ping: 0, resources: 0 }));
        assert_eq!(also("list=7, ping"), Ok(Also { list: 7, ping: 1, resources: 0 }));
        assert!(also("lists=1").is_err() && also("list=many").is_err());
    }

    #[test]
    fn parts_are_picked_by_their_weights() {
        let part = |name: &str, weight| Part { name: name.into(), ask: Ask::Ping, weight };
        let mix = Mix::new(vec![part("a", 1), part("none", 0), part("b", 3)]);
        let chance = crate::clock::Chance::seeded(3);
        let mut hits = [0_u32; 2];
        (0..40_000).for_each(|_| hits[mix.pick(chance.next()).unwrap().0] += 1);
        assert!((9_600..10_400).contains(&hits[0]), "{hits:?}");
        assert_eq!(mix.pick(u64::MAX).unwrap().1.name, "b");
        assert_eq!(mix.pick(0).unwrap().1.name, "a");
        assert!(Mix::default().pick(5).is_none());
    }
}
