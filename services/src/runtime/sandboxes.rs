//! What the sandboxes of a running app may do, from what it starts them with.

use super::Shared;
use crate::ServiceError;
use crate::explain::{Explanation, Given, explain};
use std::sync::Weak;

/// A handle that outlives its app and then knows nothing.
#[derive(Debug, Clone)]
pub struct Sandboxes(pub(super) Weak<Shared>);

impl Sandboxes {
    /// The services, in the manifest's order; none once the app has ended.
    pub fn names(&self) -> Vec<String> {
        let shared = self.0.upgrade();
        let services = shared.iter().flat_map(|shared| &shared.app.services);
        services.map(|service| service.name.to_string()).collect()
    }

    /// What a service may do; `None` when it is not there (any more). The spec is
    /// made by the same function, from the same image, as the one that is enforced.
    ///
    /// # Errors
    /// When the image can't be read.
    pub fn explain(&self, service: &str) -> Option<Result<Explanation, ServiceError>> {
        let shared = self.0.upgrade()?;
        let service = shared.app.service(service)?;
        let explained = || {
            let spec = shared.spec(service, "")?;
            let given = Given::of(&shared.app, service, &shared.setting.volumes)?;
            Ok(explain(&spec, &given))
        };
        Some(explained())
    }
}
