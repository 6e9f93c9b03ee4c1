//! nginx as a balancer that knows nothing of sessions: plain round robin, or, to compare, `ip_hash`.

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::redis::free_addrs;
use crate::support_sdk::{Process, eventually};

/// A running nginx, in a folder of its own.
pub struct Nginx {
    pub addr: SocketAddr,
    process: Process,
    folder: TempDir,
}

impl Nginx {
    /// Each request goes to the next of `servers`; to another one where that refuses the connection.
    pub fn round_robin(servers: &[SocketAddr]) -> Self {
        Self::start(servers, "")
    }

    /// Requests of one address go to the same server, as long as it is there.
    pub fn ip_hash(servers: &[SocketAddr]) -> Self {
        Self::start(servers, "ip_hash;")
    }

    fn start(servers: &[SocketAddr], method: &str) -> Self {
        let program = ["/usr/sbin/nginx", "/usr/bin/nginx"].map(PathBuf::from).into_iter().find(|path| path.exists());
        let program = program.expect("these tests need nginx: apt-get install nginx-light");
        let folder = TempDir::new().unwrap();
        let [addr] = free_addrs();
        let config = folder.path().join("nginx.conf");
        std::fs::write(&config, config_text(folder.path(), addr, servers, method)).unwrap();
        let mut command = Command::new(program);
        command.arg("-c").arg(&config).arg("-p").arg(folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = Process::spawn(command);
        eventually("nginx", || TcpStream::connect(addr).ok());
        Self { addr, process, folder }
    }

    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.addr)
    }

    /// What it wrote into its error log.
    pub fn errors(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("error.log")).unwrap_or_default()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // So that it takes its worker with it.
        self.process.signal("-TERM");
        eventually("the end of nginx", || TcpStream::connect(self.addr).is_err().then_some(()));
    }
}

fn config_text(folder: &Path, addr: SocketAddr, servers: &[SocketAddr], method: &str) -> String {
    let mut upstream = String::new();
    for server in servers {
        // Nobody is left out for a while after one failure: of two instances, the other would be the only one.
        write!(upstream, "server {server} max_fails=0;").unwrap();
    }
    let folder = folder.display();
    format!(
        "daemon off;\nworker_processes 1;\npid {folder}/pid;\nerror_log {folder}/error.log warn;\n\
         events {{ worker_connections 4096; }}\nhttp {{\naccess_log off;\nkeepalive_requests 100000;\n\
         client_body_temp_path {folder}/body;\nproxy_temp_path {folder}/proxy;\nfastcgi_temp_path {folder}/fastcgi;\n\
         uwsgi_temp_path {folder}/uwsgi;\nscgi_temp_path {folder}/scgi;\n\
         upstream servers {{ {method} {upstream} }}\n\
         server {{\nlisten {addr};\nlocation / {{\nproxy_pass http://servers;\nproxy_http_version 1.1;\n\
         proxy_set_header Host $http_host;\nproxy_buffering off;\nproxy_read_timeout 1h;\nproxy_send_timeout 1h;\n\
         proxy_next_upstream error timeout;\n}}\n}}\n}}\n"
    )
}
