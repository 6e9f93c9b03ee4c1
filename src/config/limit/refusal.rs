//! How it is recognised that an upstream itself has refused, and for how long it is left alone then. Judges text alone:
//! whether the answer is an error at all is known elsewhere.

use std::time::Duration;

use regex::Regex;

/// What refusals commonly look like: a status 429, or what APIs write beside it, and how many seconds they ask for
/// (OpenAI: "try again in 1.2s"; Google: "retryDelay": "34s"; RFC 9110: "Retry-After: 30"). Minutes and milliseconds
/// are not taken for seconds.
const COMMON: &str = r#"(?xi)
    (?: \b (?: http | status | code | answer\w* | respon\w* | return\w* ) [^\n]{0,16}? \b 429 \b
      | \b error \W{0,3} 429 \b
      | ^ \W* 429 \b
      | too\ many\ requests
      | (?: \b | _ ) rate [\ _-]? limit )
    (?: (?s: .*? ) (?: retry | try\ again | wait )
        (?: [\W_]{0,4} (?: after | delay | in | for | at\ least | about | another | seconds? ) ){0,3} \W{0,6}
        (?<seconds> [0-9]{1,7} (?: \. [0-9]{1,3} )? ) [\ \t]*
        (?: s (?: ec | \W | $ ) | \. (?: \s | $ ) | ["'\],;)}!\\] | [\r\n] | $ ) )?"#;

/// The shortest pause: less would be none.
const SHORTEST: Duration = Duration::from_secs(1);

/// How an upstream's own refusal is recognised.
#[derive(Clone, Debug)]
pub struct UpstreamRefusal {
    /// Found in an error's or an `isError` result's text. A group named `seconds` says for how long.
    pub pattern: Regex,
    /// For how long the upstream is left alone where the result does not say it.
    pub pause: Duration,
    /// For how long at most.
    pub most: Duration,
}

impl UpstreamRefusal {
    /// For how long the upstream is to be left alone that has answered with an error of this text: from a second to
    /// `most`. None where the text is no refusal.
    #[must_use]
    pub fn pause_after(&self, text: &str) -> Option<Duration> {
        let found = self.pattern.captures(text)?;
        let seconds = found.name("seconds").and_then(|group| group.as_str().parse::<f64>().ok());
        let said = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        Some(said.unwrap_or(self.pause).max(SHORTEST).min(self.most))
    }

    /// The pattern that is used where none is given.
    pub(super) fn common() -> Regex {
        Regex::new(COMMON).expect("a constant, which a test compiles")
    }
}

// A pattern is what it is written as.
impl PartialEq for UpstreamRefusal {
    fn eq(&self, other: &Self) -> bool {
        let all = |this: &Self| (this.pattern.as_str().to_owned(), this.pause, this.most);
        all(self) == all(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pause(text: &str) -> Option<f64> {
        let refusal = UpstreamRefusal {
            pattern: UpstreamRefusal::common(),
            pause: Duration::from_secs(30),
            most: Duration::from_secs(3600),
        };
        refusal.pause_after(text).map(|pause| pause.as_secs_f64())
    }

    #[test]
    fn common_refusals_are_recognised_with_their_seconds() {
        for (text, seconds) in [
            ("429 Too Many Requests. Please retry after 20 seconds.", 20.0),
            ("Rate limit reached for gpt-x on tokens per min (TPM): Limit 30000. Please try again in 1.2s. Visit", 1.2),
            ("Request failed with status code 429\nretry-after: 30\nserver: x", 30.0),
            ("Error code: 429 - {\"error\": {\"retryDelay\": \"34s\"}}", 34.0),
            ("{\\\"type\\\":\\\"rate_limit_error\\\",\\\"retry_after\\\":7}", 7.0),
            ("upstream answered 429; wait 5s", 5.0),
            ("API error (429): try again in about 9 seconds", 9.0),
            ("rate limited, retry after 30.", 30.0),
            ("too many requests, retry after 0 seconds", 1.0),
            ("too many requests, retry after 999999 seconds", 3600.0),
        ] {
            assert_eq!(pause(text), Some(seconds), "{text}");
        }
    }

    #[test]
    fn what_is_not_in_seconds_is_not_believed() {
        for text in [
            "HTTP/1.1 429",
            "rate-limited",
            "rate limit, try again in 120ms",
            "rate limit, try again in 6m0s",
            "rate limit, retry after 2 minutes",
            "429: {\"retry_after_ms\": 1500}",
            "too many requests, retry after 2026-07-28",
        ] {
            assert_eq!(pause(text), Some(30.0), "{text}");
        }
    }

    #[test]
    fn other_errors_are_no_refusals() {
        for text in ["", "no order 429", "status 500, retry after 3 seconds", "4290", "moderate limits"] {
            assert_eq!(pause(text), None, "{text}");
        }
    }

    #[test]
    fn a_group_may_hold_anything() {
        let pattern = Regex::new("busy(?: (?<seconds>\\S+))?").unwrap();
        let refusal = UpstreamRefusal { pattern, pause: Duration::from_secs(5), most: Duration::from_secs(60) };
        for (text, seconds) in
            [("busy", 5), ("busy x", 5), ("busy -3", 5), ("busy NaN", 5), ("busy 1e99", 5), ("busy 61", 60)]
        {
            assert_eq!(refusal.pause_after(text), Some(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn a_long_text_takes_linear_time() {
        assert_eq!(pause(&"rate limit retry after 1x ".repeat(4000)), Some(30.0));
    }
}
