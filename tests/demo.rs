//! `moorline demo` as a newcomer runs it: the real binary, its own sample servers, real sockets.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// How long a demo may take. The scenario takes about four seconds where nothing else runs.
const DEADLINE: Duration = Duration::from_secs(90);

fn moorline(arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_moorline"))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary was built for this test")
}

/// Waits for the end of a child whose output is read elsewhere, and kills it when that takes too long.
fn end(child: &mut Child, closed: &mpsc::Receiver<String>) -> (ExitStatus, String) {
    let output = closed.recv_timeout(DEADLINE);
    if output.is_err() {
        child.kill().expect("the child has not been waited for");
    }
    let status = child.wait().expect("the child has not been waited for");
    let mut complaints = String::new();
    if let Some(mut errors) = child.stderr.take() {
        errors.read_to_string(&mut complaints).expect("a closed pipe can be read");
    }
    (status, format!("{}\n{complaints}", output.unwrap_or_else(|_| "(no end within the deadline)".to_owned())))
}

/// The sessions of each server, from the summary's table.
fn sessions(output: &str) -> Vec<usize> {
    let table = output.lines().skip_while(|line| !line.trim_start().starts_with("server ")).skip(1);
    let rows = table.take_while(|line| !line.trim().is_empty());
    rows.filter_map(|row| row.split_whitespace().nth(1)?.parse().ok()).collect()
}

#[test]
fn the_scenario_moors_its_clients_at_several_servers() {
    let mut child = moorline(&["demo", "--scenario"]);
    let mut output = child.stdout.take().unwrap();
    let (tell, closed) = mpsc::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        output.read_to_string(&mut text).unwrap();
        tell.send(text)
    });
    let (status, text) = end(&mut child, &closed);
    assert!(status.success(), "{status}\n{text}");
    let sessions = sessions(&text);
    assert!(sessions.len() >= 2, "sessions on {} servers:\n{text}", sessions.len());
    assert_eq!(sessions.iter().sum::<usize>(), 9, "{text}");
    assert!(text.contains("each session counted 1, 2, 3 on one server"), "{text}");
    assert!(!text.contains("FAIL"), "{text}");
    assert!(!text.contains('\u{1b}'), "escapes in a pipe:\n{text}");
}

#[test]
fn an_interrupt_ends_the_demo_cleanly() {
    let mut child = moorline(&["demo"]);
    let output = child.stdout.take().unwrap();
    let (tell, news) = mpsc::channel();
    let (last, closed) = mpsc::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        for line in BufReader::new(output).lines() {
            let line = line.unwrap();
            if line.starts_with("waiting for clients") {
                tell.send(()).unwrap();
            }
            text.push_str(&line);
            text.push('\n');
        }
        last.send(text)
    });
    if news.recv_timeout(DEADLINE).is_ok() {
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    }
    let (status, text) = end(&mut child, &closed);
    assert!(status.success(), "{status}\n{text}");
    assert!(text.contains("endpoint  http://127.0.0.1:"), "{text}");
    assert!(text.contains("curl"), "{text}");
}
