//! The sealing key and the passwords: where secrets come from (the file itself, another file, the environment), and that they are
//! never shown. The one place of the configuration that reads the environment. Seals nothing.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::fault::{Code, Span};
use super::form::Complaint;

/// A key file is never longer; what is longer is no key.
const MAX_FILE: u64 = 1024;

const HELP: &str = "32 random bytes in base64, as `openssl rand -base64 32` prints them";

/// Where commands find the admin API's token.
const ADMIN_TOKEN: &str = "MOORLINE_ADMIN_TOKEN";

/// The 32 bytes that seal session ids. Prints as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct SealingKey([u8; 32]);

impl SealingKey {
    /// The bytes, for the seal alone.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads base64, with the standard alphabet or the URL-safe one; padding may be left out.
    pub(super) fn parse(text: &str) -> Result<Self, Complaint> {
        let plain = text.trim().trim_end_matches('=').replace('-', "+").replace('_', "/");
        let bytes = STANDARD_NO_PAD.decode(plain);
        let bytes = bytes.map_err(|_| Complaint::bad("the key is not base64").help(HELP))?;
        let count = bytes.len();
        let key =
            bytes.try_into().map_err(|_| Complaint::bad(format!("the key has {count} bytes, not 32")).help(HELP))?;
        Ok(Self(key))
    }

    /// Reads the key from a file.
    pub(super) fn from_file(path: &str) -> Result<Self, Complaint> {
        let text = from_file(path, MAX_FILE).map_err(|why| misplaced(path, why))?;
        Self::parse(&text)
    }

    /// Reads the key from a variable of the environment.
    pub(super) fn from_env(name: &str) -> Result<Self, Complaint> {
        let value = from_env(name).map_err(|why| misplaced(name, why))?;
        Self::parse(&value)
    }
}

/// A password. Prints as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Box<str>);

impl Password {
    /// The admin API's token for whoever asks it from this machine, where the environment has one.
    #[must_use]
    pub fn of_admin() -> Option<Self> {
        Self::from_env(ADMIN_TOKEN).ok()
    }

    /// Reads it from a file, for a command; why not, where that fails.
    ///
    /// # Errors
    /// What the system says, or that the file is empty.
    pub fn read(path: &Path) -> Result<Self, String> {
        Self::from_file(&path.to_string_lossy()).map_err(|complaint| complaint.text)
    }

    /// Whether somebody says the same; how long it takes tells nothing but the length.
    #[must_use]
    pub fn is(&self, said: &[u8]) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(self.0.as_bytes(), said).is_ok()
    }

    /// Takes what was read.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text.into())
    }

    /// The text, for the server alone.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Takes the text as it stands.
    pub(super) fn parse(text: &str) -> Result<Self, Complaint> {
        if text.is_empty() { Err(Complaint::bad("the password is empty")) } else { Ok(Self(text.into())) }
    }

    /// Reads the password from a file; white space at its end does not count.
    pub(super) fn from_file(path: &str) -> Result<Self, Complaint> {
        let text = from_file(path, MAX_FILE).map_err(elsewhere)?;
        Self::parse(text.trim_end())
    }

    /// Reads the password from a variable of the environment.
    pub(super) fn from_env(name: &str) -> Result<Self, Complaint> {
        let value = from_env(name).map_err(elsewhere)?;
        Self::parse(&value)
    }
}

/// A password that could not be read from where the value says.
fn elsewhere(text: String) -> Complaint {
    Complaint {
        code: Code::Secret,
        text,
        help: Some("the value says where the password is".to_owned()),
        conceal: false,
    }
}

/// A key that could not be read from where the value says. The value may be the key itself, by mistake.
fn misplaced(value: &str, text: String) -> Complaint {
    let conceal = SealingKey::parse(value).is_ok();
    let help = if conceal {
        "this looks like the key itself; the value must say where the key is".to_owned()
    } else {
        format!("it must hold {HELP}")
    };
    Complaint { code: Code::Secret, text, help: Some(help), conceal }
}

/// Where credentials stand in URLs, in any text: what is between the last delimiter and an `@`, if a colon is in it.
pub(super) fn credentials(text: &str) -> Vec<Span> {
    let delimiter = |c: char| c.is_whitespace() || "\"'/,[]{}=".contains(c);
    let before = |at: usize| text[..at].rfind(delimiter).map_or(0, |delimiter| delimiter + 1);
    let spans = text.match_indices('@').map(|(at, _)| before(at)..at);
    spans.filter(|span| text.get(span.clone()).is_some_and(|found| found.contains(':'))).collect()
}

/// Keys whose value is a secret itself.
const NAMES: [&str; 5] = ["admin_token", "sealing_key", "service_credential", "password", "headers"];

/// Where secrets may stand in a text that cannot be read: all that follows `sealing_key =` and the like on a line.
pub(super) fn spans(text: &str) -> Vec<Span> {
    let names = NAMES.into_iter().flat_map(|name| text.match_indices(name)).map(|(at, name)| at + name.len());
    let values = names.filter_map(|at| {
        let value = text[at..].trim_start_matches([' ', '\t', '"', '\'']).strip_prefix('=')?;
        let start = text.len() - value.len();
        Some(start..start + value.find(['\n', '\r']).unwrap_or(value.len()))
    });
    values.collect()
}

/// The first `limit` bytes of a file, or why there are none.
pub(super) fn from_file(path: &str, limit: u64) -> Result<String, String> {
    let mut text = String::new();
    let read = File::open(Path::new(path)).and_then(|file| file.take(limit).read_to_string(&mut text));
    read.map(|_| text).map_err(|source| format!("cannot read the file: {source}"))
}

/// A variable of the environment, or why there is none.
pub(super) fn from_env(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|source| format!("cannot read the variable: {source}"))
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZEROS: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

    #[test]
    fn reads_either_alphabet_with_or_without_padding() {
        assert_eq!(SealingKey::parse(ZEROS).ok().unwrap().bytes(), &[0; 32]);
        assert_eq!(SealingKey::parse(ZEROS.trim_end_matches('=')).ok().unwrap().bytes(), &[0; 32]);
        let [url_safe, standard] =
            ['_', '/'].map(|c| SealingKey::parse(&ZEROS.replacen('A', &c.to_string(), 3)).ok().unwrap());
        assert_eq!(url_safe, standard);
    }

    #[test]
    fn is_found_in_a_broken_text() {
        let text = "a = \nsealing_key = \"xyz\nsealing_key_file = \"/f\"\n";
        assert_eq!(spans(text).into_iter().map(|span| &text[span]).collect::<Vec<_>>(), [" \"xyz"]);
    }

    #[test]
    fn credentials_are_found_in_urls() {
        let text = "a = 'redis://:pw@h', 'me:pw@h/x', 'http://h/@x', 'x@y'\n";
        assert_eq!(credentials(text).into_iter().map(|span| &text[span]).collect::<Vec<_>>(), [":pw", "me:pw"]);
    }

    #[test]
    fn never_shows_itself() {
        assert_eq!(format!("{:?}", SealingKey([7; 32])), "***");
        let complaint = SealingKey::parse("hunter2").err().unwrap();
        assert!(!complaint.text.contains("hunter2"));
    }
}
