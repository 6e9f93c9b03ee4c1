//! The scripts, each one atomic step on the server, and how one is asked for: by its digest, and by its text where the
//! server does not know it (yet, or any more). Sends nothing.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::LazyLock;

use redis::{Arg, Cmd, ToRedisArgs};

use super::keyspace::Place;

/// A script.
#[derive(Debug)]
pub(super) struct Script {
    text: &'static str,
    digest: String,
}

macro_rules! scripts {
    ($($name:ident = $($file:literal)+;)*) => {
        $(pub(super) static $name: LazyLock<Script> = LazyLock::new(|| Script::new(concat!($(include_str!($file)),+)));)*

        /// The commands that make a server know all scripts.
        pub(super) fn loading() -> Vec<Cmd> {
            vec![$(redis::cmd("SCRIPT").arg("LOAD").arg($name.text).clone()),*]
        }

        #[cfg(test)]
        fn all_texts() -> Vec<&'static str> {
            vec![$($name.text),*]
        }
    };
}

scripts! {
    CREATE = "lua/create.lua";
    ADOPT = "lua/adopt.lua";
    MOOR = "lua/moor.lua";
    NOTE = "lua/note.lua";
    TOUCH = "lua/touch.lua";
    CLAIM = "lua/claim.lua";
    RELEASE = "lua/release.lua";
    END = "lua/bury.lua" "lua/end.lua";
    EXPIRE = "lua/bury.lua" "lua/expire.lua";
    FORGET = "lua/forget.lua";
    KEYS = "lua/keys.lua";
    ADD_KEY = "lua/add_key.lua";
    TAKE = "lua/counter.lua" "lua/weigh.lua" "lua/take.lua";
    LOOK = "lua/counter.lua" "lua/weigh.lua" "lua/look.lua";
    OWE = "lua/counter.lua" "lua/weigh.lua" "lua/owe.lua";
    CORRECT = "lua/counter.lua" "lua/correct.lua";
    HOLD = "lua/counter.lua" "lua/hold.lua";
    LIFT = "lua/counter.lua" "lua/lift.lua";
    RENEW = "lua/counter.lua" "lua/renew.lua";
    BEAT = "lua/counter.lua" "lua/beat.lua";
    RESULT_CLAIM = "lua/results/claim.lua";
    RESULT_KEEP = "lua/results/keep.lua";
    RESULT_END = "lua/results/end.lua";
    RESULT_RENEW = "lua/results/renew.lua";
    RESULT_FORGET = "lua/results/forget.lua";
    RESULT_ORDERS = "lua/results/orders.lua";
    ROSTER_REPORT = "lua/roster/report.lua";
    ROSTER_ORDERS = "lua/roster/orders.lua";
    ROSTER_ORDER = "lua/roster/order.lua";
}

impl Script {
    fn new(text: &'static str) -> Self {
        // What servers name scripts by. Nothing is guarded by it.
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
        let mut hex = String::with_capacity(40);
        for byte in digest.as_ref() {
            // Writing to a string cannot fail.
            let _ = write!(hex, "{byte:02x}");
        }
        Self { text, digest: hex }
    }
}

/// One thing to ask a server for, ready to be sent.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    /// Where the keys lie.
    pub place: Place,
    /// Where it is a script: which, and how many keys it has.
    script: Option<(&'static Script, usize)>,
    command: Cmd,
}

/// The arguments before a script's first key: the command itself, the script, how many keys.
const BEFORE_KEYS: usize = 3;

impl Ask {
    /// A plain command, whose keys lie at `place`.
    pub const fn plain(place: Place, command: Cmd) -> Self {
        Self { place, script: None, command }
    }

    /// A script with its keys, which lie at `place`.
    pub fn script(place: Place, script: &'static Script, keys: Vec<String>) -> Self {
        let ask = Self::call(place, script, keys.len(), Cmd::new());
        keys.into_iter().fold(ask, Self::arg)
    }

    /// A script whose keys, so many, are to be added as its first arguments. `room` is where it is written.
    pub fn call(place: Place, script: &'static Script, keys: usize, mut room: Cmd) -> Self {
        room.arg("EVALSHA").arg(&script.digest).arg(keys);
        Self { place, script: Some((script, keys)), command: room }
    }

    /// One more argument.
    pub fn arg(mut self, argument: impl ToRedisArgs) -> Self {
        self.push(argument);
        self
    }

    /// One more argument.
    pub fn push(&mut self, argument: impl ToRedisArgs) {
        self.command.arg(argument);
    }

    /// More arguments.
    pub fn args(self, more: impl IntoIterator<Item = Vec<u8>>) -> Self {
        more.into_iter().fold(self, Self::arg)
    }

    /// The same for the first key alone. A server that is handing the slot over to another takes nothing that touches
    /// several keys, but always what touches one.
    pub fn alone(&self) -> Self {
        let Some((script, keys)) = self.script else { return self.clone() };
        let rest = self.arguments().enumerate().filter(|(n, _)| *n == 0 || *n >= keys);
        rest.fold(Self::call(self.place, script, 1, Cmd::new()), |alone, (_, argument)| alone.arg(argument))
    }

    /// The command to send; `in_full` with the script's text.
    pub fn command(&self, in_full: bool) -> Cow<'_, Cmd> {
        let Some((script, keys)) = self.script.filter(|_| in_full) else { return Cow::Borrowed(&self.command) };
        let mut command = redis::cmd("EVAL");
        command.arg(script.text).arg(keys);
        self.arguments().for_each(|argument| {
            command.arg(argument);
        });
        Cow::Owned(command)
    }

    /// A script's keys and arguments.
    fn arguments(&self) -> impl Iterator<Item = &[u8]> {
        self.command.args_iter().skip(BEFORE_KEYS).map(|argument| match argument {
            Arg::Simple(bytes) => bytes,
            // Nobody here walks through a key space.
            _ => b"0",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_what_servers_name_a_script_by() {
        // `printf 'return 1' | sha1sum`
        assert_eq!(Script::new("return 1").digest, "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
    }

    #[test]
    fn no_script_names_a_key_by_itself() {
        for text in all_texts() {
            let calls = text.split("redis.call(").skip(1).filter(|call| !call.starts_with("'TIME'"));
            for call in calls {
                let target = call.split(", ").nth(1).unwrap_or_default();
                let known = ["KEYS[", "key", "seen", "channel", "ARGV[4]", "ARGV[5]"];
                let known = known.iter().any(|key| target.starts_with(key));
                assert!(known, "{call}");
            }
        }
    }
}
