# A message was put into Junk: it is spam.
require ["vnd.dovecot.pipe", "copy", "imapsieve"];

pipe :copy "learn" ["spam"];
