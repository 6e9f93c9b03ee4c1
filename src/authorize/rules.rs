//! The rules: what each reserves, and for whom. What no rule names is for everybody; what rules name is for those alone whom one
//! of them allows.

use std::sync::Arc;

use http::Uri;

use super::Settings;
use crate::auth::{ClaimValue, Principal};
use crate::config::{AllowRule, Glob};
use crate::exchange::{Exchange, Veil};

/// The rules, ready for use.
#[derive(Debug, Default)]
pub struct Rules {
    allow: Arc<[AllowRule]>,
    pub public_url: Option<Uri>,
}

/// Why somebody may not do something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A rule would allow it to the caller with more scopes: all that are needed, and those that are missing.
    Scopes {
        /// All that the rule asks for.
        needed: Vec<Box<str>>,
        /// Those that the caller has not.
        missing: Vec<Box<str>>,
    },
    /// No rule allows it to this caller, whatever its scopes.
    Caller,
}

impl Rules {
    pub fn new(settings: Settings) -> Self {
        Self { allow: settings.allow.into(), public_url: settings.public_url }
    }

    pub fn is_empty(&self) -> bool {
        self.allow.is_empty()
    }

    /// Whether the caller may send such a message.
    pub fn judge(&self, exchange: &Exchange, method: &str, tool: Option<&str>) -> Result<(), Refused> {
        let about = self.of(exchange).filter(|rule| speaks_of(rule, method, tool));
        judge(about, exchange.caller.principal.as_deref())
    }

    /// Whether any tool of the pool is reserved for anybody.
    pub fn reserve_tools(&self, exchange: &Exchange) -> bool {
        self.of(exchange).any(|rule| {
            !rule.target.tools.is_empty() || rule.target.methods.iter().any(|glob| glob.matches("tools/call"))
        })
    }

    /// The rules of a pool.
    fn of(&self, exchange: &Exchange) -> impl Iterator<Item = &AllowRule> {
        let pool = exchange.pool.settings();
        self.allow.iter().filter(move |rule| is_for(rule, &pool.name))
    }

    /// What the caller is shown of tools; none where no rule reserves a tool of this pool. A list that rules have to do with is
    /// for one caller alone, even if nothing is hidden from that one.
    pub fn veil(&self, exchange: &Exchange) -> Option<Veil> {
        if !self.reserve_tools(exchange) {
            return None;
        }
        let (rules, caller) = (self.of(exchange).cloned().collect::<Vec<_>>(), exchange.caller.principal.clone());
        Some(Veil::new(move |tool| {
            let about = rules.iter().filter(|rule| speaks_of(rule, "tools/call", Some(tool)));
            judge(about, caller.as_deref()).is_ok()
        }))
    }
}

/// Of the rules that name a thing, one must allow it; where there are none, everybody may.
fn judge<'r>(about: impl Iterator<Item = &'r AllowRule>, caller: Option<&Principal>) -> Result<(), Refused> {
    let mut refused = Ok(());
    for rule in about {
        let lacking = caller.filter(|caller| suits(rule, caller)).map(|caller| missing(rule, caller));
        match lacking {
            Some(missing) if missing.is_empty() => return Ok(()),
            // The first that more scopes would satisfy is the one that a client is told of.
            Some(missing) if !matches!(refused, Err(Refused::Scopes { .. })) => {
                refused = Err(Refused::Scopes { needed: rule.scopes.clone(), missing });
            }
            _ if refused.is_ok() => refused = Err(Refused::Caller),
            _ => {}
        }
    }
    refused
}

fn is_for(rule: &AllowRule, pool: &str) -> bool {
    rule.target.pools.is_empty() || rule.target.pools.iter().any(|name| **name == *pool)
}

fn speaks_of(rule: &AllowRule, method: &str, tool: Option<&str>) -> bool {
    let any = |globs: &[Glob], name: &str| globs.iter().any(|glob| glob.matches(name));
    any(&rule.target.methods, method) || tool.is_some_and(|tool| any(&rule.target.tools, tool))
}

/// Whether the caller is one of those that a rule is for, its scopes aside.
fn suits(rule: &AllowRule, caller: &Principal) -> bool {
    let named = rule.callers.is_empty() || rule.callers.iter().any(|glob| glob.matches(&caller.subject));
    let claims = |(name, values): &(Box<str>, Vec<Glob>)| {
        let any = |text: &str| values.iter().any(|glob| glob.matches(text));
        match caller.claim(name) {
            Some(ClaimValue::Text(text)) => any(text),
            Some(ClaimValue::List(texts)) => texts.iter().any(|text| any(text)),
            None => false,
        }
    };
    named && rule.claims.iter().all(claims)
}

fn missing(rule: &AllowRule, caller: &Principal) -> Vec<Box<str>> {
    rule.scopes.iter().filter(|scope| !caller.has(scope)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Validity;
    use crate::config::AllowTarget;

    fn caller(subject: &str, scopes: &[&str], org: &str) -> Principal {
        let mut caller = Principal::new("https://a", subject, Arc::new(Validity::new(None, Arc::default())));
        caller.scopes = scopes.iter().map(|scope| Box::from(*scope)).collect();
        caller.claims.insert("org".into(), ClaimValue::List(vec![org.into(), "all".into()]));
        caller
    }

    fn rule(tools: &str, scopes: &[&str], callers: &str) -> AllowRule {
        AllowRule {
            target: AllowTarget { tools: vec![tools.parse().unwrap()], ..AllowTarget::default() },
            scopes: scopes.iter().map(|scope| Box::from(*scope)).collect(),
            claims: Vec::new(),
            callers: if callers.is_empty() { Vec::new() } else { vec![callers.parse().unwrap()] },
        }
    }

    #[test]
    fn one_of_the_rules_that_name_a_tool_must_allow_it() {
        let rules = [rule("*", &["admin"], ""), rule("get_*", &["read", "mcp"], ""), rule("get_*", &[], "ci-*")];
        let may = |caller: Option<&Principal>, tool: &str| {
            judge(rules.iter().filter(|rule| speaks_of(rule, "tools/call", Some(tool))), caller)
        };
        assert_eq!(may(Some(&caller("a", &["admin"], "")), "drop"), Ok(()));
        assert_eq!(may(Some(&caller("a", &["read", "mcp"], "")), "get_x"), Ok(()));
        assert_eq!(may(Some(&caller("ci-7", &[], "")), "get_x"), Ok(()));
        let scopes = |needed: &[&str]| needed.iter().map(|scope| Box::from(*scope)).collect::<Vec<Box<str>>>();
        let lacks = |needed: &[&str], missing: &[&str]| {
            Err(Refused::Scopes { needed: scopes(needed), missing: scopes(missing) })
        };
        assert_eq!(may(Some(&caller("a", &["read"], "")), "drop"), lacks(&["admin"], &["admin"]));
        assert_eq!(may(Some(&caller("a", &["read"], "")), "get_x"), lacks(&["admin"], &["admin"]));
        assert_eq!(may(None, "drop"), Err(Refused::Caller));
    }

    #[test]
    fn what_no_rule_names_is_for_everybody() {
        let rules = [rule("drop", &["admin"], "")];
        let about = |method, tool| rules.iter().filter(move |rule| speaks_of(rule, method, tool));
        assert_eq!(judge(about("tools/call", Some("get")), None), Ok(()));
        assert_eq!(judge(about("tools/list", None), None), Ok(()));
        // A resource may be called like a tool.
        assert_eq!(judge(about("resources/read", None), None), Ok(()));
    }

    #[test]
    fn claims_are_compared_with_each_of_their_values() {
        let mut only_acme = rule("*", &[], "");
        only_acme.claims = vec![("org".into(), vec!["ac*".parse().unwrap()])];
        let may = |org: &str| judge(std::iter::once(&only_acme), Some(&caller("a", &[], org)));
        assert_eq!((may("acme"), may("other")), (Ok(()), Err(Refused::Caller)));
        only_acme.claims[0].0 = "team".into();
        assert_eq!(judge(std::iter::once(&only_acme), Some(&caller("a", &[], "acme"))), Err(Refused::Caller));
    }
}
