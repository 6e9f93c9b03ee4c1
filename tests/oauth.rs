//! Moorline as an OAuth 2.0 protected resource, with an OAuth server that people use (oidc-provider) and the official
//! TypeScript clients: login by discovery from the 401 on, keys that are rotated in mid-flow, and what is not let in.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test's own helpers fail by panicking")]

mod support_sdk;

use serde_json::Value;
use support_sdk::{Backends, Moorline, Server, each_client, free_addr, program};

const ISSUER: &str = "../oauth/server.mjs";

/// The clients, by SDK and era.
const CLIENTS: [[&str; 2]; 4] = [["1", "legacy"], ["2", "legacy"], ["2", "modern"], ["2", "auto"]];

/// An issuer, replicas, and Moorline in front of them that asks for the issuer's tokens.
struct Site {
    issuer: Server,
    _replicas: [Server; 2],
    moorline: Moorline,
}

impl Site {
    fn start() -> Self {
        let public = free_addr();
        let issuer = Server::start(ISSUER, &["--resource", &format!("http://{public}/mcp")]);
        let replicas = ["a", "b"].map(|name| Server::start("server.mjs", &["--name", name, "--state-key", "shared"]));
        let top = format!(
            "public_url = \"http://{public}\"\n[auth]\nmode = \"jwt\"\nscopes = [\"mcp:tools\"]\n\
             [[auth.issuer]]\nissuer = \"http://{}\"\nclaims = {{ org = [\"acme\", \"other\"] }}\n",
            issuer.addr
        );
        let moorline = Moorline::start_at(&public.to_string(), &Backends::of(&replicas), &top, "");
        Self { issuer, _replicas: replicas, moorline }
    }

    /// What came of a client's whole session.
    fn session(&self, [sdk, era]: [&str; 2]) -> Value {
        let issuer = format!("http://{}", self.issuer.addr);
        let mut command =
            program("node", &["../oauth/session.mjs", "--url", &self.moorline.url(), "--issuer", &issuer]);
        let output = command.args(["--sdk", sdk, "--era", era]).output().expect("it can be started");
        let text = String::from_utf8_lossy(&output.stdout);
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}\n{}", String::from_utf8_lossy(&output.stderr)))
    }
}

#[test]
fn the_typescript_clients_log_in_by_discovery_and_outlast_a_rotation_of_keys() {
    each_client(&mut CLIENTS.to_vec(), |client| {
        // Each with an issuer of its own: rotating keys is everybody's affair.
        let site = Site::start();
        let report = site.session(*client);
        let wrong = wrong(&site, &report, *client);
        if wrong.is_empty() { Ok(()) } else { Err(format!("{client:?}: {wrong:?} in {report:#}")) }
    });
}

/// What is not as it must be.
fn wrong(site: &Site, report: &Value, [_, era]: [&str; 2]) -> Vec<&'static str> {
    let resource = site.moorline.url();
    let origin = format!("http://{}", site.moorline.addr);
    let wire = report["wire"].as_array().unwrap();
    let saw = |path: &str, status: u64| {
        wire.iter().any(|one| one["origin"] == *origin && one["path"] == *path && one["status"] == status)
    };
    let (first, second, forbidden) = (&report["first"], &report["second"], &report["forbidden"]);
    let challenge = forbidden["nothing"]["challenge"].as_str().unwrap_or_default();
    let metadata = format!("resource_metadata=\"{origin}/.well-known/oauth-protected-resource/mcp\"");
    let withdrawn = forbidden["withdrawn"]["challenge"].as_str().unwrap_or_default();
    let hijacked = if era == "legacy" { 404 } else { 400 };
    let checks = [
        ("the login and both calls succeed", report["ok"] == true),
        ("the first request is a 401", saw("/mcp", 401)),
        ("the metadata is asked for", saw("/.well-known/oauth-protected-resource/mcp", 200)),
        ("the metadata names the resource", report["steps"][0]["resource"] == *resource),
        ("the challenge names the metadata", challenge.contains(&metadata)),
        ("the challenge names the scope", challenge.contains("scope=\"mcp:tools\"") && !challenge.contains("error")),
        ("the token is for the resource", first["aud"] == *resource),
        ("the keys are others", first["kid"] != second["kid"] && second["kid"] == report["rotated"]["kid"]),
        ("the session is the same", first["session"] == second["session"]),
        ("there is a session in the legacy era", first["session"].is_string() == (era == "legacy")),
        ("nobody passes without a token", forbidden["nothing"]["status"] == 401),
        ("a token under a withdrawn key is refused", forbidden["withdrawn"]["status"] == 401),
        ("and it is said so", withdrawn.contains("error=\"invalid_token\"")),
        ("another subject does not find the session", forbidden["hijack"]["status"] == hijacked),
        ("the session goes on after that", report["still"]["content"].is_array()),
        ("no token is in the log", !site.moorline.said().contains("eyJ")),
    ];
    checks.into_iter().filter(|(_, holds)| !holds).map(|(what, _)| what).collect()
}
