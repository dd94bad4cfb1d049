//! What the internet's validating Unbound says of a name, by way of kdig(1).

use anyhow::{Context, Result};
use internet::tree::Peers;
use internet::{Internet, RESOLVER};

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// `NOERROR`, `NXDOMAIN`, `SERVFAIL` (RFC 1035 section 4.1.1).
    pub code: String,
    /// Whether DNSSEC proves it (RFC 4035 section 3.2.3, AD).
    pub secure: bool,
    /// The data of the records of the wanted kind, as in a zone file.
    pub records: Vec<String>,
}

/// Looks `name` up.
///
/// # Errors
/// When the resolver does not answer at all.
pub fn look(internet: &Internet, name: &str, kind: &str) -> Result<Answer> {
    let server = format!("@{RESOLVER}");
    let words = [
        "kdig", &server, "+adflag", "+noall", "+header", "+answer", name, kind,
    ];
    let said = internet.run(Peers::Internet, &words)?;
    read(&said, kind).with_context(|| format!("kdig {name} {kind} said:\n{said}"))
}

fn read(said: &str, kind: &str) -> Option<Answer> {
    let header = said.lines().find(|line| line.contains("status: "))?;
    let code = header.split("status: ").nth(1)?.split(';').next()?;
    let flags = said
        .lines()
        .find_map(|line| line.strip_prefix(";; Flags: "))?;
    let flags = flags.split(';').next()?;
    let record = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        // Owner, TTL, class, kind, data.
        (!line.starts_with(';') && words.get(3) == Some(&kind)).then(|| words[4..].join(" "))
    };
    Some(Answer {
        code: code.trim().to_owned(),
        secure: flags.split_whitespace().any(|flag| flag == "ad"),
        records: said.lines().filter_map(record).collect(),
    })
}

/// The strings of a TXT record put together (RFC 7208 section 3.3).
pub fn text(record: &str) -> String {
    record.split('"').skip(1).step_by(2).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_kdig_is_read() {
        let said = ";; ->>HEADER<<- opcode: QUERY; status: NOERROR; id: 7\n\
            ;; Flags: qr rd ra ad; QUERY: 1; ANSWER: 2; AUTHORITY: 0; ADDITIONAL: 0\n\n\
            a.example.  \t60\tIN\tTXT\t\"v=spf1 mx\" \" -all\"\n\
            a.example.  \t60\tIN\tRRSIG\tTXT 13 2 60\n";
        let answer = read(said, "TXT").unwrap();
        assert_eq!((answer.code.as_str(), answer.secure), ("NOERROR", true));
        assert_eq!(answer.records, ["\"v=spf1 mx\" \" -all\""]);
        assert_eq!(text(&answer.records[0]), "v=spf1 mx -all");
        let unsigned = said.replace(" ad;", ";");
        assert!(!read(&unsigned, "TXT").unwrap().secure);
        assert_eq!(read("nothing", "TXT"), None);
    }
}
