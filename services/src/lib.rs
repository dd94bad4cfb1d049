//! From an app's manifest to what the sandbox enforces.
//!
//! [`spec`] is the one place where the words of a manifest become a
//! [`sandbox::Spec`]: the supervisor starts services from it, and whatever
//! explains to people what a service may do computes it from the same value.
//! [`descriptors`] says which descriptors a service gets, in which order.

mod descriptors;
mod spec;

pub use descriptors::{CONTROL, FIRST, descriptors, environment};
pub use spec::{Place, ServiceError, spec};
