//! The service credential: with what `Authorization` backends are asked where no caller asks. Checks that it can
//! stand in a header, and never shows it. Whom it is sent to is decided elsewhere.

use std::fmt;

use http::HeaderValue;

use super::fault::Code;
use super::form::Complaint;
use super::secret;

/// The longest credential, in bytes; servers seldom take longer header fields.
const MAX: usize = 8 * 1024;

const HELP: &str = "the value of an Authorization header, such as `Bearer …`";

/// The value of an `Authorization` header. Prints as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential(HeaderValue);

impl Credential {
    /// The value, marked as sensitive, for requests to backends alone.
    #[must_use]
    pub const fn value(&self) -> &HeaderValue {
        &self.0
    }

    /// Reads the value as it stands in the header; space around it is left out.
    pub(super) fn parse(text: &str) -> Result<Self, Complaint> {
        let plain = text.trim();
        if plain.is_empty() {
            return Err(Complaint::bad("the credential is empty").help(HELP));
        }
        if plain.len() > MAX {
            return Err(Complaint::bad(format!("the credential is longer than {MAX} bytes")).help(HELP));
        }
        // `HeaderValue` alone would take bytes beyond ASCII.
        let value = plain.is_ascii().then(|| HeaderValue::from_str(plain).ok()).flatten();
        let mut value = value.ok_or_else(|| Complaint::bad("the credential cannot stand in a header").help(HELP))?;
        value.set_sensitive(true);
        Ok(Self(value))
    }

    /// Reads the value from a file.
    pub(super) fn from_file(path: &str) -> Result<Self, Complaint> {
        let text = secret::from_file(path, 2 * MAX as u64).map_err(|why| misplaced(path, why))?;
        Self::parse(&text)
    }

    /// Reads the value from a variable of the environment.
    pub(super) fn from_env(name: &str) -> Result<Self, Complaint> {
        let value = secret::from_env(name).map_err(|why| misplaced(name, why))?;
        Self::parse(&value)
    }
}

/// A credential that could not be read from where the value says. The value may be the credential itself, by mistake:
/// then it has a space after its scheme.
fn misplaced(value: &str, text: String) -> Complaint {
    let conceal = value.split_once(' ').is_some_and(|(scheme, _)| !scheme.contains(['/', '\\']));
    let help = if conceal {
        "this looks like the credential itself; the value must say where the credential is".to_owned()
    } else {
        format!("it must hold {HELP}")
    };
    Complaint { code: Code::Secret, text, help: Some(help), conceal }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_what_can_stand_in_a_header() {
        let credential = Credential::parse(" Bearer abc\n").ok().unwrap();
        assert_eq!(credential.value(), "Bearer abc");
        assert!(credential.value().is_sensitive());
        let long = "x".repeat(MAX + 1);
        for text in ["", " \n", "Bearer a\r\nX: y", "Bearer \u{2602}", &long] {
            assert!(Credential::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn never_shows_itself() {
        assert_eq!(format!("{:?}", Credential::parse("Bearer hunter2").ok().unwrap()), "***");
        let complaint = Credential::from_env("Bearer hunter2").err().unwrap();
        assert!(complaint.conceal && !complaint.text.contains("hunter2"));
    }
}
