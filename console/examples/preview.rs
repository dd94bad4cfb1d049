//! Shows the page on this computer, with a pretended supervisor:
//! `cargo run -p console --example preview -- unclaimed 127.0.0.1:8080 127.0.0.1:8443
//! nacl-fast.min.js`.
//! States: unclaimed, code (unclaimed with a setup code), late, locked, reset
//! (locked, and the card asks for a factory reset), working, open, paperless
//! (open without a recovery key), failing (open, and the card fails), damaged, missing. Every passphrase but `right horse` is wrong; people
//! are added as they are typed.

use console::{Assets, Listeners, serve};
use control::addresses::{Alias, CatchAll, Outside};
use control::inbound::{RefusedPeer, ReportLine};
use control::outbound::{Exception, Smarthost};
use control::records::Record;
use control::{
    AddressesRequest, Damage, DamageKind, Disk, Inbound, InboundRequest, OtherAddresses, Outbound,
    OutboundRequest, PeopleRequest, Records, RecordsRequest, RecoveryKey, Refusal, Reply, Reports,
    Request, Secret, Status, wire,
};
use std::error::Error;
use std::io::BufReader;
use std::os::unix::net::UnixStream;

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [state, address, tls, nacl] = words.as_slice() else {
        return Err("usage: preview STATE ADDRESS TLS_ADDRESS NACL_FILE".into());
    };
    let status = Status {
        disk: match state.as_str() {
            "unclaimed" | "code" | "late" => Disk::Unclaimed,
            "locked" | "reset" => Disk::Locked,
            "working" => Disk::Working,
            "damaged" => Disk::Damaged,
            "open" | "paperless" | "failing" => Disk::Open,
            _ => Disk::Missing,
        },
        setup_code_needed: state == "code",
        claimable: state != "late",
        retry_after: 0,
        recovery_key: state != "paperless",
        reset_code: Some("erase 3F2A-91C4".into()),
        reset_asked: state == "reset",
        name: "projectx".into(),
        damage: if state == "failing" {
            vec![Damage {
                kind: DamageKind::Reading,
                count: 3,
                last: "2026-11-25".into(),
            }]
        } else {
            Vec::new()
        },
    };
    let nacl = std::fs::read(nacl)?.into();
    let (ours, theirs) = UnixStream::pair()?;
    std::thread::spawn(move || pretend(&theirs, status));
    ours.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listeners = Listeners {
            page: tokio::net::TcpListener::bind(address.as_str()).await?,
            tls: tokio::net::TcpListener::bind(tls.as_str()).await?,
        };
        let control = tokio::net::UnixStream::from_std(ours)?;
        Err(serve(control, listeners, Assets { nacl }).await.into())
    })
}

fn pretend(stream: &UnixStream, mut status: Status) -> Result<(), wire::WireError> {
    let mut reader = BufReader::new(stream);
    let mut writer = stream;
    let mut addresses = Vec::new();
    let mut outbound = Outbound {
        exceptions: Vec::new(),
        give_up_after_hours: 48,
        warn_after_hours: 4,
        smarthost: None,
    };
    let mut other = OtherAddresses::default();
    let mut inbound = Inbound {
        refused: vec![RefusedPeer {
            from: "192.0.2.77".into(),
            times: 3,
            last: "2026-11-25 17:00".into(),
        }],
        ..Inbound::default()
    };
    let mut usb_key = false;
    loop {
        let reply = match wire::read(&mut reader)? {
            Request::Status => Reply::Status(status.clone()),
            Request::Claim { passphrase, .. } => made(open(&mut status, &passphrase)),
            Request::Recover { recovery_key, .. } => {
                match RecoveryKey::parse(recovery_key.expose()) {
                    Ok(_) => open(&mut status, &Secret::new(RIGHT.into())),
                    Err(typo) => Reply::Refused {
                        refusal: Refusal::BadRecoveryKey,
                        words: typo.to_string(),
                        retry_after: 0,
                    },
                }
            }
            Request::ChangePassphrase { old, .. } => open(&mut status, &old),
            Request::NewRecoveryKey { passphrase } => made(open(&mut status, &passphrase)),
            Request::ConfirmRecoveryKey { .. } => {
                status.recovery_key = true;
                Reply::Done
            }
            Request::FactoryReset => {
                status.disk = Disk::Unclaimed;
                Reply::Done
            }
            Request::UsbKey => Reply::UsbKey { on: usb_key },
            Request::TurnUsbKeyOn { passphrase } => {
                usb_key = true;
                open(&mut status, &passphrase)
            }
            Request::TurnUsbKeyOff { passphrase } => {
                usb_key = false;
                open(&mut status, &passphrase)
            }
            Request::Unlock { passphrase } => open(&mut status, &passphrase),
            Request::Prove { passphrase, .. } => open(&mut status, &passphrase),
            Request::People { what, .. } => people(&mut addresses, what),
            Request::Addresses { what, .. } => {
                lead(&mut other, what);
                Reply::Addresses(other.clone())
            }
            Request::Inbound {
                what: InboundRequest::Reports,
                ..
            } => Reply::Reports(Reports {
                lines: vec![ReportLine {
                    came: "2026-11-25".into(),
                    words: "TLS 2026-11-24, far.example (proved): 3 sessions fine, 0 failed".into(),
                }],
            }),
            Request::Inbound { what, .. } => {
                choose(&mut inbound, what);
                Reply::Inbound(inbound.clone())
            }
            Request::Records { what, .. } => Reply::Records(records(what)),
            Request::Outbound { what, .. } => {
                set(&mut outbound, what);
                Reply::Outbound(outbound.clone())
            }
            Request::PageCertificate { sha256 } => {
                eprintln!("page certificate SHA-256 {sha256}");
                Reply::Done
            }
            Request::Restart | Request::PowerOff => Reply::Done,
        };
        wire::write(&mut writer, &reply)?;
    }
}

fn records(what: RecordsRequest) -> Records {
    let domains = ["example.org", "example.net"].map(String::from);
    let domain = match what {
        RecordsRequest::Domain { domain } => domain,
        RecordsRequest::See | RecordsRequest::LookAgain => "example.org".into(),
    };
    let spf = Record {
        sentence: "Says that the box alone sends mail of this domain.".into(),
        name: domain.clone(),
        kind: "TXT".into(),
        value: "v=spf1 mx -all".into(),
        state: "something else is there".into(),
        found: "v=spf1 a ~all".into(),
    };
    Records {
        hostname: Some("box.example.org".into()),
        domains: domains.into(),
        domain: Some(domain),
        looked: Some("2026-11-25 17:00 UTC".into()),
        records: vec![spf],
    }
}

fn lead(other: &mut OtherAddresses, what: AddressesRequest) {
    match what {
        AddressesRequest::See => {}
        AddressesRequest::AddAlias { address, person } => {
            other.aliases.insert(0, Alias { address, person });
        }
        AddressesRequest::AddOutside {
            address,
            person,
            to,
        } => {
            let to = to.split(',').map(|to| to.trim().to_owned()).collect();
            let one = Outside {
                address,
                person,
                to,
            };
            other.outside.insert(0, one);
        }
        AddressesRequest::Remove { address } => {
            other.aliases.retain(|known| known.address != address);
            other.outside.retain(|known| known.address != address);
        }
        AddressesRequest::CatchAll { domain, person } => {
            other.catch_alls.insert(0, CatchAll { domain, person });
        }
        AddressesRequest::NoCatchAll { domain } => {
            other.catch_alls.retain(|known| known.domain != domain);
        }
    }
}

fn choose(inbound: &mut Inbound, what: InboundRequest) {
    match what {
        InboundRequest::See | InboundRequest::Reports => {}
        InboundRequest::Block { zone } => inbound.block_lists.push(zone),
        InboundRequest::Unblock { zone } => inbound.block_lists.retain(|known| *known != zone),
        InboundRequest::Trust { domain } => inbound.trusted.push(domain),
        InboundRequest::Mistrust { domain } => inbound.trusted.retain(|known| *known != domain),
    }
}

fn set(outbound: &mut Outbound, what: OutboundRequest) {
    match what {
        OutboundRequest::See => {}
        OutboundRequest::Except { domain, allow } => {
            outbound.exceptions.push(Exception { domain, allow });
        }
        OutboundRequest::RemoveException { domain } => {
            outbound.exceptions.retain(|known| known.domain != domain);
        }
        OutboundRequest::SetSmarthost {
            host, port, login, ..
        } => outbound.smarthost = Some(Smarthost { host, port, login }),
        OutboundRequest::RemoveSmarthost => outbound.smarthost = None,
        OutboundRequest::SetHours { give_up, warn } => {
            outbound.give_up_after_hours = give_up.parse().unwrap_or(48);
            outbound.warn_after_hours = warn.parse().unwrap_or(4);
        }
    }
}

const RIGHT: &str = "right horse";

fn made(reply: Reply) -> Reply {
    match RecoveryKey::from_random(&[0x5a; 16]) {
        Ok(key) if reply == Reply::Done => Reply::RecoveryKey {
            words: key.words().clone(),
        },
        _ => reply,
    }
}

fn open(status: &mut Status, passphrase: &Secret) -> Reply {
    std::thread::sleep(std::time::Duration::from_secs(3));
    if passphrase.expose() == RIGHT {
        status.disk = Disk::Open;
        return Reply::Done;
    }
    Reply::Refused {
        refusal: Refusal::WrongPassphrase,
        words: "That is not the passphrase of this box. Please try again.".into(),
        retry_after: 5,
    }
}

fn people(addresses: &mut Vec<String>, what: PeopleRequest) -> Reply {
    match what {
        PeopleRequest::Add { address, .. } if addresses.contains(&address) => {
            return Reply::Refused {
                refusal: Refusal::BadAddress,
                words: format!("{address} exists already."),
                retry_after: 0,
            };
        }
        PeopleRequest::Add { address, .. } => addresses.push(address),
        PeopleRequest::Remove { address } => addresses.retain(|known| *known != address),
        PeopleRequest::List | PeopleRequest::SetPassword { .. } => {}
    }
    let addresses = addresses.clone();
    Reply::People { addresses }
}
