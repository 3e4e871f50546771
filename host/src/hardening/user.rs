//! The user that `server.user` names.

use std::path::Path;

const USERS: &str = "/etc/passwd";
const GROUPS: &str = "/etc/group";

/// Numbers of a user and its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// Finds `user` or `user:group`, each a name or a number. A number needs no entry in the machine's
/// lists if the group is given as well.
pub(super) fn find(text: &str) -> Result<User, String> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    let number = user.parse::<u32>().ok();
    let entry = || {
        entry(Path::new(USERS), |fields| {
            fields.first().is_some_and(|name| name == user) || number.is_some() && field(fields, 2) == number
        })
    };
    let gid = match group {
        None => None,
        Some(group) => match group.parse() {
            Ok(gid) => Some(gid),
            Err(_) => {
                let found =
                    self::entry(Path::new(GROUPS), |fields| fields.first().is_some_and(|n| n == group));
                let gid = found.as_deref().and_then(|fields| field(fields, 2));
                Some(gid.ok_or_else(|| format!("the group `{group}` is not in {GROUPS}"))?)
            }
        },
    };
    match (number, gid) {
        (Some(uid), Some(gid)) => Ok(User { uid, gid }),
        _ => {
            let fields = entry().ok_or_else(|| format!("the user `{user}` is not in {USERS}"))?;
            let (uid, own) = (field(&fields, 2), field(&fields, 3));
            match (uid, gid.or(own)) {
                (Some(uid), Some(gid)) => Ok(User { uid, gid }),
                _ => Err(format!("the line of user `{user}` in {USERS} is malformed")),
            }
        }
    }
}

fn field(fields: &[String], index: usize) -> Option<u32> {
    fields.get(index)?.parse().ok()
}

/// The fields of the first line that is meant.
fn entry(path: &Path, is_meant: impl Fn(&[String]) -> bool) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(path).ok()?;
    let fields = |line: &str| line.split(':').map(str::to_owned).collect::<Vec<_>>();
    text.lines().map(fields).find(|fields| is_meant(fields))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_name_and_number() {
        let root = User { uid: 0, gid: 0 };
        for text in ["root", "0", "root:0", "0:root", "0:0"] {
            assert_eq!(find(text), Ok(root), "{text}");
        }
        assert_eq!(find("64123:64124"), Ok(User { uid: 64123, gid: 64124 }));
        assert_eq!(find("no-such-user"), Err("the user `no-such-user` is not in /etc/passwd".to_owned()));
        assert_eq!(find("64123"), Err("the user `64123` is not in /etc/passwd".to_owned()));
        assert_eq!(find("0:no-such"), Err("the group `no-such` is not in /etc/group".to_owned()));
    }
}
