//! The memory of this host, or of this process's control group.

/// Bytes of memory that this process can have at most: the host's, or what its control groups
/// allow. `None` if neither can be found out.
pub(super) fn memory_bytes() -> Option<u64> {
    [physical_bytes(), control_group_bytes()].into_iter().flatten().min()
}

fn physical_bytes() -> Option<u64> {
    if cfg!(miri) {
        // Miri has not this name.
        return None;
    }
    // SAFETY: sysconf takes a constant and touches no memory of ours.
    let pages = unsafe { libc::sysconf(libc::_SC_PHYS_PAGES) };
    // SAFETY: as above.
    let page_bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    let bytes = u64::try_from(pages).ok()?.checked_mul(u64::try_from(page_bytes).ok()?)?;
    (bytes > 0).then_some(bytes)
}

/// The least of the limits of this process's control groups, from its own up to the root.
fn control_group_bytes() -> Option<u64> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    groups.lines().flat_map(limits_of).min()
}

/// The limits along one line of `/proc/self/cgroup`: `number:controllers:/path`.
fn limits_of(line: &str) -> Vec<u64> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { return Vec::new() };
    let (root, file) = match controllers {
        "" => ("/sys/fs/cgroup", "memory.max"),
        "memory" => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
        _ => return Vec::new(),
    };
    let relative = std::path::Path::new(path.trim_start_matches('/'));
    relative
        .ancestors()
        .filter_map(|group| {
            let text = std::fs::read_to_string(std::path::Path::new(root).join(group).join(file));
            text.ok()?.trim().parse().ok()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    #[cfg_attr(miri, ignore = "asks the kernel")]
    fn the_host_has_memory_and_odd_lines_have_no_limit() {
        assert!(super::memory_bytes().is_some_and(|bytes| bytes > 16 << 20));
        for line in ["", "1:", "7:cpu:/", "x"] {
            assert!(super::limits_of(line).is_empty());
        }
    }
}
