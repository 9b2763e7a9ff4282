//! Names of hosts, and patterns of them.

/// Maximum bytes of a name, and of a label (RFC 1035, 2.3.4).
const MOST_NAME_BYTES: usize = 253;
const MOST_LABEL_BYTES: usize = 63;

/// A name as this network writes it: small letters, no dot at its end. `None`: no host is called so.
///
/// ```
/// use stillpoint_net::plain_name;
/// assert_eq!(plain_name("Example.COM."), Some("example.com".to_owned()));
/// assert_eq!(plain_name("a..b"), None);
/// ```
pub fn plain_name(name: &str) -> Option<String> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_label = |label: &str| {
        (1..=MOST_LABEL_BYTES).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    (name.len() <= MOST_NAME_BYTES && name.split('.').all(is_label))
        .then(|| name.to_ascii_lowercase())
}

/// The names that a rule applies to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPattern {
    /// Every name.
    Any,
    /// This name.
    Name(String),
    /// Every name below this one, and not the name itself.
    Below(String),
}

impl HostPattern {
    /// Reads `name`, `*.name` or `*`.
    ///
    /// # Errors
    /// The expected and the found value.
    ///
    /// ```
    /// use stillpoint_net::HostPattern;
    /// let below = HostPattern::parse("*.example.com")?;
    /// assert!(below.holds("www.example.com"));
    /// assert!(!below.holds("example.com"));
    /// assert!(!below.holds("notexample.com"));
    /// # Ok::<(), String>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, String> {
        let problem = || {
            format!(
                "expected a host's name, *.name for those below it, or * for any, found {text:?}"
            )
        };
        // An address in place of a name would never be looked up.
        if text.parse::<std::net::IpAddr>().is_ok() {
            return Err(format!("{}; addresses stand in `addresses`", problem()));
        }
        match text.strip_prefix("*.") {
            _ if text == "*" => Ok(Self::Any),
            Some(name) => plain_name(name).map(Self::Below).ok_or_else(problem),
            None => plain_name(text).map(Self::Name).ok_or_else(problem),
        }
    }

    /// Whether a plain name is one of them.
    pub fn holds(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Name(this) => this == name,
            Self::Below(this) => name
                .strip_suffix(this.as_str())
                .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LABEL: &str = "[a-zA-Z0-9_]([a-zA-Z0-9_-]{0,5}[a-zA-Z0-9_])?";

    proptest! {
        #[test]
        fn a_name_is_itself_however_it_is_written(labels in proptest::collection::vec(LABEL, 1..5)) {
            let name = format!("x{}", labels.join("."));
            let plain = plain_name(&name).expect("a name");
            prop_assert_eq!(plain_name(&plain), Some(plain.clone()));
            prop_assert_eq!(plain_name(&format!("{}.", name.to_uppercase())), Some(plain.clone()));
            prop_assert!(HostPattern::parse(&name).expect("a pattern").holds(&plain));
            let below = HostPattern::parse(&format!("*.{name}")).expect("a pattern");
            prop_assert!(!below.holds(&plain));
            let longer = format!("a{plain}");
            let deeper = format!("a.{plain}");
            prop_assert!(!below.holds(&longer));
            prop_assert!(below.holds(&deeper));
        }

        #[test]
        fn any_text_is_a_pattern_or_refused(text in ".{0,80}") {
            if let Ok(HostPattern::Name(name) | HostPattern::Below(name)) = HostPattern::parse(&text) {
                prop_assert_eq!(plain_name(&name), Some(name));
            }
        }
    }

    #[test]
    fn what_no_host_is_called_is_refused() {
        let long = "a".repeat(64);
        for text in
            ["", ".", "a..b", "-a", "a-", "a b", "*", "a.*.b", "ä", &long, &"a.".repeat(128)]
        {
            assert_eq!(plain_name(text), None, "{text}");
        }
        for text in ["1.2.3.4", "::1", "**", "*.", "*a", "a/b", ""] {
            assert!(HostPattern::parse(text).is_err(), "{text}");
        }
    }
}
