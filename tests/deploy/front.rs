//! Real nginx and HAProxy with the shipped files, on free loopback ports: the address that clients use, with TLS, and beside it one
//! without, for clients that count and speak none.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::fleet::free_addrs;
use crate::shipped::Shipped;
use crate::support::tls::{Authority, Files};
use crate::support_sdk::{Process, eventually};

/// Which program, of which version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The one that is installed.
    Nginx,
    /// One that has `sticky`: 1.29.6 or later, from `tests/deploy/install.sh`.
    NewNginx,
    Haproxy,
}

impl Program {
    pub fn path(self) -> PathBuf {
        let new = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/deploy/.venv/nginx");
        let (places, advice) = match self {
            Self::Nginx => (["/usr/sbin/nginx".into(), "/usr/bin/nginx".into()], "apt-get install nginx-light"),
            Self::NewNginx => ([new.clone(), new], "tests/deploy/install.sh"),
            Self::Haproxy => (["/usr/sbin/haproxy".into(), "/usr/bin/haproxy".into()], "apt-get install haproxy"),
        };
        let found = places.into_iter().find(|path: &PathBuf| path.exists());
        found.unwrap_or_else(|| panic!("{self:?} is missing: {advice}"))
    }
}

/// What stands in front, with a certificate of its own.
pub struct Front {
    pub program: Program,
    /// With TLS, as shipped.
    pub secure: SocketAddr,
    /// Without.
    pub plain: SocketAddr,
    pub authority: Authority,
    files: Files,
    process: Option<Process>,
}

impl Front {
    /// nginx with `file`, in front of these addresses in place of those that begin with `network` and end with `port`.
    pub fn nginx(program: Program, file: Shipped, behind: &[(&str, SocketAddr)]) -> Self {
        Self::start(program, |front| {
            let folder = front.files.path("").display().to_string();
            let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                .map(|kind| format!("{kind}_temp_path {folder}/{kind};"))
                .join(" ");
            let listens = if file.names("listen 443 ssl http2;") { "listen 443 ssl http2;" } else { "listen 443 ssl;" };
            let kept = listens.trim_start_matches("listen 443");
            let file = file
                .put(format!("pid {folder}/pid;"), "pid /run/nginx.pid;")
                .put(format!("http {{ {temporary}"), "http {")
                .put(&folder, "/var/log/nginx")
                .put(front.files.path("front.crt").display(), "/etc/ssl/mcp.example.com.pem")
                .put(front.files.path("front.key").display(), "/etc/ssl/mcp.example.com.key")
                .put(format!("listen {}{kept} listen {};", front.secure, front.plain), listens);
            behind.iter().fold(file, |file, (shipped, addr)| file.put(addr, shipped)).text()
        })
    }

    /// HAProxy with `file`, in the same way.
    pub fn haproxy(file: Shipped, behind: &[(&str, SocketAddr)]) -> Self {
        Self::start(Program::Haproxy, |front| {
            let pem = front.files.path("front.pem").display().to_string();
            let bind = format!("bind {} ssl crt {pem} alpn h2,http/1.1\n    bind {}", front.secure, front.plain);
            let shipped = "bind :443 ssl crt /etc/haproxy/mcp.example.com.pem alpn h2,http/1.1";
            let file = file.put(bind, shipped);
            as_whoever_runs_it(behind.iter().fold(file, |file, (shipped, addr)| file.put(addr, shipped)).text())
        })
    }

    fn start(program: Program, text: impl FnOnce(&Self) -> String) -> Self {
        let [secure, plain] = free_addrs();
        let (authority, files) = (Authority::new("front"), Files::new());
        let shown = authority.server(&["mcp.example.com", "localhost", "127.0.0.1"]);
        files.pair("front", &shown);
        files.write("front.pem", &format!("{}{}", shown.cert, shown.key));
        files.write("ca.pem", &authority.cert);
        let mut front = Self { program, secure, plain, authority, files, process: None };
        front.files.write("config", &text(&front));
        front.run();
        front
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.program.path());
        let config = self.files.path("config");
        match self.program {
            Program::Haproxy => command.arg("-f").arg(config).arg("-db"),
            Program::Nginx | Program::NewNginx => {
                command.arg("-c").arg(config).arg("-p").arg(self.files.path("")).args(["-g", "daemon off;"])
            }
        };
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn run(&mut self) {
        let checked = self
            .command()
            .arg(if self.program == Program::Haproxy { "-c" } else { "-t" })
            .stderr(Stdio::piped())
            .output();
        let checked = checked.unwrap();
        assert!(checked.status.success(), "{:?}: {}", self.program, String::from_utf8_lossy(&checked.stderr));
        self.process = Some(Process::spawn(self.command()));
        eventually("the proxy", || TcpStream::connect(self.plain).ok());
    }

    /// Has nginx read its configuration anew, and waits until it has: then another worker serves.
    pub fn reload(&self) {
        let before = self.workers();
        self.process.as_ref().unwrap().signal("-HUP");
        eventually("new workers", || self.workers().iter().any(|worker| !before.contains(worker)).then_some(()));
    }

    fn workers(&self) -> Vec<String> {
        let id = std::fs::read_to_string(self.files.path("pid")).unwrap();
        let id = id.trim();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
        children.split_whitespace().map(str::to_owned).collect()
    }

    /// Ends it and starts it again.
    pub fn restart(&mut self) {
        self.stop();
        self.run();
    }

    fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // So that it takes its workers with it, and their streams.
            process.signal("-TERM");
            process.ended_well();
        }
    }

    /// What clients trust.
    pub fn ca_file(&self) -> PathBuf {
        self.files.path("ca.pem")
    }

    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}/mcp", self.secure.port())
    }

    /// What it said of errors.
    pub fn errors(&self) -> String {
        std::fs::read_to_string(self.files.path("error.log")).unwrap_or_default()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("what {:?} said of errors:\n{}", self.program, self.errors());
        }
        self.stop();
    }
}

/// Only root can become somebody else, and lock itself in.
fn as_whoever_runs_it(text: String) -> String {
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n");
    if is_root {
        return text;
    }
    let own = |line: &&str| !["user ", "group ", "chroot "].iter().any(|word| line.trim_start().starts_with(word));
    text.lines().filter(own).map(|line| format!("{line}\n")).collect()
}
