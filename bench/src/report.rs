//! Turns samples into the tables of `summary.md`: medians over rounds with their spread, and ratios that are
//! taken within a round before the median is, since two slots of one round met the same machine.

use std::fmt::Write as _;

use crate::load::{Figures, Idle, Load};
use crate::peers::Peer;
use crate::process::Cpu;
use crate::run::Sample;
use crate::works::{Drive, Work};

/// A median with the least and the greatest.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let mut sorted = values.filter(|value| value.is_finite()).collect::<Vec<_>>();
        sorted.sort_by(f64::total_cmp);
        let (least, most) = (*sorted.first()?, *sorted.last()?);
        let half = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 { sorted[half] } else { f64::midpoint(sorted[half - 1], sorted[half]) };
        Some(Self { median, least, most })
    }
}

#[expect(clippy::cast_precision_loss, reason = "nine digits are enough for a figure")]
impl Load {
    /// Requests, events or sessions a second.
    pub fn units_per_second(&self, work: Work) -> f64 {
        self.requests as f64 * f64::from(work.units()) / self.seconds
    }

    /// The proxy's CPU time for each, in microseconds.
    pub fn proxy_micros_per_unit(&self, work: Work) -> f64 {
        self.proxy.run_ns as f64 / 1e3 / (self.requests as f64 * f64::from(work.units()))
    }

    /// CPU time for each request, in microseconds.
    pub fn micros(&self, of: Cpu) -> f64 {
        of.run_ns as f64 / 1e3 / self.requests as f64
    }

    /// The CPU time of proxy, servers and Redis for each request, in microseconds.
    pub fn whole_micros(&self) -> f64 {
        self.micros(self.proxy) + self.micros(self.origins) + self.micros(self.beside)
    }

    /// Which part of the requests a cache says it had the answer to.
    pub fn hit_share(&self) -> f64 {
        self.hits as f64 / self.requests as f64
    }

    /// Which part of its core the proxy used.
    pub fn proxy_busy(&self) -> f64 {
        self.proxy.run_ns as f64 / 1e9 / self.seconds
    }

    /// Which part of the proxy's time other processes on its core took from it.
    pub fn proxy_waited(&self) -> f64 {
        self.proxy.wait_ns as f64 / 1e9 / self.seconds
    }

    /// Which part of the time the hypervisor took from the proxy's core.
    pub fn stolen(&self) -> f64 {
        self.stolen_ticks as f64 / 100.0 / self.seconds
    }
}

#[expect(clippy::cast_precision_loss, reason = "nine digits are enough for a figure")]
impl Idle {
    /// Memory of one stream with its connection and its session, in KiB.
    pub fn kib_per_stream(&self) -> f64 {
        (self.open.pss_kib as f64 - self.before.pss_kib as f64) / self.streams as f64
    }

    /// Memory of one session with its open connection but no stream, in KiB.
    pub fn kib_per_session(&self) -> f64 {
        (self.sessions.pss_kib as f64 - self.before.pss_kib as f64) / self.streams as f64
    }
}

/// The whole summary.
pub fn summary(title: &str, samples: &[Sample]) -> String {
    let mut text = format!(
        "# {title}\n\nMedian over rounds (least to most). Ratios to nginx are taken within each round. What the figures mean, and \
         what they do not: `../../README.md`. How they came about: `setup.txt`. Every slot: `raw.json`.\n"
    );
    let works = distinct(samples.iter().map(|sample| sample.work));
    for work in works {
        let of_work = samples.iter().filter(|sample| sample.work == work).collect::<Vec<_>>();
        let _ = match work.drive() {
            Drive::Idle => write!(text, "\n{}", idle_table(&of_work)),
            Drive::Paced { .. } => write!(text, "\n{}", load_table(work, &of_work, "at the same rate for all")),
            Drive::Drawn(_) => {
                let _ = write!(text, "\n{}", load_table(work, &of_work, "closed loop"));
                write!(text, "\n{}", whole_table(work, &of_work))
            }
            Drive::Closed(_) | Drive::Sessions => write!(text, "\n{}", load_table(work, &of_work, "closed loop")),
        };
    }
    let voids = samples.iter().filter_map(|sample| Some((sample, sample.void.as_ref()?)));
    for (at, (sample, void)) in voids.enumerate() {
        let heading = if at == 0 { "\n## Void slots\n\n" } else { "" };
        let _ = writeln!(
            text,
            "{heading}- {} {} round {}: {void}",
            sample.work.name(),
            sample.peer.name(),
            sample.round + 1
        );
    }
    text
}

fn load_table(work: Work, samples: &[&Sample], how: &str) -> String {
    let unit = work.unit();
    let mut text = format!(
        "## {} ({how})\n\n| peer | CPU µs per {unit} | ratio to nginx | {unit}s/s per core of CPU | {unit}s/s | proxy busy | p50 µs | p99 µs | \
         added p50 µs | added p99 µs |\n|---|---|---|---|---|---|---|---|---|---|\n",
        work.name()
    );
    for peer in distinct(samples.iter().map(|sample| sample.peer)) {
        let column = |figure: &dyn Fn(&Load) -> f64| Spread::of(loads(samples, peer).map(|(_, load)| figure(load)));
        let proxy = |spread: Option<Spread>| if peer == Peer::Direct { None } else { spread };
        let paired = |other: Peer, pair: &dyn Fn(&Load, &Load) -> f64| {
            Spread::of(pairs(samples, peer, other).map(|(one, two)| pair(one, two)))
        };
        let per_unit = |load: &Load| load.proxy_micros_per_unit(work);
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            peer.name(),
            shown(proxy(column(&per_unit)), 2),
            shown(proxy(paired(Peer::Nginx, &|one, two| per_unit(one) / per_unit(two))), 2),
            shown(proxy(column(&|load| 1e6 / per_unit(load))), 0),
            shown(column(&|load| load.units_per_second(work)), 0),
            shown(proxy(column(&Load::proxy_busy)), 2),
            shown(column(&|load| load.latency.p50), 0),
            shown(column(&|load| load.latency.p99), 0),
            shown(proxy(paired(Peer::Direct, &|one, two| one.latency.p50 - two.latency.p50)), 0),
            shown(proxy(paired(Peer::Direct, &|one, two| one.latency.p99 - two.latency.p99)), 0),
        );
    }
    let proxied = || samples.iter().filter(|sample| sample.peer != Peer::Direct).filter_map(|sample| load_of(sample));
    let part = |figure: fn(&Load) -> f64| shown(Spread::of(proxied().map(figure)), 3);
    let _ = writeln!(
        text,
        "\nOf the proxy's core, other processes took {} of the time and the hypervisor {}.",
        part(Load::proxy_waited),
        part(Load::stolen)
    );
    text
}

/// What a request costs everybody: where an answer is kept, a server is spared.
fn whole_table(work: Work, samples: &[&Sample]) -> String {
    let mut text = "| peer | hits | CPU µs per request: proxy, servers and Redis | ratio to nginx | of that servers | of that Redis |\n\
                    |---|---|---|---|---|---|\n"
        .to_owned();
    for peer in distinct(samples.iter().map(|sample| sample.peer)) {
        let column = |figure: &dyn Fn(&Load) -> f64| Spread::of(loads(samples, peer).map(|(_, load)| figure(load)));
        let ratio = pairs(samples, peer, Peer::Nginx).map(|(one, two)| one.whole_micros() / two.whole_micros());
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} |",
            peer.name(),
            shown(column(&Load::hit_share), 3),
            shown(column(&Load::whole_micros), 2),
            shown(Spread::of(ratio), 2),
            shown(column(&|load| load.micros(load.origins)), 2),
            shown(column(&|load| load.micros(load.beside)), 2),
        );
    }
    let _ = writeln!(text, "\nThe whole of `{}`, with what the servers behind the proxy spend.", work.name());
    text
}

fn idle_table(samples: &[&Sample]) -> String {
    let mut text =
        "## idle\n\n| peer | KiB per open stream, its connection and session | ratio to nginx | KiB per session and \
                    connection before the stream |\n|---|---|---|---|\n"
            .to_owned();
    for peer in distinct(samples.iter().map(|sample| sample.peer)) {
        let of =
            |peer: Peer| samples.iter().filter(move |sample| sample.peer == peer).filter_map(|sample| idle_of(sample));
        let ratios = of(peer).zip(of(Peer::Nginx)).map(|(one, two)| one.kib_per_stream() / two.kib_per_stream());
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} |",
            peer.name(),
            shown(Spread::of(of(peer).map(Idle::kib_per_stream)), 2),
            shown(Spread::of(ratios), 2),
            shown(Spread::of(of(peer).map(Idle::kib_per_session)), 2),
        );
    }
    text
}

fn loads<'a>(samples: &'a [&Sample], peer: Peer) -> impl Iterator<Item = (usize, &'a Load)> {
    let of_peer = samples.iter().filter(move |sample| sample.peer == peer);
    of_peer.filter_map(|sample| Some((sample.round, load_of(sample)?)))
}

/// Both peers' figures of every round in which both have any.
fn pairs<'a>(samples: &'a [&Sample], one: Peer, other: Peer) -> impl Iterator<Item = (&'a Load, &'a Load)> {
    loads(samples, one).filter_map(move |(round, load)| {
        let (_, beside) = loads(samples, other).find(|(at, _)| *at == round)?;
        Some((load, beside))
    })
}

const fn load_of(sample: &Sample) -> Option<&Load> {
    match &sample.figures {
        Some(Figures::Load(load)) => Some(load),
        Some(Figures::Idle(_)) | None => None,
    }
}

const fn idle_of(sample: &Sample) -> Option<&Idle> {
    match &sample.figures {
        Some(Figures::Idle(idle)) => Some(idle),
        Some(Figures::Load(_)) | None => None,
    }
}

fn distinct<T: PartialEq>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut found = Vec::new();
    for value in values {
        if !found.contains(&value) {
            found.push(value);
        }
    }
    found
}

fn shown(spread: Option<Spread>, digits: usize) -> String {
    let Some(Spread { median, least, most }) = spread else { return "-".into() };
    if least < most {
        format!("**{median:.digits$}** ({least:.digits$} to {most:.digits$})")
    } else {
        format!("**{median:.digits$}**")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(peer: Peer, round: usize, micros: u64) -> Sample {
        let proxy = Cpu { run_ns: micros * 1_000_000, ..Cpu::default() };
        let load = Load {
            seconds: 1.0,
            requests: 1000,
            proxy,
            harness: Cpu::default(),
            origins: Cpu { run_ns: 5_000_000, ..Cpu::default() },
            beside: Cpu::default(),
            hits: 900,
            stolen_ticks: 0,
            latency: crate::load::Latency::default(),
        };
        Sample { work: Work::Json, peer, round, place: 0, figures: Some(Figures::Load(load)), void: None }
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let samples = [
            sample(Peer::Nginx, 0, 10),
            sample(Peer::Moorline, 0, 20),
            sample(Peer::Nginx, 1, 100),
            sample(Peer::Moorline, 1, 100),
            sample(Peer::Moorline, 2, 7),
        ];
        let text = summary("t", &samples);
        assert!(text.contains("| moorline | **20.00** (7.00 to 100.00) | **1.50** (1.00 to 2.00) |"), "{text}");
    }

    #[test]
    fn a_cache_is_weighed_with_the_servers_that_it_spares() {
        let of = |peer, micros| Sample { work: Work::Zipf, ..sample(peer, 0, micros) };
        let text = summary("t", &[of(Peer::Nginx, 35), of(Peer::Moorline, 15)]);
        assert!(text.contains("| moorline | **0.900** | **20.00** | **0.50** | **5.00** | **0.00** |"), "{text}");
    }

    #[test]
    fn a_median_of_an_even_count_lies_between() {
        let spread = Spread::of([4.0, 1.0, f64::NAN, 2.0, 3.0].into_iter()).unwrap();
        assert_eq!(spread, Spread { median: 2.5, least: 1.0, most: 4.0 });
    }
}
