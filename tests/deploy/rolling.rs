//! Instances are restarted one after the other, and proxies reloaded, under load: no request fails, and no session is lost.

use crate::fleet::{Crowd, Load, some};
use crate::front::Program;
use crate::installation::Installation;
use crate::support_sdk::replicas;

/// Clients at each proxy; three of them official ones, with their notification streams, at nginx.
const AT_NGINX: Crowd = Crowd { plain: 12, official: true, spread: false };
const AT_HAPROXY: Crowd = Crowd { plain: 12, official: false, spread: false };

/// Calls that are made between two restarts.
const BETWEEN: usize = 60;

#[test]
fn a_rolling_restart_behind_nginx_and_haproxy_fails_no_request() {
    let servers = replicas();
    let mut installation = Installation::quick_to_drain(&[servers[0].addr, servers[1].addr, servers[2].addr]);
    let (nginx, haproxy) = (installation.nginx(Program::Nginx), installation.haproxy());
    let loads = [Load::start(nginx.plain, AT_NGINX), Load::start(haproxy.plain, AT_HAPROXY)];
    let go_on = || loads.iter().for_each(|load| load.go_on_for(BETWEEN));
    go_on();
    for at in 0..installation.instances.len() {
        installation.instances[at].restart();
        go_on();
    }
    nginx.reload();
    go_on();
    for (load, front) in loads.into_iter().zip(["nginx", "HAProxy"]) {
        let tally = load.stop();
        println!("three instances restarted behind {front}: {}", tally.summary());
        assert!(tally.failed().is_empty(), "{front}: {}", some(&tally.failed()));
    }
}
