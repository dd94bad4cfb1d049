//! The requests that the console may make, and the answers.
//!
//! The console cannot do anything that is not listed in [`Request`]: this
//! enum is the whole power of whoever takes the console over.

use crate::addresses::{AddressesRequest, OtherAddresses};
use crate::damage::Damage;
use crate::inbound::{Inbound, InboundRequest, Reports};
use crate::outbound::{Outbound, OutboundRequest};
use crate::people::PeopleRequest;
use crate::records::{Records, RecordsRequest};
use crate::secret::Secret;
use serde::{Deserialize, Serialize};

/// What the console may ask the supervisor for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// What state the box is in.
    Status,
    /// Make the encrypted disk with this passphrase (first boot only). Answered
    /// by [`Reply::RecoveryKey`].
    Claim {
        /// 8 to 512 bytes of UTF-8.
        passphrase: Secret,
        /// Needed when `wifi.txt` carries `setup-code`.
        setup_code: Option<Secret>,
    },
    /// Open the encrypted disk.
    Unlock {
        /// The passphrase, or the words of the recovery key.
        passphrase: Secret,
    },
    /// Open the encrypted disk by its recovery key and give it another
    /// passphrase: for somebody who has forgotten the old one.
    Recover {
        /// Its words, as they were typed.
        recovery_key: Secret,
        /// The new passphrase, as in [`Request::Claim`].
        passphrase: Secret,
    },
    /// Give the open disk another passphrase; the old one opens nothing then.
    ChangePassphrase {
        /// The passphrase until now, or the words of the recovery key.
        old: Secret,
        /// As in [`Request::Claim`].
        new: Secret,
    },
    /// Make a recovery key for the open disk. Answered by
    /// [`Reply::RecoveryKey`]. One that was confirmed earlier stays good until
    /// the new one is.
    NewRecoveryKey {
        /// The passphrase, or the words of the old recovery key.
        passphrase: Secret,
    },
    /// The owner has the recovery key on paper: from now on no other is good.
    ConfirmRecoveryKey {
        /// Its words.
        recovery_key: Secret,
    },
    /// Destroy every key of the locked disk, so that nothing on it can be read
    /// any more. Only while the card asks for it ([`Status::reset_asked`]).
    FactoryReset,
    /// Whether a USB stick may open the disk. Answered by [`Reply::UsbKey`].
    UsbKey,
    /// Write a key for the open disk onto the USB stick that is in the box: from then
    /// on the box opens the disk by itself when the stick is in it.
    TurnUsbKeyOn {
        /// The passphrase, or the words of the recovery key.
        passphrase: Secret,
    },
    /// No USB stick opens the disk any more, wherever it is.
    TurnUsbKeyOff {
        /// As in [`Request::TurnUsbKeyOn`].
        passphrase: Secret,
    },
    /// Begin a browser's session, which may see and change the people, and how mail
    /// goes out, for 15 minutes: whoever reaches the page of an open box has not shown yet that
    /// it is theirs. The browser makes the session's secret itself.
    Prove {
        /// The passphrase of the encrypted disk.
        passphrase: Secret,
        /// 32 random bytes as base64 or more: 44 to 128 bytes of text.
        session: Secret,
    },
    /// See or change who has mail here.
    People {
        /// As in [`Request::Prove`].
        session: Secret,
        /// What exactly.
        what: PeopleRequest,
    },
    /// See or change the other addresses.
    Addresses {
        /// As in [`Request::Prove`].
        session: Secret,
        /// What exactly.
        what: AddressesRequest,
    },
    /// See or change how mail comes in, or see what others report.
    Inbound {
        /// As in [`Request::Prove`].
        session: Secret,
        /// What exactly.
        what: InboundRequest,
    },
    /// See which records the box needs in the DNS.
    Records {
        /// As in [`Request::Prove`].
        session: Secret,
        /// What exactly.
        what: RecordsRequest,
    },
    /// See or change how mail goes out.
    Outbound {
        /// As in [`Request::Prove`].
        session: Secret,
        /// What exactly.
        what: OutboundRequest,
    },
    /// Say on the box's own screen by which certificate the page can be known. A
    /// console may do so once.
    PageCertificate {
        /// SHA-256 of its DER, as 64 hexadecimal digits in lower case.
        sha256: String,
    },
    /// Shut down in order and start again.
    Restart,
    /// Shut down in order and stay off.
    PowerOff,
}

/// What the supervisor answers. Every request gets exactly one.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Reply {
    /// Answer to [`Request::Status`].
    Status(Status),
    /// Done, or begun for a restart or power-off.
    Done,
    /// Answer to a [`Request::People`] that was done: who has mail here now, in
    /// the order of arrival.
    People {
        /// At most 100.
        addresses: Vec<String>,
    },
    /// Answer to a [`Request::Outbound`] that was done: what is set now.
    Outbound(Outbound),
    /// Answer to a [`Request::Addresses`] that was done: which there are now.
    Addresses(OtherAddresses),
    /// Answer to a [`Request::Inbound`] that was done: what is set now.
    Inbound(Inbound),
    /// Answer to [`InboundRequest::Reports`].
    Reports(Reports),
    /// Answer to a [`Request::Records`] that was done.
    Records(Records),
    /// The recovery key that was just made. The supervisor keeps no copy.
    RecoveryKey {
        /// Twelve words with a blank between them.
        words: Secret,
    },
    /// Answer to [`Request::UsbKey`].
    UsbKey {
        /// Whether the owner has turned it on.
        on: bool,
    },
    /// Not done; the disk is as it was before.
    Refused {
        /// Why, for a program.
        refusal: Refusal,
        /// Why and what to do, for a person.
        words: String,
        /// Seconds to wait before the next try is looked at; 0 is at once.
        retry_after: u64,
    },
}

/// The state that the page shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// The encrypted disk.
    pub disk: Disk,
    /// Whether claiming needs the code from `wifi.txt`.
    pub setup_code_needed: bool,
    /// Whether claiming is still possible without a new power-on.
    pub claimable: bool,
    /// Seconds until a further passphrase is looked at.
    pub retry_after: u64,
    /// Whether the owner of the open disk has said that he has its recovery key.
    pub recovery_key: bool,
    /// What `factory-reset.txt` on the card has to say for a factory reset,
    /// `erase 3F2A-91C4` say; another for each disk that was ever made. `None`
    /// while the disk is not a locked one.
    pub reset_code: Option<String>,
    /// Whether the card says it.
    pub reset_asked: bool,
    /// What the box calls itself, `projectx` say (without `.local`).
    pub name: String,
    /// What was noticed to be damaged, each kind once; empty on a healthy card. What
    /// was noticed before this start is known once the disk is open.
    pub damage: Vec<Damage>,
}

/// The encrypted disk, as the page needs to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Disk {
    /// No passphrase has been set.
    Unclaimed,
    /// A passphrase is set and has not been given since power-on.
    Locked,
    /// A passphrase is being tried or the disk is being made.
    Working,
    /// A passphrase is set, but the disk's header is damaged: only the recovery
    /// key can open it, with the header's backup on the card.
    Damaged,
    /// Open and mounted.
    Open,
    /// The second partition is missing or cannot be read.
    Missing,
}

/// Why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// The passphrase does not open the disk.
    WrongPassphrase,
    /// The words are no recovery key: one is missing or mistyped.
    BadRecoveryKey,
    /// The passphrase is shorter or longer than allowed.
    BadPassphrase,
    /// Tried again before `retry_after` had passed; it was not looked at.
    TooSoon,
    /// The setup code is missing or wrong.
    WrongSetupCode,
    /// The 15 minutes after power-on have passed.
    TooLate,
    /// Not possible in this state (claiming a claimed box, say).
    WrongState,
    /// The browser has not proved the passphrase, or more than 15 minutes ago.
    NoSession,
    /// The mail address is not one, is taken, or has nobody.
    BadAddress,
    /// An address that mail shall be passed on to is not one, or is of this box.
    BadTarget,
    /// A person's password is too short, too long or can't be typed.
    BadPassword,
    /// Not a domain, or there is no room for it, or no exception.
    BadDomain,
    /// Not hours, or too few or too many.
    BadHours,
    /// Not the name of a server.
    BadHost,
    /// Login or password for it can't be used.
    BadLogin,
    /// The mail service is still starting.
    NotReady,
    /// The disk or a tool failed.
    Failed,
}
