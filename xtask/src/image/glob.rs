//! Path patterns in our YAML: `*` is any run of letters within one name,
//! `**` as a whole last name is everything below. Nothing else is special.

/// Whether `path` (no leading slash) matches `pattern` (leading slash optional).
pub fn matches(pattern: &str, path: &str) -> bool {
    let mut names = path.split('/');
    for part in pattern.trim_start_matches('/').split('/') {
        if part == "**" {
            return names.next().is_some();
        }
        if !names.next().is_some_and(|name| name_matches(part, name)) {
            return false;
        }
    }
    names.next().is_none()
}

fn name_matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|left| {
            (0..=left.len()).any(|at| left.is_char_boundary(at) && name_matches(rest, &left[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stays_within_one_name_and_two_stars_go_below() {
        assert!(matches(
            "/usr/lib/firmware/brcm/*43430*",
            "usr/lib/firmware/brcm/brcmfmac43430-sdio.bin"
        ));
        assert!(!matches("/usr/*/x", "usr/lib/firmware/x"));
        assert!(matches("/usr/share/**", "usr/share/doc/a/copyright"));
        assert!(!matches("/usr/share/**", "usr/share"));
        assert!(!matches("/usr/sbin/ip", "usr/sbin/ip6tables"));
    }
}
