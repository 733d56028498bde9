//! Linux capabilities: what this process may do, and the set that a container's processes are left with.

use std::io;

use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, remove_capability_from_bounding_set, set_capabilities,
};

/// Docker's default set for an unprivileged container (`CapBnd: 00000000a80425fb`).
pub const CONTAINER_DEFAULT: CapabilitySet = CapabilitySet::from_bits_retain(0xa804_25fb);

/// Whether this process may mount in its own user namespace.
pub fn may_mount() -> bool {
    capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN))
}

/// Whether this process may change the network in its own user namespace.
pub fn may_change_network() -> bool {
    capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::NET_ADMIN))
}

/// Drops every capability outside `kept` from the bounding set, so that no later `exec` can win it back.
pub fn bound_to(kept: CapabilitySet) -> io::Result<()> {
    for bit in 0..64 {
        let one = CapabilitySet::from_bits_retain(1 << bit);
        if !kept.contains(one) {
            match remove_capability_from_bounding_set(one) {
                // The first number past the kernel's last capability ends the list.
                Err(rustix::io::Errno::INVAL) => break,
                other => other?,
            }
        }
    }
    Ok(())
}

/// Leaves the calling thread with `kept` permitted and effective (nothing inheritable).
pub fn set_to(kept: CapabilitySet) -> io::Result<()> {
    let held = capabilities(None)?.permitted;
    let kept = kept & held;
    Ok(set_capabilities(
        None,
        CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() },
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_set_has_dockers_fourteen() {
        assert_eq!(CONTAINER_DEFAULT.bits().count_ones(), 14);
        assert!(CONTAINER_DEFAULT.contains(CapabilitySet::CHOWN | CapabilitySet::MKNOD | CapabilitySet::SETFCAP));
        assert!(!CONTAINER_DEFAULT.contains(CapabilitySet::SYS_ADMIN));
    }
}
