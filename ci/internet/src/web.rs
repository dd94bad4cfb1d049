//! nginx, which shows a domain's MTA-STS policy (RFC 8461 section 3.3).

use crate::daemon::Daemon;
use crate::host::Host;
use anyhow::{Context, Result};
use std::fs;

pub(crate) fn start(host: &Host) -> Result<Daemon> {
    let names = host.domain.sts_names().context("a policy")?;
    let known = host.folder.join("web/.well-known");
    fs::create_dir_all(&known)?;
    let policy = format!("version: STSv1\r\nmode: enforce\r\nmx: {names}\r\nmax_age: 86400\r\n");
    fs::write(known.join("mta-sts.txt"), policy)?;
    let place = host.place();
    let conf = format!(
        "user root;\n\
         daemon off;\n\
         worker_processes 1;\n\
         pid {place}/nginx.pid;\n\
         error_log stderr;\n\
         events {{}}\n\
         http {{\n  access_log {place}/web.log;\n  types {{ text/plain txt; }}\n  \
         server {{\n    listen 443 ssl;\n    server_name mta-sts.{domain};\n    \
         ssl_certificate {place}/web.pem;\n    ssl_certificate_key {place}/web-key.pem;\n    \
         root {place}/web;\n  }}\n}}\n",
        domain = host.domain,
    );
    fs::write(host.folder.join("nginx.conf"), conf)?;
    let conf = format!("{place}/nginx.conf");
    let command = host.trees.internet.command(&["nginx", "-c", &conf]);
    let daemon = host.daemon(command, "nginx.log")?;
    host.wait_for_port(443)?;
    Ok(daemon)
}
