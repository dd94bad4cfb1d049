//! Perls that have loaded SpamAssassin as the box's zygote does, by the same
//! script, and judge one message after another without a fork.

use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Condvar, Mutex, PoisonError};

const ZYGOTE: &str = include_str!("../../../overlays/spamassassin/usr/lib/projectx/zygote.pl");
/// Where the script stops loading, and where what a scan needs begins again.
const LOADED: &str = "my $library = ";
const NEEDED: &str = "# The time that a scan takes";
/// In place of what is between: length and message on standard input, a line
/// with the verdict on standard output; an empty line once it is loaded. Before
/// the verdict comes what the child asks over `tokens`, after a line with its
/// length; the answer is read from standard input.
const LOOP: &str = r#"
$| = 1;
binmode STDIN;
binmode STDOUT;
sub bytes {
    my ($wanted) = @_;
    my $all = '';
    while (length $all < $wanted) {
        read(STDIN, $all, $wanted - length $all, length $all) or exit 1;
    }
    return $all;
}
{
    no warnings 'redefine';
    *Zy::Tokens::exchange = sub {
        my ($question, $wanted) = @_;
        print 'tokens ', length $question, "\n", $question;
        return bytes($wanted);
    };
}
print "\n";
while (read(STDIN, my $length, 4) == 4) {
    my $message = bytes(unpack 'N', $length);
    shorten_headers(\$message);
    print VERDICT;
}
exit 0;
"#;
const SCAN: &str = "verdict($message, 1)";
const ASKS: &str = "tokens ";
const NO_SCAN: &str = r#""score=0.0 required=5.0 tests=BENCH_NOT_SCANNED\n""#;

/// Becomes a Perl with this root directory.
pub(crate) fn become_one(root: &str, scan: bool) -> Result<()> {
    let script = script(scan)?;
    nix::unistd::chroot(root).context("chroot")?;
    std::env::set_current_dir("/")?;
    let error = Command::new("/usr/bin/perl")
        .args(["-e", &script])
        .env_clear()
        .env("LC_ALL", "C")
        .exec();
    Err(error).context("perl")
}

fn script(scan: bool) -> Result<String> {
    let Some((loading, rest)) = ZYGOTE.split_once(LOADED) else {
        bail!("zygote.pl has no {LOADED:?} any more; change it here too");
    };
    let Some((_, needed)) = rest.split_once(NEEDED) else {
        bail!("zygote.pl has no {NEEDED:?} any more; change it here too");
    };
    let serving = LOOP.replace("VERDICT", if scan { SCAN } else { NO_SCAN });
    Ok([loading, &serving, NEEDED, needed].concat())
}

/// Perls that wait for messages.
pub(crate) struct Perls {
    idle: Mutex<Vec<Perl>>,
    back: Condvar,
}

struct Perl {
    process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Drop for Perl {
    fn drop(&mut self) {
        // Both fail only when it is gone already.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

impl Perls {
    pub(crate) fn start(root: &str, count: usize, scan: &str) -> Result<Self> {
        let mut idle = Vec::new();
        for _ in 0..count {
            let mut process = Command::new(std::env::current_exe()?)
                .args(["perl", root, scan])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()?;
            let to = process.stdin.take().context("a pipe")?;
            let from = process.stdout.take().context("a pipe")?;
            let mut perl = Perl {
                process,
                to,
                from: BufReader::new(from),
            };
            perl.line().context("SpamAssassin is not loaded")?;
            idle.push(perl);
        }
        Ok(Self {
            idle: Mutex::new(idle),
            back: Condvar::new(),
        })
    }

    /// Ends those that judge nothing now, and waits for their end: nobody else
    /// in the box's pid namespace would.
    pub(crate) fn end(&self) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.clear();
    }

    /// The line about a message, from the next Perl that is free, which may ask
    /// over `tokens`.
    pub(crate) fn verdict(&self, message: &[u8], tokens: &mut UnixStream) -> Result<String> {
        let guard = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let mut idle = self
            .back
            .wait_while(guard, |idle| idle.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        let mut perl = idle.pop().context("a Perl")?;
        drop(idle);
        let line = perl.judge(message, tokens);
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(perl);
        self.back.notify_one();
        line
    }
}

impl Perl {
    fn judge(&mut self, message: &[u8], tokens: &mut UnixStream) -> Result<String> {
        let length = u32::try_from(message.len())?;
        self.to.write_all(&length.to_be_bytes())?;
        self.to.write_all(message)?;
        self.to.flush()?;
        let mut line = self.line()?;
        if let Some(length) = line.trim_end().strip_prefix(ASKS) {
            let mut question = vec![0; length.parse()?];
            self.from.read_exact(&mut question)?;
            self.to.write_all(&answer(tokens, &question)?)?;
            self.to.flush()?;
            line = self.line()?;
        }
        Ok(line)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.from.read_line(&mut line)? == 0 {
            bail!("Perl ended");
        }
        Ok(line)
    }
}

/// What the gate answers (channels/src/tokens.rs): eight bytes for the messages
/// and for each token.
fn answer(tokens: &mut UnixStream, question: &[u8]) -> Result<Vec<u8>> {
    let Some(count) = question.first_chunk() else {
        bail!("half a question about tokens");
    };
    tokens.write_all(question)?;
    let mut answer = vec![0; 8 * (1 + u32::from_be_bytes(*count) as usize)];
    tokens.read_exact(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_is_the_zygotes_without_its_children() {
        let text = script(true).unwrap();
        assert!(text.contains("print verdict($message, 1);") && text.contains("sub verdict {"));
        assert!(!text.contains("Zy::serve()") && !text.contains("sub take"));
        assert!(text.contains("Zy::Rules::load("));
        assert!(text.contains("*Zy::Tokens::exchange = sub") && text.contains(ASKS));
        assert!(script(false).unwrap().contains("print \"score=0.0"));
    }
}
