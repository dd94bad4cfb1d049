//! Certificates of the internet's one authority, and ones that are not.

use crate::domains::{Certificate, Domain};
use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use sha2::{Digest, Sha256};
use std::fmt::{self, Write as _};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The authority that the internet's programs believe.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authority")
    }
}

impl Authority {
    pub(crate) fn new() -> Result<Self> {
        let mut params = CertificateParams::default();
        let name = "The test internet's authority";
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let pem = params.self_signed(&key)?.pem();
        let issuer = Issuer::new(params, key);
        Ok(Self { issuer, pem })
    }

    /// Its certificate, as programs read it.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// Makes `cert.pem` and `key.pem` in `folder`, as the domain's mail server
    /// shows them; for its web server, if it has one, `web.pem` and `web-key.pem`.
    pub(crate) fn equip(&self, domain: Domain, folder: &Path) -> Result<()> {
        let write = |(cert, key): (String, KeyPair), names: [&str; 2]| -> Result<()> {
            fs::write(folder.join(names[0]), cert)?;
            let path = folder.join(names[1]);
            fs::write(&path, key.serialize_pem())?;
            Ok(fs::set_permissions(
                path,
                fs::Permissions::from_mode(0o600),
            )?)
        };
        let mx = domain.mx();
        let made = match domain.certificate() {
            Certificate::Absent => return Ok(()),
            Certificate::Good => self.sign(params(&mx)?)?,
            Certificate::OtherName => self.sign(params("mx.elsewhere.example")?)?,
            Certificate::Expired => self.sign(expired(params(&mx)?))?,
            Certificate::Own => {
                let key = KeyPair::generate()?;
                (params(&mx)?.self_signed(&key)?.pem(), key)
            }
        };
        write(made, ["cert.pem", "key.pem"])?;
        if domain.sts_names().is_some() {
            let made = self.sign(params(&format!("mta-sts.{domain}"))?)?;
            write(made, ["web.pem", "web-key.pem"])?;
        }
        Ok(())
    }

    /// A certificate in PEM for these names and the key, PKCS #8 in DER.
    pub(crate) fn certify(&self, key: &[u8], names: &[String]) -> Result<String> {
        let key = KeyPair::try_from(key)?;
        let params = CertificateParams::new(names)?;
        Ok(params.signed_by(&key, &self.issuer)?.pem())
    }

    fn sign(&self, params: CertificateParams) -> Result<(String, KeyPair)> {
        let key = KeyPair::generate()?;
        Ok((params.signed_by(&key, &self.issuer)?.pem(), key))
    }
}

fn params(name: &str) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

fn expired(mut params: CertificateParams) -> CertificateParams {
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2020, 2, 1);
    params
}

/// The data of a TLSA record of usage 3, selector 1, matching type 1 for the key
/// in a folder that was [equipped](Authority::equip) (RFC 6698 section 2.1): the
/// SHA-256 of its public half.
pub(crate) fn tlsa(folder: &Path) -> Result<String> {
    let key = KeyPair::from_pem(&fs::read_to_string(folder.join("key.pem"))?)?;
    let mut text = "3 1 1 ".to_owned();
    for byte in Sha256::digest(rcgen::PublicKeyData::subject_public_key_info(&key)) {
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn openssl_computes_the_same_tlsa_data_and_believes_the_good_certificate_only() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        fs::write(at("ca.pem"), authority.pem()).unwrap();
        authority.equip(Domain::Postfix, folder.path()).unwrap();
        let (ca, cert, key) = (at("ca.pem"), at("cert.pem"), at("key.pem"));
        let openssl = |words: &str| {
            let output = Command::new("openssl").args(words.split(' ')).output();
            let output = output.expect("openssl (package openssl)");
            String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr)
        };
        let verify = format!("verify -CAfile {ca} -verify_hostname mx.postfix.example {cert}");
        assert_eq!(openssl(&verify), format!("{cert}: OK\n"));
        openssl(&format!(
            "pkey -in {key} -pubout -outform DER -out {key}.der"
        ));
        let said = openssl(&format!("dgst -sha256 -r {key}.der"));
        let digest = said.split(' ').next().unwrap();
        assert_eq!(tlsa(folder.path()).unwrap(), format!("3 1 1 {digest}"));
        for (domain, complaint) in [
            (Domain::WrongName, "hostname mismatch"),
            (Domain::Expired, "certificate has expired"),
            (Domain::SelfSigned, "self-signed certificate"),
        ] {
            authority.equip(domain, folder.path()).unwrap();
            let mx = domain.mx();
            let verify = format!("verify -CAfile {ca} -verify_hostname {mx} {cert}");
            let said = openssl(&verify);
            assert!(said.contains(complaint), "{domain}: {said}");
        }
    }
}
