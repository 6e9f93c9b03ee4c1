//! The configuration of each peer, as somebody who knows it would write it for this job. Text only.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

/// What a proxy does beside relaying.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    /// Nothing.
    None,
    /// It limits calls of one tool: far more than come, of each address; and hardly any of another tool.
    Limits,
    /// It keeps the results of one tool, where it can: no other proxy here can tell one call from another.
    Cache,
}

/// nginx: one worker, upstream connections kept, affinity by hash on the session id, no response buffering.
/// Without `buffers` its own default (one page) holds.
pub fn nginx(
    listen: SocketAddr,
    origins: &[SocketAddr],
    buffers: Option<&str>,
    (folder, rules): (&Path, Rules),
) -> String {
    let servers = lines(origins, |_, origin| format!("        server {origin} max_fails=0;"));
    let buffers = buffers.map_or_else(String::new, |size| {
        format!("\n            proxy_buffer_size {size};\n            proxy_buffers 8 {size};\n            proxy_busy_buffers_size {size};")
    });
    let folder = folder.display();
    let (zones, checks) = nginx_limits(rules);
    format!(
        "\
user root;
worker_processes 1;
worker_rlimit_nofile 20000;
daemon off;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{
    use epoll;
    worker_connections 16384;
}}
http {{
    access_log off;
    gzip off;{zones}
    tcp_nodelay on;
    keepalive_timeout 1h;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}/nginx-body;
    proxy_temp_path {folder}/nginx-proxy;
    fastcgi_temp_path {folder}/nginx-fastcgi;
    uwsgi_temp_path {folder}/nginx-uwsgi;
    scgi_temp_path {folder}/nginx-scgi;
    upstream replicas {{
        hash $http_mcp_session_id consistent;
{servers}        keepalive 256;
        keepalive_requests 1000000000;
        keepalive_timeout 1h;
    }}
    server {{
        listen {listen} backlog=4096;
        location /mcp {{{checks}
            proxy_pass http://replicas;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_buffering off;
            proxy_read_timeout 1h;{buffers}
        }}
    }}
}}
"
    )
}

/// An empty key is not counted: each tool has its own limit.
const fn nginx_limits(rules: Rules) -> (&'static str, &'static str) {
    match rules {
        Rules::None | Rules::Cache => ("", ""),
        Rules::Limits => (
            "
    map $http_mcp_name $limited { default \"\"; echo $binary_remote_addr; }
    map $http_mcp_name $refused { default \"\"; refused $binary_remote_addr; }
    limit_req_zone $limited zone=limited:10m rate=1000000r/s;
    limit_req_zone $refused zone=refused:10m rate=1r/m;
    limit_req_status 429;
    limit_req_log_level info;",
            "
            limit_req zone=limited burst=1000000 nodelay;
            limit_req zone=refused nodelay;",
        ),
    }
}

/// `HAProxy`: one thread, connections reused, affinity by consistent hash on the session id. Without
/// `http-no-delay` a stream's head waits 200 ms in the kernel for a body that is not there yet.
pub fn haproxy(listen: SocketAddr, origins: &[SocketAddr]) -> String {
    let servers = lines(origins, |at, origin| format!("    server replica{at} {origin} pool-max-conn 256"));
    format!(
        "\
global
    nbthread 1
    maxconn 8000
defaults
    mode http
    option http-keep-alive
    option http-no-delay
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    timeout http-keep-alive 1h
frontend mcp
    bind {listen} backlog 4096
    default_backend replicas
backend replicas
    balance hdr(mcp-session-id)
    hash-type consistent
    http-reuse always
{servers}"
    )
}

/// What Moorline keeps of what it sees.
pub enum Seen<'a> {
    /// Requests are counted, which is the default; logs are off, as in nginx's configuration.
    Default,
    /// Nothing.
    Nothing,
    /// Requests are counted, each has its line in a file, and one in a hundred is traced.
    All {
        /// Where the file is.
        folder: &'a Path,
        /// Where traces go.
        collector: SocketAddr,
    },
}

impl Seen<'_> {
    fn sections(&self) -> String {
        match self {
            Self::Default => "access = \"off\"\n".to_owned(),
            Self::Nothing => "access = \"off\"\n\n[metrics]\nrequests = false\n".to_owned(),
            Self::All { folder, collector } => format!(
                "access = \"{}/log/access.log\"\n\n[traces]\nendpoint = \"http://{collector}\"\nsample = 0.01\n",
                folder.display()
            ),
        }
    }
}

/// Moorline: one thread, everything at its default but logs, which nginx's configuration keeps off too.
/// `extra` goes to the end and begins inside the `[[pool]]` table.
pub fn moorline(
    [listen, admin]: [SocketAddr; 2],
    origins: &[SocketAddr],
    (extra, redis): (&str, Option<SocketAddr>),
    (rules, seen): (Rules, &Seen<'_>),
) -> String {
    let seen = seen.sections();
    let store = redis.map_or_else(String::new, |redis| format!("\n[store]\nurl = \"redis://{redis}\"\n"));
    let rules = match rules {
        Rules::None => "",
        Rules::Cache => {
            // Room for the known calls of `zipf` thrice over, and full before anything is measured: a cache that still fills
            // pays for each new page of memory.
            "
[results]
memory = \"16MiB\"

[[cache]]
tools = [\"kept\"]
ttl   = \"1h\"
scope = \"public\"
trust = true
"
        }
        Rules::Limits => {
            "
[[limit]]
name  = \"limited\"
tools = [\"echo\"]
rate  = \"1000000/s\"

[[limit]]
name  = \"refused\"
tools = [\"refused\"]
rate  = \"1/min\"
"
        }
    };
    let backends = origins.iter().map(|origin| format!("\"http://{origin}/mcp\"")).collect::<Vec<_>>().join(", ");
    format!(
        "\
listen  = \"{listen}\"
admin   = \"{admin}\"
threads = 1

[bounds]
max_connections_per_address   = 1000000
max_listen_streams_per_caller = 1000000
max_requests_per_connection   = 1000000000

[log]
level  = \"warn\"
{seen}{store}{rules}
[[pool]]
path     = \"/mcp\"
backends = [{backends}]
{extra}"
    )
}

/// The wrapper's, in JSON.
pub fn wrapper(listen: SocketAddr, origins: &[SocketAddr], redis: SocketAddr) -> String {
    let origins: Vec<String> = origins.iter().map(|origin| format!("\"http://{origin}\"")).collect();
    let port = listen.port();
    format!(
        "{{\"port\": {port}, \"tools\": [\"kept\"], \"ttl\": 3600, \"redis\": \"redis://{redis}\", \"origins\": [{}]}}\n",
        origins.join(", ")
    )
}

fn lines(origins: &[SocketAddr], line: impl Fn(usize, &SocketAddr) -> String) -> String {
    let mut text = String::new();
    for (at, origin) in origins.iter().enumerate() {
        let _ = writeln!(text, "{}", line(at, origin));
    }
    text
}
