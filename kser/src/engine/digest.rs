use kser_core::Name;

/// Tells launches of one id with other content apart: a hash of the name and what was given with it.
pub(crate) fn digest(name: &Name, given: &str) -> String {
    let content = format!("{name}\n{given}");
    uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, content.as_bytes()).to_string()
}
