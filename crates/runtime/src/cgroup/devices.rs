//! Which devices a container may open. Version 1 has a list per group. On version 2 the root and every volume are without
//! devices (nodev), and what is in /dev is what the runtime made.
use super::Cgroups;
use crate::problem::{Doing, Outcome};
use crate::spec::Device;

/// Making nodes is harmless; opening is for the basic ones, terminals and what the container was given.
const BASIC: [&str; 10] =
    ["c *:* m", "b *:* m", "c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm", "c 1:8 rwm", "c 1:9 rwm", "c 5:0 rwm", "c 5:2 rwm", "c 136:* rwm"];

impl Cgroups {
    pub fn allow_devices(&self, group: &str, devices: &[(Device, String)]) -> Outcome<()> {
        if self.is_version_2() {
            return Ok(());
        }
        let Some(folder) = self.folder("devices", group) else { return Ok(()) };
        std::fs::write(folder.join("devices.deny"), "a").doing("deny devices")?;
        let given = devices.iter().map(|(device, access)| {
            let kind = if device.block { 'b' } else { 'c' };
            format!("{kind} {}:{} {access}", device.major, device.minor)
        });
        for rule in BASIC.iter().map(|rule| (*rule).to_owned()).chain(given) {
            std::fs::write(folder.join("devices.allow"), &rule).doing(format_args!("allow device {rule:?}"))?;
        }
        Ok(())
    }
}
