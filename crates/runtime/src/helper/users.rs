//! Who a container runs as, looked up in the container's own /etc/passwd and /etc/group. Reads at most one megabyte of either,
//! and only regular files: they are the image's, and not to be trusted.
use crate::problem::{Outcome, Problem};
use crate::spec::{Identity, User};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;

const FILE_LIMIT_BYTES: u64 = 1024 * 1024;

#[derive(Debug, PartialEq, Eq, Clone)]
pub struct Known {
    pub ids: Identity,
    pub home: String,
}

/// Resolves `user` against the files of the current root.
pub fn resolve(user: &User) -> Outcome<Known> {
    look_up(user, &read("/etc/passwd"), &read("/etc/group"))
}

fn read(path: &str) -> String {
    let mut text = Vec::new();
    let opened = std::fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    if let Ok(file) = opened
        && file.metadata().is_ok_and(|data| data.is_file())
    {
        file.take(FILE_LIMIT_BYTES).read_to_end(&mut text).ok();
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn fields(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().filter(|line| !line.starts_with('#')).map(|line| line.split(':').collect())
}

fn look_up(user: &User, passwd: &str, group: &str) -> Outcome<Known> {
    let (name, group_name) = user.name.split_once(':').map_or((user.name.as_str(), None), |(name, group)| (name, Some(group)));
    let name = if name.is_empty() { "0" } else { name };
    let number = name.parse::<u32>().ok();
    let entry = fields(passwd).find(|entry| entry.len() > 5 && (entry[0] == name || (number.is_some() && entry[2].parse().ok() == number)));
    let (uid, own_group, login, home) = match (&entry, number) {
        (Some(entry), _) => {
            let id = |text: &str| text.parse::<u32>().map_err(|_| Problem::invalid(format_args!("/etc/passwd: bad number {text:?}")));
            (id(entry[2])?, id(entry[3])?, entry[0], entry[5])
        }
        (None, Some(number)) => (number, 0, "", "/"),
        (None, None) => return Err(Problem::invalid(format_args!("unable to find user {name}: no matching entries in passwd file"))),
    };
    let gid = match (user.group, group_name.filter(|name| !name.is_empty())) {
        (Some(gid), _) => gid,
        (None, Some(name)) => group_id(name, group)?,
        (None, None) => own_group,
    };
    let mut groups = user.supplemental_groups.clone();
    if !user.strict_groups && !login.is_empty() {
        let member = |entry: &Vec<&str>| entry.len() > 3 && entry[3].split(',').any(|member| member == login);
        groups.extend(fields(group).filter(member).filter_map(|entry| entry[2].parse::<u32>().ok()));
    }
    groups.push(gid);
    let mut seen = std::collections::BTreeSet::new();
    groups.retain(|group| seen.insert(*group));
    groups.sort_unstable();
    Ok(Known { ids: Identity { uid, gid, groups }, home: if home.is_empty() { "/".into() } else { home.into() } })
}

fn group_id(name: &str, group: &str) -> Outcome<u32> {
    let named = fields(group).find(|entry| entry.len() > 2 && entry[0] == name).and_then(|entry| entry[2].parse().ok());
    named
        .or_else(|| name.parse().ok())
        .ok_or_else(|| Problem::invalid(format_args!("unable to find group {name}: no matching entries in group file")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1001::/home/ann:/bin/sh\n";
    const GROUP: &str = "root:x:0:\nstaff:x:50:ann,bob\nann:x:1001:\n";

    fn check(user: User, uid: u32, gid: u32, groups: &[u32], home: &str) {
        let known = look_up(&user, PASSWD, GROUP).unwrap();
        assert_eq!(known, Known { ids: Identity { uid, gid, groups: groups.to_vec() }, home: home.into() });
    }

    #[test]
    fn users_by_name_and_number() {
        check(User::default(), 0, 0, &[0], "/root");
        check(User { name: "ann".into(), ..Default::default() }, 1000, 1001, &[50, 1001], "/home/ann");
        check(User { name: "1000:staff".into(), ..Default::default() }, 1000, 50, &[50], "/home/ann");
        check(User { name: "7".into(), group: Some(9), supplemental_groups: vec![3], ..Default::default() }, 7, 9, &[3, 9], "/");
        check(User { name: "ann".into(), strict_groups: true, ..Default::default() }, 1000, 1001, &[1001], "/home/ann");
    }

    #[test]
    fn unknown_names_are_told() {
        let user = User { name: "eve".into(), ..Default::default() };
        assert!(look_up(&user, PASSWD, GROUP).unwrap_err().to_string().contains("unable to find user eve"));
    }
}
