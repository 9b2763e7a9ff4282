//! The VMM core for Node: data transfer objects, one file each, and promises. The crates that
//! decide anything know nothing of Node.

// The exports are generated for the addon only; a test build does not call them.
#![cfg_attr(test, allow(dead_code))]

mod arrival;
mod artifact;
mod boot_spec;
mod captured_files;
mod disk_source;
mod disk_spec;
mod egress_policy;
mod encryption_key;
mod engine_choice;
mod engine_report;
mod event_batch;
mod event_quota;
mod example;
mod exec_request;
mod failure;
mod guest_activity;
mod identity;
mod image;
mod image_request;
mod image_task;
mod live;
mod machine;
mod machine_stop;
mod machine_until;
mod network_spec;
mod promise;
mod published_port;
mod renewal;
mod snapshot_disk;
mod synthetic_log;
mod vmm;
