//! From an app's manifest to what the sandbox enforces.
//!
//! [`spec`] is the one place where the words of a manifest become a
//! [`sandbox::Spec`]: the supervisor starts services from it, and [`explain`]
//! says from the same value what a service may do.
//! [`descriptors`] says which descriptors a service gets, in which order.
//! [`runtime`] starts a whole app, connects its services by their channels, and
//! keeps it running. [`leftovers`] is for tests: what of it is still there afterwards.

pub mod clock;
mod descriptors;
pub mod egress;
pub mod explain;
mod ids;
pub mod leftovers;
pub mod runtime;
mod spec;
mod volumes;

pub use descriptors::{CONTROL, FIRST, descriptors, environment};
pub use ids::IdsError;
pub use spec::{Place, ServiceError, spec, spec_with};
pub use volumes::VolumeError;
