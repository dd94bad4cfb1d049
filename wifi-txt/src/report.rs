//! What `wifi-check` prints, and the words of one network for people.

use crate::network::WifiTxt;

/// A network as `wifi-check` shows it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct NetworkReport {
    /// Its name, for people.
    pub name: String,
    /// Whether it does not announce its name.
    pub hidden: bool,
    /// `open`, `wpa2`, `wpa3`, or `wpa2/wpa3` for whichever works.
    pub security: &'static str,
}

/// What the box would do with the files.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// The networks that it would try, the first preferred.
    pub networks: Vec<NetworkReport>,
    /// Whose radio rules it would follow.
    pub country: Option<String>,
    /// What it would tell the owner.
    pub messages: Vec<String>,
}

impl Report {
    /// Of what was read.
    #[must_use]
    pub fn of(wifi: &WifiTxt) -> Self {
        Self {
            networks: wifi
                .networks
                .iter()
                .map(|network| NetworkReport {
                    name: network.name.to_string(),
                    hidden: network.hidden,
                    security: network.key.security(),
                })
                .collect(),
            country: wifi.country.map(|country| country.to_string()),
            messages: wifi.problems.iter().map(ToString::to_string).collect(),
        }
    }
}
