//! Handshakes with a server, by openssl's s_client(1), from the internet or from the
//! box's home.

use anyhow::{Context, Result, ensure};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};

/// Where a server is, and from which network it is asked.
#[derive(Debug, Clone)]
pub struct Place {
    /// The network namespace, a path that nsenter(1) takes.
    pub network: String,
    /// The server's name.
    pub name: String,
    /// The address, and its port.
    pub address: String,
    /// The port.
    pub port: u16,
    /// Whether TLS begins after STARTTLS (RFC 3207) or with the first byte (RFC 8314).
    pub starttls: bool,
}

/// A network namespace that this process has open, for [`Place::network`].
pub fn network(file: &std::fs::File) -> String {
    format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd())
}

/// What became of a handshake.
#[derive(Debug, Clone)]
pub struct Shaken {
    /// Whether there is a connection under TLS.
    pub done: bool,
    /// Whether the server has refused it, by an alert (RFC 8446 section 6.2). Neither is
    /// the case when openssl itself would not try.
    pub refused: bool,
    /// All that s_client said.
    pub said: String,
}

impl Place {
    /// A program in that network.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.network)).arg(program);
        command
    }

    /// Tries a handshake with these words for s_client.
    ///
    /// # Errors
    /// When openssl does not start.
    pub fn shake(&self, words: &[&str]) -> Result<Shaken> {
        let mut command = self.command("timeout");
        command.args(["20", "openssl", "s_client", "-connect"]);
        command.arg(format!("{}:{}", self.address, self.port));
        if self.starttls {
            command.args(["-starttls", "smtp", "-name", "client.example"]);
        }
        command.args(["-ign_eof"]).args(words);
        let said = fed(&mut command, "QUIT\r\n")?;
        // Without a cipher there was no handshake (s_client says `(NONE)` then).
        let done = said.contains("Cipher is ") && !said.contains("Cipher is (NONE)");
        let refused = !done && said.contains("SSL alert number");
        Ok(Shaken {
            done,
            refused,
            said,
        })
    }

    /// The server's certificate, in PEM; `None` when it shows none.
    ///
    /// # Errors
    /// As [`Self::shake`].
    pub fn certificate(&self) -> Result<Option<String>> {
        let said = self.shake(&[])?.said;
        let begin = said.find("-----BEGIN CERTIFICATE-----");
        let end = "-----END CERTIFICATE-----";
        Ok(begin.and_then(|begin| {
            let length = said[begin..].find(end)? + end.len();
            Some(format!("{}\n", &said[begin..begin + length]))
        }))
    }
}

/// What openssl makes of a certificate with these words for x509(1).
///
/// # Errors
/// When it is no certificate.
pub fn x509(certificate: &str, words: &[&str]) -> Result<String> {
    let mut command = Command::new("openssl");
    fed(command.args(["x509", "-noout"]).args(words), certificate)
}

/// The SHA-256 of the certificate's public key, in hexadecimal (RFC 6698 section 2.1,
/// selector 1 and matching type 1).
///
/// # Errors
/// When it is no certificate.
pub fn key_hash(certificate: &str) -> Result<String> {
    let key = x509(certificate, &["-pubkey"])?;
    let mut command = Command::new("sh");
    command.args([
        "-c",
        "openssl pkey -pubin -outform DER | openssl dgst -sha256 -r",
    ]);
    let said = fed(&mut command, &key)?;
    let hash = said.split_whitespace().next().unwrap_or_default();
    ensure!(hash.len() == 64, "openssl dgst said {said:?}");
    Ok(hash.to_owned())
}

fn fed(command: &mut Command, input: &str) -> Result<String> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let words = format!("{command:?}");
    let child = command.stderr(Stdio::piped()).spawn();
    let mut child = child.with_context(|| format!("{words} (packages openssl, util-linux)"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that ended early breaks the pipe; what it said counts.
        stdin.write_all(input.as_bytes()).ok();
    }
    let output = child.wait_with_output().context(words)?;
    let both = [output.stdout, output.stderr].concat();
    Ok(String::from_utf8_lossy(&both).into_owned())
}
