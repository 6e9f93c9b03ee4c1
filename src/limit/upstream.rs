//! What an upstream's results teach: how many tokens a call really used, and whether the upstream itself has refused, in
//! which case everybody leaves it alone for a while.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::StatusCode;
use http::header::RETRY_AFTER;

use super::Permit;
use super::rules::{Account, Rule, Unit};
use crate::config::UpstreamRefusal;
use crate::exchange::{Answer, Ask, Exchange, Lesson};
use crate::mcp::frame::{Frame, Outcome, peek_frame};
use crate::mcp::raw;
use crate::store::counters::Charge;
use crate::tasks;

/// How long telling the counters of a pause may take.
const TELLING: Duration = Duration::from_secs(5);

/// A pause lasts so long at least.
const SHORTEST: Duration = Duration::from_secs(1);

/// Bytes of an error's text that are searched.
const SEARCHED: usize = 16 * 1024;

impl Permit {
    /// Whether results are learnt from.
    #[must_use]
    pub fn learns(&self) -> bool {
        self.entries().any(|(rule, ..)| rule.upstream.is_some())
    }

    /// Learns from an answer, now or when the result passes. `others` is what the rest of the program still wants to learn
    /// from the same answer.
    #[must_use]
    pub fn learn(self: &Arc<Self>, exchange: &Exchange, answer: &Answer, others: Option<Lesson>) -> Option<Lesson> {
        let Ask::Call(call) = &exchange.ask else { return others };
        if !self.learns() {
            return others;
        }
        if !answer.status.is_success() {
            self.heed_status(answer);
            return others;
        }
        if let Some(whole) = &answer.whole {
            self.heed(whole, &call.id);
            return others;
        }
        let (permit, id, mut others) = (Arc::clone(self), call.id.clone(), others);
        Some(Box::new(move |message| {
            permit.heed(message, &id);
            others.as_mut().and_then(|others| others(message))
        }))
    }

    fn heed(&self, message: &[u8], id: &str) {
        let Some(frame) = peek_frame(message).filter(|frame| frame.answers(id)) else { return };
        let Frame::Response { outcome, .. } = frame else { return };
        let refusal = match outcome {
            // Not where another gateway, or this one in its server's name, has said that its own limit is exceeded.
            Outcome::Error(error) => Some(error).filter(|error| !is_of_a_limit(error)),
            Outcome::Result(result) => {
                self.settle(result);
                raw::at(result, &["isError"]).and_then(raw::boolean).is_some_and(|error| error).then_some(result)
            }
        };
        if let Some(text) = refusal {
            self.heed_text(text);
        }
    }

    /// Puts an estimate right.
    fn settle(&self, result: &str) {
        let settled = self.entries().filter_map(|(rule, account, charge)| {
            let tokens = rule.upstream.as_ref()?.tokens.as_ref()?;
            let used = number_at(result, &tokens.from).filter(|_| matches!(account.unit, Unit::Tokens(..)))?;
            (used != charge.cost).then(|| self.correction(charge, used))
        });
        let corrections: Vec<_> = settled.collect();
        if !corrections.is_empty() && self.was_charged() && !self.settled.swap(true, Ordering::Relaxed) {
            self.counters.correct(corrections);
        }
    }

    /// A backend may pass its upstream's refusal on as its own.
    fn heed_status(&self, answer: &Answer) {
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            let seconds = answer.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            let told = seconds.map(Duration::from_secs);
            self.pause(|refusal| Some(told.unwrap_or(refusal.pause).clamp(SHORTEST, refusal.most)));
        }
    }

    fn heed_text(&self, text: &str) {
        let text = &text[..text.floor_char_boundary(SEARCHED.min(text.len()))];
        self.pause(|refusal| refusal.pause_after(text));
    }

    /// Leaves the upstreams alone that have refused, for everybody, as long as they say.
    fn pause(&self, refused: impl Fn(&UpstreamRefusal) -> Option<Duration>) {
        let mut held: Vec<(Charge, Duration)> = Vec::new();
        for (rule, account, charge) in self.entries() {
            let Some(upstream) = rule.upstream.as_ref().filter(|_| rule.is_first(account)) else { continue };
            let Some(lasts) = refused(&upstream.refusal) else { continue };
            rule.counts.pauses.increment();
            let for_ms = lasts.as_millis();
            tracing::warn!(upstream = %rule.name, for_ms, "an upstream has refused and is left alone");
            held.push((charge.clone(), lasts));
        }
        if held.is_empty() {
            return;
        }
        let counters = Arc::clone(&self.counters);
        tasks::detach("upstream pause", TELLING, async move {
            for (charge, lasts) in held {
                if let Err(error) = counters.hold(&charge, lasts).await {
                    tracing::warn!(error = &error as &dyn std::error::Error, "others could not be told of a pause");
                }
            }
        });
    }

    /// Each charge with its rule and account.
    fn entries(&self) -> impl Iterator<Item = (&Rule, &Account, &Charge)> {
        let entries = self.bill.of.iter().zip(&self.bill.charges);
        entries.filter_map(|(at, charge)| self.rules.at(*at).map(|(rule, account)| (rule, account, charge)))
    }
}

/// Whether an error is Moorline's own refusal by a limit.
fn is_of_a_limit(error: &str) -> bool {
    raw::at(error, &["data", "reason"]).and_then(raw::text).is_some_and(|reason| reason == "limited")
}

/// The whole number at a path of object keys and array positions.
fn number_at(text: &str, path: &[String]) -> Option<u64> {
    let found = path.iter().try_fold(text, |inside, key| match raw::at(inside, &[key]) {
        Some(found) => Some(found),
        None => raw::elements(inside)?.get(key.parse::<usize>().ok()?).copied(),
    })?;
    let found = found.trim();
    // Some servers count in floats.
    found.parse().ok().or_else(|| whole(found.parse().ok()?))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
fn whole(number: f64) -> Option<u64> {
    (0.0..9e15).contains(&number).then(|| number.ceil() as u64)
}
