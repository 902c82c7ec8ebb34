//! Milvus's version rule: a mixcoord older than one that has been primary does not become primary.

use semver::Version;

use crate::plain::{BRIEF, plain};
use crate::store::Value;

/// Why a version may not become primary.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    /// A newer one has been primary.
    #[error(
        "version {own} is older than {stored}, which has been primary; \
         start a newer one, or set the version key back"
    )]
    Older {
        /// What the version key holds.
        stored: Version,
        /// Our own.
        own: Version,
    },
    /// The version key holds no version.
    #[error("the version key holds `{}`; it should hold a version such as 3.0.0", plain(&.0.to_string(), BRIEF))]
    Malformed(Value),
}

/// Whether a mixcoord of version `own` may become primary where the version key holds `stored`. Only major
/// and minor count, as in Milvus. Where there is no version key, any version may.
///
/// # Errors
/// If it is older, or the stored value is no version.
pub fn may_lead(stored: &Value, own: &Version) -> Result<(), VersionError> {
    let stored = std::str::from_utf8(stored.as_bytes())
        .ok()
        .and_then(|text| Version::parse(text).ok())
        .ok_or_else(|| VersionError::Malformed(stored.clone()))?;
    if (own.major, own.minor) < (stored.major, stored.minor) {
        return Err(VersionError::Older { stored, own: own.clone() });
    }
    Ok(())
}

/// What a mixcoord of version `own` puts under the version key when it wins.
///
/// Its own version, as Milvus does. That may lower the patch that is stored; nobody looks at it.
pub fn version_value(own: &Version) -> Value {
    own.to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(stored: &str, own: &str) -> Result<(), VersionError> {
        may_lead(&stored.into(), &Version::parse(own).unwrap())
    }

    #[test]
    fn an_equal_or_newer_version_may_lead() {
        for (stored, own) in [
            ("3.0.0", "3.0.0"),
            ("3.0.9", "3.0.1"),
            ("3.0.0", "3.0.0-beta"),
            ("3.0.0-beta", "3.0.0"),
            ("2.9.0", "3.0.0"),
            ("3.0.0", "3.1.0-dev"),
        ] {
            assert_eq!(rule(stored, own), Ok(()), "{stored} {own}");
        }
    }

    #[test]
    fn an_older_major_or_minor_is_refused_with_both_named() {
        for (stored, own) in [("3.1.0", "3.0.9"), ("3.0.0", "2.9.9"), ("3.1.0-beta", "3.0.0")] {
            let told = rule(stored, own).unwrap_err().to_string();
            assert!(told.contains(stored) && told.contains(own), "{told}");
        }
    }

    #[test]
    fn what_is_no_version_is_named() {
        for bad in ["", "v3.0.0", "3.0", "3.0.0 ", "03.0.0", "x"] {
            assert_eq!(rule(bad, "3.0.0"), Err(VersionError::Malformed(bad.into())), "{bad}");
        }
        assert!(may_lead(&Value::from(&b"\xff"[..]), &Version::new(3, 0, 0)).is_err());
    }

    #[test]
    fn a_win_stores_its_own_version() {
        assert_eq!(version_value(&Version::parse("3.0.0-beta").unwrap()), "3.0.0-beta".into());
    }
}
