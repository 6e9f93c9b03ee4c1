//! Programs that the tests start: promtool, Prometheus and Redis.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::http::get;
use crate::support::{ask, until, wait_for};

/// A program that may lie among those that were only unpacked for the tests.
fn program(name: &str) -> PathBuf {
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/prometheus/usr/bin").join(name);
    if unpacked.exists() { unpacked } else { name.into() }
}

/// Runs promtool; what it says, which is nothing where all is well.
pub fn promtool(arguments: &[&str], input: &str) -> Result<String, String> {
    let mut child = Command::new(program("promtool"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is there: scripts/install-test-needs.sh");
    child.stdin.take().expect("it is piped").write_all(input.as_bytes()).expect("promtool reads");
    let output = child.wait_with_output().expect("promtool ends");
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    if output.status.success() { Ok(said) } else { Err(said) }
}

/// An address that nobody listens on. Somebody may take it before it is used; hardly ever.
fn free_addr() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").expect("there is a port").local_addr().expect("it listens")
}

/// A process that ends with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A Prometheus that scrapes.
pub struct Prometheus {
    addr: SocketAddr,
    _process: Process,
    _folder: TempDir,
}

impl Prometheus {
    /// Scrapes these admin listeners several times a second, with native histograms and exemplars.
    pub fn over(targets: &[SocketAddr]) -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let targets: Vec<_> = targets.iter().map(ToString::to_string).collect();
        let config = format!(
            "global: {{ scrape_interval: 250ms, scrape_timeout: 250ms }}\nscrape_configs:\n  - job_name: moorline\n    \
             static_configs: [{{ targets: {targets:?} }}]\n"
        );
        let file = folder.path().join("prometheus.yml");
        std::fs::write(&file, config).expect("the configuration can be written");
        let addr = free_addr();
        let process = Command::new(program("prometheus"))
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={addr}"))
            .arg("--enable-feature=native-histograms,exemplar-storage")
            .arg("--log.level=warn")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("prometheus is there: scripts/install-test-needs.sh");
        let prometheus = Self { addr, _process: Process(process), _folder: folder };
        wait_for("prometheus listens", || TcpStream::connect(addr).is_ok());
        wait_for("prometheus is ready", || ask(addr, &get("/-/ready", &[])).status == 200);
        prometheus
    }

    /// Answers a query by its results.
    pub fn query(&self, query: &str) -> Vec<Value> {
        let escaped: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let answer = ask(self.addr, &get(&format!("/api/v1/query?query={escaped}"), &[]));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["data"]["result"].as_array().cloned().unwrap_or_default()
    }

    /// The only result of a query, once there is one.
    pub fn number(&self, query: &str) -> f64 {
        until(query, || {
            let results = self.query(query);
            let value = results.first()?["value"][1].as_str()?.parse::<f64>().ok()?;
            (results.len() == 1 && !value.is_nan()).then_some(value)
        })
    }
}

/// A Redis of the test's own.
pub struct Redis {
    pub addr: SocketAddr,
    process: Process,
    _folder: TempDir,
}

impl Redis {
    pub fn start() -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let addr = free_addr();
        let port = addr.port().to_string();
        let process = Command::new("redis-server")
            .args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--dir"])
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is there: scripts/install-test-needs.sh");
        let redis = Self { addr, process: Process(process), _folder: folder };
        wait_for("redis listens", || TcpStream::connect(addr).is_ok());
        redis
    }

    pub fn kill(&mut self) {
        self.process.0.kill().expect("it runs");
        self.process.0.wait().expect("it ends");
    }
}
