//! Asks a Redis server directly, past Moorline: what it holds, what it was asked, what it should do. Knows no topology.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// A server that is there answers well before this.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection to one server.
pub struct Resp(BufReader<TcpStream>);

impl Resp {
    pub fn to(addr: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(addr)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    /// One command. An error that the server answers with is a JSON object with one member, `error`.
    pub fn ask(&mut self, words: &[&str]) -> io::Result<Value> {
        let mut command = format!("*{}\r\n", words.len());
        for word in words {
            command.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        self.0.get_mut().write_all(command.as_bytes())?;
        self.reply()
    }

    fn reply(&mut self) -> io::Result<Value> {
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (kind, rest) = line.trim_end().split_at(1);
        let number = rest.parse::<i64>().unwrap_or(0);
        match kind {
            "+" => Ok(rest.into()),
            "-" => Ok(serde_json::json!({ "error": rest })),
            ":" => Ok(number.into()),
            "$" => self.bulk(number),
            "*" => (0..number).map(|_| self.reply()).collect(),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    fn bulk(&mut self, length: i64) -> io::Result<Value> {
        let Ok(length) = usize::try_from(length) else { return Ok(Value::Null) };
        let mut bytes = vec![0; length + 2];
        self.0.read_exact(&mut bytes)?;
        bytes.truncate(length);
        Ok(String::from_utf8_lossy(&bytes).into())
    }
}

/// One command on a connection of its own; it must be answered, and not by an error.
pub fn ask(addr: SocketAddr, words: &[&str]) -> Value {
    let answer = Resp::to(addr).and_then(|mut connection| connection.ask(words));
    let answer = answer.unwrap_or_else(|error| panic!("{addr} does not answer {words:?}: {error}"));
    assert!(answer.get("error").is_none(), "{addr} answers {words:?} with {answer}");
    answer
}

/// A text answer, or none where the server is not there.
pub fn text(addr: SocketAddr, words: &[&str]) -> Option<String> {
    let answer = Resp::to(addr).ok()?.ask(words).ok()?;
    answer.as_str().map(str::to_owned)
}

/// Watches what a server is asked from now on.
pub struct Watch {
    addr: SocketAddr,
    connection: Resp,
}

impl Watch {
    pub fn over(addr: SocketAddr) -> Self {
        let mut connection = Resp::to(addr).expect("the server is there");
        assert_eq!(connection.ask(&["MONITOR"]).expect("it answers"), "OK");
        Self { addr, connection }
    }

    /// How often it was asked each command until now. What its own scripts do is not counted.
    pub fn commands(mut self) -> BTreeMap<String, u64> {
        const MARK: &str = "that-is-all";
        ask(self.addr, &["ECHO", MARK]);
        let mut commands = BTreeMap::new();
        loop {
            // Such as `1339518083.107412 [0 127.0.0.1:60866] "ping"`.
            let line = self.connection.reply().expect("the server tells what it is asked");
            let line = line.as_str().unwrap_or_default();
            if line.contains(MARK) {
                return commands;
            }
            if let Some((_, command)) = line.split_once("] ").filter(|(from, _)| !from.ends_with(" lua")) {
                let name = command.split(' ').next().unwrap_or_default().trim_matches('"').to_lowercase();
                *commands.entry(name).or_default() += 1;
            }
        }
    }
}
