//! Real Redis servers for tests: alone, behind Sentinels and as a Cluster, on free ports of this machine, with their files in
//! a directory of their own. All end with what holds them. Knows nothing of Moorline.

use std::fs;
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use tempfile::TempDir;

/// How long a server may take for anything.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    Redis,
    Valkey,
}

impl Program {
    fn command(self) -> Command {
        let unpacked = concat!(env!("CARGO_MANIFEST_DIR"), "/target/tools/valkey/usr/bin/valkey-server");
        Command::new(match self {
            Self::Redis => "redis-server",
            Self::Valkey if Path::new(unpacked).exists() => unpacked,
            Self::Valkey => "valkey-server",
        })
    }

    fn run(self, command: &mut Command) -> Child {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        child.unwrap_or_else(|error| panic!("{self:?}: {error}; scripts/install-test-needs.sh brings it"))
    }
}

/// Ports that were handed out: the system may name one twice before it is taken.
static HANDED_OUT: Mutex<Vec<u16>> = Mutex::new(Vec::new());

/// A port that nobody listens on. One so low that no outgoing connection takes it meanwhile, and that a Cluster's own port,
/// 10,000 above, is free too.
pub fn free_port() -> u16 {
    let mut handed_out = HANDED_OUT.lock().unwrap();
    let first = 10_000 + u16::try_from(std::process::id() % 200).unwrap() * 50;
    for port in (first..20_500).chain(10_000..first) {
        let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
        if !handed_out.contains(&port) && is_free(port) && is_free(port + 10_000) {
            handed_out.push(port);
            return port;
        }
    }
    panic!("no free port");
}

/// Waits until something is so.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..DEADLINE.as_millis() / 20 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("waited in vain: {what}");
}

/// One running server (or Sentinel).
pub struct Server {
    pub port: u16,
    pub directory: TempDir,
    program: Program,
    arguments: Vec<String>,
    child: Option<Child>,
}

impl Server {
    /// Starts one and waits until it answers. Keeps nothing on disk unless the arguments say so.
    pub fn start(program: Program, arguments: &[&str]) -> Self {
        Self::start_on(free_port(), program, arguments)
    }

    pub fn start_on(port: u16, program: Program, arguments: &[&str]) -> Self {
        let directory = TempDir::new().unwrap();
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let mut server = Self { port, directory, program, arguments, child: None };
        server.start_again();
        server
    }

    /// Starts one that serves TLS too, on the port that is returned, with that certificate.
    pub fn start_tls(certificates: &Certificates, certificate: &str, more: &[&str]) -> (Self, u16) {
        let port = free_port();
        let path = |name: &str| certificates.path(name).display().to_string();
        let (certificate, key, ca) = (path(certificate), path("server.key"), path("ca.pem"));
        let port_text = port.to_string();
        let mut arguments = vec!["--tls-port", &port_text, "--tls-cert-file", &certificate, "--tls-key-file", &key];
        arguments.extend(["--tls-ca-cert-file", &ca, "--tls-auth-clients", "no"]);
        arguments.extend(more);
        (Self::start(Program::Redis, &arguments), port)
    }

    /// Starts it again, on the same port, in the same directory.
    pub fn start_again(&mut self) {
        self.stop();
        let socket = self.socket();
        let mut command = self.program.command();
        command.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", "", "--loglevel", "warning"]);
        command.args(["--unixsocket", socket.to_str().unwrap(), "--logfile", "log"]);
        command.args(&self.arguments).current_dir(self.directory.path());
        self.child = Some(self.program.run(&mut command));
        until("a server starts", || UnixStream::connect(&socket).is_ok() && self.is_ready());
    }

    /// Ends it as a crash does.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Lets it hang, connections and all, or go on.
    pub fn freeze(&self, freeze: bool) {
        let signal = if freeze { "-STOP" } else { "-CONT" };
        let id = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// What `redis-cli` prints.
    pub fn cli(&self, arguments: &[&str]) -> String {
        let socket = self.socket();
        let output = Command::new("redis-cli").arg("-s").arg(socket).args(arguments).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn is_ready(&self) -> bool {
        let answer = self.cli(&["ping"]);
        answer.contains("PONG") || answer.contains("NOAUTH")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A CA and a certificate for 127.0.0.1 and localhost from it.
pub struct Certificates {
    directory: TempDir,
}

impl Certificates {
    pub fn make() -> Self {
        let directory = TempDir::new().unwrap();
        let openssl = |line: &str| {
            let done = Command::new("openssl").args(line.split(' ')).current_dir(directory.path()).output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        };
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        openssl(&format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=test-ca"));
        openssl(&format!("req -x509 {key} -keyout other.key -out other.pem -days 2 -subj /CN=other-ca"));
        openssl(&format!("req {key} -keyout server.key -out server.csr -subj /CN=redis"));
        fs::write(directory.path().join("names"), "subjectAltName=IP:127.0.0.1,DNS:localhost\n").unwrap();
        fs::write(directory.path().join("elsewhere"), "subjectAltName=DNS:elsewhere.test\n").unwrap();
        let sign = "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2";
        openssl(&format!("{sign} -extfile names -out server.pem"));
        openssl(&format!("{sign} -extfile elsewhere -out elsewhere.pem"));
        Self { directory }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// A primary, a replica, and three Sentinels that watch them.
pub struct Watched {
    pub servers: [Server; 2],
    pub sentinels: Vec<Server>,
}

impl Watched {
    pub fn start(program: Program) -> Self {
        let primary = Server::start(program, &[]);
        let replica = Server::start(program, &["--replicaof", "127.0.0.1", &primary.port.to_string()]);
        until("the replica is in step", || replica.cli(&["info", "replication"]).contains("master_link_status:up"));
        let sentinels: Vec<Server> = (0..3).map(|_| sentinel(program, primary.port)).collect();
        for sentinel in &sentinels {
            until("the sentinels know each other and the replica", || {
                let known = sentinel.cli(&["sentinel", "master", "mymaster"]);
                field(&known, "num-other-sentinels") == Some("2") && field(&known, "num-slaves") == Some("1")
            });
        }
        Self { servers: [primary, replica], sentinels }
    }

    pub fn url(&self) -> String {
        let hosts: Vec<String> = self.sentinels.iter().map(|at| format!("127.0.0.1:{}", at.port)).collect();
        format!("redis+sentinel://{}/mymaster", hosts.join(","))
    }
}

fn sentinel(program: Program, watched: u16) -> Server {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("sentinel.conf");
    // On a busy machine two of the three may stand for election at once, and nobody has the most votes. They try again after
    // twice the failover's timeout: short enough for many elections within the deadline.
    let text = format!(
        "sentinel monitor mymaster 127.0.0.1 {watched} 2\nsentinel down-after-milliseconds mymaster 1000\n\
         sentinel failover-timeout mymaster 4000\n"
    );
    fs::write(&file, text).unwrap();
    let mut server = Server { port: free_port(), directory, program, arguments: Vec::new(), child: None };
    let socket = server.socket();
    let mut command = program.command();
    command.arg(&file).args(["--sentinel", "--port", &server.port.to_string(), "--bind", "127.0.0.1"]);
    command.args(["--unixsocket", socket.to_str().unwrap(), "--logfile", "log"]).current_dir(server.directory.path());
    server.child = Some(program.run(&mut command));
    until("a sentinel starts", || UnixStream::connect(&socket).is_ok() && server.is_ready());
    server
}

/// What follows a field's name in a flat list.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = text.lines();
    lines.find(|line| *line == name)?;
    lines.next()
}

const CLUSTERED: [&str; 6] =
    ["--cluster-enabled", "yes", "--cluster-node-timeout", "1500", "--cluster-config-file", "nodes"];

/// Three primaries and three replicas.
pub struct Cluster {
    pub nodes: Vec<Server>,
}

impl Cluster {
    pub fn start(program: Program) -> Self {
        let nodes: Vec<Server> = (0..6).map(|_| Server::start(program, &CLUSTERED)).collect();
        let addresses: Vec<String> = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        let mut create = Command::new("redis-cli");
        create.args(["--cluster", "create"]).args(&addresses).args(["--cluster-replicas", "1", "--cluster-yes"]);
        let created = create.output().unwrap();
        assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stdout));
        let cluster = Self { nodes };
        cluster.settled();
        cluster
    }

    /// One more node, without slots.
    pub fn join(&mut self, program: Program) {
        let node = Server::start(program, &CLUSTERED);
        assert_eq!(node.cli(&["cluster", "meet", "127.0.0.1", &self.nodes[0].port.to_string()]), "OK");
        self.nodes.push(node);
        let all = format!("cluster_known_nodes:{}", self.nodes.len());
        for node in &self.nodes {
            until("all know the new node", || node.cli(&["cluster", "info"]).contains(&all));
        }
        self.settled();
    }

    /// Waits until all that run agree that all is well.
    pub fn settled(&self) {
        for node in self.nodes.iter().filter(|node| node.child.is_some()) {
            until("the cluster is well", || node.cli(&["cluster", "info"]).contains("cluster_state:ok"));
        }
    }

    pub fn url(&self) -> String {
        let hosts: Vec<String> = self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        format!("redis+cluster://{}", hosts.join(","))
    }

    /// The name that a node has among the others.
    pub fn id(&self, node: usize) -> String {
        self.nodes[node].cli(&["cluster", "myid"])
    }

    pub fn is_primary(&self, node: usize) -> bool {
        self.nodes[node].child.is_some() && self.nodes[node].cli(&["role"]).starts_with("master")
    }

    /// Which node has a slot.
    pub fn owner(&self, slot: u16) -> usize {
        let slots = self.nodes.iter().find(|node| node.child.is_some()).unwrap().cli(&["cluster", "nodes"]);
        let has = |word: &str| {
            let (first, last) = word.split_once('-').unwrap_or((word, word));
            matches!((first.parse::<u16>(), last.parse::<u16>()), (Ok(first), Ok(last)) if (first..=last).contains(&slot))
        };
        let line = slots
            .lines()
            .find(|line| line.contains("master") && !line.contains("fail") && line.split(' ').skip(8).any(has));
        let id = line.unwrap().split(' ').next().unwrap();
        (0..self.nodes.len()).find(|&node| self.nodes[node].child.is_some() && self.id(node) == id).unwrap()
    }
}
