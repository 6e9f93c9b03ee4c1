//! Who is to be connected to: the one server that was named, the one that Sentinels call the primary, or the nodes of a
//! Cluster with their slots. Asks, and believes whoever knows the latest; decides nothing about the connections to them.

use std::ops::RangeInclusive;

use futures_util::future::join_all;
use redis::Value;

use super::dial::{Address, Dialer};
use super::fields;
use super::keyspace::Place;
use super::server::Server;
use super::trouble::Trouble;
use crate::clock::Chance;
use crate::config::{HostPort, RedisPlace};

/// Nodes that are asked in one round before it is given up.
const ASKED: usize = 3;
/// More nodes than a Cluster has.
const MAX_NODES: usize = 4096;

/// Who has which slots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct View {
    owners: Vec<(Address, Vec<RangeInclusive<u16>>)>,
}

impl View {
    fn one(address: Address) -> Self {
        Self { owners: vec![(address, vec![0..=u16::MAX])] }
    }

    /// Everybody who has any.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.owners.iter().map(|(address, _)| address)
    }

    /// Who has the keys of a place.
    pub fn owner(&self, place: Place) -> Option<&Address> {
        let slot = place.slot();
        let owner = self.owners.iter().find(|(_, slots)| slots.iter().any(|range| range.contains(&slot)));
        owner.map(|(address, _)| address)
    }
}

/// Finds out who is to be connected to.
#[derive(Debug)]
pub(super) enum Scout {
    /// Nothing to find out.
    Fixed(Address),
    /// Asks Sentinels.
    Sentinel {
        /// All that were named, and the connection to each that answered.
        sentinels: Vec<(Address, Option<Server>)>,
        /// What they call the primary.
        master: String,
    },
    /// Asks the nodes of a Cluster.
    Cluster {
        /// Those that were named.
        seeds: Vec<Address>,
        /// Whom to ask first.
        chance: Chance,
    },
}

impl Scout {
    /// A scout for this arrangement.
    pub fn new(place: &RedisPlace) -> Self {
        let tcp = |at: &HostPort| Address::Tcp(at.clone());
        match place {
            RedisPlace::Single(at) => Self::Fixed(tcp(at)),
            RedisPlace::Unix(path) => Self::Fixed(Address::Unix(path.clone())),
            RedisPlace::Sentinel { sentinels, master } => Self::Sentinel {
                sentinels: sentinels.iter().map(|at| (tcp(at), None)).collect(),
                master: master.clone(),
            },
            RedisPlace::Cluster(seeds) => {
                Self::Cluster { seeds: seeds.iter().map(tcp).collect(), chance: Chance::system() }
            }
        }
    }

    /// The Sentinels, where there are any.
    pub fn sentinels(&self) -> Vec<Address> {
        match self {
            Self::Sentinel { sentinels, .. } => sentinels.iter().map(|(address, _)| address.clone()).collect(),
            Self::Fixed(_) | Self::Cluster { .. } => Vec::new(),
        }
    }

    /// Whether a server must be asked whether it is the primary.
    pub const fn doubts_primaries(&self) -> bool {
        matches!(self, Self::Sentinel { .. })
    }

    /// Looks who has what; `connected` are those that can be asked without connecting anew.
    pub async fn look(&mut self, dialer: &Dialer, connected: &[&Server]) -> Result<View, Trouble> {
        match self {
            Self::Fixed(address) => Ok(View::one(address.clone())),
            Self::Sentinel { sentinels, master } => {
                let told = join_all(sentinels.iter_mut().map(|sentinel| ask_sentinel(dialer, sentinel, master))).await;
                let latest = told.into_iter().flatten().max_by_key(|(epoch, _)| *epoch);
                latest.map(|(_, at)| View::one(Address::Tcp(at))).ok_or(Trouble::Lost("no Sentinel knows it"))
            }
            Self::Cluster { seeds, chance } => look_at_cluster(dialer, connected, seeds, chance).await,
        }
    }
}

/// Where a Sentinel says that the primary is, and of which configuration epoch that is. `None` where it does not say; the
/// connection to it is made anew the next time then.
async fn ask_sentinel(
    dialer: &Dialer,
    sentinel: &mut (Address, Option<Server>),
    master: &str,
) -> Option<(u64, HostPort)> {
    let (address, held) = sentinel;
    let server = match held.take() {
        Some(server) => server,
        None => match dialer.sentinel(address).await {
            Ok(server) => server,
            Err(trouble) => {
                tracing::debug!(sentinel = %address, error = &trouble as &dyn std::error::Error, "cannot ask a sentinel");
                return None;
            }
        },
    };
    let asked = [
        redis::cmd("SENTINEL").arg("MASTER").arg(master).clone(),
        redis::cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(master).clone(),
    ];
    let answers = tokio::time::timeout(dialer.patience, server.several(asked)).await.ok()?.ok()?;
    // It answers, whatever it says.
    *held = Some(server);
    let [known, address] = <[_; 2]>::try_from(answers).ok()?;
    Some((config_epoch(known.ok()?)?, host_port(address.ok()?)?))
}

fn config_epoch(known: Value) -> Option<u64> {
    let known = fields::list(known).ok()?;
    let known: Vec<String> = known.into_iter().filter_map(|value| fields::text(value).ok()).collect();
    let at = known.iter().position(|field| field == "config-epoch")?;
    known.get(at + 1)?.parse().ok()
}

fn host_port(address: Value) -> Option<HostPort> {
    let [host, port] = <[_; 2]>::try_from(fields::list(address).ok()?).ok()?;
    Some(HostPort { host: fields::text(host).ok()?, port: fields::text(port).ok()?.parse().ok()? })
}

/// Asks nodes, in an order that chance gives, until one knows: one that was cut off from the others must not be asked again
/// and again.
async fn look_at_cluster(
    dialer: &Dialer,
    connected: &[&Server],
    seeds: &[Address],
    chance: &Chance,
) -> Result<View, Trouble> {
    let mut last = Trouble::Lost("no node of the cluster answers");
    for n in 0..connected.len().min(ASKED) {
        let server = connected[(n + chance.below(connected.len())) % connected.len()];
        match ask_node(dialer, server).await {
            Ok(view) => return Ok(view),
            Err(trouble) => last = trouble,
        }
    }
    let first = chance.below(seeds.len().max(1));
    for seed in seeds.iter().cycle().skip(first).take(seeds.len()) {
        let asked = async { ask_node(dialer, &dialer.server(seed).await?).await };
        match asked.await {
            Ok(view) => return Ok(view),
            Err(trouble) => last = trouble,
        }
    }
    Err(last)
}

async fn ask_node(dialer: &Dialer, server: &Server) -> Result<View, Trouble> {
    let asked = [redis::cmd("CLUSTER").arg("INFO").clone(), redis::cmd("CLUSTER").arg("SLOTS").clone()];
    let answers = tokio::time::timeout(dialer.patience, server.several(asked)).await.map_err(|_| Trouble::Late)??;
    let Ok([info, slots]) = <[_; 2]>::try_from(answers) else { return Err(Trouble::Odd("cluster")) };
    // One that was cut off from most of the others says so, and what else it says is old.
    if !fields::text(info?)?.contains("cluster_state:ok") {
        return Err(Trouble::Lost("the cluster is not well"));
    }
    let asked = server.address.host_port().ok_or(Trouble::Odd("cluster"))?;
    let mut view = View::default();
    for range in fields::list(slots?)? {
        let (slots, at) = slot_range(range, asked)?;
        let address = Address::Tcp(at);
        match view.owners.iter().position(|(owner, _)| *owner == address) {
            Some(known) => view.owners[known].1.push(slots),
            None => view.owners.push((address, vec![slots])),
        }
        if view.owners.len() > MAX_NODES {
            return Err(Trouble::Odd("more nodes than a cluster has"));
        }
    }
    Ok(view)
}

/// One range of slots and its primary, which comes before its replicas. A node that does not know a name leaves it out:
/// then it is the one that was asked by.
fn slot_range(range: Value, asked: &HostPort) -> Result<(RangeInclusive<u16>, HostPort), Trouble> {
    let mut parts = fields::list(range)?.into_iter();
    let (Some(first), Some(last), Some(primary)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(Trouble::Odd("slots"));
    };
    let slot = |value: &Value| u16::try_from(fields::integer(value)?).map_err(|_| Trouble::Odd("slots"));
    let mut primary = fields::list(primary)?.into_iter();
    let host = primary.next().and_then(|host| fields::text(host).ok()).filter(|host| !host.is_empty() && host != "?");
    let port = primary.next().ok_or(Trouble::Odd("slots"))?;
    Ok((
        slot(&first)?..=slot(&last)?,
        HostPort { host: host.unwrap_or_else(|| asked.host.clone()), port: slot(&port)? },
    ))
}
