//! The rows of TLS on both sides, and of listeners. Decides nothing else.

use std::net::SocketAddr;
use std::path::PathBuf;

use rustls::pki_types::ServerName;

use super::{SOCKET, choice, count, key, text};
use crate::config::form::{Choice, Flag, Text};
use crate::config::quantity::Count;
use crate::config::tls::{ClientCertificates, TlsVersion, server_name};
use crate::config::tree::{Key, Needed, Optional, Section, Shape};
use crate::config::values;

const FILE: Text<PathBuf> = text(values::file, "the path of a file");

section! { LISTENER: Inline "listen", "One address, where more is to be said of it: { addr = \"0.0.0.0:8443\", proxy_protocol = true }.", below [];
    LISTENER_ADDR: Needed<Text<SocketAddr>> = Needed { name: "addr", sample: r#""127.0.0.1:8080""#, form: SOCKET,
        doc: "Where clients connect" };
    LISTENER_TLS: Optional<Flag> = Optional { name: "tls", absent: "true where there is a [tls] section", sample: "false", form: Flag,
        doc: "Whether clients speak TLS there." };
    LISTENER_PROXY: Key<Flag> = key("proxy_protocol", "false", Flag,
        "Whether trusted_proxies begin each connection with a PROXY header (version 1 or 2), which says who the client is; one that does not is cut off. \
         Everybody else is served as they come, and believed nothing.");
}

section! { TLS: OptionalTable "tls", "TLS towards clients, on every address of listen that does not say otherwise. Files are read again when they change.", below [&CERTIFICATE];
    CERT_FILE: Needed<Text<PathBuf>> = Needed { name: "cert_file", sample: r#""/etc/moorline/tls/tls.crt""#, form: FILE,
        doc: "The certificate (PEM), and below it those that lead to an authority that clients know. It is shown where no other is for the name that a client asks for" };
    KEY_FILE: Needed<Text<PathBuf>> = Needed { name: "key_file", sample: r#""/etc/moorline/tls/tls.key""#, form: FILE,
        doc: "Its private key (PEM)" };
    TLS_VERSION: Key<Choice<TlsVersion>> = key("min_version", r#""1.2""#, choice(&[("1.2", TlsVersion::Tls12), ("1.3", TlsVersion::Tls13)]),
        "The oldest version of TLS that is spoken.");
    CLIENT_CERTIFICATES: Key<Choice<ClientCertificates>> = key("client_certificates", r#""off""#,
        choice(&[("off", ClientCertificates::Off), ("optional", ClientCertificates::Optional), ("required", ClientCertificates::Required)]),
        "Whether clients are asked for a certificate: not at all (off), yes, but they may come without one (optional), or nobody comes in without (required). \
         One that client_ca_file does not vouch for, or that is out of date, is refused either way.");
    CLIENT_CA_FILE: Optional<Text<PathBuf>> = Optional { name: "client_ca_file", absent: "needed unless client_certificates is off", sample: r#""/etc/moorline/tls/clients.pem""#, form: FILE,
        doc: "The authorities (PEM) that vouch for clients." };
    CLIENT_CRL_FILE: Optional<Text<PathBuf>> = Optional { name: "client_crl_file", absent: "none is looked up as revoked", sample: r#""/etc/moorline/tls/revoked.pem""#, form: FILE,
        doc: "Lists of revoked client certificates (PEM). A certificate whose authority has no list there is accepted; a list that is out of date still counts." };
    MAX_HANDSHAKES: Key<Count<usize>> = key("max_handshakes", "1000", count(1, 100_000, 10_000),
        "TLS handshakes under way at the same time. Further ones wait, at most bounds.header_timeout from the connection's beginning.");
}

section! { CERTIFICATE: OptionalTables "tls.certificate", "A further certificate, for the names (DNS, one of which may begin with *.) that stand in it; any number of them.", below [];
    MORE_CERT_FILE: Needed<Text<PathBuf>> = Needed { name: "cert_file", sample: r#""/etc/moorline/tls/other.crt""#, form: FILE,
        doc: "The certificate (PEM), and below it those that lead to an authority" };
    MORE_KEY_FILE: Needed<Text<PathBuf>> = Needed { name: "key_file", sample: r#""/etc/moorline/tls/other.key""#, form: FILE,
        doc: "Its private key (PEM)" };
}

section! { BACKEND_TLS: OptionalTable "pool.tls", "TLS towards a pool's https:// backends, where the defaults will not do. Files are read again when they change. \
        Certificates are always verified.", below [];
    BACKEND_CA_FILE: Optional<Text<PathBuf>> = Optional { name: "ca_file", absent: "the machine's own list", sample: r#""/etc/moorline/backends-ca.pem""#, form: FILE,
        doc: "The authorities (PEM) that vouch for the backends." };
    BACKEND_CERT_FILE: Optional<Text<PathBuf>> = Optional { name: "client_cert_file", absent: "none is shown", sample: r#""/etc/moorline/tls/client.crt""#, form: FILE,
        doc: "The certificate (PEM) that Moorline shows to backends that ask for one." };
    BACKEND_KEY_FILE: Optional<Text<PathBuf>> = Optional { name: "client_key_file", absent: "none", sample: r#""/etc/moorline/tls/client.key""#, form: FILE,
        doc: "Its private key (PEM)." };
    SERVER_NAME: Optional<Text<ServerName<'static>>> = Optional { name: "server_name", absent: "the host in each backend's URL", sample: r#""mcp.internal""#,
        form: text(server_name, "a host name or an address"),
        doc: "The name that the backends' certificates must bear." };
}
