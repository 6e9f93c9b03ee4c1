//! An event stream, read by a thread of its own as it comes: the one that a GET opens, or the answer to a POST.

use std::io::{BufReader, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::client::{Client, read_chunk, read_head};
use crate::support::http;
use crate::support_sdk::eventually;

/// One server-sent event.
#[derive(Clone, Debug, Default)]
pub struct Event {
    pub id: Option<String>,
    /// Its data; null where there is none or it is no JSON.
    pub data: Value,
}

#[derive(Default)]
struct Seen {
    status: Option<u16>,
    events: Vec<Event>,
    ended: bool,
}

/// An open stream on a connection of its own. Hangs up when dropped.
pub struct Stream {
    stream: TcpStream,
    seen: Arc<Mutex<Seen>>,
}

impl Stream {
    /// The notification stream of a client's session.
    pub fn open(client: &Client, last_event_id: Option<&str>) -> Self {
        let mut fields = client.own_fields();
        fields.push("Accept: text/event-stream".into());
        fields.extend(last_event_id.map(|id| format!("Last-Event-ID: {id}")));
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        Self::send(client, &http::get("/mcp", &fields))
    }

    /// Whatever a message is answered with.
    pub fn post(client: &Client, message: &Value) -> Self {
        Self::send(client, &client.posting(message))
    }

    fn send(client: &Client, bytes: &[u8]) -> Self {
        let mut stream = TcpStream::connect(client.addr).unwrap();
        stream.write_all(bytes).unwrap();
        let seen = Arc::<Mutex<Seen>>::default();
        let (reading, noted) = (stream.try_clone().unwrap(), Arc::clone(&seen));
        std::thread::spawn(move || {
            read(reading, &noted);
            noted.lock().unwrap().ended = true;
        });
        let this = Self { stream, seen };
        eventually("the head of a stream", || {
            let seen = this.seen.lock().unwrap();
            (seen.status.is_some() || seen.ended).then_some(())
        });
        this
    }

    /// The answer's status; none where the connection ended before.
    pub fn status(&self) -> Option<u16> {
        self.seen.lock().unwrap().status
    }

    pub fn is_open(&self) -> bool {
        !self.seen.lock().unwrap().ended
    }

    pub fn events(&self) -> Vec<Event> {
        self.seen.lock().unwrap().events.clone()
    }

    /// How many messages of this method came.
    pub fn count(&self, method: &str) -> usize {
        self.events().iter().filter(|event| event.data["method"] == *method).count()
    }

    /// Waits for the first event that fits.
    pub fn wait_for(&self, what: &str, fits: impl Fn(&Event) -> bool) -> Event {
        eventually(what, || self.events().into_iter().find(|event| fits(event)))
    }

    /// Waits for its end.
    pub fn wait_for_end(&self) {
        eventually("the end of a stream", || (!self.is_open()).then_some(()));
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // It may be closed already.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

fn read(stream: TcpStream, noted: &Mutex<Seen>) {
    let mut wire = BufReader::new(stream);
    let Ok(head) = read_head(&mut wire) else { return };
    noted.lock().unwrap().status = Some(head.status);
    if head.header("transfer-encoding").is_none() {
        return;
    }
    let mut text = String::new();
    while let Ok(chunk) = read_chunk(&mut wire) {
        if chunk.is_empty() {
            return;
        }
        text.push_str(&String::from_utf8_lossy(&chunk).replace('\r', ""));
        while let Some((event, rest)) = text.split_once("\n\n") {
            noted.lock().unwrap().events.extend(parse(event));
            text = rest.to_owned();
        }
    }
}

/// An event; none where it is only a comment or `retry`.
fn parse(text: &str) -> Option<Event> {
    let field = |name: &str| text.lines().find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned()));
    let (id, data) = (field("id:"), field("data:"));
    if id.is_none() && data.is_none() {
        return None;
    }
    let data = data.and_then(|data| serde_json::from_str(&data).ok()).unwrap_or_default();
    Some(Event { id, data })
}
