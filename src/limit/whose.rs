//! Whose account a request falls under: as the counters know it, and as people name it.

use std::borrow::Cow;
use std::net::IpAddr;

use super::rules::{AskerFacts, Rule};
use crate::auth::{ClaimValue, Principal};
use crate::config::LimitKey;
use crate::exchange::{Ask, Caller, Exchange};
use crate::names::SessionId;
use crate::seal::digest;
use crate::store::counters::Subject;

/// What stands between a claim's name and its value: whether it is one text, or a list.
const TEXT: &str = "=";
const LIST: &str = "[]=";

impl Rule {
    /// The account that a message falls under.
    pub(super) fn subject(&self, asker: &AskerFacts<'_>, method: &str, name: Option<&str>) -> Subject {
        match &self.key {
            LimitKey::Caller => asker.caller,
            LimitKey::Address => asker.address,
            LimitKey::Session => asker.session.map_or(asker.caller, |session| Subject(session.0)),
            LimitKey::Tool => tool(tool_or(method, name)),
            LimitKey::CallerTool => caller_tool(asker.caller, tool_or(method, name)),
            LimitKey::Header(header) => {
                asker.exchange.vouched(header).map_or(asker.caller, |value| hashed(&[b"header", value.as_bytes()]))
            }
            LimitKey::Claim(claim) => {
                said(&asker.exchange.caller, claim).map_or(asker.caller, |said| said.account(claim))
            }
            LimitKey::Global => Subject(0),
        }
    }

    /// The account that a text names: a caller, an address, a session id, a tool, a caller and a tool, a field's or a claim's value.
    #[must_use]
    pub fn subject_named(&self, text: &str, ipv6_prefix: u8) -> Option<Subject> {
        let at = |text: &str| Some(address(text.parse().ok()?, ipv6_prefix));
        let by = |text: &str| at(text).or_else(|| Some(Subject(u128::from_be_bytes(Principal::labelled(text)?.0))));
        match &self.key {
            LimitKey::Caller => by(text),
            LimitKey::Address => at(text),
            LimitKey::Session => u128::from_str_radix(text, 16).ok().map(Subject).or_else(|| by(text)),
            LimitKey::Tool => Some(tool(text)),
            LimitKey::CallerTool => {
                let (caller, name) = text.rsplit_once(' ')?;
                Some(caller_tool(by(caller)?, name))
            }
            LimitKey::Claim(claim) => Said::named(claim, text).map(|said| said.account(claim)).or_else(|| by(text)),
            LimitKey::Header(_) => by(text).or_else(|| Some(hashed(&[b"header", text.as_bytes()]))),
            LimitKey::Global => Some(Subject(0)),
        }
    }

    /// Whether all share one account.
    #[must_use]
    pub fn is_global(&self) -> bool {
        self.key == LimitKey::Global
    }

    /// Who has an account, for people.
    #[must_use]
    pub fn key(&self) -> String {
        match &self.key {
            LimitKey::Caller => "caller".into(),
            LimitKey::Address => "address".into(),
            LimitKey::Session => "session".into(),
            LimitKey::Tool => "tool".into(),
            LimitKey::CallerTool => "caller+tool".into(),
            LimitKey::Header(name) => format!("header:{name}"),
            LimitKey::Claim(name) => format!("claim:{name}"),
            LimitKey::Global => "global".into(),
        }
    }

    /// The account of a request, as a text that names it again; none where a batch has several.
    #[must_use]
    pub fn label(&self, exchange: &Exchange, session: Option<SessionId>) -> Option<String> {
        let caller = exchange.caller.label();
        let tool = || match &exchange.ask {
            Ask::Call(call) => Some(tool_or(&call.method, call.name.as_deref())),
            Ask::Batch(_) => None,
            _ => Some(exchange.verb()),
        };
        Some(match &self.key {
            LimitKey::Caller => caller.into_owned(),
            LimitKey::Address => exchange.caller.addr.to_string(),
            LimitKey::Session => session.map_or_else(|| caller.to_string(), |session| session.to_string()),
            LimitKey::Tool => tool()?.into(),
            LimitKey::CallerTool => format!("{caller} {}", tool()?),
            LimitKey::Header(header) => {
                let value = exchange.vouched(header).and_then(|value| value.to_str().ok());
                value.map_or_else(|| caller.to_string(), str::to_owned)
            }
            LimitKey::Claim(claim) => {
                said(&exchange.caller, claim).map_or_else(|| caller.to_string(), |said| said.label(claim))
            }
            LimitKey::Global => String::new(),
        })
    }
}

/// The tool that is called; for other methods the method, since what they name is without end.
fn tool_or<'a>(method: &'a str, name: Option<&'a str>) -> &'a str {
    name.filter(|_| method == "tools/call").unwrap_or(method)
}

/// The account of an address. An IPv6 client has a whole network of addresses to choose from: they count as one.
pub fn address(addr: IpAddr, ipv6_prefix: u8) -> Subject {
    match addr.to_canonical() {
        IpAddr::V4(addr) => Subject(addr.to_ipv6_mapped().to_bits()),
        IpAddr::V6(addr) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(ipv6_prefix)).unwrap_or(0);
            Subject(addr.to_bits() & mask)
        }
    }
}

fn tool(name: &str) -> Subject {
    hashed(&[b"tool", name.as_bytes()])
}

fn caller_tool(caller: Subject, name: &str) -> Subject {
    hashed(&[b"caller+tool", &caller.0.to_be_bytes(), name.as_bytes()])
}

/// What a claim says, and whose word that is: two issuers may mean two things by the same one, and a list of one is no text.
struct Said<'a> {
    issuer: &'a str,
    form: &'static str,
    value: Cow<'a, str>,
}

fn said<'a>(caller: &'a Caller, claim: &str) -> Option<Said<'a>> {
    let principal = caller.principal.as_deref()?;
    let (form, value) = match principal.claim(claim)? {
        ClaimValue::Text(text) => (TEXT, Cow::Borrowed(&**text)),
        ClaimValue::List(texts) => (LIST, Cow::Owned(serde_json::json!(texts).to_string())),
    };
    Some(Said { issuer: &principal.issuer, form, value })
}

impl<'a> Said<'a> {
    /// What a label says.
    fn named(claim: &str, label: &'a str) -> Option<Self> {
        let rest = label.strip_prefix(claim)?;
        let (form, rest) = [LIST, TEXT].into_iter().find_map(|form| Some((form, rest.strip_prefix(form)?)))?;
        let (issuer, value) = Principal::voucher(rest)?;
        Some(Self { issuer, form, value: Cow::Borrowed(value) })
    }

    fn label(&self, claim: &str) -> String {
        format!("{claim}{}{}", self.form, Principal::vouched(self.issuer, &self.value))
    }

    fn account(&self, claim: &str) -> Subject {
        let parts = ["claim", claim, self.form, self.issuer, &*self.value];
        hashed(&parts.map(str::as_bytes))
    }
}

fn hashed(parts: &[&[u8]]) -> Subject {
    Subject(u128::from_be_bytes(digest(parts)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::auth::Validity;

    fn caller(issuer: &str, org: ClaimValue) -> Caller {
        let mut principal = Principal::new(issuer, "ada", Arc::new(Validity::new(None, Arc::default())));
        principal.claims.insert("org".into(), org);
        Caller { addr: [192, 0, 2, 1].into(), principal: Some(Arc::new(principal)) }
    }

    #[test]
    fn a_claim_is_an_issuers_word_and_its_label_leads_back() {
        let (text, list) = (
            || ClaimValue::Text("a".into()),
            |texts: &[&str]| ClaimValue::List(texts.iter().map(|text| Box::from(*text)).collect()),
        );
        let mut accounts = Vec::new();
        for (issuer, org, label) in [
            ("https://a.example", text(), "org=https://a.example#a"),
            ("https://b.example", text(), "org=https://b.example#a"),
            ("moorline:keys", text(), "org=key:a"),
            ("https://a.example", list(&["a"]), "org[]=https://a.example#[\"a\"]"),
            ("https://a.example", list(&["a", "b"]), "org[]=https://a.example#[\"a\",\"b\"]"),
            ("https://a.example", list(&["a,b"]), "org[]=https://a.example#[\"a,b\"]"),
        ] {
            let caller = caller(issuer, org);
            let said = said(&caller, "org").unwrap();
            assert_eq!(said.label("org"), label);
            let account = said.account("org");
            assert_eq!(Said::named("org", label).unwrap().account("org"), account);
            assert!(!accounts.contains(&account), "{label} is somebody else's");
            accounts.push(account);
        }
        assert!(Said::named("org", "https://a.example#a").is_none(), "a caller");
    }
}
