//! The protocol between proxies and the control plane, generated from `proto/fleet.proto`.

/// Version 1 of the fleet protocol.
#[allow(clippy::large_enum_variant, missing_docs, reason = "generated code")]
pub mod v1 {
    tonic::include_proto!("pgherd.fleet.v1");
}
