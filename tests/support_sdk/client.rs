//! One official SDK client, steered by JSON lines.

use std::io::Write;
use std::process::{ChildStdin, Stdio};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Process, lines, program};

/// A driver ends every command by itself well before this.
const LONGEST: Duration = Duration::from_secs(60);

/// What a client waits for an answer before it calls that a hang, in milliseconds.
const HANG_MS: u64 = 10_000;

/// A refused call must have ended by then, in milliseconds.
const REFUSED_WITHIN_MS: u64 = 5_000;

/// One of the client modes.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    pub name: &'static str,
    interpreter: &'static str,
    driver: &'static [&'static str],
    pub legacy: bool,
}

impl Kind {
    const fn typescript(name: &'static str, driver: &'static [&'static str], legacy: bool) -> Self {
        Self { name, interpreter: "node", driver, legacy }
    }

    const fn python(
        name: &'static str,
        interpreter: &'static str,
        driver: &'static [&'static str],
        legacy: bool,
    ) -> Self {
        Self { name, interpreter, driver, legacy }
    }
}

/// The six client modes of `client-reactions.md`.
pub const CLIENTS: [Kind; 6] = [
    Kind::typescript("ts1 legacy", &["driver-ts.mjs", "--sdk", "1"], true),
    Kind::typescript("ts2 legacy", &["driver-ts.mjs", "--sdk", "2"], true),
    Kind::typescript("ts2 modern", &["driver-ts.mjs", "--sdk", "2", "--era", "modern"], false),
    Kind::python("py1 legacy", ".venv-v1/bin/python", &["driver-py.py"], true),
    Kind::python("py2 legacy", ".venv-v2/bin/python", &["driver-py.py"], true),
    Kind::python("py2 modern", ".venv-v2/bin/python", &["driver-py.py", "--era", "modern"], false),
];

/// A connected client.
pub struct Client {
    pub kind: Kind,
    input: ChildStdin,
    output: Receiver<String>,
    _process: Process,
}

impl Client {
    /// Connects one client of each kind.
    pub fn all(url: &str) -> Vec<Self> {
        let started: Vec<_> = CLIENTS.iter().map(|kind| Self::start(*kind, url)).collect();
        started.into_iter().map(Self::connected).collect()
    }

    /// Connects one client of each kind that `wanted` picks.
    pub fn some(url: &str, wanted: impl Fn(&Kind) -> bool) -> Vec<Self> {
        let started: Vec<_> = CLIENTS.iter().filter(|kind| wanted(kind)).map(|kind| Self::start(*kind, url)).collect();
        started.into_iter().map(Self::connected).collect()
    }

    fn start(kind: Kind, url: &str) -> Self {
        let hang = HANG_MS.to_string();
        let mut command = program(kind.interpreter, kind.driver);
        command.args(["--url", url, "--timeout", &hang]).stdin(Stdio::piped());
        let mut process = Process::spawn(command);
        let input = process.child().stdin.take().unwrap();
        let output = lines(process.child().stdout.take().unwrap());
        Self { kind, input, output, _process: process }
    }

    fn connected(self) -> Self {
        let ready = self.hear();
        assert_eq!(ready["ok"], true, "{} does not connect: {ready}", self.kind.name);
        self
    }

    fn hear(&self) -> Value {
        let line = self.output.recv_timeout(LONGEST);
        let line = line.unwrap_or_else(|error| panic!("the driver of {} says nothing: {error}", self.kind.name));
        serde_json::from_str(&line).expect("drivers speak JSON")
    }

    /// One command, one answer.
    pub fn ask(&mut self, command: &Value) -> Value {
        writeln!(self.input, "{command}").expect("the driver listens");
        self.hear()
    }

    /// A command that must succeed; its result.
    pub fn expect(&mut self, command: &Value) -> Result<Value, String> {
        let mut answer = self.ask(command);
        if answer["ok"] == true {
            return Ok(answer["result"].take());
        }
        Err(format!("{}: {command}: {answer}", self.kind.name))
    }

    /// Calls a tool, which must succeed; the text of its answer.
    pub fn call(&mut self, tool: &str) -> Result<String, String> {
        let result = self.expect(&json!({ "call": tool }))?;
        let text = result["content"][0]["text"].as_str();
        text.map(str::to_owned).ok_or_else(|| format!("{}: {tool}: {result}", self.kind.name))
    }

    /// A command that must be refused, at once and without harm to the client. What the client said, as one word.
    pub fn refused(&mut self, what: &str, command: &Value) -> Result<Refusal, String> {
        let answer = self.ask(command);
        let outcome = answer["outcome"].as_str().unwrap_or_default();
        let bad = answer["ok"] != false
            || !matches!(outcome, "rpc_error" | "http_error")
            || answer["ms"].as_u64().is_none_or(|ms| ms > REFUSED_WITHIN_MS);
        if bad {
            return Err(format!("{}: {what}: {answer}", self.kind.name));
        }
        let number = answer["status"].as_i64().or_else(|| answer["code"].as_i64()).unwrap_or_default();
        Ok(Refusal { number, text: answer.to_string(), who: self.kind.name })
    }
}

/// How a refusal looked to a client.
pub struct Refusal {
    /// The HTTP status, or the JSON-RPC error's code.
    pub number: i64,
    text: String,
    who: &'static str,
}

impl Refusal {
    /// Whether it was one of these.
    pub fn is(&self, what: &str, numbers: &[i64]) -> Result<(), String> {
        if numbers.contains(&self.number) {
            return Ok(());
        }
        Err(format!("{}: {what}: expected one of {numbers:?}, got {}", self.who, self.text))
    }
}
