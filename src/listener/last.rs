//! How a listener closes without cutting anybody off.
//!
//! When a listening socket closes, the kernel resets every connection that nobody has accepted yet, with the request that may be
//! under way on it, and no balancer may send such a request to another instance. So the door is shut first, for those who have
//! not begun to knock, and then everybody who stands in it is let in.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};

/// Connections that the system has begun to open have so long to become open: a round trip, with room.
const HANDSHAKE: Duration = Duration::from_millis(50);

/// Accepts whoever the system has let in, and closes the listener.
///
/// # Errors
/// Where the system refuses to accept.
pub async fn arrivals(listener: TcpListener, place: impl Fn(TcpStream, SocketAddr)) -> io::Result<()> {
    let shut = shut(&listener);
    if let Err(error) = &shut {
        tracing::debug!(%error, "newcomers cannot be kept out while the listener closes");
    } else {
        tokio::time::sleep(HANDSHAKE).await;
    }
    // Asked of the system itself: the runtime may not know yet who has come.
    let listener = listener.into_std()?;
    loop {
        match listener.accept() {
            Ok((stream, peer)) => {
                stream.set_nonblocking(true)?;
                place(TcpStream::from_std(stream)?, peer);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            // Reset again by its own client.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Drops the packets that would begin a connection, and no others. Their senders ask again after a second (RFC 6298 §2.1), and
/// are told then that nobody listens here, which lets a balancer try another instance.
#[cfg(target_os = "linux")]
fn shut(listener: &TcpListener) -> io::Result<()> {
    use socket2::SockFilter;

    /// Load a byte of the packet, which begins with its TCP header (linux/bpf_common.h).
    const LOAD_BYTE: u16 = 0x30;
    /// Jump where one of the bits is set.
    const JUMP_IF_SET: u16 = 0x45;
    const RETURN: u16 = 0x06;
    /// Where the flags are, and the one that begins a connection (RFC 9293 §3.1).
    const FLAGS: u32 = 13;
    const SYN: u32 = 0x02;

    SockRef::from(listener).attach_filter(&[
        SockFilter::new(LOAD_BYTE, 0, 0, FLAGS),
        SockFilter::new(JUMP_IF_SET, 0, 1, SYN),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ])
}

#[cfg(not(target_os = "linux"))]
fn shut(_: &TcpListener) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::sync::Mutex;

    use super::*;

    /// Clients that have written their request before anybody accepts them: all are let in, and the next one is not.
    #[tokio::test]
    async fn whoever_stands_in_the_door_is_let_in() {
        let listener = crate::listener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let addr = listener.local_addr().unwrap();
        let knock = || {
            let mut client = std::net::TcpStream::connect(addr).unwrap();
            client.write_all(b"request").unwrap();
            client
        };
        let mut clients: Vec<_> = (0..100).map(|_| knock()).collect();
        let placed = Mutex::new(Vec::new());
        arrivals(listener, |stream, _| placed.lock().unwrap().push(stream)).await.unwrap();
        let placed = placed.into_inner().unwrap();
        assert_eq!(placed.len(), clients.len());
        for stream in placed {
            let mut stream = stream.into_std().unwrap();
            stream.set_nonblocking(false).unwrap();
            let mut request = [0; 7];
            stream.read_exact(&mut request).unwrap();
            stream.write_all(&request).unwrap();
        }
        for client in &mut clients {
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).unwrap();
            assert_eq!(answer, b"request");
        }
        let refused = std::net::TcpStream::connect(addr).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }

    /// While the door is shut, nobody begins a connection that would be cut off.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn nobody_new_comes_in_through_a_shut_door() {
        let listener = crate::listener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let addr = listener.local_addr().unwrap();
        shut(&listener).unwrap();
        let late = std::net::TcpStream::connect_timeout(&addr, Duration::from_millis(200));
        assert_eq!(late.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
