use kser_core::Name;

/// Hashes a name and the params or steps given with it, to detect two launches of one id with different content.
pub(crate) fn digest(name: &Name, given: &str) -> String {
    let content = format!("{name}\n{given}");
    uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, content.as_bytes()).to_string()
}
