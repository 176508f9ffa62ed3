use kser_core::Name;

/// Hashes a name and the params or steps given with it, to detect two launches of one id with different content.
pub(crate) fn digest(name: &Name, given: &str) -> String {
    kser_core::name_based_uuid(&[name.as_str(), "\n", given]).to_string()
}
