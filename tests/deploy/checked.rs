//! Each shipped file is checked by the program that reads it.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output};

use crate::fleet::free_addrs;
use crate::front::Program;
use crate::shipped::{Shipped, all, folder};
use crate::support::tls::{Authority, Files};
use crate::support::{Backend, Setup, wait_for};

/// Fails with what the program said.
fn well(what: &str, run: std::io::Result<Output>) -> String {
    let run = run.unwrap_or_else(|error| panic!("{what}: {error}"));
    let said = format!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{what}: {said}");
    said
}

/// Puts files of a test's own wherever the shipped one names files.
fn with_files(files: &Files, mut file: Shipped, named: &[(&str, String)]) -> Shipped {
    for (path, text) in named {
        if file.names(path) {
            let own = files.write(&path.replace('/', "-"), text);
            file = file.put(own, path);
        }
    }
    file
}

#[test]
fn moorline_takes_each_configuration() {
    let found = all(".toml");
    assert!(found.len() >= 8, "{found:?}");
    let secrets = ["/etc/moorline/admin-token", "/etc/moorline/redis-password"].map(|path| (path, "x".repeat(40)));
    let named = [&secrets[..], &pair()].concat();
    for name in found {
        let files = Files::new();
        let text = with_files(&files, Shipped::read(&name), &named).text();
        let path = files.write("moorline.toml", &text);
        let check = Command::new(env!("CARGO_BIN_EXE_moorline")).args(["check", "--config", &path]).output();
        let said = well(&name, check);
        // Behind a proxy that ends TLS, the way from there to here is without: the pages say what that asks of the network.
        let warned = said.matches("warning").count();
        let of_the_way = said.matches("can be reached from other machines, without TLS").count();
        assert!(warned == of_the_way, "{name}: {said}");
    }
}

/// A certificate with its key, and the key alone.
fn pair() -> [(&'static str, String); 3] {
    let shown = Authority::new("front").server(&["mcp.example.com"]);
    [
        ("/etc/haproxy/mcp.example.com.pem", format!("{}{}", shown.cert, shown.key)),
        ("/etc/ssl/mcp.example.com.pem", format!("{}{}", shown.cert, shown.key)),
        ("/etc/ssl/mcp.example.com.key", shown.key),
    ]
}

#[test]
fn nginx_takes_each_configuration() {
    let found = [all("nginx.conf"), all("nginx-sticky.conf")].concat();
    assert!(found.len() >= 3, "{found:?}");
    for name in found {
        let files = Files::new();
        let folder = files.path("").display().to_string();
        let text = with_files(&files, Shipped::read(&name), &pair());
        let path = files.write(
            "nginx.conf",
            &text.put(&folder, "/var/log/nginx").put(format!("{folder}/pid"), "/run/nginx.pid").text(),
        );
        let old = if name.ends_with("sticky.conf") { None } else { Some(Program::Nginx) };
        for program in old.into_iter().chain([Program::NewNginx]) {
            well(&name, Command::new(program.path()).args(["-t", "-p", &folder, "-c", &path]).output());
        }
    }
}

#[test]
fn haproxy_takes_each_configuration() {
    let found = all("haproxy.cfg");
    assert!(!found.is_empty());
    for name in found {
        let files = Files::new();
        let path = files.write("haproxy.cfg", &with_files(&files, Shipped::read(&name), &pair()).text());
        let said = well(&name, Command::new(Program::Haproxy.path()).args(["-c", "-f", &path]).output());
        assert!(!said.contains("WARNING"), "{name}: {said}");
    }
}

#[test]
fn systemd_takes_the_unit_and_finds_it_locked_in() {
    let files = Files::new();
    let unit = Shipped::read("systemd/moorline.service").put(env!("CARGO_BIN_EXE_moorline"), "/usr/local/bin/moorline");
    let path = files.write("moorline.service", &unit.text());
    let said = well("verify", Command::new("systemd-analyze").args(["verify", "--man=no", &path]).output());
    assert!(!said.contains("moorline.service"), "{said}");
    // The exposure is counted from 0 to 10, times ten here: 1.2 with the sandbox that it has.
    let security = ["security", "--offline=true", "--threshold=15", &path];
    well("security", Command::new("systemd-analyze").args(security).output());
}

#[test]
fn the_instances_behind_nginx_and_haproxy_are_the_same() {
    let read = |name: &str| std::fs::read_to_string(folder().join(name)).unwrap();
    assert_eq!(read("nginx/moorline.toml"), read("haproxy/moorline.toml"));
}

#[test]
fn hadolint_takes_the_dockerfile() {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/deploy/.venv/bin/hadolint");
    assert!(program.exists(), "hadolint is missing: tests/deploy/install.sh");
    well("Dockerfile", Command::new(program).arg(folder().join("docker/Dockerfile")).output());
}

#[test]
fn the_health_check_of_the_image_tells_whether_an_instance_answers() {
    let text = Shipped::read("docker/Dockerfile").text();
    let check = text.lines().skip_while(|line| !line.starts_with("HEALTHCHECK")).nth(1).unwrap();
    let words: Vec<String> = serde_json::from_str(check.trim().strip_prefix("CMD ").unwrap()).unwrap();
    assert_eq!(words[0], "/usr/local/bin/moorline");
    let (files, backend, [admin]) = (Files::new(), Backend::legacy("a"), free_addrs());
    let token = files.write("admin-token", &"x".repeat(40));
    // As in a container: beyond loopback, with a token.
    let setup = Setup::of(&[backend.url()])
        .key(&format!("admin = \"0.0.0.0:{}\"", admin.port()))
        .key(&format!("admin_token_file = \"{token}\""));
    let gateway = setup.start();
    let config = gateway.config_path().to_str().unwrap().to_owned();
    let arguments = words[1..].iter().map(|word| word.replace("/etc/moorline/moorline.toml", &config));
    let mut command = Command::new(env!("CARGO_BIN_EXE_moorline"));
    command.args(arguments);
    well("the health check", command.output());
    gateway.signal("KILL");
    wait_for("nobody answers", || TcpStream::connect(admin).is_err());
    assert!(!command.output().unwrap().status.success());
}
