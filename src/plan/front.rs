//! What the proxy in front must be able to hold.

use super::costs;
use super::step::{Quantity, Steps};
use super::target::Target;
use super::words::{number, real, up_to};

/// The proxy of a plan.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Front {
    /// Connections of clients.
    pub connections: f64,
    /// How many it is told to take: HAProxy's `maxconn`; nginx needs twice as many, one to the client and one to Moorline.
    pub most: u64,
}

/// The proxy for a target: each open stream is a connection, and each user has one more for calls.
pub fn planned(target: &Target, steps: &mut Steps) -> Front {
    let connections = steps.add(
        "front-connections",
        "connections at the proxy",
        format!("{} streams + {} users", number(target.open_streams()), number(real(target.users))),
        Quantity::count(target.open_streams() + real(target.users)),
    );
    let most = up_to(connections / target.most_busy(), 1024).max(up_to(costs::FRONT_LEAST.get(), 1));
    #[expect(clippy::cast_precision_loss, reason = "a number of connections")]
    let shown = Quantity::count(most as f64);
    steps.add(
        "front-most",
        "maxconn",
        format!(
            "{} / {}, at least {}",
            number(connections),
            Quantity::share(target.most_busy()),
            costs::FRONT_LEAST.value
        ),
        shown,
    );
    steps.by(&[&costs::FRONT_LEAST]);
    Front { connections, most }
}
