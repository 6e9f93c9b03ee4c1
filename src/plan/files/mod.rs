//! The files of a plan: the shipped ones of its tier (`deploy/tiers`, `deploy/helm`), in which the plan's numbers take the place of those that
//! are there. Addresses, names and secrets stay those of the shipped files: they are the reader's to change.

pub mod blocks;
mod chart;
mod config;
pub mod disk;
mod memory_store;
mod page;
mod proxy;

use super::Plan;
use super::tier::Tier;

/// The shipped `moorline.toml` of each tier.
const TIERS: [&str; 4] = [
    include_str!("../../../deploy/tiers/1-under-10/moorline.toml"),
    include_str!("../../../deploy/tiers/2-10-to-100/moorline.toml"),
    include_str!("../../../deploy/tiers/3-100-to-1000/moorline.toml"),
    include_str!("../../../deploy/tiers/4-over-1000/moorline.toml"),
];

/// Instances that files name one by one.
pub const MOST_INSTANCES: u32 = 200;

/// A file that is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedFile {
    /// Its name in the folder.
    pub name: &'static str,
    /// What is in it.
    pub text: String,
    /// What it is.
    pub what: &'static str,
}

/// Why there are no files.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// A shipped file is not as it is expected to be.
    #[error("the shipped files have no {0:?}: this is a fault of the program")]
    Shipped(String),
    /// A file is there.
    #[error("{} is there already; --force writes over it", .0.display())]
    There(std::path::PathBuf),
    /// It cannot be written.
    #[error("{}", path.display())]
    Disk {
        /// Which one.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// The files of a plan.
///
/// # Errors
/// [`FilesError::Shipped`]: a shipped file is not as expected, which a test rules out.
pub fn files(plan: &Plan) -> Result<Vec<PlannedFile>, FilesError> {
    let mut files = vec![PlannedFile {
        name: "moorline.toml",
        text: config::text(plan)?,
        what: "each instance's configuration: to /etc/moorline",
    }];
    let nginx = |text| PlannedFile { name: "nginx.conf", text, what: "nginx in front: to /etc/nginx" };
    let haproxy = |text| PlannedFile { name: "haproxy.cfg", text, what: "HAProxy in front: to /etc/haproxy" };
    match plan.tier {
        Tier::Single => {}
        Tier::Sticky => files.push(nginx(proxy::nginx_on_the_same_machine(plan)?)),
        Tier::Shared | Tier::Scaled if plan.instances.count > MOST_INSTANCES => {}
        Tier::Shared => files.extend([nginx(proxy::nginx(plan)?), haproxy(proxy::haproxy(plan)?)]),
        Tier::Scaled => files.push(haproxy(proxy::haproxy(plan)?)),
    }
    if let Some(store) = plan.store {
        files.push(PlannedFile {
            name: "redis.conf",
            text: memory_store::text(plan, store),
            what: "Redis, each node of it: to /etc/redis",
        });
    }
    if plan.tier == Tier::Scaled {
        files.push(PlannedFile {
            name: "values.yaml",
            text: chart::text(plan)?,
            what: "values of the chart in deploy/helm/moorline, for Kubernetes",
        });
    }
    files.push(PlannedFile { name: "README.md", text: page::text(plan, &files), what: "this page" });
    Ok(files)
}

/// Puts something in the place of what stands in a text exactly once.
fn put(text: &str, shipped: &str, instead: &str) -> Result<String, FilesError> {
    if text.matches(shipped).count() != 1 {
        return Err(FilesError::Shipped(shipped.to_owned()));
    }
    Ok(text.replacen(shipped, instead, 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::target::{Target, tests::company};
    use super::*;
    use crate::config::Config;

    fn of(target: Target) -> Vec<PlannedFile> {
        files(&Plan::of(target).unwrap()).unwrap()
    }

    fn text<'a>(files: &'a [PlannedFile], name: &str) -> &'a str {
        &files.iter().find(|file| file.name == name).unwrap().text
    }

    /// As the configuration is read where its secrets lie.
    fn config(files: &[PlannedFile], secrets: &std::path::Path) -> Config {
        let mut config = text(files, "moorline.toml").to_owned();
        for name in ["admin-token", "redis-password"] {
            let path = secrets.join(name);
            std::fs::write(&path, "x".repeat(40)).unwrap();
            config = config.replace(&format!("/etc/moorline/{name}"), path.to_str().unwrap());
        }
        Config::parse("moorline.toml", &config).unwrap_or_else(|faults| panic!("{faults}\n{config}"))
    }

    #[test]
    fn the_plans_numbers_are_in_the_files() {
        let target = Target { server_concurrency: Some(8), ..company() };
        let plan = Plan::of(target.clone()).unwrap();
        let (files, secrets) = (of(target), tempfile::tempdir().unwrap());
        let config = config(&files, secrets.path());
        let pool = &config.pools[0];
        assert_eq!(pool.backends.len(), plan.servers.count as usize);
        let names: Vec<&str> = files.iter().map(|file| file.name).collect();
        assert_eq!(names, ["moorline.toml", "nginx.conf", "haproxy.cfg", "redis.conf", "README.md"]);
        for name in ["nginx.conf", "haproxy.cfg"] {
            assert_eq!(text(&files, name).matches("10.0.0.").count(), plan.instances.count as usize, "{name}");
        }
        let toml = text(&files, "moorline.toml");
        assert!(
            toml.contains("rate = \"120/min\"") && toml.contains("rate = \"500/min\"") && toml.contains("ttl = \"1m\""),
            "{toml}"
        );
        assert!(toml.contains("concurrency = 8\n"), "{toml}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]
        #[test]
        fn any_plan_has_files_whose_configuration_is_good(
            users in 1..2_000_000_u32, each in 0.01..20.0_f64, streams in 0.0..=1.0_f64, millis in 1..20_000_u64, slots in prop::option::of(1..200_u32),
            (cacheable, quota, tier) in (prop_oneof![Just(0.0), 0.01..=1.0_f64], 0..4_usize, 1..=4_u8)
        ) {
            let quotas = ["llm", "search-api", "mail"][..quota.min(3)].iter().map(|name| super::super::target::Quota {
                name: (*name).to_owned(), rate: "500/min".parse().unwrap(), share: 0.5
            });
            let target = Target {
                users, streams, quotas: quotas.collect(), least_tier: tier, server_concurrency: slots,
                calls_per_minute: (f64::from(users) * each).min(6e6), tool_latency: std::time::Duration::from_millis(millis),
                cache: super::super::target::CacheTarget { cacheable, ..company().cache }, ..company()
            };
            let Ok(plan) = Plan::of(target) else { return Ok(()) };
            let (files, secrets) = (files(&plan).unwrap(), tempfile::tempdir().unwrap());
            let config = text(&files, "moorline.toml");
            // Certificates are read by `moorline check` alone.
            if plan.tier != Tier::Single {
                self::config(&files, secrets.path());
            }
            prop_assert!(config.len() < 1 << 20);
        }
    }
}
