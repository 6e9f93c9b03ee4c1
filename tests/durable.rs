//! A lone instance with the disk store is killed -9 and started again: it has lost nothing that it had answered for.

mod support;

use serde_json::json;

use support::{Backend, Gateway, Session};

/// An instance as a user without a configuration file starts it.
fn start(store: &str, backends: &[Backend]) -> Gateway {
    let urls: Vec<String> = backends.iter().map(Backend::url).collect();
    let mut arguments = vec!["--store", store];
    for url in &urls {
        arguments.extend(["--backend", url]);
    }
    Gateway::quick(&arguments)
}

/// Where a session lies: the backend's name and its own session id there.
fn berth(session: &Session) -> (String, String) {
    (session.call("name").said(), session.call("session").said())
}

#[test]
fn a_hundred_live_sessions_survive_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("disk:{}", folder.path().display());
    let backends = ["a", "b", "c"].map(Backend::legacy);
    let first = start(&store, &backends);
    let sessions: Vec<_> = (0..100).map(|_| Session::open(first.addr)).collect();
    let berths: Vec<_> = sessions.iter().map(berth).collect();
    let ended: Vec<_> = (0..10).map(|_| Session::open(first.addr)).collect();
    for session in &ended {
        assert_eq!(session.end().status, 200);
    }
    first.kill();
    let second = start(&store, &backends);
    for (session, berth_before) in sessions.iter().zip(&berths) {
        assert_eq!(berth(&session.at(second.addr)), *berth_before);
    }
    for session in &ended {
        let answer = session.at(second.addr).call("name");
        assert_eq!((answer.status, &answer.json()["error"]["data"]["reason"]), (404, &json!("session_unknown")));
    }
    let counted: u64 = second.backends().iter().map(|backend| backend["sessions"].as_u64().unwrap()).sum();
    assert_eq!(counted, 100, "balancing goes on from where it was");
}

#[test]
fn the_very_last_session_before_a_kill_survives() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("disk:{}", folder.path().display());
    let backends = [Backend::legacy("a")];
    for _ in 0..5 {
        let instance = start(&store, &backends);
        let session = Session::open(instance.addr);
        instance.kill();
        let instance = start(&store, &backends);
        assert_eq!(session.at(instance.addr).call("name").said(), "a");
        assert_eq!(session.end_at(&instance), 200);
        instance.kill();
        let instance = start(&store, &backends);
        assert_eq!(session.at(instance.addr).call("name").status, 404, "an ended session came back");
    }
}

impl Session {
    fn end_at(&self, instance: &Gateway) -> u16 {
        self.at(instance.addr).end().status
    }
}
