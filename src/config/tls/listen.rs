//! An address to listen on, as a text, or as a table where more is to be said.

use std::net::SocketAddr;

use toml::Spanned;
use toml::de::DeValue;

use crate::config::form::Form;
use crate::config::schema::tls as rows;
use crate::config::tree::{Reader, Slot};
use crate::config::values;

/// What an address looks like.
const SOCKET: &str = "an IP address and a port such as \"127.0.0.1:8080\" or \"[::1]:8080\"";

/// The form of one element of `listen`.
pub(in crate::config) struct Listener;

/// What stands in the file, before it is known what else does.
pub(in crate::config) struct Listen {
    pub addr: SocketAddr,
    pub tls: Option<bool>,
    pub proxy_protocol: bool,
}

impl Form for Listener {
    type Value = Listen;

    fn read(&self, value: &Spanned<DeValue<'_>>, slot: &mut Slot<'_>) -> Option<Listen> {
        let Some(table) = value.get_ref().as_table() else {
            let accepted = self.accepted();
            let text = slot.text(value, "an address or a table", &accepted)?;
            let addr = values::socket(text).map_err(|complaint| slot.complain(value.span(), complaint, &accepted));
            return Some(Listen { addr: addr.ok()?, tls: None, proxy_protocol: false });
        };
        let mut reader = Reader::new(&rows::LISTENER, Some(table), value.span(), &mut *slot.sink);
        let tls = reader.find(&rows::LISTENER_TLS);
        let proxy_protocol = reader.get(&rows::LISTENER_PROXY);
        let addr = reader.need(&rows::LISTENER_ADDR)?;
        Some(Listen { addr, tls, proxy_protocol })
    }

    fn accepted(&self) -> String {
        format!("{SOCKET}, or a table such as {{ addr = \"…\", tls = false }}")
    }
}
