//! What is asked and what answer is right: the one text that origin and load generator share, so that
//! every answer can be compared byte by byte. No sockets, no HTTP.

use std::fmt::Write as _;

/// Events in a burst, the answer not counted.
pub const BURST_EVENTS: u32 = 100;
/// Bytes of one burst event, framing of HTTP not counted.
const BURST_EVENT_BYTES: usize = 150;
/// Bytes of a small answer's JSON.
const SMALL_BYTES: usize = 219;
/// Bytes of a tool list's JSON.
const LIST_BYTES: usize = 8192;
/// Every id has eight digits, so that it can be changed in place.
pub const FIRST_ID: u32 = 10_000_000;
const ID_FIELD: &[u8] = b"\"id\":10000000";
const ID_DIGITS: usize = 8;
/// So the argument begins that tells one call from another where answers may be kept; eight digits follow.
pub const KEY_ARGUMENT: &str = "\"key\":\"";
/// So an answer says which call it is the answer to; eight digits follow.
pub const KEY_ANSWER: &str = "to call ";
const FIRST_KEY: &str = "10000000";

/// The protocol version that legacy requests name.
pub const LEGACY: &str = "2025-11-25";
/// The protocol version that modern requests name.
pub const MODERN: &str = "2026-07-28";

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A new session.
    Initialize,
    /// A small tool answer as JSON.
    Echo,
    /// The same in the modern era.
    Modern,
    /// The same of a tool that a limit refuses from the second call on.
    Refused,
    /// An answer of 8 KiB in the modern era, which a cache may have.
    Kept,
    /// A small tool answer as one server-sent event.
    Sse,
    /// A hundred progress events, then the answer.
    Burst,
    /// A tool list of 8 KiB.
    List,
}

/// Bytes with an id of eight digits in them that can be changed in place; and a key, where answers may be kept.
#[derive(Clone, Debug)]
pub struct Numbered {
    bytes: Vec<u8>,
    id_at: usize,
    key_at: usize,
}

impl Numbered {
    /// Takes bytes that hold `"id":10000000` once; where they hold it nowhere the id can't be set and stays unset.
    pub fn new(bytes: Vec<u8>) -> Self {
        let field = memchr::memmem::find(&bytes, ID_FIELD);
        let id_at = field.map_or(bytes.len(), |at| at + ID_FIELD.len() - ID_DIGITS);
        let key = [KEY_ARGUMENT, KEY_ANSWER]
            .iter()
            .find_map(|before| Some(memchr::memmem::find(&bytes, before.as_bytes())? + before.len()));
        let key_at = key.unwrap_or(bytes.len());
        Self { bytes, id_at, key_at }
    }

    /// Writes the id's eight digits.
    pub fn set_id(&mut self, id: u32) {
        self.write(self.id_at, id);
    }

    /// Writes the key's eight digits, where there is any.
    pub fn set_key(&mut self, key: u32) {
        self.write(self.key_at, key);
    }

    fn write(&mut self, at: usize, number: u32) {
        let mut left = number;
        for digit in self.bytes[at..].iter_mut().take(ID_DIGITS).rev() {
            *digit = b"0123456789"[(left % 10) as usize];
            left /= 10;
        }
    }

    /// The bytes with the id last set.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// The JSON-RPC request.
pub fn request(ask: Ask) -> String {
    let method_and_params = match ask {
        Ask::Initialize => format!(
            r#""method":"initialize","params":{{"protocolVersion":"{LEGACY}","capabilities":{{}},"clientInfo":{{"name":"moorline-bench","version":"1"}}}}"#
        ),
        Ask::Echo => call("echo", "", ""),
        Ask::Sse => call("sse", "", ""),
        Ask::Burst => call("burst", "", r#","_meta":{"progressToken":7}"#),
        Ask::Modern | Ask::Refused | Ask::Kept => call(
            tool(ask),
            &if ask == Ask::Kept { format!(",{KEY_ARGUMENT}{FIRST_KEY}\"") } else { String::new() },
            &format!(
                r#","_meta":{{"io.modelcontextprotocol/protocolVersion":"{MODERN}","io.modelcontextprotocol/clientInfo":{{"name":"moorline-bench","version":"1"}},"io.modelcontextprotocol/clientCapabilities":{{}}}}"#
            ),
        ),
        Ask::List => r#""method":"tools/list","params":{}"#.into(),
    };
    format!(r#"{{"jsonrpc":"2.0","id":{FIRST_ID},{method_and_params}}}"#)
}

fn call(tool: &str, argument: &str, meta: &str) -> String {
    format!(
        r#""method":"tools/call","params":{{"name":"{tool}","arguments":{{"text":"a ship at its berth rides out the night"{argument}}}{meta}}}"#
    )
}

/// The notification that ends the handshake.
pub fn initialized() -> &'static str {
    r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#
}

/// The right answer's JSON.
pub fn answer(ask: Ask) -> String {
    match ask {
        Ask::Initialize => result(&format!(
            r#""protocolVersion":"{LEGACY}","capabilities":{{"tools":{{"listChanged":true}}}},"serverInfo":{{"name":"bench-origin","version":"1"}}"#
        )),
        Ask::Echo | Ask::Sse | Ask::Burst => padded(
            |pad| result(&format!(r#""content":[{{"type":"text","text":"{pad}"}}],"isError":false"#)),
            SMALL_BYTES,
        ),
        Ask::Modern | Ask::Refused => padded(modern_result, SMALL_BYTES),
        Ask::Kept => padded(|pad| modern_result(&format!("{KEY_ANSWER}{FIRST_KEY}: {pad}")), LIST_BYTES),
        Ask::List => padded(tool_list, LIST_BYTES),
    }
}

fn modern_result(pad: &str) -> String {
    result(&format!(r#""resultType":"complete","content":[{{"type":"text","text":"{pad}"}}],"isError":false"#))
}

/// The tool that a request of the modern era calls.
pub const fn tool(ask: Ask) -> &'static str {
    match ask {
        Ask::Refused => "refused",
        Ask::Kept => "kept",
        _ => "echo",
    }
}

/// Whether it is the right answer to [`Ask::Kept`]: its id, and its whole content. A cache says beside it where it came from, and
/// servers and wrappers have orders of their own for members.
pub fn is_kept_answer(body: &[u8], expected: &[u8]) -> bool {
    let find = |needle: &[u8]| memchr::memmem::find(expected, needle);
    let (Some(id), Some(content)) = (find(b"\"id\":"), find(b"[{\"type\"")) else { return false };
    let Some(end) = memchr::memmem::rfind(expected, b"}]").filter(|end| *end > content) else { return false };
    let has = |part: &[u8]| memchr::memmem::find(body, part).is_some();
    has(&expected[id..id + ID_FIELD.len()]) && has(&expected[content..end])
}

fn result(members: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{FIRST_ID},"result":{{{members}}}}}"#)
}

fn tool_list(pad: &str) -> String {
    let mut tools = String::new();
    for name in ["echo", "sse", "burst", "search", "fetch", "weigh", "sort", "count", "join", "split", "trim"] {
        let _ = write!(
            tools,
            r#"{{"name":"{name}","title":"The tool {name}","description":"Does to a text what its name says, and answers with the text that comes out of it, so that a model can go on with that.","inputSchema":{{"type":"object","properties":{{"text":{{"type":"string","description":"the text to begin with"}},"limit":{{"type":"integer","minimum":1,"maximum":1000,"description":"how much of it at most"}}}},"required":["text"],"additionalProperties":false}},"annotations":{{"readOnlyHint":true,"openWorldHint":false}}}},"#
        );
    }
    result(&format!(r#""tools":[{tools}{{"name":"last","description":"{pad}","inputSchema":{{"type":"object"}}}}]"#))
}

/// The answer's server-sent events in order; empty where the answer is JSON.
pub fn events(ask: Ask) -> Vec<String> {
    let last = || event(&answer(ask));
    match ask {
        Ask::Sse => vec![last()],
        Ask::Burst => (1..=BURST_EVENTS).map(progress).chain([last()]).collect(),
        Ask::Initialize | Ask::Echo | Ask::Modern | Ask::Refused | Ask::Kept | Ask::List => Vec::new(),
    }
}

/// The right answer's body after HTTP's framing is taken off.
pub fn body(ask: Ask) -> Vec<u8> {
    let events = events(ask);
    if events.is_empty() { answer(ask).into_bytes() } else { events.concat().into_bytes() }
}

/// Whether two streams carry the same data, comments, ids and field order aside.
pub fn same_events(one: &[u8], other: &[u8]) -> bool {
    data(one).eq(data(other))
}

fn data(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = stream.split(|byte| *byte == b'\n');
    lines.filter_map(|line| line.strip_prefix(b"data:")).map(<[u8]>::trim_ascii)
}

fn event(json: &str) -> String {
    format!("event: message\ndata: {json}\n\n")
}

fn progress(step: u32) -> String {
    padded(
        |pad| {
            event(&format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":7,"progress":{step},"message":"{pad}"}}}}"#
            ))
        },
        BURST_EVENT_BYTES,
    )
}

/// Fills `text`'s gap so that it has exactly `size` bytes, or leaves the gap empty where it is longer already.
fn padded(text: impl Fn(&str) -> String, size: usize) -> String {
    let gap = size.saturating_sub(text("").len());
    text(&"moored ".chars().cycle().take(gap).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_have_the_sizes_that_the_readme_names() {
        assert_eq!(answer(Ask::Echo).len(), SMALL_BYTES);
        assert_eq!(answer(Ask::Modern).len(), SMALL_BYTES);
        assert_eq!(answer(Ask::List).len(), LIST_BYTES);
        let burst = events(Ask::Burst);
        assert_eq!(burst.len(), 101);
        assert!(burst[..100].iter().all(|event| event.len() == BURST_EVENT_BYTES));
    }

    #[test]
    fn every_message_is_json() {
        for ask in [Ask::Initialize, Ask::Echo, Ask::Modern, Ask::Kept, Ask::Sse, Ask::Burst, Ask::List] {
            for text in [request(ask), answer(ask)] {
                serde_json::from_str::<serde_json::Value>(&text).expect(&text);
            }
        }
    }

    #[test]
    fn an_id_is_changed_in_place() {
        let mut text = Numbered::new(request(Ask::Echo).into_bytes());
        text.set_id(23_456_789);
        assert!(text.bytes().starts_with(br#"{"jsonrpc":"2.0","id":23456789,"#));
        let mut without = Numbered::new(b"{}".to_vec());
        without.set_id(23_456_789);
        assert_eq!(without.bytes(), b"{}");
    }

    #[test]
    fn a_cache_may_say_where_an_answer_came_from() {
        let mut numbered = Numbered::new(answer(Ask::Kept).into_bytes());
        numbered.set_id(23_456_789);
        numbered.set_key(34_567_890);
        let expected = String::from_utf8(numbered.bytes().to_vec()).unwrap();
        let said = expected.replacen("\"resultType\"", "\"_meta\":{\"moorline/cache\":{}},\"resultType\"", 1);
        let is_right = |body: &str| is_kept_answer(body.as_bytes(), expected.as_bytes());
        assert!(is_right(&said) && is_right(&expected));
        for (right, wrong) in [("23456789", "10000000"), ("34567890", "10000000"), ("moored moored", "moored mooted")] {
            assert!(!is_right(&said.replacen(right, wrong, 1)), "{wrong} for {right}");
        }
    }

    #[test]
    fn a_key_is_changed_in_place() {
        let mut text = Numbered::new(request(Ask::Kept).into_bytes());
        text.set_key(34_567_890);
        let text = String::from_utf8(text.bytes().to_vec()).unwrap();
        assert!(text.contains(r#""key":"34567890""#) && text.contains(r#""id":10000000"#), "{text}");
        assert_eq!(answer(Ask::Kept).len(), LIST_BYTES);
    }

    #[test]
    fn comments_and_ids_do_not_count_as_events() {
        assert!(same_events(b": hi\n\nid: 4\ndata: {}\n\n", b"data:{}\r\n\r\n"));
        assert!(!same_events(b"data: {}\n\n", b"data: {}\n\ndata: {}\n\n"));
    }
}
