# What the recipient's filter has learnt, for SpamAssassin's Bayes: a store that
# has no file and asks once for each message, over a channel that the child may
# have at 5 (channels/src/tokens.rs). The question is sent even if nothing was
# learnt yet, as it is what the recipient later learns from.
package Zy::Tokens;
use strict;
use warnings;
use POSIX ();
use Mail::SpamAssassin::BayesStore;
our @ISA = ('Mail::SpamAssassin::BayesStore');

use constant {
    CHANNEL     => 5,
    MOST_TOKENS => 4096,
};

# Messages learnt as spam and as none, and each token's two counts.
my ($spam, $ham, %counts);

# Asks about a message that was parsed. Without a channel, or if its other end
# does not answer, nothing is known.
sub ask {
    my ($assassin, $mail) = @_;
    forget();
    my $bayes = $assassin->call_plugins('learner_get_implementation') or return;
    # Exactly what sa-learn would count.
    my $tokens = $bayes->tokenize($mail, $bayes->get_body_from_msg($mail));
    my @asked = sort keys %$tokens;
    # They are hashes: the lowest of them are an even sample.
    $#asked = MOST_TOKENS - 1 if @asked > MOST_TOKENS;
    my $answer = exchange(pack('N', scalar @asked) . join('', @asked), 8 * (1 + @asked));
    POSIX::close(CHANNEL);
    return if !defined $answer;
    ($spam, $ham, my @numbers) = unpack 'N*', $answer;
    @counts{@asked} = map { [@numbers[2 * $_, 2 * $_ + 1]] } 0 .. $#asked;
}

# As if so much had been learnt: for the zygote, which loads what that needs.
sub pretend {
    ($spam, $ham) = @_;
    %counts = ();
}

sub forget {
    undef $spam;
    undef $ham;
    %counts = ();
}

sub exchange {
    my ($question, $wanted) = @_;
    while (length $question) {
        my $count = POSIX::write(CHANNEL, $question, length $question);
        return if !defined $count or $count == 0;
        substr($question, 0, $count) = '';
    }
    my $answer = '';
    while (length $answer < $wanted) {
        my $count = POSIX::read(CHANNEL, my $part, $wanted - length $answer);
        return if !defined $count or $count == 0;
        $answer .= substr($part, 0, $count);
    }
    return $answer;
}

# The rest is what Mail::SpamAssassin::Plugin::Bayes wants of a store that it
# only reads.
sub tie_db_readonly { return defined $spam ? 1 : 0 }
sub db_readable     { return defined $spam ? 1 : 0 }
sub db_writable     { return 0 }
sub tie_db_writable { return 0 }
sub untie_db        { return }
sub cleanup         { return }
sub nspam_nham_get  { return ($spam, $ham) }

sub tok_get_all {
    my ($self, @tokens) = @_;
    return [map { [$_, @{ $counts{$_} // [0, 0] }, 0] } @tokens];
}

# What a token must not begin with in Debian's store, so that both have the same.
sub get_magic_re           { return qr/^\015\001\007\011\003/ }
sub tok_touch_all          { return 1 }
sub get_running_expire_tok { return undef }
sub expiry_due             { return 0 }
sub sync_due               { return 0 }
sub sync                   { return 0 }

1;
