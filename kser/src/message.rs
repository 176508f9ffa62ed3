//! Messages as they travel, and the names in them.
//!
//! Programs mostly send typed params, and kser writes the [`Message`]. A message can also be read from the text that another
//! program wrote, such as the Python library, and sent as it is:
//!
//! ```
//! use kser::message::Message;
//!
//! # fn main() -> Result<(), kser::Error> {
//! let text = br#"{"uuid": "1", "entrypoint": "image.Resize", "params": {"width": 64}}"#;
//! let message = Message::decode(text)?;
//! assert_eq!(message.entrypoint.as_str(), "image.Resize");
//! assert_eq!(message.params.as_str(), r#"{"width": 64}"#);
//! # Ok(())
//! # }
//! ```

pub use kser_core::{InvalidTopic, JsonError, Message, Metadata, Name, Object, Raw, TaskId, Topic};
