//! Discovery: which backends a pool has now. Turns configured URLs into addresses, asks the names again when their time is
//! up, and keeps every backend that stays. A name that cannot be resolved for a while keeps its last addresses.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;

use crate::clock::Clock;
use crate::config::{BackendSettings, Discovery, PoolSettings};
use crate::fleet::{Backend, Fleet, Pool, backend_id};

/// A name is asked again at the earliest after this time, however short its TTL.
const SOONEST: Duration = Duration::from_secs(1);

/// Backends that one name may stand for; the rest is left out, with a warning.
const MOST_ADDRESSES: usize = 1000;

/// Resolves names, obeying their TTL.
pub struct Resolver {
    dns: Option<TokioResolver>,
}

/// The addresses of one name, and how long they are good for.
struct Found {
    addrs: Vec<IpAddr>,
    good_for: Duration,
}

impl Resolver {
    /// A resolver with the system's configuration (`/etc/resolv.conf`, `/etc/hosts`).
    #[must_use]
    pub fn system() -> Self {
        let dns = TokioResolver::builder_tokio().and_then(hickory_resolver::ResolverBuilder::build);
        if let Err(error) = &dns {
            tracing::warn!(%error, "no DNS configuration could be read; only addresses and localhost can be used");
        }
        Self { dns: dns.ok() }
    }

    async fn find(&self, host: &str, now: Instant) -> Result<Found, String> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(addr) = bare.parse() {
            return Ok(Found { addrs: vec![addr], good_for: Duration::MAX });
        }
        let Some(dns) = &self.dns else { return Err("no resolver".into()) };
        let found = dns.lookup_ip(host).await.map_err(|error| error.to_string())?;
        let good_for = found.valid_until().saturating_duration_since(now);
        let mut addrs: Vec<IpAddr> = found.iter().collect();
        addrs.sort_unstable();
        addrs.dedup();
        // `localhost` is both 127.0.0.1 and ::1; servers for development listen on the former.
        if bare.eq_ignore_ascii_case("localhost") && addrs.iter().any(IpAddr::is_ipv4) {
            addrs.retain(IpAddr::is_ipv4);
        }
        Ok(Found { addrs, good_for })
    }
}

/// Keeps the backends of `pool` up to date for ever.
pub async fn follow(fleet: Arc<Fleet>, pool: Arc<Pool>, resolver: Arc<Resolver>, clock: Clock) {
    while fleet.holds(&pool) {
        let next = refresh(&pool, &resolver, &clock).await;
        tokio::time::sleep(next).await;
    }
}

/// Resolves the pool's backends once. Returns after what time to do it again.
pub async fn refresh(pool: &Pool, resolver: &Resolver, clock: &Clock) -> Duration {
    let refreshing = pool.refreshing.lock().await;
    let settings = Arc::clone(&pool.settings());
    let now = clock.now();
    let (mut resolved, was_resolved) = (true, pool.is_resolved());
    let old: HashMap<_, _> = pool.everybody().into_iter().map(|backend| (backend.id, backend)).collect();
    let mut next = settings.dns_refresh;
    let mut list: Vec<Arc<Backend>> = Vec::new();
    for backend in &settings.backends {
        match resolver.find(backend.url.host(), now).await {
            Ok(found) => {
                next = next.min(found.good_for);
                enlist((pool, &settings), backend, (&found.addrs, now), &old, &mut list);
            }
            Err(error) => {
                resolved = false;
                // Told once, not each time that it is asked for again.
                if was_resolved {
                    let (pool, host) = (&settings.name, backend.url.host());
                    tracing::warn!(pool, host, error, "name not resolved; its last addresses stay");
                }
                let origin = origin_of(backend);
                list.extend(pool.backends().iter().filter(|known| *known.origin == *origin).cloned());
            }
        }
    }
    if resolved && !was_resolved {
        tracing::info!(pool = settings.name, "all names are resolved again");
    }
    tell_changes(&settings.name, &pool.backends(), &list);
    pool.set_resolved(resolved);
    pool.set_backends(list, now);
    drop(refreshing);
    next.max(SOONEST)
}

/// Says who has come and who has left, once there was anybody.
fn tell_changes(pool: &str, old: &[Arc<Backend>], new: &[Arc<Backend>]) {
    let lacks = |list: &[Arc<Backend>], one: &Backend| !list.iter().any(|other| other.id == one.id);
    if old.is_empty() {
        return;
    }
    for come in new.iter().filter(|come| lacks(old, come)) {
        tracing::info!(backend = %come.name, pool, "backend has come");
    }
    for left in old.iter().filter(|left| lacks(new, left)) {
        tracing::info!(backend = %left.name, pool, "backend has left");
    }
}

fn enlist(
    (pool, of): (&Pool, &PoolSettings),
    settings: &BackendSettings,
    (addrs, now): (&[IpAddr], Instant),
    old: &HashMap<crate::names::BackendId, Arc<Backend>>,
    list: &mut Vec<Arc<Backend>>,
) {
    let url = &settings.url;
    let every = matches!(url.discovery(), Discovery::Dns);
    let wanted = if every { MOST_ADDRESSES } else { 1 };
    if addrs.len() > wanted && every {
        tracing::warn!(pool = of.name, host = url.host(), "more than {MOST_ADDRESSES} addresses; the rest is left out");
    }
    let (Some(authority), Some(path)) = (url.uri().authority(), url.uri().path_and_query()) else { return };
    for addr in addrs.iter().take(wanted) {
        let addr = SocketAddr::new(*addr, url.port());
        // Behind one name each address is a backend of its own, known by its address; its Host stays the name.
        let scheme = if url.is_secure() { "https://" } else { "" };
        let host = if every { format!("{scheme}{addr}") } else { format!("{scheme}{authority}") };
        let id = backend_id(&format!("{host}{path}"));
        let backend = old.get(&id).cloned().unwrap_or_else(|| {
            let new = Backend::new(&host, authority.clone(), path.clone(), (addr, now));
            let new = new.from_origin(&origin_of(settings));
            Arc::new(if url.is_secure() { new.secured(&pool.tls) } else { new })
        });
        backend.update(addr, settings.weight, settings.drain);
        if !list.iter().any(|listed| listed.id == backend.id) {
            list.push(backend);
        }
    }
}

fn origin_of(settings: &BackendSettings) -> String {
    settings.url.to_string()
}
