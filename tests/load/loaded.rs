//! A run of the binary: started with options, its report read.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::backend::{After, Received, reply};
use crate::support::{Backend, until};
use crate::support_sdk;

/// A replica of the fixture server, as a process of the run's own.
pub fn replica(name: &str) -> String {
    format!("{name}=exec node {} --port {{port}} --name {name}", support_sdk::sdk().join("server.mjs").display())
}

/// A Moorline before `a` and `b`, as another.
pub fn gateway() -> String {
    format!(
        "gateway=exec {} serve --listen 127.0.0.1:{{port}} --admin off --backend http://127.0.0.1:{{a.port}}/mcp \
         --backend http://127.0.0.1:{{b.port}}/mcp",
        env!("CARGO_BIN_EXE_moorline")
    )
}

/// What a run left behind.
pub struct Loaded {
    pub report: Value,
    pub said: String,
    pub told: String,
    pub code: Option<i32>,
    folder: TempDir,
}

/// Runs the binary to its end.
pub fn load<S: AsRef<OsStr>>(url: &str, options: &[S]) -> Loaded {
    let folder = tempfile::tempdir().unwrap();
    let output = command(folder.path(), url, options).output().unwrap();
    Loaded::new(folder, &output)
}

/// A run that goes on.
pub struct Loading {
    child: Child,
    folder: TempDir,
}

/// Options, beginning with the processes that are to be started; the others are words without spaces in them.
pub fn options(start: &[String], rest: &str) -> Vec<String> {
    let start = start.iter().flat_map(|command| ["--start".to_owned(), command.clone()]);
    start.chain(rest.split_whitespace().map(str::to_owned)).collect()
}

/// Starts the binary.
pub fn begin<S: AsRef<OsStr>>(url: &str, options: &[S]) -> Loading {
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(folder.path(), url, options);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    Loading { child, folder }
}

impl Loading {
    /// As Ctrl-C does.
    pub fn interrupt(&self) {
        let sent = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for its end.
    pub fn end(self) -> Loaded {
        Loaded::new(self.folder, &self.child.wait_with_output().unwrap())
    }
}

fn command<S: AsRef<OsStr>>(folder: &Path, url: &str, options: &[S]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_moorline"));
    command.args(["load", url, "--json"]).arg(folder.join("run.json")).arg("--html").arg(folder.join("run.html"));
    command.args(["--seed", "7"]).args(options).stdin(Stdio::null());
    command
}

impl Loaded {
    fn new(folder: TempDir, output: &std::process::Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let kept = std::fs::read_to_string(folder.path().join("run.json")).unwrap_or_default();
        let report = serde_json::from_str(&kept).unwrap_or_default();
        Self { report, said: text(&output.stdout), told: text(&output.stderr), code: output.status.code(), folder }
    }

    /// A file that it wrote.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// How many errors of that kind there were.
    pub fn errors(&self, kind: &str) -> u64 {
        let errors =
            self.report["errors"].as_array().unwrap_or_else(|| panic!("no report: {}{}", self.said, self.told));
        errors.iter().find(|error| error["kind"] == kind).map_or(0, |error| error["count"].as_u64().unwrap())
    }

    /// A number, by the path to it.
    pub fn number(&self, pointer: &str) -> f64 {
        let found = self.report.pointer(pointer).and_then(Value::as_f64);
        found.unwrap_or_else(|| panic!("no {pointer}: {}{}{}", self.report, self.said, self.told))
    }

    /// A whole number, by the path to it.
    pub fn count(&self, pointer: &str) -> u64 {
        let found = self.report.pointer(pointer).and_then(Value::as_u64);
        found.unwrap_or_else(|| panic!("no {pointer}: {}{}{}", self.report, self.said, self.told))
    }

    /// What is said of one operation.
    pub fn operation(&self, name: &str) -> Value {
        let operations = self.report["operations"].as_array().unwrap_or_else(|| panic!("{}{}", self.said, self.told));
        let found = operations.iter().find(|operation| operation["name"] == name);
        found.unwrap_or_else(|| panic!("no {name}: {operations:?}")).clone()
    }

    /// Every planned call is accounted for, once.
    pub fn adds_up(&self) {
        let total = |name: &str| self.count(&format!("/totals/{name}"));
        let parts = ["answered", "failed", "missed", "unfinished", "left_undone"].map(total);
        assert_eq!(total("planned"), parts.iter().sum::<u64>(), "{}", self.report["totals"]);
        assert!(total("planned") > 0, "{}{}", self.said, self.told);
    }
}

/// The answer to `tools/list`: these tools, each of which only reads.
pub fn tools(names: &[&str]) -> Value {
    let tool =
        |name: &&str| json!({"name": name, "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": true}});
    json!({"tools": names.iter().map(tool).collect::<Vec<_>>()})
}

/// Answers with this result.
pub fn result(request: &Received, stream: &mut std::net::TcpStream, result: &Value) -> After {
    reply(stream, &json!({"jsonrpc": "2.0", "id": request.json()["id"], "result": result}))
}

/// A server that lists these tools, and does else what `hook` or its kind does.
pub fn server(
    kind: crate::support::backend::Kind,
    names: &'static [&'static str],
    hook: impl Fn(&Received, &mut std::net::TcpStream) -> Option<After> + Send + Sync + 'static,
) -> Backend {
    Backend::new("loaded", kind, move |request, stream| {
        if request.call() == "tools/list" {
            return Some(result(request, stream, &tools(names)));
        }
        hook(request, stream)
    })
}

/// Whether a process is alive.
pub fn lives(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

/// Waits for what a process writes into a file.
pub fn written(path: &Path) -> String {
    until("the file is written", || {
        std::fs::read_to_string(path).ok().filter(|text| text.ends_with('\n')).map(|text| text.trim().to_owned())
    })
}
