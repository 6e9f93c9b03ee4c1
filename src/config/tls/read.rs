//! Reads TLS on both sides and the listeners, and checks what must hold among them.

use rustls::pki_types::ServerName;

use super::listen::Listen;
use super::{BackendTls, CertificateFiles, ClientCertificates, ListenSettings, TlsSettings};
use crate::config::fault::{Code, Fault, Span};
use crate::config::form::Complaint;
use crate::config::schema::{self, tls as rows};
use crate::config::settings::BackendSettings;
use crate::config::tree::{Reader, Row};

/// Reads the name that certificates must bear.
pub(in crate::config) fn server_name(text: &str) -> Result<ServerName<'static>, Complaint> {
    ServerName::try_from(text.to_owned())
        .map_err(|_| Complaint::bad(format!("`{text}` is no name that a certificate can bear")))
}

/// Reads TLS towards clients; none where the section is not there, or not usable.
pub(in crate::config) fn clients(top: &mut Reader<'_>) -> Option<TlsSettings> {
    let mut reader = top.below(&rows::TLS);
    if !reader.is_there() {
        return None;
    }
    let (cert_file, key_file) = (reader.need(&rows::CERT_FILE), reader.need(&rows::KEY_FILE));
    let client_certificates = reader.get(&rows::CLIENT_CERTIFICATES);
    let mut settings = TlsSettings {
        certificates: Vec::new(),
        min_version: reader.get(&rows::TLS_VERSION),
        client_certificates,
        client_ca_file: reader.find(&rows::CLIENT_CA_FILE),
        client_crl_file: reader.find(&rows::CLIENT_CRL_FILE),
        max_handshakes: reader.get(&rows::MAX_HANDSHAKES),
    };
    check_clients(&mut reader, client_certificates);
    let more = reader.each_below(&rows::CERTIFICATE);
    let more: Vec<_> = more
        .into_iter()
        .filter_map(|(at, table)| {
            let mut reader = Reader::new(&rows::CERTIFICATE, Some(table), at, &mut *reader.sink);
            let (cert_file, key_file) = (reader.need(&rows::MORE_CERT_FILE), reader.need(&rows::MORE_KEY_FILE));
            Some(CertificateFiles { cert_file: cert_file?, key_file: key_file? })
        })
        .collect();
    settings.certificates.push(CertificateFiles { cert_file: cert_file?, key_file: key_file? });
    settings.certificates.extend(more);
    Some(settings)
}

fn check_clients(reader: &mut Reader<'_>, asked: ClientCertificates) {
    if asked != ClientCertificates::Off {
        if !reader.is_bad(&rows::CLIENT_CA_FILE) {
            reader.needs(&rows::CLIENT_CERTIFICATES, &rows::CLIENT_CA_FILE);
        }
        return;
    }
    let unused: [&dyn Row; 2] = [&rows::CLIENT_CA_FILE, &rows::CLIENT_CRL_FILE];
    for row in unused {
        let Some(at) = reader.span(row).filter(|_| !reader.is_bad(&rows::CLIENT_CERTIFICATES)) else { continue };
        let name = reader.name(row);
        let message = format!("{name} is given, but clients are not asked for certificates");
        let fault = Fault::new(Code::Conflict, at, message);
        let fault = fault.related(reader.span(&rows::CLIENT_CERTIFICATES), "not asked");
        reader.sink.fault(fault.help("write `client_certificates = \"required\"` (or \"optional\"), or leave it out"));
    }
}

/// Says of each listener what it speaks, and checks that it can.
pub(in crate::config) fn listeners(
    top: &mut Reader<'_>,
    listen: Vec<(Span, Listen)>,
    trusts_anybody: bool,
) -> Vec<(Span, ListenSettings)> {
    let has_tls = top.has(&rows::TLS);
    let mut settings = Vec::with_capacity(listen.len());
    for (at, Listen { addr, tls, proxy_protocol }) in listen {
        if tls == Some(true) && !has_tls {
            let fault =
                Fault::new(Code::Conflict, at.clone(), format!("`{addr}` shall speak TLS, but there is no `[tls]`"));
            top.sink.fault(fault.help("add a line `[tls]`, and below it `cert_file` and `key_file`"));
        }
        if proxy_protocol && !trusts_anybody {
            let message = format!("`{addr}` shall take PROXY headers, but nobody is trusted to send them");
            let fault = Fault::new(Code::Conflict, at.clone(), message);
            top.sink
                .fault(fault.help("name the proxies in `trusted_proxies`, as in `trusted_proxies = [\"10.0.0.5\"]`"));
        }
        settings.push((at, ListenSettings { addr, tls: tls.unwrap_or(has_tls), proxy_protocol }));
    }
    if let Some(at) = top.place(&rows::TLS).filter(|_| settings.iter().all(|(_, one)| !one.tls)) {
        let fault = Fault::new(Code::Careless, at, "no address of `listen` speaks TLS");
        let fault = fault.related(top.span(&schema::LISTEN), "all of them without");
        top.sink.warn(fault.help("leave out `tls = false` where clients shall speak TLS, or leave out `[tls]`"));
    }
    settings
}

/// Reads TLS towards a pool's backends.
pub(in crate::config) fn backends(pool: &mut Reader<'_>, backends: &[BackendSettings]) -> BackendTls {
    let at = pool.place(&rows::BACKEND_TLS);
    let mut reader = pool.below(&rows::BACKEND_TLS);
    if let Some(at) = at.filter(|_| !backends.is_empty() && backends.iter().all(|one| !one.url.is_secure())) {
        let fault = Fault::new(Code::Careless, at, "no backend of the pool speaks TLS");
        reader.sink.warn(fault.help("write `https://` in its URL, or leave this out"));
    }
    let (cert, key) = (&rows::BACKEND_CERT_FILE, &rows::BACKEND_KEY_FILE);
    let _ = reader.needs(cert, key) && reader.needs(key, cert);
    let (cert_file, key_file) = (reader.find(cert), reader.find(key));
    BackendTls {
        ca_file: reader.find(&rows::BACKEND_CA_FILE),
        client: cert_file.zip(key_file).map(|(cert_file, key_file)| CertificateFiles { cert_file, key_file }),
        server_name: reader.find(&rows::SERVER_NAME),
    }
}
