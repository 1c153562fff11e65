//! What holds a task in: the kernel's means by which its use of the machine is bounded. It knows the kernel's files and
//! calls, and neither tasks nor messages: whoever launches says what to make.

pub mod cgroup;
