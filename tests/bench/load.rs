//! Work that goes on for a while: processes from some threads, or requests of some clients, all from one thread.

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::client::Script;
use crate::http::Connection;
use crate::sample::Sample;

/// What one measurement takes, whichever is used up first; at least one item.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Before anything counts: until all are at work.
    pub lead: Duration,
    pub time: Duration,
    pub items: usize,
}

/// The items that ended in the window.
#[derive(Debug)]
struct Count {
    window: Window,
    begun: Instant,
    times: Vec<Duration>,
    /// From the end of the lead to the last item.
    took: Duration,
    is_over: bool,
}

#[derive(Debug)]
struct Client<S> {
    connection: Connection,
    script: S,
    item_begun: Instant,
    is_open: bool,
}

/// Each thread does one item after the other.
pub fn by_threads(threads: usize, window: Window, item: impl Fn() + Sync) -> Sample {
    let count = Mutex::new(Count::new(window));
    let is_over = || count.lock().expect("no panic").is_over;
    let work = || {
        while !is_over() {
            let begun = Instant::now();
            item();
            count.lock().expect("no panic").ended(begun);
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().for_each(|thread| thread.join().expect("a worker fails the whole run"));
    });
    count.into_inner().expect("no panic").into_sample()
}

/// Each client has a connection and goes through its script again and again. The scripts come back.
pub fn by_clients<S: Script>(address: SocketAddr, window: Window, scripts: Vec<S>) -> (Sample, Vec<S>) {
    let connect =
        |script| Client { connection: Connection::open(address), script, item_begun: Instant::now(), is_open: true };
    let mut clients: Vec<_> = scripts.into_iter().map(connect).collect();
    let mut count = Count::new(window);
    clients.iter_mut().for_each(Client::begin);
    let mut ready = Vec::with_capacity(clients.len());
    while clients.iter().any(|client| client.is_open) {
        find_ready(&clients, &mut ready);
        for &number in &ready {
            clients[number].proceed(&mut count);
        }
    }
    (count.into_sample(), clients.into_iter().map(|client| client.script).collect())
}

/// The clients whose answers have come.
fn find_ready<S>(clients: &[Client<S>], ready: &mut Vec<usize>) {
    ready.clear();
    // Its read waits as well as a poll would.
    if let [client] = clients {
        ready.extend(client.is_open.then_some(0));
        return;
    }
    let open: Vec<_> = (0..clients.len()).filter(|&number| clients[number].is_open).collect();
    let watched = |&number: &usize| PollFd::new(clients[number].connection.stream.as_fd(), PollFlags::POLLIN);
    let mut fds: Vec<_> = open.iter().map(watched).collect();
    poll(&mut fds, PollTimeout::NONE).expect("polled");
    let is_ready = |fd: &PollFd| fd.any().unwrap_or(true);
    ready.extend(open.iter().zip(&fds).filter(|(_, fd)| is_ready(fd)).map(|(&number, _)| number));
}

impl<S: Script> Client<S> {
    fn begin(&mut self) {
        self.item_begun = Instant::now();
        self.connection.send(self.script.begin());
    }

    fn proceed(&mut self, count: &mut Count) {
        if let Some(next) = self.script.proceed(&self.connection.receive()) {
            self.connection.send(next);
            return;
        }
        count.ended(self.item_begun);
        if count.is_over {
            self.is_open = false;
        } else {
            self.begin();
        }
    }
}

impl Count {
    fn new(window: Window) -> Self {
        Self { window, begun: Instant::now(), times: Vec::new(), took: Duration::ZERO, is_over: false }
    }

    fn ended(&mut self, item_begun: Instant) {
        let now = Instant::now();
        let Some(since) = (now - self.begun).checked_sub(self.window.lead).filter(|_| !self.is_over) else { return };
        self.times.push(now - item_begun);
        self.took = since;
        self.is_over = since >= self.window.time || self.times.len() >= self.window.items;
    }

    fn into_sample(self) -> Sample {
        let took = self.took.as_secs_f64().max(f64::EPSILON);
        Sample::new(self.times.len() as f64 / took, self.times)
    }
}
