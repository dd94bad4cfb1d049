//! A real OpenSMTPD for one domain (smtpd.conf(5)).

use crate::daemon::Daemon;
use crate::domains::Domain;
use crate::host::Host;
use anyhow::Result;
use std::fs;
use std::os::unix::fs::PermissionsExt;

pub(crate) fn prepare(host: &Host) -> Result<()> {
    let queue = host.folder.join("queue");
    fs::create_dir_all(&queue)?;
    fs::set_permissions(&queue, fs::Permissions::from_mode(0o711))?;
    let conf = configuration(host.domain, &host.place());
    let path = host.folder.join("smtpd.conf");
    fs::write(&path, conf)?;
    host.lay_over("queue", "/var/spool/smtpd")?;
    host.lay_over("smtpd.conf", "/etc/smtpd.conf")
}

pub(crate) fn start(host: &Host) -> Result<Daemon> {
    // -v: what it does, with -d on its standard error.
    host.daemon(host.tree().command(&["smtpd", "-d", "-v"]), "log")
}

fn configuration(domain: Domain, place: &str) -> String {
    let (mx, address) = (domain.mx(), domain.address());
    format!(
        "pki {mx} cert \"{place}/cert.pem\"\n\
         pki {mx} key \"{place}/key.pem\"\n\
         table everybody {{ \"@\" = letters }}\n\
         listen on socket\n\
         listen on {address} port 25 tls pki {mx} hostname {mx}\n\
         action keep maildir \"{place}/mail/inbox\" virtual <everybody>\n\
         action send relay helo {mx}\n\
         match from any for rcpt-to \"unknown@{domain}\" reject\n\
         match from any for domain \"{domain}\" action keep\n\
         match from local for any action send\n"
    )
}
