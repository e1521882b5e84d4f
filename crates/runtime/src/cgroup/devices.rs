//! Which devices a container may open: a list per group on version 1, a small program per group on version 2. Both come from the
//! same rules. Making nodes is harmless; opening is for the basic ones, terminals and what the container was given.
use super::Cgroups;
use crate::problem::{Doing, Outcome};
use crate::spec::Device;
use crate::sys::bpf::{Instruction, attach_device_filter};
use std::path::Path;

const MAKE: u32 = 1;
const READ: u32 = 2;
const WRITE: u32 = 4;
const ALL: u32 = MAKE | READ | WRITE;

/// What may be done to a device; `None` is any number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rule {
    block: bool,
    major: Option<u32>,
    minor: Option<u32>,
    access: u32,
}

const fn character(major: u32, minor: Option<u32>) -> Rule {
    Rule { block: false, major: Some(major), minor, access: ALL }
}

const BASIC: [Rule; 10] = [
    Rule { block: false, major: None, minor: None, access: MAKE },
    Rule { block: true, major: None, minor: None, access: MAKE },
    character(1, Some(3)),
    character(1, Some(5)),
    character(1, Some(7)),
    character(1, Some(8)),
    character(1, Some(9)),
    character(5, Some(0)),
    character(5, Some(2)),
    character(136, None),
];

impl Cgroups {
    /// Lets the group open the basic devices and `devices` with the access given ("rwm") and no others.
    pub fn allow_devices(&self, group: &str, devices: &[(Device, String)]) -> Outcome<()> {
        let given = devices.iter().map(|(device, access)| Rule {
            block: device.block,
            major: Some(device.major),
            minor: Some(device.minor),
            access: access_of(access),
        });
        let rules: Vec<Rule> = BASIC.into_iter().chain(given).collect();
        match self.folder("devices", group) {
            None => Ok(()),
            Some(folder) if self.is_version_2() => attach_device_filter(&folder, &program(&rules)).doing("restrict devices"),
            Some(folder) => write_list(&folder, &rules),
        }
    }
}

fn access_of(text: &str) -> u32 {
    let bit = |letter: char, bit: u32| if text.contains(letter) { bit } else { 0 };
    if text.is_empty() { ALL } else { bit('m', MAKE) | bit('r', READ) | bit('w', WRITE) }
}

fn write_list(folder: &Path, rules: &[Rule]) -> Outcome<()> {
    std::fs::write(folder.join("devices.deny"), "a").doing("deny devices")?;
    for rule in rules {
        let number = |number: Option<u32>| number.map_or("*".to_owned(), |number| number.to_string());
        let access: String =
            [('r', READ), ('w', WRITE), ('m', MAKE)].iter().filter(|(_, bit)| rule.access & bit != 0).map(|(letter, _)| *letter).collect();
        let kind = if rule.block { 'b' } else { 'c' };
        let line = format!("{kind} {}:{} {access}", number(rule.major), number(rule.minor));
        std::fs::write(folder.join("devices.allow"), &line).doing(format_args!("allow device {line:?}"))?;
    }
    Ok(())
}

/// Answers 1 when a rule covers the kind, the numbers and all of the access that the context (in r1) tells.
fn program(rules: &[Rule]) -> Vec<Instruction> {
    const LOAD_WORD: u8 = 0x61;
    const MOVE_32: u8 = 0xbc;
    const AND_32: u8 = 0x54;
    const SHIFT_RIGHT_32: u8 = 0x74;
    const JUMP_UNLESS_EQUAL: u8 = 0x55;
    const MOVE_VALUE: u8 = 0xb7;
    const EXIT: u8 = 0x95;
    let step = |code: u8, to: u8, from: u8, offset: i16, value: i32| Instruction { code, registers: from << 4 | to, offset, value };
    let answer = |value: i32| [step(MOVE_VALUE, 0, 0, 0, value), step(EXIT, 0, 0, 0, 0)];
    // r2 kind, r3 access, r4 major, r5 minor.
    let mut program = vec![
        step(LOAD_WORD, 2, 1, 0, 0),
        step(MOVE_32, 3, 2, 0, 0),
        step(SHIFT_RIGHT_32, 3, 0, 0, 16),
        step(AND_32, 2, 0, 0, 0xffff),
        step(LOAD_WORD, 4, 1, 4, 0),
        step(LOAD_WORD, 5, 1, 8, 0),
    ];
    for rule in rules {
        let kind = if rule.block { 1 } else { 2 };
        let mut tests = vec![(2, kind)];
        let mut body = Vec::new();
        if rule.access != ALL {
            body.extend([step(MOVE_32, 6, 3, 0, 0), step(AND_32, 6, 0, 0, (ALL & !rule.access) as i32)]);
            tests.push((6, 0));
        }
        tests.extend(rule.major.map(|major| (4, major as i32)));
        tests.extend(rule.minor.map(|minor| (5, minor as i32)));
        body.extend(tests.iter().map(|(register, value)| step(JUMP_UNLESS_EQUAL, *register, 0, 0, *value)));
        body.extend(answer(1));
        let length = body.len();
        for (at, one) in body.iter_mut().enumerate().filter(|(_, one)| one.code == JUMP_UNLESS_EQUAL) {
            one.offset = (length - at - 1) as i16;
        }
        program.extend(body);
    }
    program.extend(answer(0));
    program
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A device of version 2 groups wherever such a hierarchy is mounted (also on a hybrid host).
    #[test]
    fn a_version_2_group_opens_only_what_it_may() {
        let table = std::fs::read_to_string("/proc/self/mounts").unwrap();
        let mount = table
            .lines()
            .map(|line| line.split(' ').collect::<Vec<_>>())
            .find(|fields| fields[2] == "cgroup2")
            .expect("cgroup2 is mounted")[1];
        let group = Path::new(mount).join(format!("coxswain-test-devices-{}", std::process::id()));
        std::fs::create_dir(&group).unwrap();
        attach_device_filter(&group, &program(&BASIC)).unwrap();
        let script = format!(
            "echo $$ > {}/cgroup.procs; echo x > /dev/null && echo basic; n=$(mktemp -u); mknod $n c 1 1 && echo made; head -c 1 $n; rm $n; exit 0",
            group.display()
        );
        let output = std::process::Command::new("sh").arg("-c").arg(script).output().unwrap();
        std::fs::remove_dir(&group).unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "basic\nmade\n");
        assert!(String::from_utf8_lossy(&output.stderr).contains("Operation not permitted"));
    }

    #[test]
    fn access_in_letters() {
        assert_eq!(["rwm", "", "r", "rw"].map(access_of), [ALL, ALL, READ, READ | WRITE]);
    }
}
