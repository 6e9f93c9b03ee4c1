//! The real binary: started with a configuration file in a folder of its own, ready when this returns, gone when dropped.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};

use tempfile::TempDir;

use super::http::{self, Answer, Connection};
use super::{DEADLINE, until};

/// A configuration in the making. One line is one key, dotted where it lies in a table.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    keys: Vec<String>,
    pools: Vec<Vec<String>>,
}

impl Setup {
    /// One pool at `/mcp` with these backends (URLs).
    pub fn of(backends: &[String]) -> Self {
        Self::default().pool("/mcp", backends)
    }

    /// One more pool.
    pub fn pool(mut self, path: &str, backends: &[String]) -> Self {
        self.pools.push(vec![format!("path = {path:?}"), format!("backends = {backends:?}")]);
        self
    }

    /// One more pool whose backends are written as TOML.
    pub fn pool_of(mut self, path: &str, backends: &str) -> Self {
        self.pools.push(vec![format!("path = {path:?}"), format!("backends = {backends}")]);
        self
    }

    /// A key of the instance, such as `bounds.max_body = "1KiB"`.
    pub fn key(mut self, line: &str) -> Self {
        self.keys.push(line.to_owned());
        self
    }

    /// A key of the pool that was named last.
    pub fn pool_key(mut self, line: &str) -> Self {
        self.pools.last_mut().expect("a pool was named").push(line.to_owned());
        self
    }

    /// The configuration's text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for fixed in ["listen = \"127.0.0.1:0\"", "admin = \"127.0.0.1:0\""] {
            let name = fixed.split(' ').next();
            if !self.keys.iter().any(|key| key.split(' ').next() == name) {
                writeln!(text, "{fixed}").expect("a String takes all");
            }
        }
        for key in &self.keys {
            writeln!(text, "{key}").expect("a String takes all");
        }
        for pool in &self.pools {
            writeln!(text, "\n[[pool]]\n{}", pool.join("\n")).expect("a String takes all");
        }
        text
    }

    /// Starts the binary with it.
    pub fn start(&self) -> Gateway {
        Gateway::start(&self.text())
    }
}

/// A process's output so far.
#[derive(Debug, Default)]
pub struct Output {
    lines: Mutex<(Vec<String>, bool)>,
    grown: Condvar,
}

impl Output {
    fn follow(source: impl Read + Send + 'static) -> Arc<Self> {
        let output = Arc::<Self>::default();
        let sink = Arc::clone(&output);
        std::thread::spawn(move || {
            for line in BufReader::new(source).lines().map_while(Result::ok) {
                sink.lines.lock().expect("no reader panics").0.push(line);
                sink.grown.notify_all();
            }
            sink.lines.lock().expect("no reader panics").1 = true;
            sink.grown.notify_all();
        });
        output
    }

    /// All of it so far.
    pub fn text(&self) -> String {
        self.lines.lock().expect("no writer panics").0.join("\n")
    }

    /// How many lines contain `part`.
    pub fn count(&self, part: &str) -> usize {
        self.lines.lock().expect("no writer panics").0.iter().filter(|line| line.contains(part)).count()
    }

    /// Waits for the `nth` line (from 1) that contains `part`.
    pub fn wait(&self, part: &str, nth: usize) -> String {
        let lines = self.lines.lock().expect("no writer panics");
        let find = |lines: &Vec<String>| lines.iter().filter(|line| line.contains(part)).nth(nth - 1).cloned();
        let wait = self.grown.wait_timeout_while(lines, DEADLINE, |(lines, ended)| find(lines).is_none() && !*ended);
        let (lines, _) = wait.expect("no writer panics");
        let found = find(&lines.0);
        assert!(found.is_some(), "no line {nth} with {part:?} in:\n{}", lines.0.join("\n"));
        found.expect("asserted above")
    }
}

/// One running instance.
#[derive(Debug)]
pub struct Gateway {
    child: Child,
    /// Where clients connect.
    pub addr: SocketAddr,
    /// The admin listener.
    pub admin: SocketAddr,
    /// Its log.
    pub log: Arc<Output>,
    /// Its access log.
    pub access: Arc<Output>,
    config: PathBuf,
    _folder: TempDir,
}

impl Gateway {
    /// Starts the binary with a configuration file of this text, and waits until it serves.
    pub fn start(config: &str) -> Self {
        Self::start_in(config, &[])
    }

    /// The same with more variables in its environment.
    pub fn start_in(config: &str, variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let path = folder.path().join("moorline.toml");
        std::fs::write(&path, config).expect("the configuration can be written");
        let arguments = ["serve".into(), "--config".into(), path.clone().into_os_string()];
        Self::run(arguments, variables, path, folder)
    }

    /// Starts the binary as a user does who has no configuration file.
    pub fn quick(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let fixed = ["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        Self::run(fixed.iter().chain(arguments).map(std::ffi::OsString::from), &[], PathBuf::new(), folder)
    }

    fn run(
        arguments: impl IntoIterator<Item = std::ffi::OsString>,
        variables: &[(&str, &str)],
        config: PathBuf,
        folder: TempDir,
    ) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_moorline"))
            .args(arguments)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary was built for this test");
        let log = Output::follow(child.stderr.take().expect("it is piped"));
        let access = Output::follow(child.stdout.take().expect("it is piped"));
        let serving = log.wait(" serving ", 1);
        let mut addrs = addrs_in(&serving);
        let admin = addrs.pop().expect("the log names the admin address");
        let addr = *addrs.first().expect("the log names the listening address");
        Self { child, addr, admin, log, access, config, _folder: folder }
    }

    /// Sends bytes on a connection of their own and reads the answer.
    pub fn ask(&self, request: &[u8]) -> Answer {
        http::ask(self.addr, request)
    }

    /// A connection to it.
    pub fn connect(&self) -> Connection {
        Connection::to(self.addr)
    }

    /// GETs a path from the admin listener.
    pub fn admin(&self, path: &str) -> Answer {
        http::ask(self.admin, http::get(path, &[]).as_slice())
    }

    /// What the admin listener says of the instance.
    pub fn instance(&self) -> serde_json::Value {
        self.admin("/api/v1/instance").json()
    }

    /// POSTs an order to the admin listener; `body` is a JSON object, or nothing.
    pub fn order(&self, path: &str, body: &str) -> Answer {
        http::ask(
            self.admin,
            &http::request(&format!("POST {path}"), &["Content-Type: application/json"], body.as_bytes()),
        )
    }

    /// What the admin listener says of the backends, in the order of the configuration.
    pub fn backends(&self) -> Vec<serde_json::Value> {
        let overview = self.admin("/api/v1/backends").json();
        let pools = overview["pools"].as_array().expect("it lists pools");
        pools.iter().flat_map(|pool| pool["backends"].as_array().expect("it lists backends").clone()).collect()
    }

    /// Where its configuration file is.
    pub fn config_path(&self) -> &std::path::Path {
        &self.config
    }

    /// Replaces the configuration file's text.
    pub fn configure(&self, text: &str) {
        std::fs::write(&self.config, text).expect("the configuration can be written");
    }

    /// Sends a signal such as `TERM`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(sent.expect("kill is a program").success());
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        until("the instance ends", || self.child.try_wait().expect("it is our child"))
    }

    /// kill -9, and waits until it is gone.
    pub fn kill(mut self) {
        self.signal("KILL");
        self.wait();
    }

    /// How many files and sockets it has open.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("it runs").count()
    }

    /// Resident memory, in bytes.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("it has memory");
        let kib = line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok());
        kib.expect("VmRSS is a number of kB") * 1024
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn addrs_in(line: &str) -> Vec<SocketAddr> {
    let bare = line.split(|c: char| !(c.is_ascii_digit() || c == '.' || c == ':'));
    bare.filter_map(|word| word.parse().ok()).collect()
}
