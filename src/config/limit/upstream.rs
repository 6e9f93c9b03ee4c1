//! Reads upstreams, and checks what must hold within each.

use super::check;
use super::{Around, Tokens, UpstreamRefusal, UpstreamSettings, slots};
use crate::config::fault::{Code, Fault};
use crate::config::schema::limit as rows;
use crate::config::tree::{Reader, Row};

/// Reads one upstream.
pub(super) fn one(reader: &mut Reader<'_>, name: Box<str>, around: &Around<'_>) -> UpstreamSettings {
    let quotas: [&dyn Row; 2] = [&rows::UPSTREAM_RATE, &rows::UPSTREAM_CONCURRENCY];
    if !reader.has(&rows::TOKENS) && quotas.iter().all(|row| reader.span(*row).is_none()) {
        let message = "the upstream has no `rate`, no `concurrency` and no `tokens`";
        let fault = Fault::new(Code::Missing, reader.at.clone(), message);
        reader.sink.fault(fault.help("add for instance `rate = \"500/min\"`"));
    }
    reader.needs(&rows::UPSTREAM_BURST, &rows::UPSTREAM_RATE);
    let rate = reader.find(&rows::UPSTREAM_RATE);
    UpstreamSettings {
        name,
        tools: check::globs(reader.need(&rows::UPSTREAM_TOOLS)),
        pools: check::pools(reader, &rows::UPSTREAM_POOLS, around),
        rate,
        burst: check::burst(reader, &rows::UPSTREAM_BURST, rate),
        concurrency: slots::read(reader, &slots::UPSTREAM),
        tokens: tokens(&mut reader.below(&rows::TOKENS)),
        refusal: refusal(&mut reader.below(&rows::REFUSED)),
        on_limit: reader.get(&rows::UPSTREAM_ON),
    }
}

fn tokens(reader: &mut Reader<'_>) -> Option<Tokens> {
    if !reader.is_there() {
        return None;
    }
    let (rate, estimate) = (reader.need(&rows::TOKENS_RATE), reader.need(&rows::ESTIMATE));
    let burst = check::burst(reader, &rows::TOKENS_BURST, rate);
    let from = reader.get(&rows::FROM);
    let estimate = estimate?;
    if let Some(at) = reader.span(&rows::ESTIMATE) {
        let most = check::at_once(reader, (rate, &rows::TOKENS_RATE), (burst, &rows::TOKENS_BURST));
        check::affordable(reader, (at, estimate), &rows::ESTIMATE, most);
    }
    Some(Tokens { rate: rate?, burst, estimate, from })
}

fn refusal(reader: &mut Reader<'_>) -> UpstreamRefusal {
    let refusal = UpstreamRefusal {
        pattern: reader.find(&rows::PATTERN).unwrap_or_else(UpstreamRefusal::common),
        pause: reader.get(&rows::PAUSE),
        most: reader.get(&rows::PAUSE_MAX),
    };
    reader.at_most((&rows::PAUSE, refusal.pause), (&rows::PAUSE_MAX, refusal.most));
    refusal
}
