//! What is done for sessions when no request asks for it: upkeep, hearing what other instances did, leaving backends that take
//! nobody new, and evening out after a pool has grown.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use crate::config::IdentitySettings;
use crate::exchange::{Moored, Opened};
use crate::fleet::{Fleet, Pool};
use crate::instances::Instances;
use crate::limit::Limit;
use crate::names::{BackendId, CallerDigest};
use crate::rehome::{Rehome, Stop, Why, own_credentials};
use crate::session::Sessions;
use crate::store::Notice;

/// How often sessions are looked after.
const UPKEEP: Duration = Duration::from_secs(5);

/// How often sessions are looked for that shall move.
const TOUR: Duration = Duration::from_millis(500);

/// Moves at the same time, and in one tour. The next tour takes the rest.
const AT_ONCE: usize = 16;
const MOST_IN_A_TOUR: usize = 1000;

/// A session that was used less long ago is not moved only to even out, in seconds.
const QUIET: u64 = 5;

/// A session that a backend would not take on our word alone is not offered again for so long, in seconds.
const REFUSED: u64 = 60;

/// What other instances have in flight shows in the store by being used; they tell it every 5 s.
const REST: Duration = Duration::from_secs(11);

/// Moves sessions that no request moves.
pub struct Mover {
    /// The sessions.
    pub sessions: Arc<Sessions>,
    /// The limits, which are tidied up on the way.
    pub limit: Arc<Limit>,
    /// The pools.
    pub fleet: Arc<Fleet>,
    /// All instances, for orders that others give.
    pub instances: Arc<Instances>,
    /// Moves one session.
    pub rehome: Arc<Rehome>,
}

impl Mover {
    /// Looks after sessions for ever.
    pub async fn upkeep(self: Arc<Self>) {
        loop {
            tokio::time::sleep(UPKEEP).await;
            let abandoned = self.sessions.upkeep().await;
            self.rehome.tell_abandoned(abandoned);
            self.limit.tidy();
        }
    }

    /// Hears what other instances did, for ever.
    pub async fn listen(self: Arc<Self>) {
        loop {
            let notice = self.sessions.notice().await;
            if notice == Notice::Orders {
                self.instances.heard();
                continue;
            }
            let abandoned = self.sessions.hear(notice).await;
            self.rehome.tell_abandoned(abandoned);
        }
    }

    /// Moves what shall move, for ever.
    pub async fn tour(self: Arc<Self>) {
        loop {
            tokio::time::sleep(TOUR).await;
            for pool in self.fleet.pools().iter() {
                let settings = Arc::clone(&pool.settings());
                if settings.rehome == crate::config::Rehome::Never {
                    continue;
                }
                let mut movers = self.parting(pool);
                if movers.is_empty() && settings.rebalance {
                    movers = self.surplus(pool, settings.rebalance_rate);
                }
                self.move_all(pool, movers).await;
            }
        }
    }

    /// Quiet sessions whose backend takes nobody new, or has left. Those with an open stream move with it.
    fn parting(&self, pool: &Arc<Pool>) -> Vec<Arc<Moored>> {
        let backends = Arc::clone(&pool.backends());
        let stays: HashMap<BackendId, bool> =
            backends.iter().map(|backend| (backend.id, !backend.is_parting())).collect();
        let all_stay = stays.values().all(|stays| *stays);
        let leaves = |moored: &Arc<Moored>| match stays.get(&moored.berth().backend) {
            Some(stays) => !stays,
            None => pool.is_resolved(),
        };
        if all_stay && !pool.has_departed() {
            return Vec::new();
        }
        let mut movers = self.quiet(pool);
        movers.retain(leaves);
        movers.truncate(MOST_IN_A_TOUR);
        movers
    }

    /// Sessions of backends that have clearly more than their share.
    fn surplus(&self, pool: &Arc<Pool>, rate: u32) -> Vec<Arc<Moored>> {
        let now = self.rehome.clock.now();
        let backends = Arc::clone(&pool.backends());
        let loads: Vec<_> =
            backends.iter().filter(|one| one.takes_newcomers()).map(|one| (one.id, one.load(now))).collect();
        let (sessions, weights) = loads.iter().fold((0, 0), |(s, w), (_, load)| (s + load.sessions, w + load.weight));
        let share = |weight: u32| sessions as usize * weight as usize / weights.max(1) as usize;
        let over =
            |sessions: u32, weight: u32| (sessions as usize).saturating_sub(share(weight) + share(weight) / 10 + 1);
        let mut surplus: HashMap<BackendId, usize> =
            loads.iter().map(|(id, load)| (*id, over(load.sessions, load.weight))).collect();
        let most = (rate as usize).div_ceil(2);
        let unix = self.rehome.clock.unix();
        let mut movers = self.quiet(pool);
        movers.retain(|moored| unix.saturating_sub(moored.last_used(unix)) >= QUIET);
        movers.retain(|moored| match surplus.get_mut(&moored.berth().backend) {
            Some(surplus) if *surplus > 0 => {
                *surplus -= 1;
                true
            }
            _ => false,
        });
        movers.truncate(most);
        movers
    }

    fn quiet(&self, pool: &Arc<Pool>) -> Vec<Arc<Moored>> {
        let unix = self.rehome.clock.unix();
        // Who calls can only be said in a caller's own request: rebuilt without one, its session would be nobody's.
        let tells = pool.settings().auth.identity != IdentitySettings::Off;
        let mut quiet = self.sessions.all();
        quiet.retain(|moored| moored.pool == pool.id && !moored.is_busy());
        quiet.retain(|moored| !tells || moored.caller == CallerDigest::ANYBODY);
        quiet.retain(|moored| unix.saturating_sub(moored.last_refused()) >= REFUSED);
        quiet
    }

    async fn move_all(&self, pool: &Arc<Pool>, movers: Vec<Arc<Moored>>) {
        for some in movers.chunks(AT_ONCE) {
            let moves = some.iter().map(|moored| self.move_one(pool, moored));
            if join_all(moves).await.contains(&false) {
                // Nobody takes them now: the next tour tries again.
                return;
            }
        }
    }

    /// Moves one session, if that can be done without its client's credentials. Whether more are worth a try.
    async fn move_one(&self, pool: &Arc<Pool>, moored: &Arc<Moored>) -> bool {
        let openly = moored.opened() == Opened::Openly;
        let Some(credentials) = own_credentials(pool, openly) else { return true };
        if !self.sessions.rests_everywhere(moored, REST).await {
            return true;
        }
        let from = moored.berth();
        let moved = self.rehome.bring(pool, (moored, from), &credentials, Why::Parting).await;
        if let Err(stop) = &moved {
            tracing::debug!(session = %moored.id, ?stop, "a session stays for now");
        }
        match moved {
            Ok(()) => true,
            // A backend's word on the credentials: others may have better luck.
            Err(Stop::Answered(_)) => {
                moored.was_refused(self.rehome.clock.unix());
                true
            }
            Err(Stop::Refused(_)) => false,
        }
    }
}
