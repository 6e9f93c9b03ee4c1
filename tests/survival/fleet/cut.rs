//! A cable between an instance and its store that can be cut: broken, so that everybody notices, or merely dead, so that nobody does.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

/// In what state the cable is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Whole,
    /// Connections are reset, and new ones closed at once.
    Broken,
    /// What is sent does not arrive, and nobody is told.
    Dead,
}

struct Inner {
    target: SocketAddr,
    state: Mutex<State>,
    changed: Condvar,
    open: Mutex<Vec<TcpStream>>,
}

/// The cable. Bytes that were sent while it was dead arrive when it is mended, as TCP has it.
pub struct Cable {
    pub addr: SocketAddr,
    inner: Arc<Inner>,
}

impl Cable {
    pub fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let state = Mutex::new(State::Whole);
        let inner = Arc::new(Inner { target, state, changed: Condvar::new(), open: Mutex::default() });
        let accepting = Arc::clone(&inner);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let inner = Arc::clone(&accepting);
                std::thread::spawn(move || inner.connect(&client));
            }
        });
        Self { addr, inner }
    }

    /// Breaks it: connections end, and new ones end at once.
    pub fn break_off(&self) {
        self.set(State::Broken);
        for stream in self.inner.open.lock().unwrap().drain(..) {
            // It may be closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// From now on nothing arrives, in neither direction, and no connection ends.
    pub fn go_dead(&self) {
        self.set(State::Dead);
    }

    pub fn mend(&self) {
        self.set(State::Whole);
    }

    fn set(&self, state: State) {
        *self.inner.state.lock().unwrap() = state;
        self.inner.changed.notify_all();
    }
}

impl Inner {
    fn connect(self: Arc<Self>, client: &TcpStream) {
        if self.wait_while_dead() == State::Broken {
            return;
        }
        let Ok(server) = TcpStream::connect(self.target) else { return };
        for stream in [client, &server] {
            stream.set_nodelay(true).unwrap();
            self.open.lock().unwrap().push(stream.try_clone().unwrap());
        }
        let back = (server.try_clone().unwrap(), client.try_clone().unwrap());
        let returning = Arc::clone(&self);
        std::thread::spawn(move || returning.carry(back.0, back.1));
        self.carry(client.try_clone().unwrap(), server);
    }

    fn carry(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = [0; 16_384];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            if self.wait_while_dead() == State::Broken || to.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        // A cable that is dead tells nobody of an end either.
        self.wait_while_dead();
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    }

    fn wait_while_dead(&self) -> State {
        let state = self.state.lock().unwrap();
        *self.changed.wait_while(state, |state| *state == State::Dead).unwrap()
    }
}
