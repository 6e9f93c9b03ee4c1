//! A server of an issuer's documents that behaves as it is told.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// How it answers.
#[derive(Clone, Debug)]
pub(super) enum Manner {
    /// With 200 and this body, and these header fields.
    Good(String, &'static str),
    /// With this status line and header fields, and no body.
    Refuse(&'static str),
    /// Never.
    Silent,
    /// When it is told to, with this body.
    Held(String),
}

pub(super) struct Stub {
    pub url: String,
    manner: Arc<Mutex<Manner>>,
    asked: Arc<AtomicUsize>,
    paths: Arc<Mutex<Vec<String>>>,
    pub go: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Stub {
    pub async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (manner, asked, go) =
            (Arc::new(Mutex::new(manner)), Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let paths = Arc::<Mutex<Vec<String>>>::default();
        let parts = (Arc::clone(&manner), Arc::clone(&asked), Arc::clone(&paths), Arc::clone(&go));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (manner, asked, paths, go) = parts.clone();
                tokio::spawn(async move { serve(stream, &manner, (&asked, &paths), &go).await });
            }
        });
        Self { url, manner, asked, paths, go, task }
    }

    pub fn behave(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    /// How many requests have come.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// What they asked for.
    pub fn paths(&self) -> Vec<String> {
        self.paths.lock().unwrap().clone()
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, manner: &Mutex<Manner>, seen: (&AtomicUsize, &Mutex<Vec<String>>), go: &Notify) {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut text).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let head = String::from_utf8(text).unwrap();
    seen.1.lock().unwrap().push(head.split(' ').nth(1).unwrap().to_owned());
    seen.0.fetch_add(1, Ordering::SeqCst);
    let manner = manner.lock().unwrap().clone();
    let answer = match manner {
        Manner::Good(body, fields) => good(&body, fields),
        Manner::Refuse(head) => format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n"),
        Manner::Silent => return std::future::pending().await,
        Manner::Held(body) => {
            go.notified().await;
            good(&body, "")
        }
    };
    drop(stream.write_all(answer.as_bytes()).await);
}

fn good(body: &str, fields: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len())
}
