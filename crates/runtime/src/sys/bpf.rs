//! Loads a program that decides which devices a version 2 control group may open, and attaches it to the group.
use super::{check, owned};
use std::io::Result;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

/// One instruction of eBPF.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    pub code: u8,
    /// Destination in the lower, source in the upper half.
    pub registers: u8,
    pub offset: i16,
    pub value: i32,
}

#[repr(C)]
struct Load {
    kind: u32,
    count: u32,
    program: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
}

#[repr(C)]
struct Attach {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
}

const PROG_LOAD: i64 = 5;
const PROG_ATTACH: i64 = 8;
const PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_CGROUP_DEVICE: u32 = 6;
/// Programs of groups above hold as well.
const ALLOW_MULTI: u32 = 2;

/// The group keeps the program for as long as it exists.
pub fn attach_device_filter(group: &Path, program: &[Instruction]) -> Result<()> {
    let group = std::fs::File::open(group)?;
    let program = load(program)?;
    let attach =
        Attach { target: group.as_raw_fd() as u32, program: program.as_raw_fd() as u32, kind: ATTACH_CGROUP_DEVICE, flags: ALLOW_MULTI };
    // SAFETY: the attributes live through the call and are as long as said; both descriptors are open.
    check(unsafe { libc::syscall(libc::SYS_bpf, PROG_ATTACH, &attach, size_of::<Attach>()) }).map(drop)
}

fn load(program: &[Instruction]) -> Result<OwnedFd> {
    let load = Load {
        kind: PROG_TYPE_CGROUP_DEVICE,
        count: program.len() as u32,
        program: program.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
    };
    // SAFETY: the attributes and what they point to live through the call; the kernel verifies the program.
    check(unsafe { libc::syscall(libc::SYS_bpf, PROG_LOAD, &load, size_of::<Load>()) }).map(owned)
}
