//! A headless Chromium, steered by JSON lines.

use std::io::Write;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::Gateway;
use crate::support_sdk::{Process, lines};

/// The driver ends every command by itself well before this.
const LONGEST: Duration = Duration::from_secs(90);

/// One browser with one page. At its end it must have nothing to complain of, and have asked nobody but this machine.
pub struct Browser {
    input: Option<ChildStdin>,
    output: Receiver<String>,
    process: Process,
    /// Complaints that the test itself has provoked.
    expected: Vec<&'static str>,
}

impl Browser {
    pub fn start() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dashboard");
        assert!(
            folder.join("node_modules/.stamp").exists(),
            "nothing drives the browser: run tests/dashboard/install.sh"
        );
        let mut command = Command::new("node");
        command.arg("driver.mjs").current_dir(folder).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Process::spawn(command);
        let input = process.take_input();
        let output = lines(process.take_output());
        let browser = Self { input: Some(input), output, process, expected: Vec::new() };
        browser.hear("the browser");
        browser
    }

    fn hear(&self, what: &str) -> Value {
        let line = self.output.recv_timeout(LONGEST).unwrap_or_else(|error| panic!("{what}: {error}"));
        let mut answer: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(answer["ok"], true, "{what}: {}", answer["error"].as_str().unwrap_or_default());
        answer["result"].take()
    }

    /// Does one thing that must succeed; what comes of it.
    pub fn order(&mut self, command: &Value) -> Value {
        writeln!(self.input.as_ref().unwrap(), "{command}").unwrap();
        self.hear(&command.to_string())
    }

    /// Opens a view of an instance's dashboard on a desk's screen.
    pub fn open(&mut self, gateway: &Gateway, hash: &str) {
        self.open_as(gateway, hash, &json!({}));
    }

    /// The same with other properties: width, height, scheme, motion.
    pub fn open_as(&mut self, gateway: &Gateway, hash: &str, more: &Value) {
        let mut command = json!({"do": "open", "url": format!("http://{}/{hash}", gateway.admin)});
        command.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.order(&command);
    }

    /// Goes to another view.
    pub fn go(&mut self, hash: &str) {
        self.order(&json!({"do": "go", "hash": hash}));
    }

    /// Waits until this (a regular expression) can be read on the page.
    pub fn see(&mut self, text: &str) -> String {
        self.see_in("body", text)
    }

    /// The same in a part of the page.
    pub fn see_in(&mut self, css: &str, text: &str) -> String {
        let seen = self.order(&json!({"do": "see", "text": text, "css": css}));
        seen.as_str().unwrap().to_owned()
    }

    /// Presses the button of that name.
    pub fn press_button(&mut self, name: &str) {
        self.order(&json!({"do": "click", "role": "button", "name": name}));
    }

    /// The same in the dialog that is open.
    pub fn confirm(&mut self, name: &str) {
        self.order(&json!({"do": "click", "role": "button", "name": name, "within": "dialog"}));
    }

    /// Follows the link of that name.
    pub fn follow(&mut self, name: &str) {
        self.order(&json!({"do": "click", "role": "link", "name": name, "exact": false}));
    }

    /// Presses a key.
    pub fn key(&mut self, key: &str) {
        self.order(&json!({"do": "press", "key": key}));
    }

    /// What an expression is in the page.
    pub fn eval(&mut self, script: &str) -> Value {
        self.order(&json!({"do": "eval", "script": script}))
    }

    /// Waits until an expression is true in the page.
    pub fn until(&mut self, script: &str) -> Value {
        self.order(&json!({"do": "until", "script": script}))
    }

    /// Fails where something on the page stands in people's way.
    pub fn is_for_everybody(&mut self, what: &str) {
        let wrong = self.order(&json!({"do": "axe"}));
        assert_eq!(wrong, json!([]), "{what}: {wrong:#}");
    }

    /// The page will complain of this, for the test takes away what it needs.
    pub fn expect_complaint(&mut self, part: &'static str) {
        self.expected.push(part);
    }

    /// Keeps a picture of the page in the documentation, where it is to be written anew.
    pub fn picture(&mut self, name: &str) {
        if std::env::var_os("UPDATE").is_some() {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/images").join(name);
            self.order(&json!({"do": "shot", "path": path}));
            let size = std::fs::metadata(&path).unwrap().len();
            assert!(size < 200 << 10, "{name} has {size} bytes");
        }
    }

    /// Nothing was wrong on any page, and no page asked anybody else.
    pub fn part_in_peace(mut self, gateways: &[&Gateway]) {
        let heard = self.order(&json!({"do": "heard"}));
        let own: Vec<_> = gateways.iter().map(|gateway| format!("http://{}/", gateway.admin)).collect();
        for url in heard["requests"].as_array().unwrap() {
            let url = url.as_str().unwrap();
            assert!(own.iter().any(|own| url.starts_with(own)) || url.starts_with("data:"), "a page asked {url}");
        }
        let errors: Vec<_> = heard["errors"].as_array().unwrap().iter().map(|error| error.as_str().unwrap()).collect();
        let is_new = |error: &&&str| !self.expected.iter().any(|known| error.contains(known));
        let wrong: Vec<_> = errors.iter().filter(is_new).collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
        drop(self.input.take());
        assert!(self.process.ended_well());
    }
}
