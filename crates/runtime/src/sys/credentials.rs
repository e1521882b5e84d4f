//! Users, groups, capabilities and the seccomp filter of the calling single-threaded process.
use super::{check, process::prctl};
use std::io::Result;

/// Groups, then group, then user; capabilities are kept for the `set_capabilities` that must follow.
pub fn become_user(user: u32, group: u32, groups: &[u32]) -> Result<()> {
    prctl(libc::PR_SET_KEEPCAPS, 1)?;
    // SAFETY: pointer and length describe `groups`; the others take numbers.
    unsafe {
        check(i64::from(libc::setgroups(groups.len(), groups.as_ptr())))?;
        check(i64::from(libc::setresgid(group, group, group)))?;
        check(i64::from(libc::setresuid(user, user, user)))?;
    }
    prctl(libc::PR_SET_KEEPCAPS, 0)
}

/// Takes every capability outside `kept` out of the bounding set. Numbers beyond the kernel's last one are ignored.
pub fn bound_capabilities(kept: u64) -> Result<()> {
    for number in 0..64u64 {
        if kept & (1 << number) == 0
            && let Err(error) = prctl(libc::PR_CAPBSET_DROP, number)
        {
            return if error.raw_os_error() == Some(libc::EINVAL) { Ok(()) } else { Err(error) };
        }
    }
    Ok(())
}

/// Effective and permitted become `set`; nothing is inheritable or ambient.
pub fn set_capabilities(set: u64) -> Result<()> {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    const VERSION_3: u32 = 0x2008_0522;
    let header = Header { version: VERSION_3, pid: 0 };
    let (low, high) = (set as u32, (set >> 32) as u32);
    let data: [u32; 6] = [low, low, 0, high, high, 0];
    prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as u64)
        .or_else(|error| if error.raw_os_error() == Some(libc::EINVAL) { Ok(()) } else { Err(error) })?;
    // SAFETY: header and the two data triples have the layout of version 3 and live through the call.
    check(unsafe { libc::syscall(libc::SYS_capset, &header, data.as_ptr()) }).map(drop)
}

/// The capabilities this process may hand on: its bounding set.
pub fn bounding_set() -> u64 {
    // SAFETY: the call takes a number and answers 0, 1 or -1.
    (0..64u64).filter(|number| unsafe { libc::prctl(libc::PR_CAPBSET_READ, *number, 0, 0, 0) } == 1).map(|number| 1 << number).sum()
}

/// Installs a classic BPF program (eight bytes an instruction) as seccomp filter.
pub fn filter_system_calls(program: &[libc::sock_filter]) -> Result<()> {
    let length = program.len().try_into().map_err(|_| std::io::Error::from_raw_os_error(libc::E2BIG))?;
    let program = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    // SAFETY: the kernel copies the program, which lives through the call; it never writes to it.
    check(unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &program) }).map(drop)
}
