//! The admin listener's gate: nobody without the token beyond loopback, and no page of a browser but the dashboard's.

mod support;

use std::net::SocketAddr;
use std::process::Command;

use support::http::{get, request};
use support::{Answer, Backend, Gateway, Setup, ask};

const TOKEN: &str = "Authorization: Bearer correct horse";

fn guarded() -> (Backend, Gateway, SocketAddr) {
    let backend = Backend::stateless("a");
    let setup = Setup::of(&[backend.url()]).key("admin = \"0.0.0.0:0\"").key("admin_token = \"correct horse\"");
    let gateway = setup.start();
    let admin = SocketAddr::from(([127, 0, 0, 1], gateway.admin.port()));
    (backend, gateway, admin)
}

fn purge(admin: SocketAddr, more: &[&str]) -> Answer {
    let json = ["Content-Type: application/json"];
    ask(admin, &request("POST /api/v1/cache/purge", &[&json, more].concat(), b"{\"all\":true}"))
}

#[test]
fn beyond_loopback_nobody_asks_without_the_token() {
    let (_backend, gateway, admin) = guarded();
    let refused = purge(admin, &[]);
    assert_eq!(refused.status, 401);
    assert_eq!(refused.header("www-authenticate"), Some("Bearer realm=\"moorline admin\""));
    assert_eq!(ask(admin, &get("/metrics", &[])).status, 401);
    assert_eq!(purge(admin, &["Authorization: Bearer correct horsf"]).status, 401);
    assert_eq!((purge(admin, &[TOKEN]).status, ask(admin, &get("/metrics", &[TOKEN])).status), (204, 200));
    // Orchestrators have no token.
    assert_eq!((ask(admin, &get("/livez", &[])).status, ask(admin, &get("/readyz", &[])).status), (200, 200));
    assert!(!gateway.log.text().contains("horse"), "{}", gateway.log.text());
}

#[test]
fn a_page_in_a_browser_gives_no_orders() {
    let backend = Backend::stateless("a");
    let gateway = Setup::of(&[backend.url()]).start();
    assert_eq!(purge(gateway.admin, &[]).status, 204);
    for page in ["Origin: http://evil.example", "Origin: null", "Sec-Fetch-Site: same-site", "Host: evil.example:9090"]
    {
        assert_eq!(purge(gateway.admin, &[page, "Moorline-Admin: 1"]).status, 403, "{page}");
    }
    let ours =
        [&*format!("Origin: http://{}", gateway.admin), &format!("Host: {}", gateway.admin), "Moorline-Admin: 1"];
    assert_eq!(purge(gateway.admin, &ours).status, 204);
    let unsigned = purge(gateway.admin, &ours[..2]);
    assert_eq!((unsigned.status, unsigned.json()["reason"].as_str()), (403, Some("unsigned_order")));
}

#[test]
fn the_commands_send_the_token() {
    let (_backend, _gateway, admin) = guarded();
    let command = |arguments: &[&str], token: Option<&str>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_moorline"));
        command.args(arguments).args(["--admin", &admin.to_string()]).env_remove("MOORLINE_ADMIN_TOKEN");
        let out = command.envs(token.map(|token| ("MOORLINE_ADMIN_TOKEN", token))).output().expect("it was built");
        (out.status.success(), String::from_utf8_lossy(&out.stderr).into_owned())
    };
    let (ok, said) = command(&["limits"], None);
    assert!(!ok && said.contains("401") && said.contains("admin-token-file"), "{said}");
    assert!(command(&["limits"], Some("correct horse")).0);
    let file = tempfile::NamedTempFile::new().expect("a temporary file can be made");
    std::fs::write(file.path(), "correct horse\n").expect("it can be written");
    let path = file.path().to_string_lossy().into_owned();
    assert!(command(&["cache", "show", "--admin-token-file", &path], None).0);
}
