//! Whether exchanges are traced, how many, and where their spans go: the settings, and how they are read. What OpenTelemetry's own
//! variables in the environment say counts where the configuration says nothing. Traces nothing.

use std::fmt;
use std::path::PathBuf;

use http::{HeaderName, HeaderValue};
use toml::Spanned;
use toml::de::DeValue;

use super::fault::{Code, Fault};
use super::form::{Complaint, Form};
use super::schema::traces as rows;
use super::secret;
use super::tree::{Reader, Slot};
use super::url::{self, BackendUrl};

/// Where spans are posted (OTLP/HTTP), below an endpoint that names no path.
const PATH: &str = "/v1/traces";

/// Header fields that spans may be sent with, at most.
const MOST_HEADERS: usize = 16;

/// How exchanges are traced.
#[derive(Clone, Debug, PartialEq)]
pub struct TracesSettings {
    /// Where spans are posted; `None` traces nothing.
    pub endpoint: Option<BackendUrl>,
    /// The share of traces that are recorded where nobody else has decided, from 0 to 1.
    pub sample: f64,
    /// Whether what a request says of its trace decides whether it is recorded.
    pub follow: bool,
    /// Whether `params._meta` of what is sent gets a `traceparent` where it has none.
    pub meta: bool,
    /// What spans are sent with, beside their own header fields.
    pub headers: Option<TraceHeaders>,
    /// What this gateway is called in traces; `None` leaves it to the environment.
    pub service_name: Option<String>,
    /// Whom to trust that an `https` endpoint is who it says (PEM); `None` leaves it to this machine's own list.
    pub ca_file: Option<PathBuf>,
}

/// Header fields that may hold a credential. Prints as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct TraceHeaders(Vec<(HeaderName, HeaderValue)>);

impl TraceHeaders {
    /// The fields, for the collector alone.
    #[must_use]
    pub fn fields(&self) -> &[(HeaderName, HeaderValue)] {
        &self.0
    }

    /// Reads `name=value` pairs with commas between, as `OTEL_EXPORTER_OTLP_HEADERS` has them (W3C Baggage's form, without properties).
    pub(super) fn parse(text: &str) -> Result<Self, Complaint> {
        let help = "`name=value`, and further ones after a comma; what is special in a value is written as %XX";
        let bad = || Complaint::bad("these are not header fields").help(help);
        let fields = text.split(',').map(str::trim).filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=')?;
            let name = HeaderName::try_from(name.trim()).ok()?;
            let mut value = HeaderValue::try_from(unescape(value.trim())?).ok()?;
            value.set_sensitive(true);
            Some((name, value))
        });
        let fields: Vec<_> = fields.collect::<Option<_>>().ok_or_else(bad)?;
        if fields.is_empty() || fields.len() > MOST_HEADERS { Err(bad()) } else { Ok(Self(fields)) }
    }

    pub(super) fn from_file(path: &str) -> Result<Self, Complaint> {
        Self::elsewhere(secret::from_file(path, 16 * 1024))
    }

    pub(super) fn from_env(name: &str) -> Result<Self, Complaint> {
        Self::elsewhere(secret::from_env(name))
    }

    fn elsewhere(text: Result<String, String>) -> Result<Self, Complaint> {
        let text = text.map_err(|text| Complaint { code: Code::Secret, text, help: None, conceal: false })?;
        Self::parse(&text)
    }
}

impl fmt::Debug for TraceHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// `%XX` as the byte that it stands for.
fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = std::str::from_utf8(after.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &after[2..];
    }
    Some(bytes)
}

/// A share, from 0 to 1.
pub(super) struct Share;

impl Form for Share {
    type Value = f64;

    fn read(&self, value: &Spanned<DeValue<'_>>, slot: &mut Slot<'_>) -> Option<f64> {
        let number = match value.get_ref() {
            DeValue::Float(number) => number.as_str().parse::<f64>().ok(),
            DeValue::Integer(number) => number.as_str().parse::<f64>().ok(),
            _ => {
                slot.wrong_type(value, "a number", &self.accepted());
                return None;
            }
        };
        let share = number.filter(|number| (0.0..=1.0).contains(number));
        if share.is_none() {
            slot.complain(value.span(), Complaint::bad("this is no share"), &self.accepted());
        }
        share
    }

    fn accepted(&self) -> String {
        "a number from 0 to 1, such as 0.01 for one in a hundred".to_owned()
    }
}

/// Where spans are posted.
pub(super) fn endpoint(text: &str) -> Result<BackendUrl, Complaint> {
    let url = url::parse_one(text)?;
    if url.path() == "/" { url::parse_one(&format!("{}{PATH}", text.trim_end_matches('/'))) } else { Ok(url) }
}

pub(super) fn read(reader: &mut Reader<'_>) -> TracesSettings {
    if reader.is_there() && !cfg!(feature = "otlp") {
        let fault = Fault::new(Code::NotYet, reader.at.clone(), "this program was built without traces");
        reader.sink.fault(fault.help("leave `[traces]` out, or build it with the feature `otlp`"));
    }
    let given = reader.find(&rows::ENDPOINT);
    TracesSettings {
        endpoint: given.or_else(from_environment).filter(|_| cfg!(feature = "otlp")),
        sample: reader.get(&rows::SAMPLE),
        follow: reader.get(&rows::FOLLOW),
        meta: reader.get(&rows::META),
        headers: reader.secret("trace headers", [&rows::HEADERS_FILE, &rows::HEADERS_ENV, &rows::HEADERS]),
        service_name: reader.find(&rows::SERVICE_NAME),
        ca_file: reader.find(&rows::CA_FILE),
    }
}

/// What OpenTelemetry's variables say (<https://opentelemetry.io/docs/specs/otel/protocol/exporter/>). One that is no good counts as
/// not set: it may be meant for another program.
fn from_environment() -> Option<BackendUrl> {
    let said = |name: &str| secret::from_env(name).ok().filter(|value| !value.is_empty());
    let off = said("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
        || said("OTEL_TRACES_EXPORTER").is_some_and(|value| value == "none");
    if off {
        return None;
    }
    let whole = said("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").and_then(|url| url::parse_one(&url).ok());
    whole.or_else(|| {
        let base = said("OTEL_EXPORTER_OTLP_ENDPOINT")?;
        url::parse_one(&format!("{}{PATH}", base.trim_end_matches('/'))).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_fields_are_read_as_opentelemetry_writes_them() {
        let read = TraceHeaders::parse("api-key=a%20b%2Cc, x-scope = me ").ok().unwrap();
        let shown: Vec<_> = read.fields().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        assert_eq!(shown, [("api-key", &b"a b,c"[..]), ("x-scope", &b"me"[..])]);
        assert_eq!(format!("{read:?}"), "***");
        for bad in ["", "a", "a b=c", "a=%0a", "a=%2", "a=%zz"] {
            assert!(TraceHeaders::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_endpoint_without_a_path_gets_the_usual_one() {
        let path = |text: &str| endpoint(text).ok().map(|url| url.path().to_owned());
        assert_eq!(path("http://collector:4318").as_deref(), Some("/v1/traces"));
        assert_eq!(path("https://collector/").as_deref(), Some("/v1/traces"));
        assert_eq!(path("http://collector:4318/in/traces").as_deref(), Some("/in/traces"));
        for bad in ["", "collector:4318", "grpc://collector", "dns+http://collector", "http://me:you@collector"] {
            assert_eq!(path(bad), None, "{bad}");
        }
    }
}
