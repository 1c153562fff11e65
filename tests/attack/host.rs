//! What there is on the host to be attacked: all of it the suite's own, and gone with it.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::rows::Mode;
use crate::support::{SOMEBODY, Server, sh};

pub struct Host {
    victim: Child,
    /// Accept nothing: a connection is one as soon as the kernel has it.
    listener: TcpListener,
    _abstract: UnixListener,
    _pathname: UnixListener,
    abstract_name: String,
    directory: tempfile::TempDir,
    shared_memory: String,
    /// The directory of an ended task of the same server.
    other_task: String,
}

impl Host {
    pub fn new(server: &Server, mode: Mode) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("opened");
        let socket = directory.path().join("socket");
        let pathname = UnixListener::bind(&socket).expect("bound");
        fs::set_permissions(&socket, Permissions::from_mode(0o777)).expect("opened");
        let abstract_name = format!("execgo-attack-{}", directory.path().display());
        let address = SocketAddr::from_abstract_name(&abstract_name).expect("a name");
        let mut victim = Command::new("sleep");
        victim.arg("1000").stdin(Stdio::null());
        if mode == Mode::Rootless && nix::unistd::geteuid().is_root() {
            // Of the same user as the tasks.
            victim.uid(SOMEBODY).gid(SOMEBODY);
        }
        let other = server.run(&sh("echo secret | tee file"));
        Self {
            victim: victim.spawn().expect("sleep runs"),
            listener: TcpListener::bind("127.0.0.1:0").expect("bound"),
            _abstract: UnixListener::bind_addr(&address).expect("bound"),
            _pathname: pathname,
            abstract_name,
            shared_memory: make_shared_memory(),
            other_task: server.task_dir(other["task_id"].as_str().expect("an id")).display().to_string(),
            directory,
        }
    }

    /// What the attacker is told. `smuggled` is the id of the task that it tries to submit.
    pub fn told(&self, server: &Server, smuggled: &str) -> Value {
        json!({
            "ATTACK_VICTIM": self.victim.id().to_string(),
            "ATTACK_DATA_DIR": server.data_dir(),
            "ATTACK_OTHER": self.other_task,
            "ATTACK_API": server.url.trim_start_matches("http://"),
            "ATTACK_SMUGGLED": smuggled,
            "ATTACK_LISTENER": self.listener.local_addr().expect("an address").to_string(),
            "ATTACK_ABSTRACT": self.abstract_name,
            "ATTACK_SOCKET": self.directory.path().join("socket"),
            "ATTACK_SHM": self.shared_memory,
        })
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.victim.kill();
        let _ = self.victim.wait();
        let _ = Command::new("ipcrm").args(["-m", &self.shared_memory]).status();
    }
}

/// A segment that anybody may read; its id.
fn make_shared_memory() -> String {
    let output = Command::new("ipcmk").args(["-M", "4096", "-p", "0666"]).output().expect("ipcmk (util-linux) runs");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    told.split_whitespace().last().expect("an id").to_owned()
}
