//! Asks a running instance's admin API. It reads the configuration for the instance's admin address alone.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use clap::Args;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use http::{Method, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;

use super::say::say;
use crate::config::{Config, Password};
use crate::tasks;

/// How long the instance may take to answer a question, and to carry out an order.
const PATIENCE: Duration = Duration::from_secs(10);
const PATIENCE_WITH_ORDERS: Duration = Duration::from_secs(65);

/// The longest answer that is read, in bytes.
const LARGEST: usize = 4 * 1024 * 1024;

/// Which instance is asked.
#[derive(Debug, Args)]
pub struct Instance {
    /// The instance's configuration file, which says where its admin API listens.
    #[arg(long, value_name = "FILE", required_unless_present = "admin")]
    config: Option<PathBuf>,
    /// Where the admin API listens, instead of what the file says.
    #[arg(long, value_name = "ADDR:PORT")]
    admin: Option<SocketAddr>,
    /// A file that holds the admin API's token [default: the variable MOORLINE_ADMIN_TOKEN, or what the configuration says].
    #[arg(long, value_name = "FILE")]
    admin_token_file: Option<PathBuf>,
    /// Print the instance's answer as JSON, for programs.
    #[arg(long)]
    json: bool,
}

impl Instance {
    /// Asks it something, and reads the answer.
    ///
    /// # Errors
    /// Where nobody answers, in time and well.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.read(&self.ask((Method::GET, path), Bytes::new())?)
    }

    /// Asks it something, and prints the answer: in these words, or as it came where JSON is wanted.
    ///
    /// # Errors
    /// Where nobody answers, in time and well.
    pub fn show<T: DeserializeOwned>(&self, path: &str, words: impl FnOnce(&T) -> String) -> anyhow::Result<()> {
        self.print(&self.ask((Method::GET, path), Bytes::new())?, words)
    }

    /// Whether its answers are wanted as they come.
    pub const fn wants_json(&self) -> bool {
        self.json
    }

    /// Orders something of it, and prints what came of it in the same way.
    ///
    /// # Errors
    /// Where nobody answers, in time and well.
    pub fn order<T: DeserializeOwned>(
        &self,
        asked: (Method, &str),
        told: &impl Serialize,
        words: impl FnOnce(&T) -> String,
    ) -> anyhow::Result<()> {
        self.print(&self.ask(asked, serde_json::to_vec(told)?.into())?, words)
    }

    /// Orders something of it that has no answer but that it is done; says so in these words.
    ///
    /// # Errors
    /// Where nobody answers, in time and well.
    pub fn command(&self, asked: (Method, &str), told: &impl Serialize, words: &str) -> anyhow::Result<()> {
        self.ask(asked, serde_json::to_vec(told)?.into())?;
        if !self.json {
            say(&format!("{words}\n"))?;
        }
        Ok(())
    }

    fn print<T: DeserializeOwned>(&self, answer: &[u8], words: impl FnOnce(&T) -> String) -> anyhow::Result<()> {
        if self.json {
            say(&format!("{}\n", String::from_utf8_lossy(answer).trim_end()))
        } else {
            say(&words(&self.read(answer)?))
        }
    }

    /// Reads an answer; it may be none of this version.
    fn read<T: DeserializeOwned>(&self, answer: &[u8]) -> anyhow::Result<T> {
        let admin = self.addr()?;
        serde_json::from_slice(answer)
            .with_context(|| format!("{admin} is not the admin API of a Moorline of this version"))
    }

    fn ask(&self, asked: (Method, &str), told: Bytes) -> anyhow::Result<Bytes> {
        let admin = self.addr()?;
        let token = self.token()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
        let patience = if asked.0 == Method::GET { PATIENCE } else { PATIENCE_WITH_ORDERS };
        let asked = runtime.block_on(async { tokio::time::timeout(patience, ask(admin, token, asked, told)).await });
        asked.context("the instance does not answer")?
    }

    /// With what it is asked, where that is known.
    fn token(&self) -> anyhow::Result<Option<Password>> {
        if let Some(file) = &self.admin_token_file {
            let token = Password::read(file).map_err(anyhow::Error::msg);
            return token.map(Some).with_context(|| format!("no admin token in {}", file.display()));
        }
        if let Some(token) = Password::of_admin() {
            return Ok(Some(token));
        }
        self.config.as_ref().map_or(Ok(None), |file| Ok(Config::load(file)?.admin_token))
    }

    /// Where its admin API is.
    ///
    /// # Errors
    /// Where the configuration cannot be read, or has none.
    pub fn addr(&self) -> anyhow::Result<SocketAddr> {
        match (self.admin, &self.config) {
            (Some(admin), _) => Ok(admin),
            (None, Some(file)) => match Config::load(file)?.admin {
                Some(admin) => Ok(admin),
                None => bail!("the admin API is off in {}: set `admin`, or use --admin", file.display()),
            },
            (None, None) => bail!("say --config FILE or --admin ADDR:PORT"),
        }
    }
}

async fn ask(
    admin: SocketAddr,
    token: Option<Password>,
    (method, path): (Method, &str),
    told: Bytes,
) -> anyhow::Result<Bytes> {
    let stream = TcpStream::connect(admin).await;
    let stream = stream.with_context(|| format!("no instance has its admin API at {admin}"))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let _connection = tasks::spawn("admin connection", async move { drop(connection.await) });
    let mut request = Request::builder().method(method).uri(path).header(HOST, admin.to_string());
    if let Some(token) = token {
        let mut value =
            HeaderValue::try_from(format!("Bearer {}", token.reveal())).context("the admin token is no token")?;
        value.set_sensitive(true);
        request = request.header(AUTHORIZATION, value);
    }
    if !told.is_empty() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    let response = sender.send_request(request.body(Full::new(told))?).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), LARGEST).collect().await;
    let body = body.map_err(|error| anyhow::anyhow!("the answer cannot be read: {error}"))?.to_bytes();
    if !status.is_success() {
        bail!("{admin} answers {status}: {}", detail(&body));
    }
    Ok(body)
}

/// What a refusal says to people (RFC 9457).
fn detail(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Problem {
        detail: String,
        #[serde(default)]
        errors: Vec<Flaw>,
    }
    #[derive(Deserialize)]
    struct Flaw {
        line: usize,
        column: usize,
        detail: String,
    }
    let Ok(Problem { detail, errors }) = serde_json::from_slice(body) else {
        return String::from_utf8_lossy(body).trim().to_owned();
    };
    let flaws = errors.iter().map(|flaw| format!("\n  {}:{}: {}", flaw.line, flaw.column, flaw.detail));
    detail + &flaws.collect::<String>()
}

/// A text as a query's value.
pub fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._:".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_account_is_called_survives_the_way() {
        assert_eq!(escaped("10.0.0.1 search&x"), "10.0.0.1%20search%26x");
    }

    #[test]
    fn of_a_problem_its_detail_is_shown() {
        assert_eq!(detail(b"{\"status\":404,\"detail\":\"no such thing\"}"), "no such thing");
        let flawed = br#"{"detail":"faults","errors":[{"line":3,"column":1,"code":"missing","detail":"no pool"}]}"#;
        assert_eq!(detail(flawed), "faults\n  3:1: no pool");
        assert_eq!(detail(b"from a proxy\n"), "from a proxy");
    }
}
