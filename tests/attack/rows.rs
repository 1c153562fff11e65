//! The table: what the attacker tries, and every layer that holds it by itself. A row is expected to open exactly when
//! none of its layers is there; `suite.rs` takes layers away and looks.

use Layer::{
    Api, Capabilities, Descriptors, Environment, Ipc, Landlock, Limits, Mounts, Network, Pid, PidOne, Seccomp, User,
};

/// How the runtime runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Root,
    Rootless,
}

/// In which kind of task a row is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// As it comes: the host's network, all other namespaces.
    Usual,
    /// With `namespaces.net`.
    OwnNetwork,
    /// Without `namespaces.pid`, `uts` and `ipc`.
    FewNamespaces,
}

/// What stands in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// The own root: what is mounted, where it is writable, `nosuid`, `nodev`, sizes, `hidepid`, covers.
    Mounts,
    Pid,
    Ipc,
    Network,
    /// Another user than those of the host and of other tasks; rootless, the user namespace.
    User,
    /// None, and no way to get one: `no_new_privs`.
    Capabilities,
    Landlock,
    Seccomp,
    /// Nothing is inherited but the standard streams.
    Descriptors,
    Environment,
    /// Pid 1 of the sandbox cannot be looked into and takes no signal.
    PidOne,
    /// Resource limits, and no privilege to raise them.
    Limits,
    /// The runtime knows its tasks by their users.
    Api,
}

impl Layer {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mounts => "mounts",
            Self::Pid => "pid namespace",
            Self::Ipc => "ipc namespace",
            Self::Network => "net namespace",
            Self::User => "user",
            Self::Capabilities => "capabilities",
            Self::Landlock => "Landlock",
            Self::Seccomp => "seccomp",
            Self::Descriptors => "descriptors",
            Self::Environment => "environment",
            Self::PidOne => "pid 1",
            Self::Limits => "limits",
            Self::Api => "API",
        }
    }
}

pub struct Row {
    /// The attacker's name for it.
    pub name: &'static str,
    pub tries: &'static str,
    pub task: Task,
    /// Each of them is enough. None: it is open, and that is said in Not promised, or it must work.
    held_by: &'static [Layer],
    /// Where it differs for a runtime that is not root.
    rootless: Option<&'static [Layer]>,
    /// The version of Landlock's interface from which on Landlock is one of the layers.
    landlock_since: u64,
}

impl Row {
    pub const fn held_by(&self, mode: Mode) -> &'static [Layer] {
        match (mode, self.rootless) {
            (Mode::Rootless, Some(layers)) => layers,
            (Mode::Root | Mode::Rootless, _) => self.held_by,
        }
    }

    /// Whether it goes through where `off` is missing and Landlock has this version.
    pub fn is_open(&self, mode: Mode, off: &[Layer], landlock_abi: u64) -> bool {
        let holds = |layer: &Layer| !off.contains(layer) && (*layer != Landlock || landlock_abi >= self.landlock_since);
        !self.held_by(mode).iter().any(holds)
    }

    /// Without layers on purpose.
    pub const fn is_never_held(&self, mode: Mode) -> bool {
        self.held_by(mode).is_empty()
    }

    const fn rootless(mut self, layers: &'static [Layer]) -> Self {
        self.rootless = Some(layers);
        self
    }

    const fn since_landlock(mut self, abi: u64) -> Self {
        self.landlock_since = abi;
        self
    }

    const fn with(mut self, task: Task) -> Self {
        self.task = task;
        self
    }
}

const fn row(name: &'static str, tries: &'static str, held_by: &'static [Layer]) -> Row {
    Row { name, tries, task: Task::Usual, held_by, rootless: None, landlock_since: 1 }
}

/// Landlock keeps signals and abstract sockets inside from this version on.
const SCOPES: u64 = 6;

pub const GROUPS: [(&str, &[Row]); 5] =
    [("Processes", PROCESSES), ("Files", FILES), ("Identity", IDENTITY), ("Kernel", KERNEL), ("Network, IPC", NETWORK)];

const PROCESSES: &[Row] = &[
    row("signal-pid-1", "ends the sandbox's pid 1, with SIGKILL too", &[Pid, PidOne]),
    row("signal-host", "signals a process of the host", &[Pid, User]).rootless(&[Pid]),
    row("signal-host", "the same without a pid namespace", &[User, Landlock])
        .rootless(&[Landlock])
        .since_landlock(SCOPES)
        .with(Task::FewNamespaces),
    row("foreign-processes", "sees processes of others in `/proc`", &[Pid, Mounts]),
    row("foreign-processes", "the same without a pid namespace", &[Mounts]).with(Task::FewNamespaces),
    row("raise-rlimit", "raises a hard limit", &[Capabilities]),
    row("core-dump", "gets itself core dumps, which the host's handler would take", &[Limits]),
    row("prlimit-pid-1", "sets limits of pid 1", &[Seccomp, User]).rootless(&[Seccomp]),
    row("realtime-scheduler", "becomes SCHED_FIFO", &[Capabilities]),
    row("nice-down", "becomes nicer to itself", &[Capabilities]),
    row("lock-memory", "locks 64 MiB", &[Limits]),
    row("oom-score-down", "protects itself from the out-of-memory killer", &[Landlock, Capabilities]),
    row("fill-tmp", "allocates 1 TiB in `/tmp`", &[Mounts]),
    row("fill-shm", "allocates 1 TiB in `/dev/shm`", &[Mounts]),
    row("inodes-tmp", "makes 70,000 files in `/tmp`", &[Mounts]),
    row("inodes-shm", "makes 10,000 files in `/dev/shm`", &[Mounts]),
    row("control-tmp", "must work: writes to `/tmp` and `/dev/shm`", &[]),
];

const FILES: &[Row] = &[
    row("mount-tmpfs", "mounts a file system", &[Seccomp, Capabilities]),
    row("mount-bind", "mounts a directory elsewhere", &[Seccomp, Capabilities]),
    row("remount-writable", "makes the root writable", &[Seccomp, Capabilities]),
    row("unmount", "unmounts", &[Seccomp, Capabilities]),
    row("pivot-root", "changes the root by pivot_root", &[Seccomp, Capabilities]),
    row("chroot", "changes the root by chroot", &[Seccomp, Capabilities]),
    row("open-tree-path", "opens a path by open_tree and open_tree_attr", &[Seccomp]),
    row("open-tree", "copies a mount by open_tree", &[Seccomp, Capabilities]),
    row("move-mount", "moves a mount", &[Seccomp, Capabilities]),
    row("new-mount-api", "makes a file system by fsopen, changes one by fspick", &[Seccomp, Capabilities]),
    row("mount-attributes", "changes a mount by mount_setattr", &[Seccomp, Capabilities]),
    row("dot-dot", "leaves the root by `..` 64 times", &[Mounts]),
    row("inherited-descriptors", "finds open descriptors", &[Descriptors]),
    row("write-root", "writes to `/`, `/dev`, `/run`, `/proc`", &[Mounts, Landlock]),
    row("write-system", "writes to `/usr`, `/bin`, `/etc`, beside its script", &[Mounts, Landlock]),
    row("overwrite-program", "opens the host's programs for writing", &[Mounts, Landlock]),
    row("read-secrets", "reads `/etc/shadow`, `/root`, `/home`", &[Mounts]),
    row("read-database", "reads the runtime's data directory", &[Mounts]),
    row("read-other-task", "reads another task's directory", &[Mounts]),
    row("log-directory", "goes from its output to its log's directory", &[Mounts]),
    row("link-log", "links its output into the workspace", &[Mounts]),
    row("host-paths", "open: sees in `mountinfo` where its workspace is on the host", &[]),
    row("replace-workspace", "moves or removes the workspace itself", &[Mounts]),
    row("make-device", "makes a device", &[Capabilities]),
    row("open-devices", "opens `/dev/mem`, `kvm`, `fuse`, disks, terminals, …", &[Mounts]),
    row("core-pattern", "opens `core_pattern` for writing", &[Mounts, Landlock]),
    row("sysrq-trigger", "opens `sysrq-trigger` for writing", &[Mounts, Landlock]),
    row("write-sysctl", "opens other files of `/proc/sys` for writing", &[Mounts, Landlock]),
    row("covered-proc", "reads `kcore`, `kallsyms`, `keys`, `kmsg`, `timer_list`", &[Mounts]),
    row("sys", "finds `/sys` and cgroups", &[Mounts]),
    row("cgroup-file-systems", "finds a cgroup file system mounted", &[Mounts]),
    row("host-file-systems", "finds sysfs, devtmpfs, debugfs, … mounted", &[Mounts]),
    row("immutable-file", "makes a file that cannot be removed", &[Capabilities]),
    row("sparse-file", "open: makes a file of 1 TiB, without its blocks, in the workspace", &[]),
    row("control-workspace", "must work: writes to the workspace", &[]),
    row("control-null", "must work: writes to `/dev/null`", &[]),
];

const IDENTITY: &[Row] = &[
    row("pid-1-files", "reads `/proc/1/environ`, `mem`, `fd`, `root`, `exe`, `ns`, …", &[PidOne]),
    row("ptrace-pid-1", "traces pid 1", &[Seccomp, PidOne, User]),
    row("ptrace-self", "traces at all", &[Seccomp]),
    row("ptrace-host", "traces a process of the host", &[Seccomp, Landlock, User]).with(Task::FewNamespaces),
    row("read-memory-pid-1", "reads pid 1's memory", &[Seccomp, PidOne, User]),
    row("read-memory-self", "uses process_vm_readv at all", &[Seccomp]),
    row("descriptor-of-pid-1", "takes a descriptor of pid 1", &[Seccomp, PidOne, User]),
    row("descriptor-of-self", "uses pidfd_getfd at all", &[Seccomp]),
    row("become-root", "becomes user and group 0", &[Capabilities]),
    row("other-groups", "takes other groups", &[Capabilities]),
    row("suid-program", "runs a setuid program of the host's", &[Mounts, Capabilities]),
    row("own-suid-program", "finds a place where setuid counts", &[Mounts]),
    row("capabilities", "has a capability", &[Capabilities]),
    row("take-capabilities", "takes a capability", &[Capabilities]),
    row("new-privileges", "undoes `no_new_privs`", &[Capabilities]),
    row("environment", "finds variables of the server", &[Environment]),
    row("user-namespace-unshare", "makes a user namespace by unshare", &[Seccomp]),
    row("user-namespace-clone", "makes a user namespace by clone", &[Seccomp]),
    row("user-namespace-clone3", "makes a user namespace by clone3", &[Seccomp]),
    row("other-namespaces", "makes other namespaces", &[Seccomp, Capabilities]),
    row("join-namespace", "joins a namespace", &[Seccomp, Capabilities]),
    row("type-into-terminal", "types into a terminal (TIOCSTI, TIOCLINUX)", &[Seccomp, Mounts]),
    row("terminal", "opens `/dev/tty`", &[Mounts]),
];

const KERNEL: &[Row] = &[
    row("io-uring", "sets up io_uring", &[Seccomp]),
    row("perf-events", "counts events of a whole CPU", &[Seccomp, Capabilities]),
    row("userfaultfd", "handles page faults itself", &[Seccomp]),
    row("keyring", "uses the kernel's keys", &[Seccomp]),
    row("bpf", "looks for BPF programs", &[Seccomp, Capabilities]),
    row("load-module", "loads a module", &[Seccomp, Capabilities]),
    row("unload-module", "unloads a module", &[Seccomp, Capabilities]),
    row("reboot", "reboots", &[Seccomp, Capabilities]),
    row("kexec", "loads another kernel", &[Seccomp, Capabilities]),
    row("set-clock", "sets the clock", &[Seccomp, Capabilities]),
    row("set-time-zone", "sets the kernel's time zone", &[Seccomp, Capabilities]),
    row("kernel-log", "changes the kernel's log", &[Seccomp, Capabilities]),
    row("swap", "switches swap on and off", &[Seccomp, Capabilities]),
    row("accounting", "switches process accounting on", &[Seccomp, Capabilities]),
    row("host-name", "sets the host name", &[Seccomp, Capabilities]),
    row("hang-up-terminal", "hangs up the terminal", &[Seccomp, Capabilities]),
    row("file-handle-make", "makes a file handle", &[Seccomp]),
    row("file-handle-open", "opens a file by its handle", &[Seccomp, Capabilities]),
    row("fanotify", "watches files by fanotify", &[Seccomp]),
    row("kcmp", "compares processes", &[Seccomp]),
    row("io-ports", "reaches I/O ports", &[Seccomp, Capabilities]),
    row("descriptor-table", "reads its local descriptor table", &[Seccomp]),
    row("foreign-architecture", "makes a 32-bit system call (`int 0x80`)", &[Seccomp]),
    row("x32", "makes a system call of x32", &[Seccomp]),
];

const NETWORK: &[Row] = &[
    row("runtime-api", "submits a task without a sandbox", &[Api]),
    row("runtime-api", "the same with a network of its own", &[Network]).with(Task::OwnNetwork),
    row("host-loopback", "open: connects to a service of the host", &[]),
    row("host-loopback", "the same with a network of its own", &[Network]).with(Task::OwnNetwork),
    row("outside", "finds a way to other machines", &[Network]).with(Task::OwnNetwork),
    row("interfaces", "finds a device beside `lo`", &[Network]).with(Task::OwnNetwork),
    row("abstract-socket", "connects to an abstract socket of the host", &[Landlock]).since_landlock(SCOPES),
    row("abstract-socket", "the same with a network of its own", &[Network, Landlock])
        .since_landlock(SCOPES)
        .with(Task::OwnNetwork),
    row("pathname-socket", "connects to a socket in the host's files", &[Mounts]),
    row("vsock", "opens AF_VSOCK, which knows no network namespace", &[Seccomp]).with(Task::OwnNetwork),
    row("packet-socket", "opens AF_PACKET", &[Seccomp, Capabilities]),
    row("crypto-socket", "opens AF_ALG", &[Seccomp]),
    row("raw-socket", "opens a raw socket", &[Capabilities]),
    row("change-interface", "changes a network device", &[Capabilities]),
    row("shared-memory", "looks at shared memory of the host", &[Ipc]),
    row("control-loopback", "must work: connects to itself", &[]).with(Task::OwnNetwork),
];
