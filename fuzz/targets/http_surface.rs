//! Whatever bytes a client sends to a running instance: nothing panics or hangs, honest clients are served, what comes back is HTTP,
//! and what reaches the backend is whole requests with one length (the backend of the scene looks).
#![no_main]

use libfuzzer_sys::fuzz_target;
use moorline_fuzz::scene::Scene;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";

fuzz_target!(|bytes: &[u8]| {
    let scene = Scene::get();
    // Half of the inputs begin as an HTTP/2 connection does: chance alone would not find that.
    let Some((first, rest)) = bytes.split_first() else { return };
    let answer = if first % 2 == 0 { scene.tell(rest) } else { scene.tell(&[PREFACE, rest].concat()) };
    // An HTTP/2 connection begins with settings, on stream 0.
    let http2 = answer.len() >= 9 && answer[3] == 4 && answer[5..9] == [0; 4];
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.") || http2, "{}", String::from_utf8_lossy(&answer));
});
