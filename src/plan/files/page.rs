//! The page beside the files: what they are, what to do with them, and the arithmetic.

use std::fmt::Write as _;

use super::super::Plan;
use super::super::text::{arithmetic, asked, constants, limits, numbers, of_the_cache};
use super::super::tier::Tier;
use super::{MOST_INSTANCES, PlannedFile};

/// The page. `files`: those beside it.
pub fn text(plan: &Plan, files: &[PlannedFile]) -> String {
    let mut out = format!("# Moorline, {}\n\nMade by `moorline plan` for {}.\n\n", plan.why, asked(plan));
    table(&mut out, ["", ""], &numbers(plan));
    out.push_str("\n## Files\n\n");
    let rows: Vec<[String; 2]> = files.iter().map(|file| [format!("`{}`", file.name), file.what.to_owned()]).collect();
    table(&mut out, ["file", "what it is"], &rows);
    let _ = write!(
        out,
        "\nThey are those of `deploy/tiers/{}` with the numbers of this plan. Addresses, names, certificates and names of tools are examples: put in your own.\n",
        plan.tier.folder()
    );
    out.push_str("\n## Start it\n\n");
    for (at, step) in steps(plan).iter().enumerate() {
        let _ = writeln!(out, "{}. {step}", at + 1);
    }
    if !plan.warnings.is_empty() {
        out.push_str("\n## To know\n\n");
        for warning in &plan.warnings {
            let _ = writeln!(out, "- {}", warning.text);
        }
    }
    out.push_str("\n## The arithmetic\n\n");
    table(&mut out, ["what", "result", "formula"], &arithmetic(plan));
    out.push_str("\n## What limits would do\n\n");
    table(&mut out, ["limit", ""], &limits(plan));
    if let Some(cache) = &plan.cache {
        out.push_str("\n## What the cache would do\n\n");
        let rows = of_the_cache(cache);
        table(
            &mut out,
            ["TTL", "hits of repeats", "calls spared", "servers that carry the rest", "results take"],
            rows.get(1..).unwrap_or_default(),
        );
    }
    out.push_str("\n## Constants\n\n");
    table(&mut out, ["value", "what", "from"], &constants(plan));
    out
}

fn steps(plan: &Plan) -> Vec<String> {
    let servers = format!("{} MCP servers, at the addresses that `moorline.toml` names.", plan.servers.count);
    let secrets = "`/etc/moorline/admin-token` and `/etc/moorline/redis-password` (`openssl rand -hex 32 >…`), readable by Moorline's user only.".to_owned();
    let check = "`moorline check --config /etc/moorline/moorline.toml` says whether it is good.".to_owned();
    let instances = format!(
        "{} machines with Moorline and `deploy/systemd/moorline.service`, the same `moorline.toml` and secrets on all.",
        plan.instances.count
    );
    let redis = "Redis with `redis.conf`; add its password and address as the file says.".to_owned();
    let see = "`moorline status` on any instance; `moorline load` with what is expected, and `moorline plan --from` its report.".to_owned();
    match plan.tier {
        Tier::Single => vec![
            "One machine with the MCP server and Moorline (`deploy/systemd/moorline.service`), this `moorline.toml` in `/etc/moorline`.".to_owned(),
            "The certificate: `/etc/ssl/mcp.example.com.pem` and `.key`.".to_owned(),
            check,
            see,
        ],
        Tier::Sticky => vec![redis, servers, secrets, "Moorline and nginx with `nginx.conf` on one machine, your name and certificate in it.".to_owned(), check, see],
        Tier::Shared => vec![redis, servers, secrets, instances, "nginx with `nginx.conf`, or HAProxy with `haproxy.cfg`: one of them, your addresses, name and certificate in it.".to_owned(), check, see],
        Tier::Scaled => scaled(plan, [redis, servers, secrets, instances, check, see]),
    }
}

fn scaled(plan: &Plan, [redis, servers, secrets, instances, check, see]: [String; 6]) -> Vec<String> {
    let kubernetes = "On Kubernetes: the chart's Secrets as its README says, then `helm install moorline deploy/helm/moorline -n moorline -f values.yaml`; names of store, servers and Gateway in `values.yaml` are examples.".to_owned();
    let gateway =
        "An API gateway before it, for what is not Moorline's business: no buffering, long timeouts, no retries."
            .to_owned();
    if plan.instances.count > MOST_INSTANCES {
        return vec![redis, kubernetes, gateway, see];
    }
    let machines = format!(
        "Or on machines of your own: {instances} HAProxy with `haproxy.cfg`, its addresses, name and certificate in it. {secrets} {check}"
    );
    vec![redis, servers, kubernetes, machines, gateway, see]
}

fn table<const N: usize>(out: &mut String, heading: [&str; N], rows: &[[String; N]]) {
    let line = |cells: &[String]| {
        format!("| {} |\n", cells.iter().map(|cell| cell.replace('|', "\\|")).collect::<Vec<_>>().join(" | "))
    };
    out.push_str(&line(&heading.map(str::to_owned)));
    out.push_str(&format!("|{}\n", "---|".repeat(N)));
    for row in rows {
        out.push_str(&line(row));
    }
}
