//! A proxy that misbehaves on purpose: before Moorline, in place of a client that does, or behind it, in place of a server
//! that does. What it does to a request stands in the request. One request a connection, so that it needs to know no framing.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// A request on its way.
pub struct Message {
    /// Request line and header fields.
    pub head: Vec<String>,
    pub body: Vec<u8>,
}

/// What becomes of a request.
pub enum Next {
    /// It goes on, as it is now.
    Pass,
    /// This much of it goes on, and then nothing more.
    Stall(usize),
    /// It is answered with these bytes, and the connection closed.
    Answer(String),
    /// It is answered with these bytes, and then with silence.
    Silence(String),
}

pub struct Proxy {
    pub addr: SocketAddr,
}

impl Proxy {
    /// A proxy before `target`; `meddle` decides what becomes of a request. It cuts what was quiet for `idle`.
    pub fn before(target: SocketAddr, idle: Option<Duration>, meddle: fn(&mut Message) -> Next) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                std::thread::spawn(move || serve(&client, target, idle, meddle));
            }
        });
        Self { addr }
    }

    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.addr)
    }
}

impl Message {
    fn read(stream: &mut impl BufRead) -> io::Result<Option<Self>> {
        let Some(head) = read_head(stream)? else { return Ok(None) };
        let mut message = Self { head, body: Vec::new() };
        let length = message.field("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        message.body.resize(length, 0);
        stream.read_exact(&mut message.body)?;
        Ok(Some(message))
    }

    fn field(&self, name: &str) -> Option<&str> {
        let fields = self.head.iter().filter_map(|line| line.split_once(':'));
        fields.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
    }

    /// Replaces a header field, if it has it.
    pub fn set(&mut self, name: &str, value: &str) {
        let is_it = |line: &&mut String| line.split_once(':').is_some_and(|(key, _)| key.eq_ignore_ascii_case(name));
        if let Some(line) = self.head.iter_mut().find(is_it) {
            *line = format!("{name}: {value}");
        }
    }

    /// The word behind `key` in the body: `"key":"word"`.
    pub fn word(&self, key: &str) -> Option<String> {
        let text = String::from_utf8_lossy(&self.body);
        let rest = text.split_once(&format!("\"{key}\":\""))?.1;
        Some(rest.split('"').next()?.to_owned())
    }

    fn write(&self, stream: &mut TcpStream, most: usize) -> io::Result<()> {
        write_head(&self.head, stream)?;
        stream.write_all(&self.body[..most.min(self.body.len())])
    }
}

fn read_head(stream: &mut impl BufRead) -> io::Result<Option<Vec<String>>> {
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        match line.trim_end() {
            "" => return Ok(Some(head)),
            field => head.push(field.to_owned()),
        }
    }
}

fn write_head(head: &[String], stream: &mut impl Write) -> io::Result<()> {
    let fields = head.iter().filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let head = fields.map(|line| format!("{line}\r\n")).collect::<String>();
    stream.write_all(format!("{head}connection: close\r\n\r\n").as_bytes())
}

fn serve(client: &TcpStream, target: SocketAddr, idle: Option<Duration>, meddle: fn(&mut Message) -> Next) {
    // A broken connection is what a proxy sees all day.
    let _ = try_serve(client, target, idle, meddle);
    let _ = client.shutdown(Shutdown::Both);
}

fn try_serve(
    client: &TcpStream,
    target: SocketAddr,
    idle: Option<Duration>,
    meddle: fn(&mut Message) -> Next,
) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut reader = BufReader::new(client.try_clone()?);
    let Some(mut message) = Message::read(&mut reader)? else { return Ok(()) };
    let most = match meddle(&mut message) {
        Next::Pass => usize::MAX,
        Next::Stall(most) => most,
        Next::Answer(bytes) => return (&*client).write_all(bytes.as_bytes()),
        Next::Silence(bytes) => {
            (&*client).write_all(bytes.as_bytes())?;
            // Until the other side has had enough.
            return reader.read_to_end(&mut Vec::new()).map(drop);
        }
    };
    if most == usize::MAX && message.field("content-length").is_some() {
        let length = message.body.len().to_string();
        message.set("content-length", &length);
    }
    let mut server = TcpStream::connect(target)?;
    server.set_nodelay(true)?;
    server.set_read_timeout(idle)?;
    message.write(&mut server, most)?;
    let gone = server.try_clone()?;
    std::thread::spawn(move || {
        // The client says nothing more: this ends when it hangs up, and the server must hear of that.
        let _ = io::copy(&mut reader, &mut io::sink());
        let _ = gone.shutdown(Shutdown::Both);
    });
    let mut answer = BufReader::new(server);
    let Some(head) = read_head(&mut answer)? else { return Ok(()) };
    write_head(&head, &mut &*client)?;
    io::copy(&mut answer, &mut &*client).map(drop)
}
