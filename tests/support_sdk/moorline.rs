//! The real Moorline, with a configuration of the test's own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tempfile::TempDir;

use super::{DEADLINE, Process, Server, eventually, get, lines};

/// A running instance.
pub struct Moorline {
    process: Process,
    directory: TempDir,
    pub addr: SocketAddr,
    admin: SocketAddr,
    said: Arc<Mutex<String>>,
}

/// What stands in a pool's `backends`.
pub struct Backends(String);

impl Backends {
    pub fn of(servers: &[Server]) -> Self {
        Self::at(&servers.iter().map(|server| server.addr).collect::<Vec<_>>())
    }

    pub fn at(addrs: &[SocketAddr]) -> Self {
        Self(addrs.iter().map(|addr| format!("\"http://{addr}/mcp\"")).collect::<Vec<_>>().join(", "))
    }

    /// All but the first take nobody new.
    pub fn draining_but_the_first(servers: &[Server]) -> Self {
        let entry = |(at, server): (usize, &Server)| format!("{{ url = \"{}\", drain = {} }}", server.url(), at > 0);
        Self(servers.iter().enumerate().map(entry).collect::<Vec<_>>().join(", "))
    }
}

impl Moorline {
    /// Starts with `top` (keys and sections before the pool), and `pool` (keys of the pool, then its sections).
    pub fn start(backends: &Backends, top: &str, pool: &str) -> Self {
        Self::start_at("127.0.0.1:0", backends, top, pool)
    }

    pub fn start_at(listen: &str, backends: &Backends, top: &str, pool: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let text = text(listen, backends, top, pool).replace("DIRECTORY", directory.path().to_str().unwrap());
        std::fs::write(directory.path().join("moorline.toml"), text).unwrap();
        let (process, addr, admin, said) = run(&directory.path().join("moorline.toml"));
        Self { process, directory, addr, admin, said }
    }

    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.addr)
    }

    fn config(&self) -> PathBuf {
        self.directory.path().join("moorline.toml")
    }

    /// Puts another list of backends into the file, and waits until it counts.
    pub fn reload(&self, old: &Backends, new: &Backends) {
        let text = std::fs::read_to_string(self.config()).unwrap().replace(&old.0, &new.0);
        std::fs::write(self.config(), text).unwrap();
        self.process.signal("-HUP");
        eventually("the new configuration", || {
            self.backends().iter().all(|backend| backend["draining"] == false).then_some(())
        });
    }

    fn backends(&self) -> Vec<Value> {
        get(self.admin, "/api/v1/backends")["pools"][0]["backends"].as_array().unwrap().clone()
    }

    /// Waits until its health checks say so of all backends.
    pub fn sees_all(&self, up: bool) {
        eventually("the news of the backends", || {
            self.backends().iter().all(|one| (one["state"] == "up") == up).then_some(())
        });
    }

    /// All that it has logged so far.
    pub fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    pub fn terminate(&self) {
        self.process.signal("-TERM");
    }

    pub fn ended_well(&mut self) -> bool {
        self.process.ended_well()
    }

    /// Starts the next instance, at the same address and with the same store.
    pub fn start_again(&mut self) {
        let text = std::fs::read_to_string(self.config()).unwrap();
        let fixed = text.replacen("listen = \"127.0.0.1:0\"", &format!("listen = \"{}\"", self.addr), 1);
        std::fs::write(self.config(), fixed).unwrap();
        let (process, addr, admin, said) = run(&self.config());
        *self = Self {
            process,
            addr,
            admin,
            said,
            directory: std::mem::replace(&mut self.directory, TempDir::new().unwrap()),
        };
    }
}

impl Drop for Moorline {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("what moorline said:\n{}", self.said.lock().unwrap());
        }
    }
}

fn text(listen: &str, backends: &Backends, top: &str, pool: &str) -> String {
    let list = &backends.0;
    format!(
        "listen = \"{listen}\"\nadmin = \"127.0.0.1:0\"\n{top}\n[log]\naccess = \"off\"\nlevel = \"debug\"\n\n[[pool]]\nbackends = [{list}]\n{pool}\n"
    )
}

fn run(config: &std::path::Path) -> (Process, SocketAddr, SocketAddr, Arc<Mutex<String>>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_moorline"));
    command.args(["serve", "--config"]).arg(config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut process = Process::spawn(command);
    let output = lines(process.child().stderr.take().unwrap());
    let said = Arc::new(Mutex::new(String::new()));
    loop {
        let line = output.recv_timeout(DEADLINE);
        let line = line.unwrap_or_else(|_| panic!("moorline does not start:\n{}", said.lock().unwrap()));
        if let Some((listen, admin)) = serving(&line) {
            let heard = Arc::clone(&said);
            std::thread::spawn(move || {
                output.iter().for_each(|line| heard.lock().unwrap().push_str(&format!("{line}\n")));
            });
            return (process, listen, admin, said);
        }
        said.lock().unwrap().push_str(&line);
    }
}

/// The addresses in `serving listen=[127.0.0.1:1] admin=Some(127.0.0.1:2)`.
fn serving(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let (_, rest) = line.split_once("serving listen=[")?;
    let (listen, rest) = rest.split_once(']')?;
    let admin = rest.split_once("Some(")?.1.split_once(')')?.0;
    Some((listen.parse().ok()?, admin.parse().ok()?))
}
