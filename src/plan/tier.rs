//! Which of the four tiers: by users, and by what is needed where that is more.

/// One of the four tiers of `deploy/tiers`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// One instance, with its store in a file.
    Single,
    /// One instance behind nginx, and Redis.
    Sticky,
    /// Several instances that share a Redis.
    Shared,
    /// Kubernetes or as many machines, and a Redis Cluster.
    Scaled,
}

impl Tier {
    /// The tier of that number.
    #[must_use]
    pub const fn of(number: u8) -> Self {
        match number {
            0 | 1 => Self::Single,
            2 => Self::Sticky,
            3 => Self::Shared,
            _ => Self::Scaled,
        }
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Single => 1,
            Self::Sticky => 2,
            Self::Shared => 3,
            Self::Scaled => 4,
        }
    }

    /// For how many users it is.
    #[must_use]
    pub const fn users(self) -> &'static str {
        match self {
            Self::Single => "under 10 users",
            Self::Sticky => "10 to 100 users",
            Self::Shared => "100 to 1,000 users",
            Self::Scaled => "over 1,000 users",
        }
    }

    /// What it is.
    #[must_use]
    pub const fn what(self) -> &'static str {
        match self {
            Self::Single => "one instance that ends TLS, its store in a file",
            Self::Sticky => "one instance behind nginx, sessions and limits in Redis",
            Self::Shared => "several instances behind nginx or HAProxy, all they share in Redis",
            Self::Scaled => {
                "Kubernetes with autoscaling, or machines of your own; Redis Cluster; an API gateway before it"
            }
        }
    }

    /// Its folder below `deploy/tiers`.
    #[must_use]
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Single => "1-under-10",
            Self::Sticky => "2-10-to-100",
            Self::Shared => "3-100-to-1000",
            Self::Scaled => "4-over-1000",
        }
    }

    /// Servers that it has at least.
    #[must_use]
    pub const fn least_servers(self) -> u32 {
        match self {
            Self::Single => 1,
            Self::Sticky => 2,
            Self::Shared => 3,
            Self::Scaled => 4,
        }
    }

    /// Servers beyond those that carry the calls.
    #[must_use]
    pub const fn spare_servers(self) -> u32 {
        match self {
            Self::Single => 0,
            _ => 1,
        }
    }

    /// Instances that it has at least.
    #[must_use]
    pub const fn least_instances(self) -> u32 {
        match self {
            Self::Single | Self::Sticky => 1,
            Self::Shared | Self::Scaled => 3,
        }
    }

    /// Instances beyond those that carry the load: one may be lost, and in the last tier another one restart meanwhile.
    #[must_use]
    pub const fn spare_instances(self) -> u32 {
        match self {
            Self::Single | Self::Sticky => 0,
            Self::Shared => 1,
            Self::Scaled => 2,
        }
    }

    /// Whether instances share a store.
    #[must_use]
    pub const fn has_redis(self) -> bool {
        !matches!(self, Self::Single)
    }
}

/// What is needed, whatever the number of users.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Need {
    /// Servers that carry the calls.
    pub servers: u32,
    /// Instances that carry the load.
    pub instances: u32,
    /// Redis that hold the rest, in parts of one.
    pub stores: f64,
}

/// The tier, and why it is that one.
#[must_use]
pub fn tier(users: u32, need: Need, least: u8) -> (Tier, String) {
    let by_users = match users {
        0..10 => Tier::Single,
        10..=100 => Tier::Sticky,
        101..=1000 => Tier::Shared,
        _ => Tier::Scaled,
    };
    let by_need = [
        (
            Tier::Sticky,
            need.servers > 1,
            format!("the calls need {} servers, and one that dies must be noticed by nobody", need.servers),
        ),
        (Tier::Shared, need.instances > 1, format!("the load needs {} instances", need.instances)),
        (Tier::Scaled, need.stores > 1.0, "one Redis is too small or too slow".to_owned()),
        (Tier::of(least), least > 1, format!("--tier {least}")),
    ];
    let mut chosen = (by_users, by_users.users().to_owned());
    for (tier, is_needed, why) in by_need {
        if is_needed && tier > chosen.0 {
            chosen = (tier, format!("{}, but {why}", by_users.users()));
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Need = Need { servers: 1, instances: 1, stores: 0.0 };

    #[test]
    fn users_decide_where_nothing_needs_more() {
        let numbers = [1, 9, 10, 100, 101, 1000, 1001, 1_000_000].map(|users| tier(users, SMALL, 1).0.number());
        assert_eq!(numbers, [1, 1, 2, 2, 3, 3, 4, 4]);
    }

    #[test]
    fn a_need_decides_where_it_is_more() {
        let of = |need, least| tier(5, need, least).0.number();
        assert_eq!(of(Need { servers: 2, ..SMALL }, 1), 2);
        assert_eq!(of(Need { instances: 2, ..SMALL }, 1), 3);
        assert_eq!(of(Need { stores: 1.1, ..SMALL }, 1), 4);
        assert_eq!(of(SMALL, 3), 3);
        assert_eq!(tier(500, SMALL, 1).0.number(), tier(500, SMALL, 2).0.number());
        assert!(
            tier(5, Need { instances: 2, ..SMALL }, 1).1.contains("under 10 users, but the load needs 2 instances")
        );
    }
}
