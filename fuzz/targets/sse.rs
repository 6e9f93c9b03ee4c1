//! However a stream is cut: the scanner loses nothing, and the events of its pieces are the events of the whole. The
//! first two bytes are the chunk size and the bound, the rest is the stream.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use moorline_fuzz::mcp::scanner::{Piece, Scanner};
use moorline_fuzz::mcp::sse::{events, rewrite};

type Seen = (Option<String>, Option<String>, Option<u64>, Option<Vec<u8>>);

fuzz_target!(|input: &[u8]| {
    let [size, bound, stream @ ..] = input else { return };
    let size = usize::from(*size).max(1);
    // Only the stream's first line may begin with a byte order mark, which a block cannot know.
    if stream.windows(3).any(|window| window == b"\xef\xbb\xbf") {
        return;
    }
    cut(stream, size, usize::from(*bound));
    let pieces = cut(stream, size, usize::MAX);
    let (whole, cut_up) = (read(stream), pieces.iter().flat_map(|piece| read(piece)).collect::<Vec<_>>());
    // The unfinished event at the end is in no piece.
    assert!(whole.len() - cut_up.len() <= 1);
    assert_eq!(whole[..cut_up.len()], cut_up);
});

fn cut(stream: &[u8], size: usize, bound: usize) -> Vec<Bytes> {
    let (mut scanner, mut out, mut pieces) = (Scanner::new(bound), Vec::new(), Vec::new());
    for chunk in stream.chunks(size) {
        for piece in scanner.feed(Bytes::copy_from_slice(chunk)) {
            out.extend_from_slice(piece.bytes());
            assert!(bound < usize::MAX || matches!(piece, Piece::Events(_)));
            pieces.push(piece.bytes().clone());
        }
        assert!(scanner.carried() <= bound);
    }
    out.extend_from_slice(&scanner.take_tail());
    assert_eq!(out, stream);
    pieces
}

fn read(block: &[u8]) -> Vec<Seen> {
    let mut seen = Vec::new();
    let mut same = Vec::new();
    for event in events(block) {
        rewrite(&event, None, None, &mut same);
        if !event.is_comment_only() {
            let data = event.data.map(|data| data.into_owned());
            seen.push((event.id.map(Into::into), event.event.map(Into::into), event.retry, data));
        }
    }
    assert_eq!(same, block);
    seen
}
