# Which rules SpamAssassin has: those of a signed update in /rules, which the
# supervisor has mounted only when its signature is good and it is newer, or
# else those of the image. An update that does not load without a complaint is
# left aside, so that it never stops mail.
#
# An update is rules and no code. Only the words in `rule-words` may begin a
# line, so nothing loads a module, and what an `if` may call is limited below.
# SpamAssassin itself refuses code in regular expressions and in `meta`.
package Zy::Rules;
use strict;
use warnings;

use constant {
    IMAGE  => '/usr/share/spamassassin',
    UPDATE => '/rules',
    WORDS  => '/usr/lib/projectx/rule-words',
    # In seconds: lint on a slow box takes a third of that.
    LIMIT  => 120,
};

# `can(NAME)` calls the function NAME, whatever it is: these are constants.
my $CONSTANT = qr/\AMail::SpamAssassin::(?:Conf|Plugin::\w+)::(?:feature|compat|perl_min_version|has)_\w+\z/;

# The SpamAssassin that `$make` makes of a folder of rules, ready for messages.
sub load {
    my ($make) = @_;
    if (-e UPDATE . '/VERSION') {
        my ($assassin, $why) = attempt($make);
        return $assassin if defined $assassin;
        # One line, whatever is in it: it may quote a rule.
        $why =~ s/[^\x20-\x7e]+/ /g;
        print STDERR 'zygote: the update of the rules is not used: ', substr($why, 0, 400), "\n";
    }
    my $assassin = $make->(IMAGE);
    $assassin->compile_now(0, 1);
    return $assassin;
}

# One with the update, or why not.
sub attempt {
    my ($make) = @_;
    my ($first, $trial, $assassin);
    local $SIG{__WARN__} = sub { $first //= $_[0] };
    local $SIG{ALRM} = sub { die "it takes too long to load\n" };
    my $good = eval {
        alarm LIMIT;
        look_through(UPDATE);
        # lint alters settings, so what it has looked at judges no message.
        $trial = $make->(UPDATE);
        my $errors = $trial->lint_rules();
        die $first // "$errors errors\n" if $errors;
        done_with($trial);
        $trial    = undef;
        $assassin = $make->(UPDATE);
        $assassin->compile_now(0, 1);
        1;
    };
    my $why = $@;
    alarm 0;
    return $assassin if $good;
    done_with($_) for grep { defined } $trial, $assassin;
    return (undef, $why);
}

# Check.pm compiles rules to functions with global names, keeps some of them in
# finish(), and calls what it finds defined, whichever rules it came from.
sub done_with {
    my ($assassin) = @_;
    eval { $assassin->finish(); 1 } or warn "unloading: $@";
    my $package = 'Mail::SpamAssassin::Plugin::Check::';
    no strict 'refs';
    for my $name (grep { /\A_\w+_tests_\w*\d\z/ } keys %$package) {
        undef &{$package . $name};
    }
}

# Dies at what is no plain rule, with the file's name.
sub look_through {
    my ($folder) = @_;
    my %known = map { $_ => 1 } split ' ', contents(WORDS);
    opendir my $names, $folder or die "$folder: $!\n";
    for my $name (sort readdir $names) {
        next if $name =~ /\A(?:\.\.?|VERSION)\z/;
        $name =~ /\A[A-Za-z0-9_]+\.cf\z/ or die "$name: only VERSION and *.cf may be in an update\n";
        my $number = 0;
        for my $line (split /\n/, contents("$folder/$name")) {
            $number++;
            my $wrong = wrong_in($line, \%known);
            die "$name:$number: $wrong\n" if defined $wrong;
        }
    }
}

# The first word, as Mail::SpamAssassin::Conf::Parser::parse finds it.
sub wrong_in {
    my ($line, $known) = @_;
    $line =~ s/(?<!\\)#.*$//;
    $line =~ s/^\s+//;
    $line =~ s/\s+$//;
    $line =~ s/^lang\s+\S+\s+//;
    return undef if $line eq '';
    my ($key, $value) = split /\s+/, $line, 2;
    ($key = lc $key) =~ tr/-/_/;
    return "\"$key\" is not allowed in an update" if !$known->{$key};
    return undef if $key ne 'if';
    my @called = $value =~ /\b(?:can|has)\b[\s(]*([\w:]*)/g;
    for my $called (@called) {
        return "\"$called\" is not allowed in a condition" if $called !~ $CONSTANT;
    }
    return undef;
}

sub contents {
    my ($path) = @_;
    open my $file, '<', $path or die "$path: $!\n";
    my ($text, $count) = ('');
    do {
        $count = read $file, $text, 65_536, length $text;
        # A damaged block ends a file early, which must not look like its end.
        die "$path: $!\n" if !defined $count;
    } while ($count);
    return $text;
}

1;
