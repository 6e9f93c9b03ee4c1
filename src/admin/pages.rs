//! The dashboard's files: in the binary, as they were written. Each can be asked for again with its tag, and is sent again only where
//! it has changed. Who may have them and what they may do is said in `gate.rs` and `guard.rs`.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::response::Response;
use axum::routing::get;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH};

use super::Admin;
use super::problem::Problem;
use crate::seal::digest;

/// One file of the dashboard.
#[derive(Clone, Copy, Debug)]
struct File {
    path: &'static str,
    text: &'static str,
}

macro_rules! files {
    ($($path:literal)*) => { [$(File { path: $path, text: include_str!(concat!("dashboard/", $path)) }),*] };
}

/// The page that all others belong to.
const PAGE: File = File { path: "index.html", text: include_str!("dashboard/index.html") };

const FILES: &[File] = &files![
    "base.css" "parts.css" "picture.css" "mark.svg"
    "accounts.js" "actions.js" "api.js" "app.js" "attention.js" "berths.js" "chart.js" "charts.js" "dialog.js" "dom.js"
    "events.js" "feed.js" "model.js" "moves.js" "parts.js" "picture.js" "sessions.js" "shapes.js" "source.js" "table.js"
    "words.js"
    "views/backend.js" "views/backends.js" "views/cache.js" "views/caller.js" "views/events.js" "views/instances.js"
    "views/limits.js" "views/overview.js" "views/session.js" "views/sessions.js" "views/traffic.js"
];

pub fn routes() -> Router<Arc<Admin>> {
    Router::new().route("/", get(async |headers: HeaderMap| send(PAGE, &headers))).route("/assets/{*path}", get(asset))
}

async fn asset(Path(path): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    let file = FILES.iter().find(|file| file.path == path);
    let file = file.ok_or_else(|| Problem::unknown("unknown_path", "the dashboard has no such file"))?;
    Ok(send(*file, &headers))
}

fn send(file: File, asked: &HeaderMap) -> Response {
    let tag = tag(file);
    let has_it = asked.get_all(IF_NONE_MATCH).iter().any(|known| names(known, &tag));
    let mut response = Response::new(if has_it { Body::empty() } else { Body::from(file.text) });
    if has_it {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    // Kept, and asked for again each time: what is shown belongs to the program that runs.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind(file.path)));
    headers.insert(ETAG, tag);
    response
}

/// What tells the file from what it was in another build.
fn tag(file: File) -> HeaderValue {
    let digest = u64::from_be_bytes(digest(&[b"page", file.text.as_bytes()]));
    HeaderValue::try_from(format!("\"{digest:016x}\"")).expect("quotes and digits may stand in a header field")
}

/// Whether a list of tags names this one (RFC 9110 §13.1.2: compared weakly).
fn names(known: &HeaderValue, tag: &HeaderValue) -> bool {
    let tags = known.to_str().unwrap_or_default().split(',').map(str::trim);
    tags.map(|known| known.trim_start_matches("W/")).any(|known| known == "*" || known.as_bytes() == tag.as_bytes())
}

fn kind(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "text/html; charset=utf-8",
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    /// Lines that a file of the dashboard may have, as one of the program.
    const LONGEST: usize = 400;

    fn folder() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/admin/dashboard")
    }

    fn on_disk() -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![folder()];
        while let Some(next) = folders.pop() {
            for entry in fs::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.push(path.strip_prefix(folder()).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        found.sort();
        found
    }

    #[test]
    fn every_file_is_in_the_binary_says_what_it_owns_and_has_an_end() {
        let mut known: Vec<_> = FILES.iter().chain([&PAGE]).map(|file| file.path.to_owned()).collect();
        known.sort();
        assert_eq!(known, on_disk());
        for file in FILES {
            let lines = file.text.lines().count();
            assert!(lines <= LONGEST, "{} has {lines} lines", file.path);
            let says =
                file.path.ends_with(".svg") || file.text.starts_with("// Owns: ") || file.text.starts_with("/* Owns: ");
            assert!(says, "{} does not say what it owns", file.path);
        }
    }

    #[test]
    fn nothing_runs_that_stands_in_the_page_and_nothing_is_fetched_from_elsewhere() {
        for file in FILES.iter().chain([&PAGE]) {
            let text = file.text.replace("http://www.w3.org/2000/svg", "");
            for foreign in
                ["://", "innerHTML", "outerHTML", "insertAdjacentHTML", "eval(", "new Function", "document.write"]
            {
                assert!(!text.contains(foreign), "{} has {foreign}", file.path);
            }
        }
        for inline in ["<style", " style=", " onclick", " onload", "<script>"] {
            assert!(!PAGE.text.contains(inline), "{inline}");
        }
    }

    #[test]
    fn what_a_browser_has_already_is_not_sent_again() {
        let ask = |known: &str| {
            let headers = [(IF_NONE_MATCH, HeaderValue::from_str(known).unwrap())].into_iter().collect();
            send(FILES[0], &headers).status()
        };
        let tag = tag(FILES[0]);
        let tag = tag.to_str().unwrap();
        for known in [tag, "*", &format!("\"x\", W/{tag}")] {
            assert_eq!(ask(known), StatusCode::NOT_MODIFIED, "{known}");
        }
        assert_eq!((ask("\"x\""), ask("")), (StatusCode::OK, StatusCode::OK));
        assert_ne!(super::tag(FILES[0]), super::tag(FILES[1]));
    }
}
