//! HTTP/2: frames that break the rules, floods of frames that are allowed, and fields that would be something else in HTTP/1.

use crate::frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, Http2, Outcome, PING, PREFACE, PRIORITY,
    PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE, block, field, frame, head, integer,
};
use crate::scene::Case;
use crate::support::session::call;
use Outcome::{Closed, GoAway, Reset, Status};

const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE_ERROR: u32 = 6;
const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

/// A conversation on a connection that began well, and how the connection, or stream 1, ends.
fn talk(name: &'static str, outcome: Outcome, say: impl Fn(&mut Http2) + Send + Sync + 'static) -> Case {
    Case::new(name, 0, move |scene| {
        let mut http = Http2::open(scene.gateway.addr);
        say(&mut http);
        assert_eq!(http.outcome(1), outcome, "{name}");
    })
}

/// One frame.
fn one(name: &'static str, outcome: Outcome, bytes: Vec<u8>) -> Case {
    talk(name, outcome, move |http| {
        http.send(&bytes);
    })
}

/// A message with these fields, and what becomes of it. Unless that is the end of the connection, an honest one is served on it.
fn fields(name: &'static str, outcome: Outcome, block: Vec<u8>) -> Case {
    let goes_on = !matches!(outcome, GoAway(_));
    Case::new(name, usize::from(goes_on), move |scene| {
        let mut http = Http2::open(scene.gateway.addr);
        http.put(HEADERS, END_HEADERS, 1, &block);
        http.put(DATA, END_STREAM, 1, call("1", "name").as_bytes());
        assert_eq!(http.outcome(1), outcome, "{name}");
        if goes_on {
            http.ask(3, &[], &call("2", "name"));
            assert_eq!(http.outcome(3), Status(200), "{name}: the connection is spoilt");
        }
    })
}

/// The same frame without an end, until the other end has had enough, and how it says so.
fn flood(name: &'static str, outcomes: &'static [Outcome], first: Vec<u8>, again: Vec<u8>) -> Case {
    Case::new(name, 0, move |scene| {
        let mut http = Http2::open(scene.gateway.addr);
        http.send(&first);
        let many = again.repeat(1000);
        let accepted = (0..2000).take_while(|_| http.send(&many)).count();
        assert!(accepted < 2000, "{name}: two million frames were taken");
        let outcome = http.end();
        // What was written after the end resets the connection, and the reset may overtake the last words.
        assert!(outcomes.contains(&outcome) || outcome == Closed, "{name}: {outcome:?}");
    })
}

pub fn cases() -> Vec<Case> {
    [rules(), order(), settings(), floods(), compression(), heads(), bodies()].into_iter().flatten().collect()
}

fn rules() -> Vec<Case> {
    let open = || head(&[]);
    vec![
        Case::new("an honest HTTP/2 request", 1, |scene| {
            let mut http = Http2::open(scene.gateway.addr);
            http.ask(1, &[], &call("1", "name"));
            assert_eq!(http.outcome(1), Status(200));
        }),
        Case::new("a preface that is none", 0, |scene| {
            let mut http = Http2::silent(scene.gateway.addr);
            http.send(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n");
            http.put(SETTINGS, 0, 0, b"");
            assert!(matches!(http.end(), GoAway(PROTOCOL_ERROR) | Closed));
        }),
        // Settings must come first (RFC 9113 §3.4); nothing depends on it.
        Case::new("a preface without settings", 0, |scene| {
            let mut http = Http2::silent(scene.gateway.addr);
            http.send(PREFACE);
            http.put(HEADERS, END_HEADERS | END_STREAM, 1, &head(&[]));
            assert_eq!(http.outcome(1), Status(400));
        }),
        Case::new("half a preface, and a request", 0, |scene| {
            let mut http = Http2::silent(scene.gateway.addr);
            http.send(&[b"PRI * HT", crate::scene::honest().as_slice()].concat());
            assert!(matches!(http.end(), GoAway(PROTOCOL_ERROR) | Closed));
        }),
        one("a frame over its size", GoAway(FRAME_SIZE_ERROR), frame(DATA, 0, 1, &vec![0; 16_385])),
        one("data on stream 0", GoAway(PROTOCOL_ERROR), frame(DATA, 0, 0, b"x")),
        one("data on a stream that is not open", GoAway(PROTOCOL_ERROR), frame(DATA, 0, 1, b"x")),
        one("a head on stream 0", GoAway(PROTOCOL_ERROR), frame(HEADERS, END_HEADERS, 0, &open())),
        one("a head on the server's own stream", GoAway(PROTOCOL_ERROR), frame(HEADERS, END_HEADERS, 2, &open())),
        one("a reset of a stream that is not open", GoAway(PROTOCOL_ERROR), frame(RST_STREAM, 0, 1, &[0; 4])),
        one("a reset of three bytes", GoAway(PROTOCOL_ERROR), frame(RST_STREAM, 0, 1, &[0; 3])),
        one("a promise from a client", GoAway(PROTOCOL_ERROR), frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2])),
        one("a ping on a stream", GoAway(PROTOCOL_ERROR), frame(PING, 0, 1, &[0; 8])),
        one("a ping of seven bytes", GoAway(PROTOCOL_ERROR), frame(PING, 0, 0, &[0; 7])),
        one("a goodbye on a stream", GoAway(PROTOCOL_ERROR), frame(GOAWAY, 0, 1, &[0; 8])),
        one("padding longer than its frame", GoAway(PROTOCOL_ERROR), frame(HEADERS, END_HEADERS | 8, 1, &[200, 1, 2])),
    ]
}

fn order() -> Vec<Case> {
    vec![
        one("a continuation of nothing", GoAway(PROTOCOL_ERROR), frame(CONTINUATION, END_HEADERS, 1, &head(&[]))),
        talk("a head that is interrupted", GoAway(PROTOCOL_ERROR), |http| {
            http.put(HEADERS, 0, 1, &head(&[]));
            http.put(DATA, END_STREAM, 1, b"{}");
        }),
        talk("a head that another stream continues", GoAway(PROTOCOL_ERROR), |http| {
            http.put(HEADERS, 0, 1, &head(&[]));
            http.put(CONTINUATION, END_HEADERS, 3, b"");
        }),
        talk("a stream that depends on itself", Reset(PROTOCOL_ERROR), |http| {
            let block = [&[0, 0, 0, 1, 16], head(&[]).as_slice()].concat();
            http.put(HEADERS, END_HEADERS | END_STREAM | 0x20, 1, &block);
        }),
        Case::new("a stream's number that goes down", 0, |scene| {
            let mut http = Http2::open(scene.gateway.addr);
            http.put(HEADERS, END_HEADERS, 5, &head(&[]));
            http.put(HEADERS, END_HEADERS, 3, &head(&[]));
            assert!(matches!(http.end(), GoAway(PROTOCOL_ERROR | STREAM_CLOSED)));
        }),
        Case::new("data behind a stream's end", 1, |scene| {
            let mut http = Http2::open(scene.gateway.addr);
            http.ask(1, &[], &call("1", "name"));
            assert_eq!(http.outcome(1), Status(200));
            http.put(DATA, END_STREAM, 1, b"{}");
            assert!(matches!(http.outcome(1), GoAway(STREAM_CLOSED | PROTOCOL_ERROR) | Reset(STREAM_CLOSED)));
        }),
    ]
}

fn settings() -> Vec<Case> {
    let set = |id: u16, value: u32| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
    vec![
        one("settings on a stream", GoAway(PROTOCOL_ERROR), frame(SETTINGS, 0, 1, b"")),
        one("settings of five bytes", GoAway(PROTOCOL_ERROR), frame(SETTINGS, 0, 0, &[0; 5])),
        one("an acknowledgement with a payload", GoAway(PROTOCOL_ERROR), frame(SETTINGS, ACK, 0, &[0; 6])),
        one("a window that overflows in settings", GoAway(PROTOCOL_ERROR), frame(SETTINGS, 0, 0, &set(4, 0x8000_0000))),
        one("a frame's size that is too small", GoAway(PROTOCOL_ERROR), frame(SETTINGS, 0, 0, &set(5, 100))),
        one("pushes that are neither on nor off", GoAway(PROTOCOL_ERROR), frame(SETTINGS, 0, 0, &set(2, 2))),
        one("a window that grows by nothing", GoAway(PROTOCOL_ERROR), frame(WINDOW_UPDATE, 0, 0, &[0; 4])),
        one(
            "a window that grows too far",
            GoAway(FLOW_CONTROL_ERROR),
            frame(WINDOW_UPDATE, 0, 0, &0x7fff_ffff_u32.to_be_bytes()),
        ),
        one("a window's update of three bytes", GoAway(PROTOCOL_ERROR), frame(WINDOW_UPDATE, 0, 0, &[0; 3])),
        one("a window of a stream that is not open", GoAway(PROTOCOL_ERROR), frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])),
        Case::new("data beyond the window", 0, |scene| {
            let mut http = Http2::open(scene.gateway.addr);
            http.put(HEADERS, END_HEADERS, 1, &head(&[("content-length", "100000000")]));
            // As much as is written before the other end has read any of it.
            let many = frame(DATA, 0, 1, &vec![b' '; 16_384]).repeat(256);
            http.send(&many);
            assert!(matches!(http.outcome(1), Reset(FLOW_CONTROL_ERROR) | GoAway(FLOW_CONTROL_ERROR) | Status(413)));
        }),
    ]
}

fn floods() -> Vec<Case> {
    let calm: &'static [Outcome] = &[GoAway(ENHANCE_YOUR_CALM), GoAway(PROTOCOL_ERROR)];
    let reset = |stream: u32| {
        [frame(HEADERS, END_HEADERS, stream, &head(&[])), frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
    };
    let window = frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes());
    vec![
        flood("a flood of settings", calm, vec![], frame(SETTINGS, 0, 0, b"")),
        flood("a flood of acknowledgements", calm, vec![], frame(SETTINGS, ACK, 0, b"")),
        flood("a flood of pings", calm, vec![], frame(PING, 0, 0, &[7; 8])),
        flood("a flood of answers to pings", calm, vec![], frame(PING, ACK, 0, &[7; 8])),
        flood("a flood of priorities", calm, vec![], frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 1])),
        flood("a flood of tiny windows", calm, vec![], window),
        flood("a flood of frames that nobody knows", calm, vec![], frame(0xbb, 0, 0, b"")),
        flood("a flood of empty data", calm, frame(HEADERS, END_HEADERS, 1, &head(&[])), frame(DATA, 0, 1, b"")),
        flood("a flood of padding", calm, frame(HEADERS, END_HEADERS, 1, &head(&[])), frame(DATA, 8, 1, &[3, 0, 0, 0])),
        flood(
            "a flood of continuations",
            calm,
            frame(HEADERS, 0, 1, &head(&[])),
            frame(CONTINUATION, 0, 1, &field(b"x-a", b"b")),
        ),
        flood("a flood of empty continuations", calm, frame(HEADERS, 0, 1, &head(&[])), frame(CONTINUATION, 0, 1, b"")),
        Case::new("rapid resets, in one piece", 0, move |scene| {
            let mut http = Http2::open(scene.gateway.addr);
            let many: Vec<u8> = (0..500).flat_map(|number| reset(2 * number + 1)).collect();
            http.send(&many);
            assert!(matches!(http.end(), GoAway(ENHANCE_YOUR_CALM) | Closed));
        }),
        Case::new("rapid resets, each behind its answer", 0, |scene| {
            let mut http = Http2::open(scene.gateway.addr);
            let mut number = 1;
            // Each is dealt with before the next one comes, which a burst's bound does not see.
            while number < 20_000
                && http.put(HEADERS, END_HEADERS, number, &head(&[]))
                && http.put(RST_STREAM, 0, number, &8_u32.to_be_bytes())
            {
                http.put(PING, 0, 0, &[1; 8]);
                while http.next().is_some_and(|frame| frame.kind != PING && frame.kind != GOAWAY) {}
                number += 2;
            }
            assert!(number < 20_000, "ten thousand resets");
        }),
        Case::new("streams that are made to break", 0, |scene| {
            // The server resets each of them by itself, at the client's doing (CVE-2025-8671).
            let mut http = Http2::open(scene.gateway.addr);
            let mut number = 1;
            while number < 20_000
                && http.put(HEADERS, END_HEADERS, number, &head(&[]))
                && http.put(WINDOW_UPDATE, 0, number, &[0; 4])
            {
                number += 2;
            }
            assert!(number < 20_000, "ten thousand broken streams");
        }),
        Case::new("more streams than there may be", 0, |scene| {
            let mut http = Http2::open(scene.gateway.addr);
            for number in 0..300 {
                http.put(HEADERS, END_HEADERS, 2 * number + 1, &head(&[]));
            }
            assert_eq!(http.outcome(2 * 299 + 1), Reset(REFUSED_STREAM));
        }),
    ]
}

fn compression() -> Vec<Case> {
    // Entry 62 is the first of the dynamic table; 4000 bytes are put there and named ten thousand times.
    let entry = [&[0x40], integer(3).as_slice(), b"x-a", integer(4000).as_slice(), &[b'b'; 4000]].concat();
    let bomb = [head(&[]), entry, vec![0x80 | 62; 10_000]].concat();
    let large = head(&[("x-a", &"b".repeat(15_000))]);
    let headers = |block: &[u8]| frame(HEADERS, END_HEADERS | END_STREAM, 1, block);
    vec![
        one("an entry that is not in the table", GoAway(PROTOCOL_ERROR), headers(&[0x80 | 100])),
        one("entry 0 of the table", GoAway(PROTOCOL_ERROR), headers(&[0x80])),
        one("an integer without an end", GoAway(PROTOCOL_ERROR), headers(&[0xff; 40])),
        one("a text longer than its head", GoAway(PROTOCOL_ERROR), headers(&[0, 3, b'x'])),
        one(
            "a Huffman code that is none",
            GoAway(PROTOCOL_ERROR),
            headers(&[0, 1, b'x', 0x84, 0xff, 0xff, 0xff, 0xff]),
        ),
        one("a table larger than it may be", GoAway(PROTOCOL_ERROR), headers(&[0x3f, 0xff, 0xff, 0xff, 0x7f])),
        one("a bomb of header fields", GoAway(ENHANCE_YOUR_CALM), headers(&bomb)),
        talk("a head of 60 KB", Status(431), move |http| {
            http.put(HEADERS, 0, 1, &large);
            (0..3).for_each(|_| assert!(http.put(CONTINUATION, 0, 1, &block(&[("x-a", &"b".repeat(15_000))]))));
            http.put(CONTINUATION, END_HEADERS, 1, b"");
            http.put(DATA, END_STREAM, 1, b"{}");
        }),
    ]
}

fn heads() -> Vec<Case> {
    let (malformed, broken) = (Reset(PROTOCOL_ERROR), GoAway(PROTOCOL_ERROR));
    let pseudo = |fields: &[(&str, &str)]| {
        block(
            &[fields, &[("content-type", "application/json"), ("accept", "application/json, text/event-stream")]]
                .concat(),
        )
    };
    let (method, scheme, path, authority) =
        ((":method", "POST"), (":scheme", "http"), (":path", "/mcp"), (":authority", "localhost"));
    vec![
        fields("a name in capitals", broken, head(&[("X-A", "b")])),
        fields("a name with a space", broken, head(&[("x a", "b")])),
        fields("a name with CR and LF", broken, head(&[("x\r\nx-smuggled", "b")])),
        fields("a name with a colon in it", broken, head(&[("x:a", "b")])),
        fields("a value with CR and LF", broken, head(&[("x-a", "b\r\nx-smuggled: 1")])),
        fields("a value with NUL in HTTP/2", broken, head(&[("x-a", "b\0c")])),
        fields("no method", malformed, pseudo(&[scheme, path, authority])),
        fields("no scheme", malformed, pseudo(&[method, path, authority])),
        fields("no path", malformed, pseudo(&[method, scheme, authority])),
        fields("an empty path", malformed, pseudo(&[method, scheme, (":path", ""), authority])),
        fields("two paths", malformed, pseudo(&[method, scheme, path, (":path", "/smuggled"), authority])),
        fields(
            "a path with CR and LF",
            malformed,
            pseudo(&[method, scheme, (":path", "/mcp HTTP/1.1\r\nX-Smuggled: 1\r\n"), authority]),
        ),
        fields("a method with a space", broken, pseudo(&[(":method", "POST /smuggled"), scheme, path, authority])),
        fields(
            "a path that does not begin with a slash",
            malformed,
            pseudo(&[method, scheme, (":path", "mcp"), authority]),
        ),
        fields(
            "a pseudo-field that nobody knows",
            broken,
            pseudo(&[method, scheme, path, authority, (":smuggled", "1")]),
        ),
        fields("a pseudo-field of answers", malformed, pseudo(&[method, scheme, path, authority, (":status", "200")])),
        fields("a pseudo-field behind the others", malformed, head(&[(":path", "/mcp")])),
        fields("Connection in HTTP/2", malformed, head(&[("connection", "x-a")])),
        fields("Transfer-Encoding in HTTP/2", malformed, head(&[("transfer-encoding", "chunked")])),
        fields("TE in HTTP/2", malformed, head(&[("te", "gzip")])),
        fields("a foreign authority", Status(403), pseudo(&[method, scheme, path, (":authority", "evil.example")])),
        fields("a Host that is not the authority", Status(400), head(&[("host", "evil.example")])),
        fields("neither Host nor authority", Status(400), pseudo(&[method, scheme, path])),
        fields(
            "a tunnel in HTTP/2",
            Status(403),
            pseudo(&[(":method", "CONNECT"), (":authority", "evil.example:443")]),
        ),
        fields("120 fields in HTTP/2", Status(431), head(&[("x-a", "b"); 120])),
    ]
}

fn bodies() -> Vec<Case> {
    let length = |length: &str| head(&[("content-length", length)]);
    vec![
        fields("a length that is too short in HTTP/2", Reset(PROTOCOL_ERROR), length("3")),
        fields("a length that is too long in HTTP/2", Reset(PROTOCOL_ERROR), length("300")),
        fields(
            "two lengths in HTTP/2",
            Reset(PROTOCOL_ERROR),
            head(&[("content-length", "91"), ("content-length", "3")]),
        ),
        fields("a length that is no number in HTTP/2", Reset(PROTOCOL_ERROR), length("+91")),
        Case::new("trailers with pseudo-fields", 1, |scene| {
            let mut http = Http2::open(scene.gateway.addr);
            http.put(HEADERS, END_HEADERS, 1, &head(&[]));
            http.put(DATA, 0, 1, call("1", "name").as_bytes());
            http.put(HEADERS, END_HEADERS | END_STREAM, 1, &block(&[(":path", "/smuggled")]));
            assert_eq!(http.outcome(1), Status(200));
        }),
        Case::new("a body over its bound in HTTP/2", 0, |scene| {
            let mut http = Http2::open(scene.gateway.addr);
            http.put(HEADERS, END_HEADERS, 1, &head(&[("content-length", "300000")]));
            http.put(DATA, END_STREAM, 1, b"{}");
            assert!(matches!(http.outcome(1), Status(413 | 400) | Reset(PROTOCOL_ERROR)));
        }),
    ]
}
