//! The forms of values that only authentication has: issuers, key sets, scopes, required claims. Knows no particular row.

use http::{HeaderName, Uri};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{JwksSource, RequiredClaim};
use crate::config::fault::Span;
use crate::config::form::{Complaint, Form};
use crate::config::tree::Slot;
use crate::config::values;

/// Bytes of a claim's name, a scope, an audience or an issuer at most.
const LONGEST: usize = 512;

/// Header fields that cannot hold a key: they have a meaning of their own on the way.
const TAKEN: [&str; 14] = [
    "accept",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "forwarded",
    "host",
    "last-event-id",
    "mcp-protocol-version",
    "mcp-session-id",
    "origin",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// An issuer: a URL without query and fragment (RFC 8414 §2). It is kept as it is written, for tokens have it exactly so.
pub(in crate::config) fn issuer(text: &str) -> Result<Box<str>, Complaint> {
    url(text)?;
    Ok(text.into())
}

/// A resource: a URL without fragment (RFC 8707 §2).
pub(in crate::config) fn resource(text: &str) -> Result<Box<str>, Complaint> {
    url(text)?;
    Ok(text.into())
}

/// A URL with a host, and with nothing after its path.
fn url(text: &str) -> Result<Uri, Complaint> {
    let shown = text.split(['?', '#']).next().unwrap_or_default();
    if shown.contains('@') {
        let complaint = Complaint::bad("the URL holds credentials").help("leave them out");
        return Err(Complaint { conceal: true, ..complaint });
    }
    let parsed =
        text.parse::<Uri>().ok().filter(|uri| text.len() <= LONGEST && uri.host().is_some_and(|host| !host.is_empty()));
    let wrong = || Complaint::bad(format!("`{shown}` is not an http or https URL"));
    let uri = parsed.ok_or_else(wrong)?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(wrong());
    }
    if text.contains(['?', '#']) {
        return Err(Complaint::bad("the URL has a query or a fragment").help(format!("write \"{shown}\"")));
    }
    Ok(uri)
}

/// Where keys are: a URL, or the path of a file.
pub(in crate::config) fn jwks(text: &str) -> Result<JwksSource, Complaint> {
    if let Some((scheme, _)) = text.split_once("://") {
        if matches!(scheme, "http" | "https") {
            let before = text.split('?').next().unwrap_or_default();
            url(before)?;
            let whole = text.parse::<Uri>().ok().filter(|_| !text.contains('#'));
            return whole.map(JwksSource::Url).ok_or_else(|| Complaint::bad(format!("`{before}` is not a URL")));
        }
        return Err(
            Complaint::bad(format!("`{scheme}:` is not fetched")).help("accepted: http, https, or the path of a file")
        );
    }
    values::file(text).map(JwksSource::File)
}

/// A scope (RFC 6749 §3.3).
pub(in crate::config) fn scope(text: &str) -> Result<Box<str>, Complaint> {
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    if text.is_empty() || text.len() > LONGEST || !text.bytes().all(plain) {
        let complaint = Complaint::bad(format!("`{}` is not one scope", text.escape_debug()));
        return Err(if text.contains(' ') {
            complaint.help("write each scope by itself: [\"read\", \"write\"]")
        } else {
            complaint
        });
    }
    Ok(text.into())
}

/// The name of a claim, or somebody whom tokens are meant for.
pub(in crate::config) fn word(text: &str) -> Result<Box<str>, Complaint> {
    let good = !text.is_empty() && text.len() <= LONGEST && !text.contains(char::is_control);
    if good {
        Ok(text.into())
    } else {
        Err(Complaint::bad(format!("this has 1 to {LONGEST} bytes and no control characters")))
    }
}

/// A header field that holds a key.
pub(in crate::config) fn header(text: &str) -> Result<HeaderName, Complaint> {
    let name = HeaderName::from_bytes(text.as_bytes());
    let name =
        name.map_err(|_| Complaint::bad(format!("`{}` is not the name of a header field", text.escape_debug())))?;
    if TAKEN.contains(&name.as_str()) || name.as_str().starts_with("moorline-") {
        return Err(Complaint::bad(format!("`{text}` has another meaning")).help("write for instance \"x-api-key\""));
    }
    if name == http::header::AUTHORIZATION {
        return Err(Complaint::bad("`Authorization` holds more than a key")
            .help("leave `header` out: keys are then sent as \"Authorization: Bearer …\""));
    }
    Ok(name)
}

/// Claims with the values that they must have.
pub(in crate::config) struct Claims {
    /// More claims, or values of one, are a fault.
    pub max: usize,
}

impl Form for Claims {
    type Value = Vec<(Span, RequiredClaim)>;

    fn read(&self, value: &Spanned<DeValue<'_>>, slot: &mut Slot<'_>) -> Option<Self::Value> {
        let table = slot.table(value, (self.max, "entries"), &self.accepted())?;
        let mut claims = Vec::new();
        self.collect(table, slot, &mut claims)?;
        claims.sort_by_key(|(at, _)| at.start);
        Some(claims)
    }

    fn accepted(&self) -> String {
        "a table such as { org = \"acme\", tier = [\"pro\", \"team\"] }".to_owned()
    }
}

impl Claims {
    /// Reads every claim, so that all that is wrong is said at once.
    fn collect(&self, table: &DeTable<'_>, slot: &mut Slot<'_>, into: &mut Vec<(Span, RequiredClaim)>) -> Option<()> {
        let mut good = Some(());
        for (name, value) in table {
            match self.claim(name.get_ref(), value, slot) {
                Some(claim) => into.push((name.span(), claim)),
                None => good = None,
            }
        }
        good
    }

    fn claim(&self, name: &str, value: &Spanned<DeValue<'_>>, slot: &mut Slot<'_>) -> Option<RequiredClaim> {
        let one = [value];
        let items: Vec<&Spanned<DeValue<'_>>> = match value.get_ref().as_array() {
            Some(items) => items.iter().collect(),
            None => one.to_vec(),
        };
        if items.is_empty() || items.len() > self.max {
            slot.complain(value.span(), Complaint::bad("the claim has no value, or too many"), &self.accepted());
            return None;
        }
        let texts: Vec<Option<Box<str>>> = items.iter().map(|item| text(item, slot, &self.accepted())).collect();
        let values = texts.into_iter().collect::<Option<Vec<_>>>()?;
        Some(RequiredClaim { name: name.into(), values })
    }
}

/// A value as claims are compared: strings as they are, numbers and flags as they are written.
fn text(value: &Spanned<DeValue<'_>>, slot: &mut Slot<'_>, accepted: &str) -> Option<Box<str>> {
    match value.get_ref() {
        DeValue::String(text) if text.len() <= LONGEST => Some((&**text).into()),
        DeValue::Boolean(flag) => Some(flag.to_string().into()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().replace('_', "").into()),
        _ => {
            slot.wrong_type(value, "a string, a whole number, true or false", accepted);
            None
        }
    }
}
