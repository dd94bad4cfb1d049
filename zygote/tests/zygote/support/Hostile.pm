# Lies over the test's tree only: runs the Perl that a message brings, as one who
# has taken over SpamAssassin would, and sends its result up the socket.
package Hostile;
use strict;
use warnings;
use Mail::SpamAssassin::Plugin;
our @ISA = ('Mail::SpamAssassin::Plugin');

sub new {
    my ($class, $main) = @_;
    return bless $class->SUPER::new($main), $class;
}

sub parsed_metadata {
    my ($self, $given) = @_;
    my $code = $given->{permsgstatus}->get('X-Hostile', undef) // return;
    my $result = eval pack('H*', $code =~ s/\s//gr);
    my $text = '[' . ($result // "died: $@") . "]\n";
    POSIX::write(3, $text, length $text);
}

1;
