//! An instance with one backend, in this process: what a fuzz target sends bytes to, and what reached the backend.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use moorline::app::App;
use moorline::clock::Clock;
use moorline::config::Config;
use moorline::log::Log;

/// No answer takes longer; a slow one is a finding.
const PATIENCE: Duration = Duration::from_secs(5);

/// An answer that is not there by then may never come: the request has no end.
const A_MOMENT: Duration = Duration::from_millis(5);

/// A message that is served.
const HONEST: &[u8] =
    b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAccept: application/json\r\n\
    Connection: close\r\nContent-Length: 42\r\n\r\n{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"honest\"}";

/// The instance.
pub struct Scene {
    addr: SocketAddr,
    asked: AtomicUsize,
}

impl Scene {
    /// The one of this process.
    pub fn get() -> &'static Self {
        static SCENE: OnceLock<Scene> = OnceLock::new();
        SCENE.get_or_init(Self::start)
    }

    fn start() -> Self {
        let backend = backend();
        let text = format!(
            "listen = \"127.0.0.1:0\"\nadmin = \"off\"\nthreads = 1\nlog.access = \"off\"\nbounds.body_timeout = \"1s\"\n\
             bounds.max_connections_per_address = 1000000\n[[pool]]\nbackends = [\"http://{backend}/mcp\"]\n"
        );
        let config = Config::parse("fuzz", &text).map_err(|_| ()).expect("the configuration is good");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let app: Arc<App> = runtime
            .block_on(App::start(config, Log::unheard(&Clock::system()), Box::new(|_| ())))
            .map_err(|_| ())
            .expect("the instance starts");
        let addr = app.addrs()[0];
        std::thread::spawn(move || {
            let _app = app;
            runtime.block_on(std::future::pending::<()>());
        });
        Self { addr, asked: AtomicUsize::new(0) }
    }

    /// Sends bytes on a connection of their own, says that no more will come, and reads all that comes back. Now and then
    /// somebody honest asks too.
    pub fn tell(&self, bytes: &[u8]) -> Vec<u8> {
        if self.asked.fetch_add(1, Ordering::Relaxed).is_multiple_of(256) {
            let answer = self.exchange(HONEST);
            assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
        }
        self.exchange(bytes)
    }

    fn exchange(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.addr).expect("the instance listens");
        // It may have heard enough before the end.
        let _ = stream.write_all(bytes);
        // Whoever stops writing is taken for gone, and its request with it: so an answer is waited for first.
        stream.set_read_timeout(Some(A_MOMENT)).expect("it is a positive time");
        let mut answer = vec![0; 4096];
        let read = match bytes {
            HONEST => 0,
            _ => stream.read(&mut answer).unwrap_or(0),
        };
        answer.truncate(read);
        if bytes != HONEST {
            let _ = stream.shutdown(Shutdown::Write);
        }
        stream.set_read_timeout(Some(PATIENCE)).expect("it is a positive time");
        if let Err(error) = stream.read_to_end(&mut answer) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "no end: {error}");
        }
        answer
    }
}

/// A backend that answers every message alike, and panics where a request is none or speaks of what must not pass.
fn backend() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("it listens");
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || serve(stream));
        }
    });
    addr
}

fn serve(mut stream: TcpStream) {
    let mut buffer = Vec::new();
    while let Some(end) = fill_to(&mut stream, &mut buffer, |bytes| find(bytes, b"\r\n\r\n")) {
        let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
        let line = head.lines().next().unwrap_or_default();
        assert!(line.ends_with(" http/1.1") && line.split(' ').count() == 3, "no request: {head}");
        assert_eq!(head.matches("\r\nhost:").count(), 1, "{head}");
        let lengths: Vec<&str> = head.lines().filter_map(|line| line.strip_prefix("content-length:")).collect();
        assert!(lengths.len() <= 1 && !head.contains("\r\ntransfer-encoding:"), "{head}");
        let length = lengths.first().map_or(0, |length| length.trim().parse().expect("a length is a number"));
        let whole = end + 4 + length;
        if fill_to(&mut stream, &mut buffer, |bytes| (bytes.len() >= whole).then_some(whole)).is_none() {
            return;
        }
        buffer.drain(..whole);
        let body = "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{}}";
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn fill_to(stream: &mut TcpStream, buffer: &mut Vec<u8>, done: impl Fn(&[u8]) -> Option<usize>) -> Option<usize> {
    let mut more = [0; 4096];
    loop {
        if let Some(at) = done(buffer) {
            return Some(at);
        }
        match stream.read(&mut more) {
            Ok(0) | Err(_) => return None,
            Ok(read) => buffer.extend_from_slice(&more[..read]),
        }
    }
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}
