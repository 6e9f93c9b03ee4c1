//! Asks a running instance's admin API. It reads the configuration for the instance's admin address alone.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use clap::Args;
use http::header::{AUTHORIZATION, HOST, HeaderValue};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::config::{Config, Password};
use crate::tasks;

/// How long the instance may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

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
}

impl Instance {
    /// Asks it, and gives the body of its answer.
    ///
    /// # Errors
    /// Where nobody answers, in time or with 200.
    pub fn ask(&self, method: &Method, path: &str) -> anyhow::Result<Bytes> {
        let admin = self.addr()?;
        let token = self.token()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
        let asked = runtime.block_on(async { tokio::time::timeout(PATIENCE, ask(admin, token, (method, path))).await });
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

async fn ask(admin: SocketAddr, token: Option<Password>, (method, path): (&Method, &str)) -> anyhow::Result<Bytes> {
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
    let response = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), LARGEST).collect().await;
    let body = body.map_err(|error| anyhow::anyhow!("the answer cannot be read: {error}"))?.to_bytes();
    if status != StatusCode::OK {
        bail!("{admin} answers {status}: {}", String::from_utf8_lossy(&body).trim());
    }
    Ok(body)
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
}
