//! What the tests with official SDK clients stand on: fixture servers, the real Moorline, and clients that are steered by
//! JSON lines (`tests/sdk/README.md`). Every process is ended with the value that owns it.
#![allow(dead_code, unused_imports, reason = "each test takes the part that it needs")]

mod client;
mod moorline;
mod proxy;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

pub use client::{Client, Kind};
pub use moorline::{Backends, Moorline};
pub use proxy::{Message, Next, Proxy};

/// How long anything that must happen may take: generous, since machines that run tests are busy.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Where the drivers and fixture servers lie.
pub fn sdk() -> PathBuf {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk");
    for stamp in ["node_modules/.stamp", ".venv-v1/.stamp", ".venv-v2/.stamp"] {
        assert!(directory.join(stamp).exists(), "the SDKs are not installed: run tests/sdk/install.sh first");
    }
    let issuer = directory.join("../oauth/node_modules/.stamp");
    assert!(issuer.exists(), "the OAuth server is not installed: run tests/oauth/install.sh first");
    directory
}

/// A program of `tests/sdk`.
pub fn program(interpreter: &str, arguments: &[&str]) -> Command {
    let directory = sdk();
    let interpreter = if interpreter.starts_with('.') { directory.join(interpreter) } else { interpreter.into() };
    let mut command = Command::new(interpreter);
    command.args(arguments).current_dir(directory).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(own_stderr());
    command
}

/// The same standard error, opened anew: Node makes what it inherits non-blocking, and a test that prints much would panic then.
fn own_stderr() -> Stdio {
    File::options().append(true).open("/dev/stderr").map_or_else(|_| Stdio::inherit(), Stdio::from)
}

/// A child process, killed when dropped.
pub struct Process(Child);

impl Process {
    pub fn spawn(mut command: Command) -> Self {
        Self(command.spawn().unwrap_or_else(|error| panic!("{command:?} does not start: {error}")))
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.0.id().to_string()]).status().unwrap();
        assert!(sent.success(), "kill {name}");
    }

    pub fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Waits for its end. Returns whether it called itself successful.
    pub fn ended_well(&mut self) -> bool {
        eventually("the end of a process", || self.0.try_wait().unwrap()).success()
    }

    /// What is written to it; once.
    pub fn take_input(&mut self) -> ChildStdin {
        self.0.stdin.take().expect("it is piped, and was not taken")
    }

    /// What it writes; once.
    pub fn take_output(&mut self) -> ChildStdout {
        self.0.stdout.take().expect("it is piped, and was not taken")
    }

    fn child(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already; a frozen one is killed all the same.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The lines of a stream, read by a thread of their own.
pub fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (tell, told) = channel();
    std::thread::spawn(move || {
        BufReader::new(stream).lines().map_while(Result::ok).try_for_each(|line| tell.send(line))
    });
    told
}

/// A server of `tests/sdk`, at an address of its own.
pub struct Server {
    process: Process,
    script: &'static str,
    arguments: Vec<String>,
    pub addr: SocketAddr,
}

impl Server {
    pub fn start(script: &'static str, arguments: &[&str]) -> Self {
        Self::start_at(script, arguments.iter().map(|&argument| argument.into()).collect(), 0)
    }

    fn start_at(script: &'static str, arguments: Vec<String>, port: u16) -> Self {
        let port = port.to_string();
        let mut all = vec![script, "--port", &port];
        all.extend(arguments.iter().map(String::as_str));
        let mut process = Process::spawn(program("node", &all));
        let output = lines(process.child().stdout.take().unwrap());
        let hello = output.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("{script} does not start"));
        let url = hello.split_whitespace().nth(1).unwrap_or_default();
        let addr = url.trim_start_matches("http://").trim_end_matches("/mcp").parse().expect("an address");
        Self { process, script, arguments, addr }
    }

    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.addr)
    }

    /// `GET /stats`.
    pub fn stats(&self) -> Value {
        get(self.addr, "/stats")
    }

    pub fn freeze(&self) {
        self.process.signal("-STOP");
    }

    pub fn thaw(&self) {
        self.process.signal("-CONT");
    }

    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it anew at the address that it had.
    pub fn restart(&mut self) {
        self.kill();
        *self = Self::start_at(self.script, std::mem::take(&mut self.arguments), self.addr.port());
    }
}

/// Three replicas of the fixture server.
pub fn replicas() -> [Server; 3] {
    ["a", "b", "c"].map(|name| Server::start("server.mjs", &["--name", name]))
}

/// An address that was free a moment ago.
pub fn free_addr() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A JSON document by HTTP.
pub fn get(addr: SocketAddr, path: &str) -> Value {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nhost: {addr}\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{path}: {error}: {answer}"))
}

/// Looks again and again until there is something, or the deadline passes.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < DEADLINE, "{what} did not come within {DEADLINE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[expect(clippy::disallowed_methods, reason = "a test watches real processes in real time")]
pub fn now() -> Instant {
    Instant::now()
}

/// Does the same for every client, all at once. Fails with all that went wrong, under each client's name.
pub fn each_client<T: Send>(clients: &mut [T], work: impl Fn(&mut T) -> Result<(), String> + Sync) {
    let outcomes: Vec<Result<(), String>> = std::thread::scope(|scope| {
        let threads: Vec<_> = clients.iter_mut().map(|client| scope.spawn(|| work(client))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err("panicked, see above".into()))).collect()
    });
    let wrong: Vec<String> = outcomes.into_iter().filter_map(Result::err).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
