//! The console's end of the control stream.
//!
//! Requests go out one at a time and each waits for its answer. An answer to
//! a claim or an unlock takes half a minute (Argon2id), so a round trip runs
//! in a task of its own: neither a closed browser nor a short timeout can cut
//! one in the middle and leave its answer to the next asker. While such a
//! long request is under way, the console itself says [`Disk::Working`]; while
//! one about people, mail or keys is, it says what it knew before.

use control::{Disk, Reply, Request, Status, wire, wire::WireError};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::{Mutex as AsyncMutex, Notify};
use zeroize::Zeroizing;

/// How long a page load waits for a status before it says "working".
const STATUS_PATIENCE: Duration = Duration::from_secs(2);

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoAnswer {
    /// An earlier request is under way.
    Busy,
    /// The control stream is broken; the process is about to end.
    Broken,
}

/// The supervisor, as seen from here.
pub struct Supervisor {
    stream: AsyncMutex<BufReader<UnixStream>>,
    last: Mutex<Status>,
    busy: AtomicBool,
    /// Whether what is under way may change the disk's state.
    disk_busy: AtomicBool,
    broken: Mutex<Option<WireError>>,
    ended: Notify,
}

impl Supervisor {
    /// Takes the stream over.
    pub fn new(stream: UnixStream) -> Arc<Self> {
        Arc::new(Self {
            stream: AsyncMutex::new(BufReader::new(stream)),
            last: Mutex::new(Status {
                disk: Disk::Working,
                setup_code_needed: false,
                claimable: false,
                retry_after: 0,
                recovery_key: true,
                reset_code: None,
                reset_asked: false,
                name: "projectx".into(),
                damage: Vec::new(),
            }),
            busy: AtomicBool::new(false),
            disk_busy: AtomicBool::new(false),
            broken: Mutex::new(None),
            ended: Notify::new(),
        })
    }

    /// The state now; [`Disk::Working`] while the disk is made or opened, or
    /// when the supervisor has not answered within 2 seconds.
    pub async fn status(self: &Arc<Self>) -> Result<Status, NoAnswer> {
        if !self.busy.load(Ordering::Relaxed) {
            let asked = tokio::spawn(self.clone().ask(Request::Status));
            match tokio::time::timeout(STATUS_PATIENCE, asked).await {
                Ok(Ok(Ok(Reply::Status(status)))) => {
                    *self.last.lock().unwrap_or_else(PoisonError::into_inner) = status.clone();
                    return Ok(status);
                }
                Ok(_) => return Err(NoAnswer::Broken),
                Err(_) => {}
            }
        }
        let last = self.last();
        if self.busy.load(Ordering::Relaxed) && !self.disk_busy.load(Ordering::Relaxed) {
            return Ok(last);
        }
        Ok(Status {
            disk: Disk::Working,
            retry_after: 0,
            ..last
        })
    }

    /// Tells the SHA-256 of the certificate, for the box's own screen.
    pub async fn tell_certificate(self: &Arc<Self>, sha256: &[u8; 32]) -> Result<(), NoAnswer> {
        let sha256 = sha256.map(|byte| format!("{byte:02x}")).concat();
        let request = Request::PageCertificate { sha256 };
        self.clone().ask(request).await.map(drop)
    }

    /// The name that the box goes by, from the last status.
    pub fn name(&self) -> String {
        self.last().name
    }

    /// Makes a request that changes something. Only one runs at a time; a
    /// second is told [`NoAnswer::Busy`] and is not sent. It goes on when the
    /// caller goes away.
    pub async fn change(self: &Arc<Self>, request: Request) -> Result<Reply, NoAnswer> {
        if self.busy.swap(true, Ordering::Relaxed) {
            return Err(NoAnswer::Busy);
        }
        let disk_stays = matches!(
            request,
            Request::Prove { .. }
                | Request::People { .. }
                | Request::Outbound { .. }
                | Request::Records { .. }
                | Request::ChangePassphrase { .. }
                | Request::NewRecoveryKey { .. }
                | Request::ConfirmRecoveryKey { .. }
                | Request::UsbKey
                | Request::TurnUsbKeyOn { .. }
                | Request::TurnUsbKeyOff { .. }
        );
        self.disk_busy.store(!disk_stays, Ordering::Relaxed);
        let this = self.clone();
        let task = tokio::spawn(async move {
            let reply = this.clone().ask(request).await;
            this.busy.store(false, Ordering::Relaxed);
            reply
        });
        task.await.unwrap_or(Err(NoAnswer::Broken))
    }

    /// Waits until the control stream is of no more use, and says why.
    pub async fn broken(&self) -> WireError {
        self.ended.notified().await;
        let mut why = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        why.take().unwrap_or(WireError::Closed)
    }

    fn last(&self) -> Status {
        self.last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    async fn ask(self: Arc<Self>, request: Request) -> Result<Reply, NoAnswer> {
        let mut stream = self.stream.lock().await;
        round_trip(&mut stream, request).await.map_err(|error| {
            *self.broken.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            self.ended.notify_one();
            NoAnswer::Broken
        })
    }
}

async fn round_trip(
    stream: &mut BufReader<UnixStream>,
    request: Request,
) -> Result<Reply, WireError> {
    // Room for the longest line at once: a vector that grows leaves copies.
    let mut line = Zeroizing::new(Vec::with_capacity(wire::MAX_LINE));
    wire::write(&mut *line, &request)?;
    drop(request);
    stream.write_all(&line).await?;
    stream.flush().await?;
    drop(line);
    // It may be a recovery key: room at once and wiped, as above.
    let mut answer = Zeroizing::new(Vec::with_capacity(wire::MAX_LINE));
    stream
        .take(wire::MAX_LINE as u64)
        .read_until(b'\n', &mut answer)
        .await?;
    wire::read(&mut answer.as_slice())
}
