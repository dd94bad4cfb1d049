//! The phone page of the box, and the small web server that shows it.
//!
//! The owner sets and gives the passphrase of the encrypted disk here. The
//! page seals it to a key of this process ([`sealed`]) before it leaves the
//! browser, since the home network carries plain HTTP. This stops a listener;
//! it does not stop somebody who alters the page on its way.
//!
//! The console knows nothing and may do nothing but what
//! [`control::Request`] lists. It runs on one thread, needs descriptors and
//! no file, and is restarted by the supervisor when it ends.
//!
//! | question | file |
//! | --- | --- |
//! | what do people see | `page.rs`, `assets/` |
//! | which requests are there, and what do they answer | `routes.rs` |
//! | who may ask: host, origin, headers | `guard.rs` |
//! | who has mail here | `people.rs`, `people_page.rs`, `assets/people.js` |
//! | the recovery key, another passphrase, the factory reset | `keys.rs`, `keys_page.rs`, `assets/keys.js` |
//! | one-time form tokens | `tokens.rs` |
//! | opening sealed secrets, sealing answers | `sealed.rs` |
//! | talking to the supervisor | `supervisor.rs` |
//! | connections and their limits | `server.rs` |

#[cfg(feature = "client")]
pub mod client;
mod guard;
pub mod keys;
mod keys_page;
mod page;
pub mod people;
mod people_page;
mod routes;
pub mod sealed;
mod server;
pub mod state;
mod supervisor;
mod tokens;

pub use page::Assets;
pub use server::{ServeError, serve};
pub use state::State;
