//! A pair of packet sockets over which a helper tells its parent how far it got, with a descriptor where one belongs to it.
use super::{check, owned};
use std::io::{Error, Result};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// The longest packet.
pub const PACKET_LIMIT_BYTES: usize = 16 * 1024;

pub fn pair() -> Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0; 2];
    // SAFETY: the array has room for both ends.
    check(i64::from(unsafe { libc::socketpair(libc::AF_UNIX, libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC, 0, ends.as_mut_ptr()) }))?;
    Ok((owned(i64::from(ends[0])), owned(i64::from(ends[1]))))
}

/// Room for one descriptor in a control message, aligned as the kernel wants it.
#[repr(C, align(8))]
struct Control([u8; 32]);

/// Sends one packet, with a descriptor if given.
pub fn send(socket: impl AsFd, packet: &[u8], descriptor: Option<&OwnedFd>) -> Result<()> {
    let mut part = libc::iovec { iov_base: packet.as_ptr().cast_mut().cast(), iov_len: packet.len() };
    let mut control = Control([0; 32]);
    // SAFETY: msghdr points at `part` and `control`, which live through the call; CMSG macros stay within the 32 bytes,
    // which hold the header (16) and one descriptor (4, padded to 8).
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &mut part;
        message.msg_iovlen = 1;
        if let Some(descriptor) = descriptor {
            message.msg_control = control.0.as_mut_ptr().cast();
            message.msg_controllen = libc::CMSG_SPACE(4) as _;
            let header = libc::CMSG_FIRSTHDR(&message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(4) as _;
            libc::CMSG_DATA(header).cast::<i32>().write_unaligned(descriptor.as_raw_fd());
        }
        check(libc::sendmsg(socket.as_fd().as_raw_fd(), &message, libc::MSG_NOSIGNAL) as i64).map(drop)
    }
}

/// Receives one packet and the descriptor that came with it; an empty packet means that the other end is closed.
pub fn receive(socket: impl AsFd) -> Result<(Vec<u8>, Option<OwnedFd>)> {
    let mut packet = vec![0; PACKET_LIMIT_BYTES];
    let mut part = libc::iovec { iov_base: packet.as_mut_ptr().cast(), iov_len: packet.len() };
    let mut control = Control([0; 32]);
    // SAFETY: as in `send`; a received descriptor is ours alone.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.0.as_mut_ptr().cast();
        message.msg_controllen = size_of::<Control>() as _;
        let length = loop {
            let length = libc::recvmsg(socket.as_fd().as_raw_fd(), &mut message, libc::MSG_CMSG_CLOEXEC);
            if length >= 0 || Error::last_os_error().raw_os_error() != Some(libc::EINTR) {
                break check(length as i64)?;
            }
        };
        packet.truncate(length as usize);
        let header = libc::CMSG_FIRSTHDR(&message);
        let descriptor = (!header.is_null() && (*header).cmsg_type == libc::SCM_RIGHTS)
            .then(|| owned(i64::from(libc::CMSG_DATA(header).cast::<i32>().read_unaligned())));
        Ok((packet, descriptor))
    }
}
