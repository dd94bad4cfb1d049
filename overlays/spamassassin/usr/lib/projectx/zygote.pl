# Loads SpamAssassin once, then lets libzygote.so make one child a message.
# This process never sees mail. Zy::serve is Rust, and returns only in a child
# that holds nothing but its socket (3), a pipe with a seed (4) and what the
# supervisor handed over for it (from 5 on).
use strict;
use warnings;

# Loading Net::DNS starts uname(1), and no program may be started here. There is
# no network for it either; SpamAssassin goes without it.
BEGIN {
    $INC{'Net/DNS.pm'} = undef;
    unshift @INC, '/usr/lib/projectx';
}

use DynaLoader ();
use Encode ();
use POSIX ();
use Mail::SpamAssassin;
use Mail::SpamAssassin::Util;
use Zy::Tokens;

use constant {
    MOST_BYTES        => 512 * 1024,
    MOST_HEADERS      => 1_000,
    MOST_HEADER_BYTES => 128 * 1024,
    MOST_TEST_BYTES   => 3_800,
};

# SpamAssassin writes attachments to /tmp, or keeps them in memory where it
# can't. It asks for the file by this full name.
{
    no warnings 'redefine';
    *Mail::SpamAssassin::Util::secure_tmpfile = sub { return };
    # Both ask the C library, which would ask a name service.
    *Mail::SpamAssassin::Util::fq_hostname = sub { 'projectx.local' };
    *Mail::SpamAssassin::Util::portable_getpwuid = sub { ('nobody', '*', $_[0], $_[0], '', '', '', '/nonexistent') };
}

# SpamAssassin calls eval tests through some 150 small functions, which it compiles
# for each message and takes away after it. Rules don't change once they are
# loaded: so they are compiled for the first message here, and stay.
{
    no warnings qw(redefine once);
    my $compile = \&Mail::SpamAssassin::PerMsgStatus::register_plugin_eval_glue;
    *Mail::SpamAssassin::PerMsgStatus::register_plugin_eval_glue = sub {
        # Whatever is in it at the end is taken away.
        local @Mail::SpamAssassin::PerMsgStatus::TEMPORARY_METHODS;
        $compile->(@_);
    };
}

# A child can't load what is missing, and SpamAssassin would go on without it
# and find less. So: every charset, and whatever a first message needs.
for my $name (Encode->encodings(':all')) {
    Encode::find_encoding($name) or die "zygote: the charset $name can't be loaded\n";
}

require '/usr/lib/projectx/Zy/Rules.pm';
my $assassin = Zy::Rules::load(sub { Mail::SpamAssassin->new({
    local_tests_only  => 1,
    dont_copy_prefs   => 1,
    username          => 'nobody',
    rules_filename    => $_[0],
    site_rules_filename => '/etc/spamassassin',
    userprefs_filename  => '/nonexistent/user_prefs',
    userstate_dir     => '/nonexistent',
    home_dir_for_helpers => '/nonexistent',
}) });
warm_up();
# Once more as for somebody whose filter has learnt: then other rules count.
Zy::Tokens::pretend(1_000, 1_000);
warm_up();
Zy::Tokens::forget();
$assassin->{conf}->set_score_set(0);

my $library = '/usr/lib/projectx/libzygote.so';
my $handle  = DynaLoader::dl_load_file($library, 0)
    or die "zygote: $library: " . DynaLoader::dl_error() . "\n";
my $symbol = DynaLoader::dl_find_symbol($handle, 'zygote_serve')
    or die "zygote: $library: " . DynaLoader::dl_error() . "\n";
DynaLoader::dl_install_xsub('Zy::serve', $symbol);

# A statement of its own, as it leaves Perl's argument stack alone.
Zy::serve();

# From here on, this is a child. It ends by _exit alone: taking the interpreter
# apart would copy all of the memory that it shares.
my $done = eval {
    answer();
    1;
};
POSIX::_exit($done ? 0 : 1);

sub answer {
    # All children come from the same memory; without this, also from the same
    # random numbers.
    POSIX::read(4, my $seed, 4) == 4 or die;
    POSIX::close(4);
    srand(unpack 'L', $seed);

    my $length = unpack 'N', take(4);
    # What a child says goes nowhere, so it does not say why it gives up.
    die if $length > MOST_BYTES;
    my $message = $length ? take($length) : '';
    shorten_headers(\$message);
    my $line = verdict($message, 1);
    while (length $line) {
        my $count = POSIX::write(3, $line, length $line);
        die if !defined $count or $count == 0;
        substr($line, 0, $count) = '';
    }
}

# So many bytes from the socket, or no answer.
sub take {
    my ($wanted) = @_;
    my $all = '';
    while (length $all < $wanted) {
        my $count = POSIX::read(3, my $part, $wanted - length $all);
        # At the end of the socket it is "0 but true".
        die if !defined $count or $count == 0;
        $all .= substr($part, 0, $count);
    }
    return $all;
}

# The time that a scan takes grows faster than the number of header fields
# (20,000 Received lines take 200 MB), so those beyond a limit are left out.
sub shorten_headers {
    my ($message) = @_;
    my ($at, $fields) = (0, 0);
    my $cut;
    while ($at < length $$message) {
        my $end = index($$message, "\n", $at);
        $end = $end < 0 ? length $$message : $end + 1;
        my $first = substr($$message, $at, 1);
        last if $first eq "\n" or substr($$message, $at, 2) eq "\r\n";
        $fields++ if $first ne ' ' and $first ne "\t";
        $cut //= $at if $fields > MOST_HEADERS or $end > MOST_HEADER_BYTES;
        $at = $end;
    }
    substr($$message, $cut, $at - $cut) = '' if defined $cut;
}

sub verdict {
    my ($message, $is_child) = @_;
    my $mail = $assassin->parse(\$message, 0);
    # In the zygote another descriptor may be where the channel would be.
    Zy::Tokens::ask($assassin, $mail) if $is_child;
    my $status = $assassin->check($mail);
    # The same rounding as in X-Spam-Status: never 5.0 for what is no spam.
    my $score    = $status->_get_tag_value_for_score();
    my $required = $status->_get_tag_value_for_required_score();
    my $tests    = $status->get_names_of_tests_hit();
    if (length $tests > MOST_TEST_BYTES) {
        $tests = substr($tests, 0, MOST_TEST_BYTES);
        $tests =~ s/,[^,]*\z//;
    }
    return "score=$score required=$required tests=$tests\n";
}

# Runs what is loaded late: each kind of part, HTML, links, encoded headers.
sub warm_up {
    my $png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
    my $mail = join "\n",
        'Received: from mail.example.net (mail.example.net [192.0.2.1]) by projectx.local with ESMTPS; Thu, 1 Jan 2026 00:00:00 +0000',
        'From: =?utf-8?Q?J=C3=B6rg?= <a@example.net>', 'To: b@example.org',
        'Subject: =?iso-2022-jp?B?GyRCJUYlOSVIGyhC?=',
        'Date: Thu, 1 Jan 2026 00:00:00 +0000', 'Message-ID: <1@example.net>',
        'DKIM-Signature: v=1; a=rsa-sha256; d=example.net; s=s; h=from; bh=AA==; b=AA==',
        'MIME-Version: 1.0', 'Content-Type: multipart/mixed; boundary="b"', '',
        '--b', 'Content-Type: text/plain; charset=utf-8', '',
        'A first message. See https://www.example.com/ and m@example.com', '',
        '--b', 'Content-Type: text/html; charset=koi8-r', 'Content-Transfer-Encoding: quoted-printable', '',
        '<html><body><p style="color: red">=F0=D2=C9</p><a href="https://example.com/x">x</a></body></html>', '',
        '--b', 'Content-Type: image/png; name=a.png', 'Content-Transfer-Encoding: base64', '', $png,
        '--b', 'Content-Type: message/rfc822', '',
        'Subject: inner', '', 'inner', '', '--b--', '';
    verdict($mail);
}
