//! The default profile, `RuntimeDefault`: what ordinary programs use is allowed; what reaches into the kernel's insides needs
//! the capability that stands for it; anything else answers EPERM. It follows what other runtimes allow, so that images behave alike.
use super::{Argument, Condition, Profile, Rule};

#[rustfmt::skip]
const ALLOWED: &str = "accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir chmod chown clock_adjtime clock_getres \
    clock_gettime clock_nanosleep close close_range connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl \
    epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2 \
    fadvise64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl fdatasync fgetxattr flistxattr flock fork \
    fremovexattr fsetxattr fstat fstatfs fsync ftruncate futex futex_requeue futex_wait futex_waitv futex_wake futimesat getcpu getcwd \
    getdents getdents64 getegid geteuid getgid getgroups getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom \
    getresgid getresuid getrlimit get_robust_list getrusage getsid getsockname getsockopt get_thread_area gettid gettimeofday getuid \
    getxattr getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel ioctl io_destroy io_getevents io_pgetevents \
    ioprio_get ioprio_set io_setup io_submit kill landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lgetxattr link \
    linkat listen listmount listxattr listxattrat llistxattr lremovexattr lseek lsetxattr lstat madvise map_shadow_stack membarrier memfd_create \
    memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap mprotect mq_getsetattr mq_notify mq_open mq_timedreceive \
    mq_timedsend mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall munmap name_to_handle_at nanosleep \
    newfstatat open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll prctl \
    pread64 preadv preadv2 prlimit64 process_mrelease pselect6 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv \
    recvfrom recvmmsg recvmsg remap_file_pages removexattr removexattrat rename renameat renameat2 restart_syscall rmdir rseq rt_sigaction \
    rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo sched_getaffinity \
    sched_getattr sched_getparam sched_get_priority_max sched_get_priority_min sched_getscheduler sched_rr_get_interval \
    sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop \
    sendfile sendmmsg sendmsg sendto setfsgid setfsuid setgid setgroups setitimer setpgid setpriority setregid setresgid setresuid \
    setreuid setrlimit set_robust_list setsid setsockopt set_thread_area set_tid_address setuid setxattr setxattrat shmat shmctl shmdt shmget \
    shutdown sigaltstack signalfd signalfd4 socketpair splice stat statfs statmount statx symlink symlinkat sync sync_file_range syncfs \
    sysinfo tee tgkill time timer_create timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create timerfd_gettime \
    timerfd_settime times tkill truncate umask uname unlink unlinkat uretprobe utime utimensat utimes vfork vmsplice wait4 waitid \
    write writev process_vm_readv process_vm_writev ptrace arch_prctl modify_ldt";

/// What a capability opens up.
const BY_CAPABILITY: [(&str, &str); 11] = [
    ("CAP_DAC_READ_SEARCH", "open_by_handle_at"),
    (
        "CAP_SYS_ADMIN",
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr lsm_list_modules \
         lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname \
         setns syslog umount umount2 unshare",
    ),
    ("CAP_SYS_BOOT", "reboot"),
    ("CAP_SYS_CHROOT", "chroot"),
    ("CAP_SYS_MODULE", "delete_module init_module finit_module"),
    ("CAP_SYS_PACCT", "acct"),
    ("CAP_SYS_PTRACE", "kcmp pidfd_getfd process_madvise"),
    ("CAP_SYS_RAWIO", "iopl ioperm"),
    ("CAP_SYS_TIME", "settimeofday stime clock_settime"),
    ("CAP_SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
    ("CAP_SYSLOG", "syslog"),
];

/// The personalities that change nothing about safety.
const PERSONALITIES: [u64; 5] = [0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// The flags of clone that make namespaces.
const NAMESPACE_FLAGS: u64 = 0x7e02_0000;

/// Sockets to a hypervisor are not for containers.
const AF_VSOCK: u64 = 40;

pub fn profile() -> Profile {
    let mut syscalls = vec![allow(ALLOWED)];
    syscalls.extend(BY_CAPABILITY.iter().map(|(capability, names)| Rule { includes: holding(capability), ..allow(names) }));
    syscalls.extend(PERSONALITIES.iter().map(|value| with(allow("personality"), 0, *value, 0, "SCMP_CMP_EQ")));
    syscalls.push(with(allow("socket"), 0, AF_VSOCK, 0, "SCMP_CMP_NE"));
    let without_admin = |rule: Rule| Rule { excludes: holding("CAP_SYS_ADMIN"), ..rule };
    syscalls.push(without_admin(with(allow("clone"), 0, NAMESPACE_FLAGS, 0, "SCMP_CMP_MASKED_EQ")));
    // The flags of clone3 lie in memory, out of a filter's sight: programs fall back to clone when it does not exist.
    let absent = Rule { action: "SCMP_ACT_ERRNO".into(), errno_ret: Some(libc::ENOSYS as u32), ..allow("clone3") };
    syscalls.push(without_admin(absent));
    Profile { default_action: "SCMP_ACT_ERRNO".into(), default_errno_ret: None, syscalls }
}

fn allow(names: &str) -> Rule {
    Rule { names: names.split_whitespace().map(str::to_owned).collect(), action: "SCMP_ACT_ALLOW".into(), ..Default::default() }
}

fn holding(capability: &str) -> Condition {
    Condition { caps: vec![capability.into()], arches: Vec::new() }
}

fn with(rule: Rule, index: u32, value: u64, value_two: u64, op: &str) -> Rule {
    Rule { args: Some(vec![Argument { index, value, value_two, op: op.into() }]), ..rule }
}
