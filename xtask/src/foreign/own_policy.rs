//! The box's own policy of MTA-STS, as a foreign sender meets it: the record in the
//! signed names, the policy over HTTPS from the box's port 443 and the certificate of
//! port 25, both judged by programs of others, which believe the internet's authority.

use super::{LIMIT, Meeting, STEP};
use anyhow::{Context, Result, ensure};
use internet::tree::Peers;
use internet::{Domain, HOME};
use site::sts;
use std::fs;
use std::time::Instant;

/// The box's name, which its MX record says.
const BOX: &str = "box.home.example";

/// Fetches and judges all of it; before and after the authority vouches for the box.
///
/// # Errors
/// When something else is shown than should be.
pub fn run(meeting: &Meeting) -> Result<()> {
    let policy = sts::policy(BOX).context("a policy")?;
    let record = sts::record(&policy);
    meeting.internet.publish(&format!(
        "@ MX 10 box\nbox A 128.66.0.25\nmta-sts A 128.66.0.25\n_mta-sts TXT \"{record}\"\n"
    ))?;
    // The box's own certificate is nothing to a sender, which then knows no policy.
    wait_for(|| {
        let said = format!("{:#}", fetch(meeting).err().context("it is believed")?);
        ensure!(said.contains("self-signed certificate"), "{said}");
        Ok(())
    })?;
    // What a later version gets from a public authority, for keys that stay where they are.
    for (volume, name) in [("web-keys", sts::host(HOME)), ("keys", BOX.to_owned())] {
        let folder = meeting.options.volumes.join(volume);
        let key = fs::read(folder.join("key.der"))?;
        let chain = meeting.internet.certify(&key, &[name])?;
        fs::write(folder.join("chain.pem"), chain)?;
    }
    wait_for(|| {
        let shown = fetch(meeting)?;
        ensure!(shown == policy, "another policy: {shown:?}");
        Ok(())
    })?;
    let asked = format!("_mta-sts.{HOME}");
    let said = meeting
        .internet
        .run(Peers::Internet, &["kdig", "+short", &asked, "TXT"])?;
    ensure!(said == format!("\"{record}\"\n"), "the record: {said}");
    // As Postfix judges a server that a policy names.
    let authority = ["-F", "/world/authority.pem"];
    let words = ["posttls-finger", "-c", "-l", "secure", "-L", "summary"];
    let words = [&words[..], &authority, &[HOME, BOX]].concat();
    let said = meeting.internet.host(Domain::Postfix).run(&words)?;
    let said = String::from_utf8_lossy(&said);
    let verified = format!("Verified TLS connection established to {BOX}[128.66.0.25]:25: TLSv1.3");
    ensure!(said.contains(&verified), "{said}");
    // Nobody gets to the listener behind the port, or to another text.
    let other = "https://mta-sts.home.example:8443/.well-known/mta-sts.txt";
    let said = curl(meeting, other).err().context("port 8443 answers")?;
    ensure!(format!("{said:#}").contains("(28)"), "{said:#}");
    let other = "https://mta-sts.home.example/.well-known/../site.json";
    let said = curl(meeting, other).err().context("a file is shown")?;
    ensure!(format!("{said:#}").contains("404"), "{said:#}");
    Ok(())
}

fn fetch(meeting: &Meeting) -> Result<String> {
    curl(
        meeting,
        &format!("https://{}{}", sts::host(HOME), sts::PATH),
    )
}

fn curl(meeting: &Meeting, url: &str) -> Result<String> {
    let words = ["curl", "-sS", "--fail", "--path-as-is", "--max-time", "8"];
    let words = [&words[..], &[url]].concat();
    meeting.internet.run(Peers::Internet, &words)
}

/// Names that were published a moment ago come a moment later.
fn wait_for(mut look: impl FnMut() -> Result<()>) -> Result<()> {
    let end = Instant::now() + LIMIT;
    loop {
        match look() {
            Err(_) if Instant::now() < end => std::thread::sleep(STEP),
            done => return done,
        }
    }
}
