//! Laws of event streams that hold for every input and every chunking, each against a slow and obvious model.

use bytes::Bytes;
use proptest::prelude::{Just, Strategy, any, prop, prop_oneof, proptest};
use proptest::{prop_assert, prop_assert_eq};

use super::scanner::{Piece, Scanner};
use super::sse;

/// Lines as WHATWG HTML has them: content, and the place behind the line's end.
fn model_lines(stream: &[u8]) -> Vec<(Vec<u8>, usize)> {
    let (mut lines, mut line, mut at) = (Vec::new(), Vec::new(), 0);
    while at < stream.len() {
        match stream[at] {
            b'\n' | b'\r' => {
                at += if stream[at..].starts_with(b"\r\n") { 2 } else { 1 };
                lines.push((std::mem::take(&mut line), at));
            }
            byte => {
                line.push(byte);
                at += 1;
            }
        }
    }
    lines
}

/// Where a stream may be cut: behind empty lines, and behind comment lines that no field stands before.
fn model_rests(stream: &[u8]) -> (usize, Vec<usize>) {
    let (mut last_empty, mut rests, mut only_comments) = (0, vec![0], true);
    for (line, end) in model_lines(stream) {
        only_comments = line.is_empty() || (only_comments && line.starts_with(b":"));
        if line.is_empty() {
            last_empty = end;
        }
        if only_comments {
            rests.push(end);
        }
    }
    (last_empty, rests)
}

/// What a client takes from a stream: id, event name, data and retry of each event that says anything.
type Seen = (Option<String>, Option<String>, Option<u64>, Option<Vec<u8>>);

fn model_events(stream: &[u8]) -> Vec<Seen> {
    let (mut events, mut event): (Vec<Seen>, Seen) = Default::default();
    for (line, _) in model_lines(stream) {
        if line.is_empty() {
            events.push(std::mem::take(&mut event));
            continue;
        }
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (name, value) = (&line[..colon], line.get(colon + 1..).unwrap_or_default());
        let value = value.strip_prefix(b" ").unwrap_or(value);
        let text = || String::from_utf8_lossy(value).into_owned();
        match name {
            b"id" if !value.contains(&0) => event.0 = Some(text()),
            b"event" => event.1 = Some(text()),
            b"retry" if value.iter().all(u8::is_ascii_digit) => event.2 = text().parse().ok().or(event.2),
            b"data" => {
                event.3 = Some(match event.3.take() {
                    None => value.to_vec(),
                    Some(before) => [&before, &b"\n"[..], value].concat(),
                });
            }
            _ => {}
        }
    }
    events.retain(|event| *event != Seen::default());
    events
}

/// Streams that are mostly made of what matters.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        6 => prop::sample::select(vec!["\n", "\r", "\r\n", "\n\n", "\r\n\r\n", "\r\r"]),
        6 => prop::sample::select(vec!["data: ", "data:", "id: ", "event:", "retry: 15", ":", ": c", "data", "x: y", " "]),
        3 => prop::sample::select(vec!["a", "{}", "moor~1~", "\u{feff}", "é", "\0"]),
    ];
    prop::collection::vec(token, 0..40).prop_map(|tokens| tokens.concat().into_bytes())
}

proptest! {
    /// However a stream is cut into chunks: nothing is lost or reordered, what is handed out as events ends where the
    /// whole stream may be cut, and no complete event waits.
    #[test]
    fn any_chunking_gives_the_same_stream(
        stream in stream(),
        sizes in prop::collection::vec(1..9_usize, 1..9),
        bound in prop_oneof![Just(usize::MAX), 0..20_usize],
    ) {
        let (mut scanner, mut out, mut fed) = (Scanner::new(bound), Vec::new(), 0);
        for size in sizes.iter().cycle() {
            let chunk = &stream[fed..(fed + size).min(stream.len())];
            if chunk.is_empty() {
                break;
            }
            fed += chunk.len();
            let (last_empty, rests) = model_rests(&stream[..fed]);
            for piece in scanner.feed(Bytes::copy_from_slice(chunk)) {
                prop_assert!(!piece.bytes().is_empty());
                let starts_at_rest = model_rests(&stream[..out.len()]).1.contains(&out.len());
                out.extend_from_slice(piece.bytes());
                if matches!(piece, Piece::Events(_)) {
                    prop_assert!(starts_at_rest);
                    let is_rest = model_rests(&stream[..out.len()]).1.contains(&out.len());
                    prop_assert!(is_rest, "cut at {}", out.len());
                }
            }
            prop_assert!(out.len() >= last_empty, "an event waits");
            prop_assert_eq!(out.len() + scanner.carried(), fed);
            prop_assert!(scanner.carried() <= bound);
            prop_assert!(!scanner.at_boundary() || rests.contains(&out.len()));
        }
        out.extend_from_slice(&scanner.take_tail());
        prop_assert_eq!(out, stream);
    }

    /// The events of what the scanner hands out are the events of the whole stream.
    #[test]
    fn events_agree_with_a_line_by_line_reading(stream in stream(), size in 1..12_usize) {
        let stream: Vec<u8> = stream.into_iter().filter(|byte| !b"\xef\xbb\xbf".contains(byte)).collect();
        let (mut scanner, mut seen) = (Scanner::default(), Vec::new());
        for chunk in stream.chunks(size) {
            for piece in scanner.feed(Bytes::copy_from_slice(chunk)) {
                let block = piece.bytes();
                let mut end = 0;
                for event in sse::events(block) {
                    prop_assert_eq!(event.range.start, end);
                    end = event.range.end;
                    prop_assert_eq!(event.raw, &block[event.range.clone()]);
                    if !event.is_comment_only() {
                        let text = |text: Option<std::borrow::Cow<'_, str>>| text.map(std::borrow::Cow::into_owned);
                        seen.push((text(event.id), text(event.event), event.retry, event.data.map(std::borrow::Cow::into_owned)));
                    }
                }
                prop_assert_eq!(end, block.len());
            }
        }
        prop_assert_eq!(seen, model_events(&stream));
    }

    /// Rewriting changes id and data, and nothing else.
    #[test]
    fn rewriting_an_event_changes_only_what_it_says(stream in stream(), id in "[a-z~ ]{0,5}", data in "[a-z\n{}]{0,9}") {
        let stream: Vec<u8> = stream.into_iter().filter(|byte| !b"\xef\xbb\xbf".contains(byte)).collect();
        for event in sse::events(&stream) {
            let mut same = Vec::new();
            sse::rewrite(&event, None, None, &mut same);
            prop_assert_eq!(&same[..], event.raw);
            let mut out = Vec::new();
            sse::rewrite(&event, Some(&id), Some(data.as_bytes()), &mut out);
            let Some(new) = sse::events(&out).next() else { continue };
            prop_assert_eq!(&new.event, &event.event);
            prop_assert_eq!(new.retry, event.retry);
            prop_assert_eq!(new.data.as_deref(), event.data.as_ref().map(|_| data.as_bytes()));
            if event.id.is_some() {
                prop_assert_eq!(new.id.as_deref(), Some(&id[..]));
            }
        }
    }

    /// What is written is what is read.
    #[test]
    fn an_encoded_event_reads_as_itself(id in "[^\r\n\0]{0,5}", data in any::<String>(), retry in any::<Option<u64>>()) {
        let mut out = Vec::new();
        sse::Event { id: Some(&id), event: Some("e"), retry, data: Some(data.as_bytes()) }.encode(&mut out);
        let read: Vec<_> = sse::events(&out).collect();
        prop_assert_eq!(read.len(), 1);
        prop_assert_eq!(read[0].id.as_deref(), Some(&id[..]));
        prop_assert_eq!(read[0].retry, retry);
        let want = data.replace("\r\n", "\n").replace('\r', "\n");
        prop_assert_eq!(read[0].data.as_deref(), Some(want.as_bytes()));
    }
}
