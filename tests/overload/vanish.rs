//! Clients that ask for the end of a task and are gone before it.

use std::time::{Duration, Instant};

use crate::http::get;
use crate::server::{Server, until};
use crate::watch::{Bounds, Report, Watch};

const ARRIVE_WITHIN: Duration = Duration::from_secs(30);
/// More memory for the last crowds than for the first, in MiB.
const LEFT: u64 = 16;
const FIRST: usize = 3;
const LAST: usize = 3;

/// Again and again: what the first crowds have cost may stay with the allocator, but the others must find it there.
pub fn polls(number: usize, bounds: Bounds) -> Report {
    let mut server = Server::start(&[], &[]);
    let ids = server.occupy(1);
    let request = get(&format!("/api/v1/tasks/{}?wait_ms=600000", ids[0]));
    let mut watch = Watch::start(&server, bounds);
    let mut slowest = Duration::ZERO;
    let mut crowds = |number_of_crowds: usize| {
        for _ in 0..number_of_crowds {
            slowest = slowest.max(crowd(&server, &mut watch, number, &request));
        }
        server.usage().most_memory
    };
    let (first, last) = (crowds(FIRST), crowds(LAST));
    watch.must(last - first <= LEFT, || format!("the last crowds took {} MiB more than the first", last - first));
    let (times, slowest) = (FIRST + LAST, slowest.as_millis());
    watch.finish("vanish", format!("{times} times {number} long polls, closed at once; forgotten after {slowest} ms"))
}

/// How long it takes until nothing of it is left.
fn crowd(server: &Server, watch: &mut Watch<'_>, number: usize, request: &str) -> Duration {
    let ask = || {
        let mut connection = server.connect();
        connection.send(request).map(|()| connection).expect("sent")
    };
    let waiting: Vec<_> = (0..number).map(|_| ask()).collect();
    // Each has a descriptor of the server.
    let arrived = until(ARRIVE_WITHIN, || (server.usage().descriptors > number).then_some(()));
    watch.must(arrived.is_some(), || format!("not all were accepted within {ARRIVE_WITHIN:?}"));
    let closing = Instant::now();
    drop(waiting);
    watch.recovered();
    closing.elapsed()
}
