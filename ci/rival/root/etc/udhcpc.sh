#!/bin/sh
# What udhcpc does with an address (busybox, examples/udhcp/simple.script).
[ "$1" = bound ] || exit 0
ip addr add "$ip/${mask:-24}" dev "$interface"
[ -z "$router" ] || ip route add default via "${router%% *}" dev "$interface"
