//! How backends are told who calls, once that is known. Header fields of these names come from Moorline or not at all.

use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::{Gate, Principal};
use crate::config::IdentitySettings;

const CALLER: HeaderName = HeaderName::from_static("moorline-caller");
const ISSUER: HeaderName = HeaderName::from_static("moorline-issuer");
const SCOPES: HeaderName = HeaderName::from_static("moorline-scopes");
const IDENTITY: HeaderName = HeaderName::from_static("moorline-identity");

/// The header fields in which backends are told who calls. What clients send in them is taken out.
pub const INTRODUCTIONS: [HeaderName; 4] = [CALLER, ISSUER, SCOPES, IDENTITY];

impl Gate {
    /// Says in a request to a backend who its caller is, as far as the configuration wants that.
    pub fn introduce(&self, caller: &Principal, headers: &mut HeaderMap) {
        match &self.settings.identity {
            IdentitySettings::Off | IdentitySettings::Signed(_) => {}
            IdentitySettings::Headers => {
                headers.insert(CALLER, plain(&caller.subject));
                headers.insert(ISSUER, plain(&caller.issuer));
                let scopes: Vec<&str> = caller.scopes.iter().map(|scope| &**scope).collect();
                headers.insert(SCOPES, plain(&scopes.join(" ")));
            }
        }
    }
}

/// A text as a header field can hold it for everybody: what is not visible ASCII, and the percent sign, percent-encoded
/// (RFC 3986 §2.1). Spaces stay inside.
fn plain(text: &str) -> HeaderValue {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'%' => out.push_str("%25"),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    HeaderValue::try_from(out).expect("visible ASCII may stand in a header field")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_can_be_said() {
        assert_eq!(plain("auth0|alice b"), "auth0|alice b");
        assert_eq!(plain("J\u{fc}rgen\r\nX: 100%"), "J%C3%BCrgen%0D%0AX: 100%25");
    }
}
