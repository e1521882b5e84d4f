//! From a CRI container configuration, its sandbox and its image to the spec that a helper carries out. Pure but for looking at
//! the devices it is given: what may be refused is refused here, before anything exists.
use crate::capabilities;
use crate::image::config::Settings;
use crate::problem::{Doing, Outcome, Problem};
use crate::spec::{Device, Mount, Process, Propagation, Seccomp, Source, User};
use cri::v1::{
    ContainerConfig, LinuxContainerSecurityContext, MountPropagation, NamespaceMode, SupplementalGroupsPolicy,
    security_profile::ProfileType,
};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

pub fn security(config: &ContainerConfig) -> LinuxContainerSecurityContext {
    config.linux.as_ref().and_then(|linux| linux.security_context.clone()).unwrap_or_default()
}

pub fn process(config: &ContainerConfig, image: &Settings, host_name: &str, host_capabilities: u64) -> Outcome<Process> {
    let security = security(config);
    let folder = [&config.working_dir, &image.working_dir].into_iter().find(|path| !path.is_empty()).cloned().unwrap_or("/".into());
    Ok(Process {
        arguments: arguments(config, image)?,
        environment: environment(config, image, host_name),
        folder,
        user: user(&security, image)?,
        capabilities: if security.privileged {
            host_capabilities
        } else {
            let wanted = security.capabilities.clone().unwrap_or_default();
            capabilities::choose(&wanted.add_capabilities, &wanted.drop_capabilities, host_capabilities)?
        },
        no_new_privileges: security.no_new_privs,
        seccomp: seccomp(&security)?,
        terminal: config.tty,
    })
}

fn arguments(config: &ContainerConfig, image: &Settings) -> Outcome<Vec<String>> {
    let (mut command, mut arguments) = (config.command.clone(), config.args.clone());
    if command.is_empty() {
        // The image's arguments belong to its entrypoint: a command of one's own takes neither.
        command = image.entrypoint.clone();
        if arguments.is_empty() {
            arguments = image.cmd.clone();
        }
    }
    command.extend(arguments);
    if command.is_empty() {
        return Err(Problem::invalid("no command specified"));
    }
    Ok(command)
}

fn environment(config: &ContainerConfig, image: &Settings, host_name: &str) -> Vec<String> {
    let own = config.envs.iter().map(|one| format!("{}={}", one.key, String::from_utf8_lossy(&one.value)));
    let mut environment: Vec<String> = Vec::new();
    for one in std::iter::once(format!("HOSTNAME={host_name}")).chain(image.env.iter().cloned()).chain(own) {
        let name_length = one.find('=').map_or(one.len(), |at| at + 1);
        match environment.iter_mut().find(|known| known.get(..name_length) == Some(&one[..name_length])) {
            Some(known) => *known = one,
            None => environment.push(one),
        }
    }
    environment
}

fn user(security: &LinuxContainerSecurityContext, image: &Settings) -> Outcome<User> {
    let number = |value: i64| u32::try_from(value).map_err(|_| Problem::invalid(format_args!("user or group {value} is out of range")));
    let group = security.run_as_group.as_ref().map(|group| number(group.value)).transpose()?;
    let name = match (&security.run_as_user, security.run_as_username.as_str()) {
        (Some(user), _) => number(user.value)?.to_string(),
        (None, "") => image.user.clone(),
        (None, name) => name.to_owned(),
    };
    Ok(User {
        name,
        group,
        supplemental_groups: security.supplemental_groups.iter().map(|group| number(*group)).collect::<Outcome<_>>()?,
        strict_groups: security.supplemental_groups_policy == SupplementalGroupsPolicy::Strict as i32,
    })
}

fn seccomp(security: &LinuxContainerSecurityContext) -> Outcome<Seccomp> {
    let Some(profile) = security.seccomp.as_ref().filter(|_| !security.privileged) else { return Ok(Seccomp::Unconfined) };
    match ProfileType::try_from(profile.profile_type).unwrap_or_default() {
        ProfileType::RuntimeDefault => Ok(Seccomp::RuntimeDefault),
        ProfileType::Unconfined => Ok(Seccomp::Unconfined),
        ProfileType::Localhost => {
            let path = profile.localhost_ref.trim_start_matches("localhost/");
            let text = std::fs::read_to_string(path).doing(format_args!("cannot load seccomp profile {path:?}"))?;
            crate::seccomp::compile(&Seccomp::Profile(text.clone()), u64::MAX)?;
            Ok(Seccomp::Profile(text))
        }
    }
}

/// AppArmor is a module that this kernel must have for a profile to be more than words.
pub fn check_apparmor(security: &LinuxContainerSecurityContext) -> Outcome<()> {
    let Some(profile) = security.apparmor.as_ref().filter(|_| !security.privileged) else { return Ok(()) };
    match ProfileType::try_from(profile.profile_type).unwrap_or_default() {
        ProfileType::Localhost => Err(Problem::invalid(format_args!(
            "apparmor profile {:?} asked for, but this runtime does not confine with AppArmor",
            profile.localhost_ref
        ))),
        _ => Ok(()),
    }
}

/// The mounts of the configuration, without those of images, which the caller looks up.
pub fn host_mounts(config: &ContainerConfig) -> Outcome<Vec<Mount>> {
    config.mounts.iter().filter(|mount| mount.image.is_none()).map(host_mount).collect()
}

fn host_mount(mount: &cri::v1::Mount) -> Outcome<Mount> {
    if mount.recursive_read_only && !mount.readonly {
        return Err(Problem::invalid(format_args!("mount {}: recursively read-only must be read-only", mount.container_path)));
    }
    let mut result = Mount {
        source: Source::Host(mount.host_path.clone().into()),
        destination: absolute(&mount.container_path),
        read_only: mount.readonly,
        recursive_read_only: mount.recursive_read_only,
        propagation: match MountPropagation::try_from(mount.propagation).unwrap_or_default() {
            MountPropagation::PropagationPrivate => Propagation::Private,
            MountPropagation::PropagationHostToContainer => Propagation::FromHost,
            MountPropagation::PropagationBidirectional => Propagation::Both,
        },
        ..Default::default()
    };
    for option in &mount.mount_options {
        match option.as_str() {
            "noexec" => result.no_exec = true,
            "nosuid" => result.no_suid = true,
            "nodev" => result.no_dev = true,
            "ro" => result.read_only = true,
            other => return Err(Problem::invalid(format_args!("mount {}: option {other:?} is not supported", mount.container_path))),
        }
    }
    Ok(result)
}

pub fn absolute(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}

/// The devices of the configuration with the access to each; every one of the host for a privileged container.
pub fn devices(config: &ContainerConfig) -> Outcome<Vec<(Device, String)>> {
    let mut devices = Vec::new();
    if security(config).privileged {
        collect_devices(Path::new("/dev"), "/dev", &mut devices);
    }
    for given in &config.devices {
        let source = Path::new(&given.host_path);
        let data = std::fs::metadata(source).doing(format_args!("device {}", given.host_path))?;
        if data.is_dir() {
            collect_devices(source, &given.container_path, &mut devices);
        } else {
            let device = device(&data, &given.container_path)
                .ok_or_else(|| Problem::invalid(format_args!("{} is not a device node", given.host_path)))?;
            devices.push((device, given.permissions.clone()));
        }
    }
    Ok(devices)
}

fn device(data: &std::fs::Metadata, path: &str) -> Option<Device> {
    let kind = data.file_type();
    let numbers = (libc::major(data.rdev()), libc::minor(data.rdev()));
    (kind.is_block_device() || kind.is_char_device()).then(|| Device {
        path: path.to_owned(),
        block: kind.is_block_device(),
        major: numbers.0,
        minor: numbers.1,
        mode: data.mode() & 0o7777,
        user: data.uid(),
        group: data.gid(),
    })
}

fn collect_devices(folder: &Path, shown: &str, devices: &mut Vec<(Device, String)>) {
    const OWN: [&str; 12] = ["pts", "shm", "mqueue", "fd", "console", "null", "zero", "full", "random", "urandom", "tty", "ptmx"];
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Ok(data) = entry.metadata() else { continue };
        if shown == "/dev" && OWN.contains(&name.as_str()) {
            continue;
        }
        let path = format!("{shown}/{name}");
        if data.is_dir() {
            collect_devices(&entry.path(), &path, devices);
        } else if let Some(device) = device(&data, &path) {
            devices.push((device, "rwm".into()));
        }
    }
}

pub fn mode(value: i32) -> NamespaceMode {
    NamespaceMode::try_from(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn command_and_arguments_follow_the_image() {
        let image = Settings { entrypoint: texts(&["/e"]), cmd: texts(&["c"]), ..Default::default() };
        let run = |command: &[&str], args: &[&str]| {
            arguments(&ContainerConfig { command: texts(command), args: texts(args), ..Default::default() }, &image).unwrap().join(" ")
        };
        assert_eq!([run(&[], &[]), run(&[], &["a"]), run(&["/x"], &[]), run(&["/x"], &["a"])], ["/e c", "/e a", "/x", "/x a"]);
        assert!(arguments(&ContainerConfig::default(), &Settings::default()).is_err());
    }

    #[test]
    fn own_variables_win() {
        let image = Settings { env: texts(&["A=1", "AB=2"]), ..Default::default() };
        let value = |key: &str, value: &str| cri::v1::KeyValue { key: key.into(), value: value.into() };
        let config = ContainerConfig { envs: vec![value("A", "3"), value("HOSTNAME", "x")], ..Default::default() };
        assert_eq!(environment(&config, &image, "pod"), ["HOSTNAME=x", "A=3", "AB=2"]);
    }
}
