//! A device as data, and the definition of a kind of device.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Device;
use crate::random::Seed;

/// One device of a machine: its kind, its place, and its options.
///
/// ```
/// use stillpoint_vmm::devices::DeviceDescription;
/// let console = DeviceDescription::new("serial0", "ns16550a", 0x1000_0000, 10).with("port", 0);
/// assert!(console.kind_of().is_some());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeviceDescription {
    /// Its name in events and saved state; no other device of the machine has it.
    pub name: String,
    /// The name of its kind.
    pub kind: String,
    /// First guest-physical address of its window.
    pub base: u64,
    /// Its interrupt line, 1 to 63.
    pub line: u32,
    /// The options of its kind.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub options: Map<String, Value>,
}

impl DeviceDescription {
    /// A device without options.
    pub fn new(name: &str, kind: &str, base: u64, line: u32) -> Self {
        let (name, kind) = (name.to_owned(), kind.to_owned());
        Self { name, kind, base, line, options: Map::new() }
    }

    /// The same device with an option.
    #[must_use]
    pub fn with(mut self, option: &str, value: impl Into<Value>) -> Self {
        self.options.insert(option.to_owned(), value.into());
        self
    }

    /// Parses the options as the kind's type.
    ///
    /// # Errors
    /// The missing or unknown options.
    pub fn options_as<T: DeserializeOwned>(&self) -> Result<T, String> {
        serde_json::from_value(Value::Object(self.options.clone())).map_err(|e| e.to_string())
    }
}

/// The input for making a device, besides its description.
#[derive(Debug, Clone, Copy)]
pub struct Making {
    /// The source of randomness.
    pub seed: Seed,
    /// Wall-clock time at guest time zero, in nanoseconds since 1970.
    pub epoch_nanos: u64,
}

/// A device, or the problem with its options.
pub type Made = Result<Box<dyn Device>, String>;

/// The announcement of a device in a device tree.
#[derive(Debug, Clone, Copy)]
pub struct Node {
    /// The node's name, before its address.
    pub name: &'static str,
    /// The binding.
    pub compatible: &'static str,
    /// The alias of the first such device is this with 0 behind it, of the second with 1.
    pub alias: Option<&'static str>,
    /// Properties of one number.
    pub numbers: &'static [(&'static str, u32)],
}

/// A kind of device.
pub struct DeviceKind {
    /// Its name in descriptions.
    pub name: &'static str,
    /// Bytes of its window.
    pub window_bytes: u64,
    /// Its node in a device tree.
    pub node: Node,
    /// Its hardware identifier in ACPI's tables, if it has one.
    pub hardware_id: Option<&'static str>,
    /// Makes a device in its reset state, or reports the problem with the options.
    pub make: fn(&DeviceDescription, &Making) -> Made,
}

impl fmt::Debug for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// A device takes no options.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoOptions {}
