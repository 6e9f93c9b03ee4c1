//! The scripts, each one atomic step on the server, and how one is asked for: by its digest, and by its text where the
//! server does not know it (yet, or any more). Sends nothing.

use std::fmt::Write as _;
use std::sync::LazyLock;

use redis::Cmd;

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

/// One thing to ask a server for.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    /// Where the keys lie.
    pub place: Place,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Script { script: &'static Script, keys: Vec<String>, arguments: Vec<Vec<u8>> },
    Plain(Cmd),
}

impl Ask {
    /// A plain command, whose keys lie at `place`.
    pub fn plain(place: Place, command: Cmd) -> Self {
        Self { place, what: What::Plain(command) }
    }

    /// A script with its keys, which lie at `place`.
    pub fn script(place: Place, script: &'static Script, keys: Vec<String>) -> Self {
        Self { place, what: What::Script { script, keys, arguments: Vec::new() } }
    }

    /// One more argument for the script.
    pub fn arg(mut self, argument: impl Into<Vec<u8>>) -> Self {
        self.push(argument.into());
        self
    }

    /// More arguments for the script.
    pub fn args(mut self, more: impl IntoIterator<Item = Vec<u8>>) -> Self {
        more.into_iter().for_each(|argument| self.push(argument));
        self
    }

    /// The same for the first key alone. A server that is handing the slot over to another takes nothing that touches
    /// several keys, but always what touches one.
    pub fn alone(&self) -> Self {
        let mut alone = self.clone();
        if let What::Script { keys, .. } = &mut alone.what {
            keys.truncate(1);
        }
        alone
    }

    /// The command to send; `in_full` with the script's text.
    pub fn command(&self, in_full: bool) -> Cmd {
        let (script, keys, arguments) = match &self.what {
            What::Plain(command) => return command.clone(),
            What::Script { script, keys, arguments } => (script, keys, arguments),
        };
        let mut command = redis::cmd(if in_full { "EVAL" } else { "EVALSHA" });
        command.arg(if in_full { script.text } else { &script.digest }).arg(keys.len());
        keys.iter().for_each(|key| {
            command.arg(key);
        });
        arguments.iter().for_each(|argument| {
            command.arg(argument);
        });
        command
    }

    fn push(&mut self, argument: Vec<u8>) {
        if let What::Script { arguments, .. } = &mut self.what {
            arguments.push(argument);
        }
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
        for script in [&CREATE, &ADOPT, &MOOR, &NOTE, &TOUCH, &CLAIM, &RELEASE, &END, &EXPIRE, &FORGET, &KEYS, &ADD_KEY]
        {
            let text = script.text;
            let calls = text.split("redis.call(").skip(1).filter(|call| !call.starts_with("'TIME'"));
            for call in calls {
                let target = call.split(", ").nth(1).unwrap_or_default();
                let known = ["KEYS[", "seen", "ARGV[4]", "ARGV[5]"].iter().any(|key| target.starts_with(key));
                assert!(known, "{call}");
            }
        }
    }
}
