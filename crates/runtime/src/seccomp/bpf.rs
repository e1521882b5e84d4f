//! From a profile to a classic BPF program. Rules are tried in order, the first that fits decides. The kernel caches which calls
//! are always allowed, so the straight line costs nothing for them.
use super::{Argument, Condition, Profile, Rule, names};
use crate::problem::{Outcome, Problem};
use libc::sock_filter;

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: (u32, &str) = (0xc000_003e, "amd64");
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: (u32, &str) = (0xc000_00b7, "arm64");

const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const EQUAL: u16 = 0x15;
const GREATER: u16 = 0x25;
const GREATER_EQUAL: u16 = 0x35;
const RETURN: u16 = 0x06;

const NUMBER: u32 = 0;
const ARCH: u32 = 4;
/// Calls of the x32 interface have this bit; they are never let through by number.
const X32_BIT: u32 = 0x4000_0000;
/// A jump to where the next rule begins, put in when the rule's length is known.
const NEXT_RULE: u8 = 255;
/// The kernel's limit.
const PROGRAM_LIMIT: usize = 4096;

pub fn assemble(profile: &Profile, capabilities: u64) -> Outcome<Vec<sock_filter>> {
    let default = action(&profile.default_action, profile.default_errno_ret)?;
    let mut program = vec![
        step(LOAD, ARCH, 0, 0),
        step(EQUAL, ARCHITECTURE.0, 1, 0),
        step(RETURN, default, 0, 0),
        step(LOAD, NUMBER, 0, 0),
        step(GREATER_EQUAL, X32_BIT, 0, 1),
        step(RETURN, default, 0, 0),
    ];
    for rule in profile.syscalls.iter().filter(|rule| applies(rule, capabilities)) {
        let verdict = action(&rule.action, rule.errno_ret)?;
        for name in rule.names.iter().chain(&rule.name) {
            if let Some(number) = names::number(name) {
                add_rule(&mut program, number, rule.args.as_deref().unwrap_or_default(), verdict)?;
            }
        }
    }
    program.push(step(RETURN, default, 0, 0));
    if program.len() > PROGRAM_LIMIT {
        return Err(Problem::invalid(format_args!("seccomp profile: {} instructions exceed the kernel's {PROGRAM_LIMIT}", program.len())));
    }
    Ok(program)
}

fn step(code: u16, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

fn applies(rule: &Rule, capabilities: u64) -> bool {
    let holds = |name: &String| crate::capabilities::bit(name).is_some_and(|bit| capabilities & bit != 0);
    let here = |condition: &Condition| condition.arches.iter().any(|arch| arch == ARCHITECTURE.1);
    let included = rule.includes.caps.iter().all(holds) && (rule.includes.arches.is_empty() || here(&rule.includes));
    included && !rule.excludes.caps.iter().any(holds) && !here(&rule.excludes)
}

fn action(name: &str, errno: Option<u32>) -> Outcome<u32> {
    let errno = errno.unwrap_or(libc::EPERM as u32) & 0xffff;
    Ok(match name {
        "SCMP_ACT_ALLOW" => libc::SECCOMP_RET_ALLOW,
        "SCMP_ACT_ERRNO" => libc::SECCOMP_RET_ERRNO | errno,
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => libc::SECCOMP_RET_KILL_THREAD,
        "SCMP_ACT_KILL_PROCESS" => libc::SECCOMP_RET_KILL_PROCESS,
        "SCMP_ACT_TRAP" => libc::SECCOMP_RET_TRAP,
        "SCMP_ACT_LOG" => libc::SECCOMP_RET_LOG,
        "SCMP_ACT_TRACE" => libc::SECCOMP_RET_TRACE | errno,
        other => return Err(Problem::invalid(format_args!("seccomp profile: action {other:?} is not supported"))),
    })
}

fn add_rule(program: &mut Vec<sock_filter>, number: u32, arguments: &[Argument], verdict: u32) -> Outcome<()> {
    // Several conditions on one argument are alternatives, conditions on different arguments must all hold.
    let repeated = arguments.iter().any(|one| arguments.iter().filter(|other| other.index == one.index).count() > 1);
    if repeated {
        return arguments.iter().try_for_each(|one| add_rule(program, number, std::slice::from_ref(one), verdict));
    }
    let start = program.len();
    program.push(step(EQUAL, number, 0, NEXT_RULE));
    for argument in arguments {
        program.extend(condition(argument)?);
    }
    program.push(step(RETURN, verdict, 0, 0));
    let end = program.len();
    for (at, instruction) in program.iter_mut().enumerate().skip(start) {
        let far = (end - at - 1) as u8;
        for jump in [&mut instruction.jt, &mut instruction.jf] {
            if *jump == NEXT_RULE {
                *jump = far;
            }
        }
    }
    if !arguments.is_empty() {
        program.push(step(LOAD, NUMBER, 0, 0));
    }
    Ok(())
}

/// Falls through when the condition holds, else jumps to the next rule.
fn condition(argument: &Argument) -> Outcome<Vec<sock_filter>> {
    if argument.index > 5 {
        return Err(Problem::invalid(format_args!("seccomp profile: argument index {} is beyond 5", argument.index)));
    }
    let (low, high) = (16 + 8 * argument.index, 20 + 8 * argument.index);
    let (value_low, value_high) = (argument.value as u32, (argument.value >> 32) as u32);
    let load = |place| step(LOAD, place, 0, 0);
    let beyond = |code| {
        vec![
            load(high),
            step(GREATER, value_high, 3, 0),
            step(EQUAL, value_high, 0, NEXT_RULE),
            load(low),
            step(code, value_low, 0, NEXT_RULE),
        ]
    };
    let below = |code| {
        vec![
            load(high),
            step(GREATER, value_high, NEXT_RULE, 0),
            step(EQUAL, value_high, 0, 2),
            load(low),
            step(code, value_low, NEXT_RULE, 0),
        ]
    };
    Ok(match argument.op.as_str() {
        "SCMP_CMP_EQ" => vec![load(high), step(EQUAL, value_high, 0, NEXT_RULE), load(low), step(EQUAL, value_low, 0, NEXT_RULE)],
        "SCMP_CMP_NE" => vec![load(high), step(EQUAL, value_high, 0, 2), load(low), step(EQUAL, value_low, NEXT_RULE, 0)],
        "SCMP_CMP_GT" => beyond(GREATER),
        "SCMP_CMP_GE" => beyond(GREATER_EQUAL),
        "SCMP_CMP_LT" => below(GREATER_EQUAL),
        "SCMP_CMP_LE" => below(GREATER),
        "SCMP_CMP_MASKED_EQ" => {
            let (wanted_low, wanted_high) = (argument.value_two as u32, (argument.value_two >> 32) as u32);
            vec![
                load(high),
                step(AND, value_high, 0, 0),
                step(EQUAL, wanted_high, 0, NEXT_RULE),
                load(low),
                step(AND, value_low, 0, 0),
                step(EQUAL, wanted_low, 0, NEXT_RULE),
            ]
        }
        other => return Err(Problem::invalid(format_args!("seccomp profile: comparison {other:?} is not known"))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the program as the kernel would, for the native architecture.
    fn run(program: &[sock_filter], number: u32, arguments: [u64; 6]) -> u32 {
        let mut words = vec![number, ARCHITECTURE.0, 0, 0];
        words.extend(arguments.iter().flat_map(|value| [*value as u32, (*value >> 32) as u32]));
        let (mut at, mut held) = (0usize, 0u32);
        loop {
            let one = program[at];
            at += 1;
            let jump = |yes: bool| usize::from(if yes { one.jt } else { one.jf });
            match one.code {
                LOAD => held = words[one.k as usize / 4],
                AND => held &= one.k,
                EQUAL => at += jump(held == one.k),
                GREATER => at += jump(held > one.k),
                GREATER_EQUAL => at += jump(held >= one.k),
                RETURN => return one.k,
                other => panic!("code {other}"),
            }
        }
    }

    #[test]
    fn comparisons_are_those_of_64_bit_numbers() {
        let big = 0x1_0000_0000u64;
        let cases: [(&str, u64, &[u64], &[u64]); 6] = [
            ("EQ", big + 5, &[big + 5], &[5, big, big + 6]),
            ("NE", big, &[0, big + 1], &[big]),
            ("GT", big, &[big + 1, 2 * big], &[big, 7, u64::from(u32::MAX)]),
            ("GE", big, &[big, big + 1], &[big - 1]),
            ("LT", big, &[big - 1, 0], &[big, 2 * big]),
            ("LE", big, &[big, 3], &[big + 1, 2 * big]),
        ];
        for (name, value, fit, miss) in cases {
            let text = format!(
                r#"{{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{{"names":["read"],"action":"SCMP_ACT_ALLOW",
                "args":[{{"index":1,"value":{value},"op":"SCMP_CMP_{name}"}}]}},{{"names":["write"],"action":"SCMP_ACT_LOG"}}]}}"#
            );
            let program = assemble(&super::super::parse(&text).unwrap(), 0).unwrap();
            let read = |value| run(&program, libc::SYS_read as u32, [9, value, 9, 9, 9, 9]);
            assert!(fit.iter().all(|value| read(*value) == libc::SECCOMP_RET_ALLOW), "{name}");
            assert!(miss.iter().all(|value| read(*value) == libc::SECCOMP_RET_ERRNO | 1), "{name}");
            assert_eq!(run(&program, libc::SYS_write as u32, [0; 6]), libc::SECCOMP_RET_LOG);
        }
    }

    #[test]
    fn the_default_profile_depends_on_capabilities() {
        let profile = super::super::default::profile();
        let mount = |capabilities| run(&assemble(&profile, capabilities).unwrap(), libc::SYS_mount as u32, [0; 6]);
        assert_eq!(mount(0), libc::SECCOMP_RET_ERRNO | 1);
        assert_eq!(mount(crate::capabilities::bit("CAP_SYS_ADMIN").unwrap()), libc::SECCOMP_RET_ALLOW);
        let program = assemble(&profile, 0).unwrap();
        assert_eq!(run(&program, libc::SYS_clone3 as u32, [0; 6]), libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32);
        assert_eq!(run(&program, libc::SYS_clone as u32, [libc::CLONE_NEWUSER as u64, 0, 0, 0, 0, 0]), libc::SECCOMP_RET_ERRNO | 1);
        assert_eq!(run(&program, libc::SYS_clone as u32, [libc::SIGCHLD as u64, 0, 0, 0, 0, 0]), libc::SECCOMP_RET_ALLOW);
    }

    #[test]
    fn an_unknown_action_is_refused() {
        let profile = super::super::parse(r#"{"defaultAction":"SCMP_ACT_NOTIFY"}"#).unwrap();
        assert!(assemble(&profile, 0).is_err());
    }
}
