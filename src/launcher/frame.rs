//! Frames on the pipe from server to launcher: a little-endian `u32` length and that many bytes of JSON.

use std::io::{self, Read};

use super::protocol::{LaunchRequest, PROTOCOL_VERSION};

/// Above any request: a body of some megabytes, every byte of it escaped. A larger length is no length.
const MAX_BYTES: usize = 1 << 30;

const LENGTH_BYTES: usize = 4;

/// How much is read at once: of what begins a frame, and at most; as much as a pipe holds. Memory that is not touched
/// costs nothing when a shim is forked.
const FIRST_CHUNK: usize = 4 * 1024;
const CHUNK: usize = 64 * 1024;

/// What came is no request. The stream cannot be trusted any further.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    #[error("encode a launch request")]
    Encode(#[source] serde_json::Error),
    #[error("decode a launch request")]
    Decode(#[source] serde_json::Error),
    #[error("a launch request of {0} bytes is beyond any limit")]
    TooLong(usize),
    #[error("a launch request has version {0}, this launcher knows {known}", known = PROTOCOL_VERSION)]
    Version(u32),
}

/// Length and JSON.
///
/// # Errors
/// The request is beyond any limit.
pub fn encode(request: &LaunchRequest) -> Result<Vec<u8>, FrameError> {
    let mut frame = vec![0; LENGTH_BYTES];
    serde_json::to_writer(&mut frame, request).map_err(FrameError::Encode)?;
    let length = frame.len() - LENGTH_BYTES;
    let prefix = u32::try_from(length).ok().filter(|_| length <= MAX_BYTES).ok_or(FrameError::TooLong(length))?;
    frame[..LENGTH_BYTES].copy_from_slice(&prefix.to_le_bytes());
    Ok(frame)
}

/// Puts frames together from what a pipe gives.
#[derive(Debug, Default)]
pub struct FrameBuffer {
    bytes: Vec<u8>,
    /// Where the first frame that was not taken begins.
    start: usize,
}

impl FrameBuffer {
    /// Reads once from `source`; says whether there was anything but the end.
    ///
    /// # Errors
    /// As read(2).
    pub fn fill(&mut self, mut source: impl Read) -> io::Result<bool> {
        self.forget_taken();
        let end = self.bytes.len();
        let missing = self.frame_end().map_or(0, |frame| frame.saturating_sub(end));
        self.bytes.resize(end + missing.clamp(FIRST_CHUNK, CHUNK), 0);
        let result = source.read(&mut self.bytes[end..]);
        self.bytes.truncate(end + result.as_ref().map_or(0, |n| *n));
        Ok(result? > 0)
    }

    /// Whether a whole frame is here.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.frame_end().is_some_and(|end| end <= self.bytes.len())
    }

    /// Takes the next frame, if it is whole.
    ///
    /// # Errors
    /// It is no request of ours.
    pub fn take(&mut self) -> Result<Option<LaunchRequest>, FrameError> {
        let Some(end) = self.frame_end() else { return Ok(None) };
        let body = self.start + LENGTH_BYTES;
        if end - body > MAX_BYTES {
            return Err(FrameError::TooLong(end - body));
        }
        let Some(json) = self.bytes.get(body..end) else { return Ok(None) };
        let request: LaunchRequest = serde_json::from_slice(json).map_err(FrameError::Decode)?;
        if request.version != PROTOCOL_VERSION {
            return Err(FrameError::Version(request.version));
        }
        self.start = end;
        if end == self.bytes.len() {
            self.forget_taken();
        }
        Ok(Some(request))
    }

    /// The JSON of the next frame, if it is whole.
    #[must_use]
    pub fn next(&self) -> Option<&[u8]> {
        self.bytes.get(self.start + LENGTH_BYTES..self.frame_end()?)
    }

    fn frame_end(&self) -> Option<usize> {
        let length = self.bytes.get(self.start..)?.first_chunk::<LENGTH_BYTES>()?;
        Some(self.start + LENGTH_BYTES + usize::try_from(u32::from_le_bytes(*length)).ok()?)
    }

    fn forget_taken(&mut self) {
        self.bytes.drain(..self.start);
        self.start = 0;
        if self.bytes.is_empty() && self.bytes.capacity() > CHUNK {
            // The memory of a large frame is not kept for the next one.
            self.bytes = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::launcher::protocol::{Collect, InputFile, ScriptFile};
    use crate::task::TaskId;

    fn request(id: &str, text: String) -> LaunchRequest {
        LaunchRequest {
            version: PROTOCOL_VERSION,
            launch_id: crate::task::state::LaunchId::of_test(1, 2),
            task_id: TaskId::parse(id).expect("valid"),
            journal: "/j".into(),
            task_dir: "/t".into(),
            working_dir: "/t/workspace".into(),
            argv: vec!["a".into()],
            script: Some(ScriptFile { path: "/t/script.sh".into(), text }),
            stdin: Some("/blobs/a".into()),
            inputs: vec![InputFile { path: "a/b".into(), source: "/blobs/b".into(), mode: 0o755 }],
            collect: Some(Collect { globs: vec!["out/**".into()], max_files: 10, max_bytes: 1000 }),
            env: vec![],
            wall_time_ms: 1 << 53,
            grace_ms: 0,
            cpu_time_sec: None,
            address_space_bytes: None,
            file_size_bytes: None,
            open_files: None,
            processes: None,
            workspace_bytes: None,
            stdout_log_max_bytes: 1 << 20,
            stderr_log_max_bytes: 1 << 20,
            run_as: None,
            cgroup: None,
            sandbox: None,
            ended: Vec::new(),
        }
    }

    /// Gives `step` bytes at a time.
    struct Trickle<'a>(&'a [u8], usize);

    impl Read for Trickle<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = self.1.min(buffer.len());
            self.0.read(&mut buffer[..length])
        }
    }

    #[test]
    fn frames_come_out_whole_however_they_came_in() {
        let sent = [request("a", String::new()), request("b", "x\n\"".repeat(100_000)), request("c", "end".into())];
        let stream: Vec<u8> = sent.iter().flat_map(|r| encode(r).expect("encodes")).collect();
        for step in [1, 3, 4096, usize::MAX] {
            let step = if step == 1 { 1 + stream.len() / 5000 } else { step };
            let mut source = Trickle(&stream, step);
            let mut buffer = FrameBuffer::default();
            let mut taken = Vec::new();
            while buffer.fill(&mut source).expect("read") {
                while buffer.is_ready() {
                    taken.extend(buffer.take().expect("a request"));
                }
                assert_eq!(buffer.take().expect("no fault"), None);
            }
            assert_eq!(taken, sent, "in steps of {step}");
            assert!(buffer.bytes.capacity() <= CHUNK, "the memory of a large frame is kept");
        }
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let fault = |bytes: &[u8]| {
            let mut buffer = FrameBuffer::default();
            assert!(buffer.fill(bytes).expect("read"));
            buffer.take().expect_err("refused")
        };
        assert!(matches!(fault(b"\xff\xff\xff\xff"), FrameError::TooLong(_)));
        assert!(matches!(fault(b"\x02\0\0\0{}"), FrameError::Decode(_)));
        let other = LaunchRequest { version: PROTOCOL_VERSION + 1, ..request("a", String::new()) };
        assert!(matches!(fault(&encode(&other).expect("encodes")), FrameError::Version(_)));
    }
}
