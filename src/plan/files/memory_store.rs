//! Redis of a plan: how much it may hold, and what it must be like. Its password is the reader's to add.

use super::super::Plan;
use super::super::store::Store;
use super::super::text::{primaries, whole_bytes};
use super::super::tier::Tier;

/// The file, the same on each node.
pub fn text(plan: &Plan, store: Store) -> String {
    let is_cluster = plan.tier == Tier::Scaled;
    let memory = if is_cluster { store.maxmemory.div_ceil(primaries(plan)) } else { store.maxmemory }.div_ceil(1 << 20);
    let cluster = if is_cluster {
        "\ncluster-enabled yes\ncluster-node-timeout 5000\ncluster-require-full-coverage no\n"
    } else {
        ""
    };
    let which = if is_cluster {
        format!("Each node of a Redis Cluster of {} primaries with a replica each", primaries(plan))
    } else {
        "Redis for Moorline".to_owned()
    };
    format!(
        "# {which}: sessions, limits and results. Redis 7 or Valkey 8, or later.\n\
         # Add its password before it listens beyond loopback, the same on each node, and the address it shall listen at:\n\
         #   printf 'requirepass %s\\nmasterauth %s\\n' \"$(cat redis-password)\" \"$(cat redis-password)\" >>redis.conf\n\
         #   printf 'bind 10.0.2.11\\n' >>redis.conf\n\
         \n\
         port 6379\n\
         protected-mode yes\n\
         \n\
         # It is expected to hold {}{}.\n\
         maxmemory {memory}mb\n\
         # A session that is evicted ends, a counter that is evicted begins anew.\n\
         maxmemory-policy noeviction\n\
         \n\
         # Sessions outlive its restart.\n\
         appendonly yes\n\
         appendfsync everysec\n{cluster}",
        super::super::words::bytes(store.memory),
        if is_cluster {
            format!(", in all nodes together; {} in all are allowed", whole_bytes(store.maxmemory))
        } else {
            String::new()
        },
    )
}
