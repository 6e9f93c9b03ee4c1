//! What of the configuration each station is told.

use crate::config::{AuthSettings, Config};
use crate::names::PoolId;
use crate::{authorize, cache, fleet, identify, limit, listener, relay};

pub fn identify_settings(config: &Config) -> identify::Settings {
    identify::Settings {
        bounds: config.bounds,
        trusted_proxies: config.trusted_proxies.clone(),
        allowed_hosts: config.allowed_hosts.clone(),
        allowed_origins: config.allowed_origins.clone(),
        public_url: config.public_url.clone(),
    }
}

pub fn door_rules(config: &Config) -> listener::Rules {
    listener::Rules::new(&config.bounds, config.limits.ipv6_prefix, &config.trusted_proxies)
}

pub fn gate_settings(config: &Config) -> Vec<(PoolId, &AuthSettings)> {
    config.pools.iter().map(|pool| (fleet::pool_id(&pool.path), &pool.auth)).collect()
}

pub fn authorize_settings(config: &Config) -> authorize::Settings {
    authorize::Settings { allow: config.allow.clone(), public_url: config.public_url.clone() }
}

pub fn limit_settings(config: &Config) -> limit::Settings {
    limit::Settings { common: config.limits, limits: config.limit.clone(), upstreams: config.upstreams.clone() }
}

pub fn cache_settings(config: &Config) -> cache::Settings {
    cache::Settings { cache: config.cache.clone(), max_bytes: config.results.max_bytes, wait: config.results.wait }
}

pub fn relay_settings(config: &Config) -> relay::Settings {
    relay::Settings {
        heartbeat: config.stream.heartbeat,
        retry: config.stream.retry,
        max_event: config.bounds.max_event,
        inspect: config.bounds.inspect,
        max_listen_streams: config.bounds.max_listen_streams,
        max_listen_streams_per_caller: config.bounds.max_listen_streams_per_caller,
        public_url: config.public_url.clone(),
    }
}
