//! SpamAssassin in its zygote and its children, with this machine's kernel: root,
//! Linux 6.12 or later, mmdebstrap. What is missing fails the test and does not
//! skip it.

mod judging;
mod learning;
mod support;
