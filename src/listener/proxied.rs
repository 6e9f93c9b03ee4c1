//! The PROXY protocol (version 2020/03/05, haproxy.org), from proxies that are trusted: who the client at the proxy's other
//! side is. Reads the header to its last byte and not one further. Options are passed over, TLS facts among them; nobody
//! else's header is ever looked at.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

/// How a header of version 2 begins (§2.2).
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The longest header of version 1, its line end included (§2.1).
const LONGEST_LINE: usize = 107;
/// Bytes of addresses and options that are taken; certificates among the options are the largest.
const MOST: usize = 16 * 1024;

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// The client is there.
    Client(SocketAddr),
    /// Nothing: the proxy speaks for itself (a health check), or does not know.
    Nothing,
}

/// Why there is no usable header.
#[derive(Debug, thiserror::Error)]
pub enum Unproxied {
    /// It does not begin like one.
    #[error("no PROXY header, though this peer is a trusted proxy and the listener takes them")]
    Missing,
    /// It is not what the protocol allows.
    #[error("malformed PROXY header: {0}")]
    Malformed(&'static str),
    /// The connection ended within it, or broke.
    #[error("the connection ended within the PROXY header")]
    Cut(#[from] io::Error),
}

/// Reads the header that a connection begins with.
///
/// # Errors
/// [`Unproxied`]; the connection is of no use then.
pub async fn read(stream: &mut TcpStream) -> Result<Said, Unproxied> {
    let mut start = [0; SIGNATURE.len()];
    stream.read_exact(&mut start).await?;
    if start == SIGNATURE {
        return read_v2(stream).await;
    }
    if !start.starts_with(b"PROXY ") {
        return Err(Unproxied::Missing);
    }
    let mut line = start.to_vec();
    loop {
        let mut more = [0; LONGEST_LINE];
        let room = LONGEST_LINE - line.len();
        if room == 0 {
            return Err(Unproxied::Malformed("its line does not end"));
        }
        // Looked at before it is taken: what follows the line belongs to somebody else.
        let seen = stream.peek(&mut more[..room]).await?;
        let end = memchr::memchr(b'\n', &more[..seen]);
        let taken = stream.read_exact(&mut more[..end.map_or(seen, |end| end + 1)]).await?;
        if taken == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        line.extend_from_slice(&more[..taken]);
        if end.is_some() {
            return line_of(&line).map_err(Unproxied::Malformed);
        }
    }
}

async fn read_v2(stream: &mut TcpStream) -> Result<Said, Unproxied> {
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    let [what, family, length @ ..] = head;
    let length = usize::from(u16::from_be_bytes(length));
    if length > MOST {
        return Err(Unproxied::Malformed("it is too long"));
    }
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest).await?;
    block(what, family, &rest).map_err(Unproxied::Malformed)
}

/// Version 1: `PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n`.
fn line_of(line: &[u8]) -> Result<Said, &'static str> {
    let line = line.strip_suffix(b"\r\n").ok_or("its line does not end with CRLF")?;
    let line = str::from_utf8(line).map_err(|_| "it is not text")?;
    let words: Vec<&str> = line.split(' ').collect();
    match words.as_slice() {
        ["PROXY", "UNKNOWN", ..] => Ok(Said::Nothing),
        ["PROXY", family @ ("TCP4" | "TCP6"), from, to, from_port, to_port] => {
            let addr = |text: &str| text.parse::<IpAddr>().ok().filter(|addr| addr.is_ipv4() == (*family == "TCP4"));
            addr(to).zip(port(to_port)).ok_or("bad destination")?;
            let (addr, port) = addr(from).zip(port(from_port)).ok_or("bad source")?;
            Ok(Said::Client(SocketAddr::new(addr, port)))
        }
        _ => Err("unknown form"),
    }
}

/// Decimal digits without a leading zero (§2.1).
fn port(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}

/// Version 2: addresses in binary, and then options.
fn block(what: u8, family: u8, rest: &[u8]) -> Result<Said, &'static str> {
    match what {
        0x20 => return Ok(Said::Nothing),
        0x21 => {}
        _ if what >> 4 != 2 => return Err("unknown version"),
        _ => return Err("unknown command"),
    }
    match family {
        // Unspecified, and sockets in the proxy's file system.
        0x00 | 0x31 | 0x32 => Ok(Said::Nothing),
        0x11 => {
            let (addr, rest) = rest.split_first_chunk::<4>().ok_or("cut addresses")?;
            let ports = rest.get(4..8).ok_or("cut addresses")?;
            Ok(Said::Client(SocketAddr::new(Ipv4Addr::from(*addr).into(), first_port(ports))))
        }
        0x21 => {
            let (addr, rest) = rest.split_first_chunk::<16>().ok_or("cut addresses")?;
            let ports = rest.get(16..20).ok_or("cut addresses")?;
            Ok(Said::Client(SocketAddr::new(Ipv6Addr::from(*addr).into(), first_port(ports))))
        }
        0x12 | 0x22 => Err("not about a TCP connection"),
        _ => Err("unknown address family"),
    }
}

fn first_port(ports: &[u8]) -> u16 {
    ports.first_chunk().map_or(0, |port| u16::from_be_bytes(*port))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::{any, prop, proptest};
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;

    fn line(text: &str) -> Result<Said, &'static str> {
        line_of(text.as_bytes())
    }

    fn client(addr: &str) -> Said {
        Said::Client(addr.parse().unwrap())
    }

    #[test]
    fn version_1_is_read() {
        assert_eq!(line("PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n"), Ok(client("192.0.2.1:56324")));
        assert_eq!(line("PROXY TCP6 2001:db8::1 ::1 0 1\r\n"), Ok(client("[2001:db8::1]:0")));
        assert_eq!(line("PROXY UNKNOWN\r\n"), Ok(Said::Nothing));
        assert_eq!(line("PROXY UNKNOWN ffff::1 ::1 1 2\r\n"), Ok(Said::Nothing));
        for bad in [
            "PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 56324\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 56324 443 \r\n",
            "PROXY TCP4  192.0.2.1 192.0.2.2 56324 443\r\n",
            "PROXY TCP4 2001:db8::1 ::1 1 2\r\n",
            "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 65536 443\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 +1 443\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 01 443\r\n",
            "PROXY TCP4 192.0.2.256 192.0.2.2 1 443\r\n",
            "PROXY UDP4 192.0.2.1 192.0.2.2 1 443\r\n",
            "PROXY \r\n",
            "proxy UNKNOWN\r\n",
        ] {
            assert!(line(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn version_2_is_read() {
        let v4 = [192, 0, 2, 1, 192, 0, 2, 2, 0xdc, 4, 1, 187];
        assert_eq!(block(0x21, 0x11, &v4), Ok(client("192.0.2.1:56324")));
        // Options follow: a TLV of type 4 with two bytes.
        assert_eq!(block(0x21, 0x11, &[&v4[..], &[4, 0, 2, 0, 0]].concat()), Ok(client("192.0.2.1:56324")));
        let mut v6 = [0; 36];
        (v6[0], v6[15], v6[33]) = (0xfd, 1, 80);
        assert_eq!(block(0x21, 0x21, &v6), Ok(client("[fd00::1]:80")));
        assert_eq!(block(0x20, 0x11, &[]), Ok(Said::Nothing));
        assert_eq!(block(0x21, 0x00, &[1, 2, 3]), Ok(Said::Nothing));
        assert_eq!(block(0x21, 0x31, &[0; 216]), Ok(Said::Nothing));
        for (what, family, length) in
            [(0x21, 0x11, 11), (0x21, 0x21, 35), (0x21, 0x12, 12), (0x21, 0x13, 12), (0x22, 0x11, 12), (0x11, 0x11, 12)]
        {
            assert!(block(what, family, &vec![0; length]).is_err(), "{what:x} {family:x} {length}");
        }
    }

    /// What one end writes in pieces, and then `rest`; the other end reads the header, and what is left.
    async fn over_a_socket(pieces: &[&[u8]], rest: &[u8]) -> (Result<Said, Unproxied>, Vec<u8>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let send = async {
            let mut client = TcpStream::connect(addr).await.unwrap();
            client.set_nodelay(true).unwrap();
            for piece in pieces.iter().chain([&rest]) {
                // The reader may have given up.
                let _ = client.write_all(piece).await;
                tokio::task::yield_now().await;
            }
            let _ = client.shutdown().await;
            client
        };
        let receive = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let said = read(&mut stream).await;
            let mut left = Vec::new();
            let _ = stream.read_to_end(&mut left).await;
            (said, left)
        };
        let both = async { tokio::join!(send, receive).1 };
        tokio::time::timeout(Duration::from_secs(10), both).await.unwrap()
    }

    #[tokio::test]
    async fn nothing_after_the_header_is_taken() {
        let v1 = b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n";
        let v2 = [&SIGNATURE[..], &[0x21, 0x11, 0, 12, 192, 0, 2, 1, 192, 0, 2, 2, 0xdc, 4, 1, 187]].concat();
        for header in [&v1[..], &v2] {
            for cut in 0..header.len() {
                let (said, left) = over_a_socket(&[&header[..cut], &header[cut..]], b"GET / HTTP/1.1\r\n\r\n").await;
                assert_eq!(said.unwrap(), client("192.0.2.1:56324"));
                assert_eq!(left, b"GET / HTTP/1.1\r\n\r\n");
            }
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_said_so() {
        let endless = [b"PROXY TCP4 ".as_slice(), &[b'1'; 200]].concat();
        let long = [&SIGNATURE[..], &[0x21, 0x11, 0xff, 0xff]].concat();
        for (bytes, wanted) in [
            (&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], "no PROXY header"),
            (&endless, "does not end"),
            (&long, "too long"),
            (b"PROXY TCP4 1", "ended within"),
            (&SIGNATURE, "ended within"),
            (b"", "ended within"),
        ] {
            let (said, _) = over_a_socket(&[bytes], b"").await;
            let error = said.unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        }
    }

    proptest! {
        #[test]
        fn every_address_survives(v4 in any::<bool>(), addr in any::<u128>(), port in any::<u16>(), options in prop::collection::vec(any::<u8>(), 0..40)) {
            let bytes = addr.to_be_bytes();
            let ip = if v4 { IpAddr::from([bytes[12], bytes[13], bytes[14], bytes[15]]) } else { IpAddr::from(bytes) };
            let wanted = Ok(Said::Client(SocketAddr::new(ip, port)));
            let name = if v4 { "TCP4" } else { "TCP6" };
            assert_eq!(line(&format!("PROXY {name} {ip} {ip} {port} 1\r\n")), wanted);
            let own: &[u8] = if v4 { &bytes[12..] } else { &bytes };
            let rest = [own, own, &port.to_be_bytes(), &[0, 1], &options].concat();
            assert_eq!(block(0x21, if v4 { 0x11 } else { 0x21 }, &rest), wanted);
        }

        #[test]
        fn no_bytes_panic(what in any::<u8>(), family in any::<u8>(), rest in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = block(what, family, &rest);
            let _ = line_of(&rest);
            let _ = line_of(&[b"PROXY ".as_slice(), &rest, b"\r\n"].concat());
        }
    }
}
