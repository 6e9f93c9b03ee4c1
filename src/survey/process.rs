//! The process, as Linux tells of it (proc(5)); elsewhere nothing is told. The names are those that all programs use.

use std::fs;

use crate::observe::metrics::{Kind, Metric, Page};

pub(super) const METRICS: &[&Metric] = &[&CPU, &RESIDENT, &VIRTUAL, &OPEN_FILES, &MOST_FILES, &THREADS, &START];

const CPU: Metric = Metric {
    name: "process_cpu_seconds_total",
    kind: Kind::Counter,
    labels: &[],
    help: "Time of processors that the process has used, in user mode and in the kernel",
    advice: "Its rate near the number of processors: add an instance.",
};

const RESIDENT: Metric = Metric {
    name: "process_resident_memory_bytes",
    kind: Kind::Gauge,
    labels: &[],
    help: "Memory that the process holds",
    advice: "It follows connections, sessions, counters of limits and `results.memory`, all of which have bounds.",
};

const VIRTUAL: Metric = Metric {
    name: "process_virtual_memory_bytes",
    kind: Kind::Gauge,
    labels: &[],
    help: "Addresses that the process has reserved",
    advice: "",
};

const OPEN_FILES: Metric = Metric {
    name: "process_open_fds",
    kind: Kind::Gauge,
    labels: &[],
    help: "File descriptors that are open",
    advice: "About one for each client connection and each connection to a backend.",
};

const MOST_FILES: Metric = Metric {
    name: "process_max_fds",
    kind: Kind::Gauge,
    labels: &[],
    help: "File descriptors that the process may have",
    advice: "Less than twice `bounds.max_connections`: raise it (`LimitNOFILE`, `ulimit -n`).",
};

const THREADS: Metric =
    Metric { name: "process_threads", kind: Kind::Gauge, labels: &[], help: "Threads of the process", advice: "" };

const START: Metric = Metric {
    name: "process_start_time_seconds",
    kind: Kind::Gauge,
    labels: &[],
    help: "When the process was started, as unix time",
    advice: "It changes without an order: the process has died, and was started anew.",
};

/// Ticks of a second in what the kernel tells (`USER_HZ`, the same on every architecture that Rust runs on).
const TICKS: f64 = 100.0;

pub(super) fn collect(page: &mut Page) {
    let read = |name: &str| fs::read_to_string(format!("/proc/{name}")).ok();
    if let Some(stat) = read("self/stat").as_deref().and_then(times) {
        page.number(&CPU, stat.used);
        if let Some(boot) = read("stat").as_deref().and_then(|stat| number(stat, "btime ")) {
            page.number(&START, boot + stat.started);
        }
    }
    if let Some(status) = read("self/status") {
        let kilobytes = |name: &str| Some(number(&status, name)? * 1024.0);
        kilobytes("VmRSS:").into_iter().for_each(|bytes| page.number(&RESIDENT, bytes));
        kilobytes("VmSize:").into_iter().for_each(|bytes| page.number(&VIRTUAL, bytes));
        number(&status, "Threads:").into_iter().for_each(|threads| page.number(&THREADS, threads));
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // One of them is the directory itself.
        page.count(&OPEN_FILES, (open.count() as u64).saturating_sub(1));
    }
    if let Some(most) = read("self/limits").as_deref().and_then(|limits| number(limits, "Max open files")) {
        page.number(&MOST_FILES, most);
    }
}

/// Seconds.
struct Times {
    used: f64,
    /// After the machine.
    started: f64,
}

fn times(stat: &str) -> Option<Times> {
    // The name in brackets may have anything in it; field 3 follows it.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let user: f64 = fields.nth(11)?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    let started: f64 = fields.nth(6)?.parse().ok()?;
    Some(Times { used: (user + system) / TICKS, started: started / TICKS })
}

/// The first number after a name at the beginning of a line.
fn number(text: &str, name: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::metrics::Format;

    #[test]
    fn what_the_kernel_tells_is_understood() {
        let stat = "4242 (a ) b) S 1 2 3 4 5 6 7 8 9 10 250 150 0 0 20 0 9 0 12345 7 8";
        let times = times(stat).unwrap();
        assert!((times.used - 4.0).abs() < 1e-9 && (times.started - 123.45).abs() < 1e-9);
        assert_eq!(number("Name:\tx\nVmRSS:\t   512 kB\n", "VmRSS:"), Some(512.0));
        assert_eq!(
            number("Max open files            1024                 524288               files", "Max open files"),
            Some(1024.0)
        );
        assert_eq!((number("", "VmRSS:"), super::times("x").is_none()), (None, true));
    }

    #[test]
    fn this_process_is_told_of() {
        let mut page = Page::default();
        collect(&mut page);
        let text = String::from_utf8(Format::Plain.write(&page)).unwrap();
        for metric in METRICS {
            let line = text.lines().find_map(|line| line.strip_prefix(metric.name)).unwrap_or_default();
            // Young as it is, it may have used less than a tick of a processor.
            let least = if metric.kind == Kind::Counter { 0.0 } else { 1.0 };
            assert!(line.trim().parse::<f64>().is_ok_and(|value| value >= least), "{}: {text}", metric.name);
        }
    }
}
