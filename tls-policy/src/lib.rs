//! Answers two questions of Postfix's for each domain that mail goes to: how the
//! other side must prove itself ([`decide`]), and whether the domain is the box's
//! own ([`serve`]).
//!
//! In this order, and what cannot be found out for the moment makes the message
//! wait:
//!
//! 1. an exception that the owner has made for this one domain,
//! 2. DANE (RFC 7672), if the domain publishes it: [`dane`],
//! 3. MTA-STS (RFC 8461), if its policy is in force: [`sts`], [`cache`], [`fetch`],
//! 4. else a certificate from a public authority for the name of the MX.
//!
//! The first three are asked for at Unbound ([`dns`]), whose word on DNSSEC is
//! believed; the connection to it leaves the machine's memory nowhere.

pub mod cache;
pub mod dane;
pub mod decide;
pub mod dns;
pub mod fetch;
pub mod serve;
pub mod socketmap;
pub mod sts;
