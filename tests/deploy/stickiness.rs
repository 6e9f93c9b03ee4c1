//! What becomes of sessions where nginx alone stands before the servers: how they spread, and which are lost. The figures are
//! printed (`--nocapture`), asserted, and stand in `deploy/nginx-alone/README.md`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde_json::json;

use crate::fleet::{Client, Outcome, free_addrs};
use crate::front::{Front, Program};
use crate::installation::as_shipped;
use crate::shipped::Shipped;
use crate::support::Backend;
use crate::support::backend::Kind;

/// Sessions in each measurement.
const SESSIONS: u8 = 240;

/// Three small servers that keep sessions; the addresses stay when one is killed and started anew, with nothing in its memory.
struct Servers {
    addrs: [SocketAddr; 3],
    running: Vec<Backend>,
}

impl Servers {
    fn start() -> Self {
        let addrs = free_addrs();
        Self { addrs, running: addrs.map(at).into() }
    }

    fn front(&self, program: Program, file: &str) -> Front {
        Front::nginx(program, Shipped::read(file), &as_shipped(&self.addrs))
    }

    /// How many sessions lie at each.
    fn sessions(&self) -> Vec<usize> {
        self.running.iter().map(Backend::sessions).collect()
    }

    /// The one that has most.
    fn busiest(&self) -> usize {
        (0..3).max_by_key(|at| self.running[*at].sessions()).unwrap()
    }

    fn start_again(&mut self, killed: usize) {
        self.running[killed] = at(self.addrs[killed]);
    }
}

fn at(addr: SocketAddr) -> Backend {
    Backend::at(addr, &format!("server-{}", addr.port()), Kind::Legacy, |_, _| None)
}

/// Clients of one office: all in one /24.
fn office(number: u8) -> IpAddr {
    Ipv4Addr::new(127, 7, 7, number + 1).into()
}

/// Clients of as many networks.
fn everywhere(number: u8) -> IpAddr {
    let (number, from) = (u32::from(number), |number: u32| u8::try_from(number % 251).unwrap());
    Ipv4Addr::new(127, from(number * number + 3), from(number * 97 + 11), 1).into()
}

/// Begins sessions.
fn begin(front: &Front, from: fn(u8) -> IpAddr) -> Vec<Client> {
    let client = |number| {
        let mut client = Client::new(front.plain, Some(from(number)), &[]);
        client.begin().unwrap_or_else(|refused| panic!("client {number}: {refused:?}"));
        client
    };
    (0..SESSIONS).map(client).collect()
}

/// How many of these sessions no server knows any more. They ask in an order that has nothing to do with that in which they began.
fn lost(clients: &mut [Client]) -> usize {
    let count = clients.len();
    // 241 is the next prime: each comes once.
    let order = (0..=count).map(|at| (at * 100 + 7) % (count + 1)).filter(|at| *at < count);
    order.filter(|at| is_lost(&mut clients[*at])).count()
}

/// How many of these sessions cannot be used through another nginx beside the first one.
fn lost_at_another(clients: &[Client], front: &Front) -> usize {
    lost(&mut clients.iter().map(|client| client.at(front.plain)).collect::<Vec<_>>())
}

fn is_lost(client: &mut Client) -> bool {
    // A connection that was kept ends when nginx is reloaded: that is no loss, clients open another one.
    for _ in 0..3 {
        match client.ask("tools/list", &json!({})) {
            Ok(_) => return false,
            Err(Outcome::Gone(_)) => return true,
            Err(Outcome::Broken(_)) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    panic!("connections break again and again")
}

#[test]
fn ip_hash_puts_an_office_on_one_server_and_loses_sessions_twice() {
    let mut servers = Servers::start();
    let file = "nginx-alone/nginx.conf";
    let mut front = servers.front(Program::Nginx, file);
    drop(begin(&front, office));
    let (of_the_office, all) = (servers.sessions(), usize::from(SESSIONS));
    for server in &servers.running {
        server.forget();
    }
    let mut clients = begin(&front, everywhere);
    let spread = servers.sessions();
    assert_eq!(lost(&mut clients), 0);
    let at_another = lost_at_another(&clients, &servers.front(Program::Nginx, file));
    front.reload();
    let at_a_reload = lost(&mut clients);
    front.restart();
    let at_a_restart = lost(&mut clients);
    let killed = servers.busiest();
    let lay_there = spread[killed];
    servers.running[killed].kill();
    let at_the_kill = lost(&mut clients);
    // Whoever lost a session begins another, which the next server of the hash takes.
    let mut begun_anew = begin(&front, everywhere);
    assert_eq!(lost(&mut begun_anew), 0);
    servers.start_again(killed);
    // nginx tries the server again when its fail_timeout (10 s) is over: then the hash is what it was.
    crate::support::until("nginx uses the server again", || (lost(&mut begun_anew[..]) > 0).then_some(()));
    let at_the_return = lost(&mut begun_anew);
    println!(
        "ip_hash, {all} sessions: one office {of_the_office:?}; {all} networks {spread:?}; nginx reloaded: {at_a_reload} lost; nginx \
         restarted: {at_a_restart} lost; at a second nginx: {at_another} lost; a server with {lay_there} killed: {at_the_kill} lost; it \
         came back: {at_the_return} of those begun meanwhile lost"
    );
    assert_eq!((at_a_reload, at_a_restart, at_another), (0, 0, 0));
    assert!(of_the_office.contains(&all), "{of_the_office:?}");
    assert!(spread.iter().all(|count| *count > 40), "{spread:?}");
    assert_eq!(at_the_kill, lay_there);
    assert_eq!(at_the_return, lay_there);
}

#[test]
fn sticky_learn_spreads_and_loses_what_lay_on_a_killed_server_or_was_known_to_nginx_alone() {
    let mut servers = Servers::start();
    let file = "nginx-alone/nginx-sticky.conf";
    let mut front = servers.front(Program::NewNginx, file);
    let mut clients = begin(&front, office);
    let (spread, all) = (servers.sessions(), usize::from(SESSIONS));
    assert_eq!(lost(&mut clients), 0);
    let at_another = lost_at_another(&clients, &servers.front(Program::NewNginx, file));
    front.reload();
    let at_a_reload = lost(&mut clients);
    front.restart();
    let at_a_restart = lost(&mut clients);
    for server in &servers.running {
        server.forget();
    }
    let mut clients = begin(&front, everywhere);
    let of_networks = servers.sessions();
    let killed = servers.busiest();
    let lay_there = servers.sessions()[killed];
    servers.running[killed].kill();
    let at_the_kill = lost(&mut clients);
    let mut begun_anew = begin(&front, office);
    servers.start_again(killed);
    let at_the_return = lost(&mut begun_anew);
    println!(
        "sticky learn, {all} sessions: one office {spread:?}; {all} networks {of_networks:?}; nginx reloaded: {at_a_reload} lost; nginx \
         restarted: {at_a_restart} lost; at a second nginx: {at_another} lost; a server with {lay_there} killed: {at_the_kill} lost; it came back: {at_the_return} lost"
    );
    let is_even = |counts: &[usize]| counts.iter().all(|count| count.abs_diff(all / 3) <= 2);
    assert!(is_even(&spread) && is_even(&of_networks), "{spread:?} {of_networks:?}");
    assert!(at_another > all / 2, "{at_another}");
    assert_eq!((at_a_reload, at_the_kill, at_the_return), (0, lay_there, 0));
    assert!(at_a_restart > all / 2, "{at_a_restart}");
}

#[test]
fn hashing_on_the_session_id_cannot_work() {
    let servers = Servers::start();
    let file = Shipped::read("nginx-alone/nginx.conf").put("hash $http_mcp_session_id;", "ip_hash;");
    let front = Front::nginx(Program::Nginx, file, &as_shipped(&servers.addrs));
    let mut working = 0;
    for number in 0..SESSIONS {
        // The id is in every request but the first one, which chooses the server.
        working += usize::from(Client::new(front.plain, Some(everywhere(number)), &[]).begin().is_ok());
    }
    let spread = servers.sessions();
    println!("hash on the session id, {SESSIONS} sessions: begun at {spread:?}; {working} could be used");
    // Without a key nginx takes one server after the other: one in three is by chance where the key leads later.
    assert!((40..120).contains(&working), "{working}");
}
