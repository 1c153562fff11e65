//! Where a controller of version 1 is mounted and which group there is ours, from `/proc/self/mountinfo` and
//! `/proc/self/cgroup` (proc_pid_mountinfo(5), cgroups(7)).

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use nix::sys::statfs::{CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, statfs};

/// The directory of our own group in the hierarchy that has the controller; the hierarchy's root where our own group
/// cannot be seen (in a container that has another part of the hierarchy mounted).
pub fn v1_dir(controller: &str, mountinfo: &str, own: &str) -> io::Result<PathBuf> {
    let mounts = mountinfo.lines().filter_map(|line| mount(line, "cgroup"));
    let mounts: Vec<Mount> = mounts.filter(|mount| mount.has(controller)).collect();
    let group = own_group(controller, own);
    let seen = mounts.iter().filter_map(|mount| mount.dir_of(group?)).find(|dir| dir.is_dir());
    let dir = seen.or_else(|| mounts.first().map(|mount| mount.point.clone()));
    dir.ok_or_else(|| io::Error::other(format!("no cgroup hierarchy with a {controller} controller is mounted")))
}

/// The directory of our own group in the hierarchy of version 2.
pub fn v2_dir(mountinfo: &str, own: &str) -> io::Result<PathBuf> {
    let missing = |what: &str| io::Error::other(what.to_owned());
    let group = own.lines().find_map(|line| line.strip_prefix("0::"));
    let group = group.ok_or_else(|| missing("this process is in no cgroup of version 2"))?;
    let mut mounts = mountinfo.lines().filter_map(|line| mount(line, "cgroup2")).peekable();
    mounts.peek().ok_or_else(|| missing("no cgroup hierarchy of version 2 is mounted"))?;
    let seen = mounts.filter_map(|mount| mount.dir_of(group)).find(|dir| dir.is_dir());
    seen.ok_or_else(|| missing(&format!("the cgroup {group} of this process cannot be seen here")))
}

/// Whether the path is in a cgroup file system of version 2.
pub fn is_v2(path: &Path) -> io::Result<bool> {
    Ok(statfs(path)?.filesystem_type() == CGROUP2_SUPER_MAGIC)
}

/// Whether the path is in a cgroup file system.
pub fn is_cgroup(path: &Path) -> bool {
    statfs(path).is_ok_and(|found| [CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC].contains(&found.filesystem_type()))
}

/// A mounted hierarchy.
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    /// The group that is seen at the mount point.
    root: PathBuf,
    point: PathBuf,
    /// None in version 2.
    controllers: Vec<String>,
}

impl Mount {
    fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|name| name == controller)
    }

    fn dir_of(&self, group: &str) -> Option<PathBuf> {
        let below = Path::new(group).strip_prefix(&self.root).ok()?;
        // A path that leads out of the cgroup namespace.
        let inside = !below.components().any(|part| part == std::path::Component::ParentDir);
        inside.then(|| if below == Path::new("") { self.point.clone() } else { self.point.join(below) })
    }
}

/// `36 25 0:31 / /sys/fs/cgroup/memory rw,nosuid shared:9 - cgroup cgroup rw,memory`
fn mount(line: &str, wanted: &str) -> Option<Mount> {
    let (fields, file_system) = line.split_once(" - ")?;
    let mut fields = fields.split(' ').skip(3);
    let (root, point) = (unescape(fields.next()?), unescape(fields.next()?));
    let mut file_system = file_system.split(' ');
    let (kind, options) = (file_system.next()?, file_system.nth(1)?);
    let controllers = || options.split(',').filter(|_| kind == "cgroup").map(str::to_owned).collect();
    (kind == wanted).then(|| Mount { root, point, controllers: controllers() })
}

/// `4:memory,hugetlb:/a/b` gives `/a/b`.
fn own_group<'a>(controller: &str, own: &'a str) -> Option<&'a str> {
    own.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, group) = rest.split_once(':')?;
        controllers.split(',').any(|name| name == controller).then_some(group)
    })
}

/// `\040` is a space: the kernel writes space, tab, newline and backslash as three octal digits.
fn unescape(field: &str) -> PathBuf {
    let bytes = field.as_bytes();
    let (mut plain, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(byte) = bytes.get(at) {
        let digits = (*byte == b'\\').then(|| field.get(at + 1..at + 4)).flatten();
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(escaped) => {
                plain.push(escaped);
                at += 4;
            }
            None => {
                plain.push(*byte);
                at += 1;
            }
        }
    }
    OsString::from_vec(plain).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mountinfo(root: &str, point: &Path) -> String {
        format!(
            "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
             35 31 0:32 {root} {} rw,relatime shared:9 - cgroup cgroup rw,memory,hugetlb\n\
             41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
            point.display()
        )
    }

    #[test]
    fn our_own_group_is_found_below_the_mount() {
        let dir = tempfile::tempdir().expect("temp dir");
        std::fs::create_dir_all(dir.path().join("a/b")).expect("made");
        let info = mountinfo("/", dir.path());
        let find = |own: &str| v1_dir("memory", &info, own).expect("mounted");
        assert_eq!(find("4:memory,hugetlb:/a/b\n0::/\n"), dir.path().join("a/b"));
        assert_eq!(find("4:memory:/\n"), dir.path());
        assert_eq!(find("4:memory:/gone\n"), dir.path(), "a group that is not there");
        assert_eq!(find("4:memory:/../other\n"), dir.path(), "outside the namespace");
        assert_eq!(find("3:pids:/a/b\n"), dir.path(), "no own group");
        assert!(v1_dir("pids", &info, "").expect_err("none").to_string().contains("pids controller"));
    }

    #[test]
    fn a_mount_of_a_part_shows_our_group_when_it_is_in_that_part() {
        let dir = tempfile::tempdir().expect("temp dir");
        std::fs::create_dir_all(dir.path().join("b")).expect("made");
        let info = mountinfo("/a", dir.path());
        assert_eq!(v1_dir("memory", &info, "4:memory:/a/b\n").expect("mounted"), dir.path().join("b"));
        assert_eq!(v1_dir("memory", &info, "4:memory:/ab\n").expect("mounted"), dir.path());
    }

    #[test]
    fn our_own_group_of_version_2_is_found() {
        let dir = tempfile::tempdir().expect("temp dir");
        std::fs::create_dir_all(dir.path().join("user.slice/x.scope")).expect("made");
        let info = format!(
            "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n40 31 0:37 / {} rw - cgroup2 cgroup2 rw\n",
            dir.path().display()
        );
        let find = |own: &str| v2_dir(&info, own).map_err(|error| error.to_string());
        assert_eq!(find("4:memory:/a\n0::/user.slice/x.scope\n"), Ok(dir.path().join("user.slice/x.scope")));
        assert_eq!(find("0::/\n"), Ok(dir.path().to_owned()), "as in a container");
        assert!(find("0::/../other\n").expect_err("outside the namespace").contains("cannot be seen"));
        assert!(find("4:memory:/a\n").expect_err("version 1").contains("no cgroup of version 2"));
        assert!(v2_dir("", "0::/\n").expect_err("not mounted").to_string().contains("mounted"));
    }

    #[test]
    fn paths_are_unescaped() {
        assert_eq!(unescape(r"/a\040b\134c\"), Path::new(r"/a b\c\"));
        assert_eq!(mount("1 2 0:3 / /m rw - ext4 /dev/x rw", "cgroup"), None);
        assert_eq!(mount("nonsense", "cgroup"), None);
    }
}
