# U-Boot's script: one for the Raspberry Pi 3 and for QEMU's virt.
#
# It picks slot a or b. ab.env holds three names: `good` is the slot that last
# proved itself, `slot` the one to start, `tries` how often it was tried. They
# differ only during a trial, and only then is the card written. A missing or
# bad file means: slot a.

setenv dev "${devtype} ${devnum}:${distro_bootpart}"

# U-Boot's own addresses let the unpacked kernel run over the device tree.
if test "${board}" = "qemu-arm"; then
  setenv ka 0x44000000
  setenv ra 0x50000000
  setenv sa 0x4f000000
  setenv kernel_comp_addr_r 0x58000000
  setenv con "console=ttyAMA0"
else
  setenv ka 0x04000000
  setenv ra 0x10000000
  setenv sa 0x0f000000
  setenv kernel_comp_addr_r 0x18000000
  # The last one is /dev/console; the screen shows the kernel's words too.
  setenv con "console=tty0 console=ttyS1,115200"
fi
setenv kernel_comp_size 0x4000000

setenv slot a
setenv good a
setenv tries 0
if test -e ${dev} ab.env; then
  if load ${dev} ${sa} ab.env; then
    env import -t ${sa} ${filesize} slot good tries
  fi
fi
if test "${good}" != "b"; then setenv good a; fi
if test "${slot}" != "a"; then
  if test "${slot}" != "b"; then setenv slot ${good}; fi
fi
if test -z "${tries}"; then setenv tries 0; fi

if test "${slot}" != "${good}"; then
  setexpr tries ${tries} + 1
  if test ${tries} -gt 3; then
    echo "projectx: slot ${slot} failed three times, back to ${good}"
    setenv slot ${good}
    setenv tries 0
  fi
  env export -t ${sa} slot good tries
  # A try that can't be counted would be tried for ever.
  if fatwrite ${dev} ${sa} ab.env ${filesize}; then true; else
    setenv slot ${good}
    setenv tries 0
  fi
fi

# Builders may add words to the kernel's command line: args=...
setenv args
if test -e ${dev} debug.env; then
  if load ${dev} ${sa} debug.env; then
    env import -t ${sa} ${filesize} args
  fi
fi

echo "projectx: slot ${slot} of ${dev}, board ${board}"
if load ${dev} ${ka} ${slot}/Image.gz; then
  # Last, because ${filesize} is that of the latest load.
  if load ${dev} ${ra} ${slot}/initrd; then
    setenv bootargs "${con} panic=10 quiet projectx.slot=${slot} projectx.tries=${tries} ${args}"
    booti ${ka} ${ra}:${filesize} ${fdt_addr}
  fi
fi
echo "projectx: slot ${slot} does not start; trying again"
sleep 5
reset
