//! User and group names from /etc/passwd and /etc/group, read directly so that a static binary needs no name service.

use std::collections::HashMap;

/// One table of names and numbers.
pub struct Names {
    by_id: HashMap<u32, String>,
}

impl Names {
    pub fn users() -> Names {
        Names::read("/etc/passwd")
    }

    pub fn groups() -> Names {
        Names::read("/etc/group")
    }

    fn read(path: &str) -> Names {
        let mut by_id = HashMap::new();
        for line in std::fs::read_to_string(path).unwrap_or_default().lines() {
            let mut fields = line.split(':');
            if let (Some(name), Some(id)) = (fields.next(), fields.nth(1).and_then(|id| id.parse().ok())) {
                by_id.entry(id).or_insert_with(|| name.to_owned());
            }
        }
        Names { by_id }
    }

    pub fn name(&self, id: u32) -> Option<&str> {
        self.by_id.get(&id).map(String::as_str)
    }

    /// The name, or the number when it has none.
    pub fn show(&self, id: u32) -> String {
        self.name(id).map_or_else(|| id.to_string(), str::to_owned)
    }

    /// The number of a name or of digits.
    pub fn id(&self, text: &str) -> Option<u32> {
        self.by_id.iter().find(|(_, name)| *name == text).map(|(id, _)| *id).or_else(|| text.parse().ok())
    }
}

/// The home directory and login group of a user.
pub fn home_of(uid: u32) -> Option<String> {
    field_of(uid, 5)
}

fn field_of(uid: u32, index: usize) -> Option<String> {
    let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
    passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).find_map(|fields| {
        (fields.get(2).and_then(|id| id.parse::<u32>().ok()) == Some(uid))
            .then(|| fields.get(index).map(|field| (*field).to_owned()))
            .flatten()
    })
}
