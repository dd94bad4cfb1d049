//! The phone page of the box, and the small web server that shows it.
//!
//! The owner sets and gives the passphrase of the encrypted disk here, in one of two
//! ways. Over plain HTTP the page seals it to a key of this process ([`sealed`])
//! before it leaves the browser; this stops a listener, and does not stop somebody
//! who alters the page on its way. Over TLS, by a certificate that this process makes
//! for itself, the same forms also work in a browser without scripts.
//!
//! The console knows nothing and may do nothing but what
//! [`control::Request`] lists. It runs on one thread, needs descriptors and
//! no file, and is restarted by the supervisor when it ends.
//!
//! | question | file |
//! | --- | --- |
//! | connections, their limits, TLS | `server.rs`, `tls.rs` |
//! | plain HTTP or TLS: what differs | `way.rs` |
//! | who may ask: host, origin, headers | `guard.rs` |
//! | which requests are there | `routes.rs` |
//! | from a body to what is asked for | `post.rs`: sealed (`sealed.rs`) or a form (`form.rs`), one-time tokens (`tokens.rs`) |
//! | from what became of it to an answer | `answer.rs`: JSON, or a page |
//! | which page is seen when | `pages.rs` |
//! | what people see | `page.rs`, `parts.rs`, `paper_page.rs`, `assets/` |
//! | who has mail here | `people.rs`, `people_page.rs`, `assets/people.js` |
//! | which other addresses they have | `addresses.rs`, `addresses_page.rs`, `assets/addresses.js` |
//! | how mail comes in, what others report | `inbound.rs`, `inbound_page.rs`, `reports_page.rs`, their scripts |
//! | the box's records in the DNS | `records.rs`, `records_page.rs`, `assets/records.js` |
//! | how mail goes out | `outbound.rs`, `outbound_page.rs`, `assets/outbound.js` |
//! | the passphrase before one sees either | `people.rs`, `proof.rs`, `assets/proof.js` |
//! | the recovery key, another passphrase, the factory reset | `keys.rs`, `keys_page.rs`, `assets/keys.js` |
//! | what the owner of a failing card reads | `damage.rs` |
//! | the USB stick instead of the passphrase | `usb_page.rs` |
//! | talking to the supervisor | `supervisor.rs` |

pub mod addresses;
mod addresses_page;
mod answer;
#[cfg(feature = "client")]
pub mod client;
mod damage;
pub mod form;
mod guard;
pub mod inbound;
mod inbound_page;
pub mod keys;
mod keys_page;
pub mod outbound;
mod outbound_page;
mod page;
mod pages;
mod paper_page;
mod parts;
pub mod people;
mod people_page;
mod post;
mod proof;
pub mod records;
mod records_page;
mod reports_page;
mod routes;
pub mod sealed;
mod server;
pub mod state;
mod supervisor;
mod tls;
mod tokens;
mod usb_page;
mod way;

pub use page::Assets;
pub use server::{Listeners, ServeError, serve};
pub use state::State;
