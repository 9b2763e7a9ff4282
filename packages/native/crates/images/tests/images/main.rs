//! Images from their bytes to their files: compared with a model, with the kernel, and with what other
//! tools make of the same; hostile ones; registries that lie; processes that are killed.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod archive;
mod attributes;
mod fake_registry;
mod full_disk;
mod gnu_tar;
mod hostile;
mod killed;
mod large;
mod layout;
mod logins;
mod lying_registry;
mod real_registry;
mod stacks;
mod tools;
mod touched;
mod unpacked;
mod zeros;
