# An alias to outside: its line in /people/aliases has the addresses. The bounces, and
# what can't be passed on, are for the person whose alias it is.
require ["environment", "variables", "vnd.dovecot.environment"];

if environment :matches "vnd.dovecot.config.outside1" "*@*" {
    redirect "${1}@${2}";
}
if environment :matches "vnd.dovecot.config.outside2" "*@*" {
    redirect "${1}@${2}";
}
if environment :matches "vnd.dovecot.config.outside3" "*@*" {
    redirect "${1}@${2}";
}
if environment :matches "vnd.dovecot.config.outside4" "*@*" {
    redirect "${1}@${2}";
}
